/*-------------------------------------------------------------------------
 *
 * hostile_cases.h
 *	  The faults that hostile.c can put into a package, and how each is refused.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_HOSTILE_CASES_H
#define DEPOT_TEST_HOSTILE_CASES_H

#define CONTROL_BASE "default_version = '1.0'\nrelocatable = true\n"
#define CONTROL_TEXT "comment = 'a harmless extension'\n" CONTROL_BASE
#define SCRIPT_TEXT "CREATE FUNCTION evil_answer() RETURNS int LANGUAGE sql AS 'SELECT 42';\n"
#define LONG_NAME_BYTES 65536
#define LONG_PATH_BYTES 5000

/* Where a case's fault is found: DEPOT_OK for the one package in order. */
typedef struct HostileCase
{
	const char *name;
	void		(*prepare) (Package *package, const HostileOptions *options);
	DepotErrorCode code;
	const char *message;		/* part of the refusal's message */
	bool		in_control;		/* refused by the control file check, after unpacking */
	bool		hostile_custom; /* the metadata is to be as hostile as the manifest */
}			HostileCase;

static Member *
add_member(Package *package, Member member)
{
	if (package->member_count == MAX_MEMBERS)
		out_fail("adding a member");
	package->members[package->member_count] = member;
	return &package->members[package->member_count++];
}

/* Adds a file that is in order; its fault is set afterwards. */
static Member *
add_text(Package *package, const char *path, const char *text)
{
	return add_member(package, (Member) {.path = path, .bytes = text, .size = strlen(text),
										 .manifest_size = strlen(text), .type = '0', .mode = 0644});
}

/* Adds a member that the manifest does not list. */
static Member *
add_stray(Package *package, const char *path)
{
	Member	   *member = add_text(package, path, SCRIPT_TEXT);

	member->undeclared = true;
	return member;
}

/* Adds an empty member of another type under a name that the manifest lists as a file. */
static Member *
add_special(Package *package, char type, const char *link)
{
	Member	   *member = add_text(package, "lib/evil.so", "");

	member->type = type;
	member->link = link;
	return member;
}

static int
compare_members(const void *a, const void *b)
{
	const Member *left = a;
	const Member *right = b;

	return left->undeclared != right->undeclared ? left->undeclared - right->undeclared :
		strcmp(left->path, right->path);
}

static void
sort_members(Package *package)
{
	qsort(package->members, (size_t) package->member_count, sizeof(Member), compare_members);
}

static Member *
find_member(Package *package, const char *path)
{
	for (int i = 0; i < package->member_count; i++)
	{
		if (strcmp(package->members[i].path, path) == 0)
			return &package->members[i];
	}
	out_fail(path);
	return NULL;
}

/* Gives a file of the package other contents, which the manifest agrees with. */
static void
set_text(Package *package, const char *path, const char *text)
{
	Member	   *member = find_member(package, path);

	member->bytes = text;
	member->size = member->manifest_size = strlen(text);
}

static const char *
fill_text(Package *package, char c, size_t length)
{
	memset(package->text, c, length);
	package->text[length] = '\0';
	return package->text;
}

#define CASE(function, statement) \
	static void function(Package *p, const HostileOptions *o) { (void) o; (void) p; statement; }
#define CONTROL_PATH "share/extension/evil.control"
#define SCRIPT_PATH "share/extension/evil--1.0.sql"

CASE(make_valid, (void) 0)
CASE(make_dotdot, add_stray(p, "../evil"))
CASE(make_inner_dotdot, add_stray(p, "share/../../evil"))
CASE(make_absolute, add_stray(p, "/tmp/depot-evil"))
CASE(make_odd_name, add_stray(p, "share/evil\nname"))
CASE(make_symlink, add_special(p, '2', "/etc/passwd"))
CASE(make_hardlink, add_special(p, '1', "/etc/passwd"))
CASE(make_device, add_special(p, '3', NULL))
CASE(make_block_device, add_special(p, '4', NULL))
CASE(make_fifo, add_special(p, '6', NULL))
CASE(make_duplicate, add_stray(p, SCRIPT_PATH))
CASE(make_duplicate_manifest, p->manifest_twice = true)
CASE(make_duplicate_directory, add_stray(p, "share/")->type = '5'; find_member(p, "share/")->size = 0)
CASE(make_unknown_directory, add_stray(p, "share/other/")->type = '5';
	 find_member(p, "share/other/")->size = 0)
CASE(make_casefold, add_stray(p, "share/extension/EVIL.control"))
CASE(make_casefold_manifest, add_text(p, "share/extension/EVIL.control", CONTROL_TEXT))
CASE(make_file_directory, add_stray(p, "share/extension"))
CASE(make_file_directory_manifest, add_text(p, "share/extension", CONTROL_TEXT))
CASE(make_missing_file, find_member(p, SCRIPT_PATH)->absent = true)
CASE(make_extra_file, add_stray(p, "share/extension/evil--1.0--2.0.sql"))
CASE(make_xattr, find_member(p, SCRIPT_PATH)->pax = "30 SCHILY.xattr.user.evil=yes\n")
CASE(make_acl, tar_pax_record(p->text, TEXT_BYTES, "SCHILY.acl.access",
							  "user::rw-,user:evil:rwx:1000,group::r--,mask::rwx,other::r--");
	 find_member(p, SCRIPT_PATH)->pax = p->text)
CASE(make_fflags, tar_pax_record(p->text, TEXT_BYTES, "SCHILY.fflags", "uappnd");
	 find_member(p, SCRIPT_PATH)->pax = p->text)
CASE(make_zeros_bomb, Member *m = add_text(p, "share/zeros", ""); m->bytes = NULL; m->size = BOMB_BYTES;
	 m->manifest_size = 4096)
CASE(make_zeros_bomb_declared, Member *m = add_text(p, "share/zeros", ""); m->bytes = NULL;
	 m->size = m->manifest_size = BOMB_BYTES)
CASE(make_zeros_bomb_ratio, Member *m = add_text(p, "share/zeros", ""); m->bytes = NULL;
	 m->size = m->manifest_size = BOMB_BYTES / 20)
CASE(make_zeros_bomb_after, p->zeros_after_end = BOMB_BYTES)
CASE(make_zeros_bomb_manifest, p->manifest_zeros = BOMB_BYTES)
CASE(make_zeros_bomb_pax, Member *m = add_stray(p, "PaxHeader/x"); m->type = 'x'; m->bytes = NULL;
	 m->size = BOMB_BYTES)
CASE(make_entries_bomb, p->entries = o->entries)
CASE(make_window_bomb, p->window_exponent = 21)
CASE(make_trailing_data, p->after_end = "share/hidden")
CASE(make_trailing_frame, p->after_frame = "\x28\xB5\x2F\xFD")
CASE(make_no_end, p->no_end = true)
CASE(make_uncompressed, p->plain = true)
CASE(make_setuid, find_member(p, SCRIPT_PATH)->mode = 04644)
CASE(make_wrong_mode, add_stray(p, "lib/evil.so")->mode = 0755; add_text(p, "lib/evil.so",
	 SCRIPT_TEXT)->absent = true)
CASE(make_odd_mode, find_member(p, SCRIPT_PATH)->mode = 0666)
CASE(make_wrong_digest, find_member(p, SCRIPT_PATH)->wrong_digest = true)
CASE(make_wrong_size, find_member(p, SCRIPT_PATH)->manifest_size++)
CASE(make_larger_size, find_member(p, SCRIPT_PATH)->manifest_size--)
CASE(make_no_manifest, p->manifest_absent = true)
CASE(make_manifest_last, p->manifest_last = true)
CASE(make_control_directory, set_text(p, CONTROL_PATH, CONTROL_BASE "directory = '/etc'\n"))
CASE(make_control_module_pathname, set_text(p, CONTROL_PATH,
	 CONTROL_BASE "module_pathname = '/tmp/evil.so'\n"))
CASE(make_control_module_parent, set_text(p, CONTROL_PATH,
	 CONTROL_BASE "module_pathname = '$libdir/../evil'\n"))
CASE(make_control_foreign_module, set_text(p, CONTROL_PATH,
	 CONTROL_BASE "module_pathname = '$libdir/plpgsql'\n"))
CASE(make_control_include, set_text(p, CONTROL_PATH, CONTROL_BASE "include '/etc/passwd'\n"))
CASE(make_control_trusted, set_text(p, CONTROL_PATH, CONTROL_BASE "trusted = true\n"))
CASE(make_control_default_version, set_text(p, CONTROL_PATH, "default_version = '2.0'\n"))
CASE(make_control_requires, set_text(p, CONTROL_PATH, CONTROL_BASE "requires = 'plpython3u'\n"))
CASE(make_control_syntax, set_text(p, CONTROL_PATH, CONTROL_BASE "comment = 'no end\n"))
CASE(make_control_missing, Member *m = find_member(p, CONTROL_PATH); m->undeclared = m->absent = true)
CASE(make_secondary_directory, add_text(p, "share/extension/evil--1.0.control", "directory = 'other'\n"))
CASE(make_secondary_module, add_text(p, "share/extension/evil--1.0.control",
	 "module_pathname = '/tmp/evil'\n"))
CASE(make_secondary_trusted, add_text(p, "share/extension/evil--1.0.control", "trusted = yes\n"))
CASE(make_foreign_script, add_text(p, "share/extension/plpgsql--1.0--1.1.sql", SCRIPT_TEXT))
CASE(make_foreign_control, add_text(p, "share/extension/other.control", CONTROL_TEXT))
CASE(make_bad_script_name, add_text(p, "share/extension/evil--1.0--2.0--3.0.sql", SCRIPT_TEXT))
CASE(make_plugins_file, add_text(p, "lib/plugins/evil.so", SCRIPT_TEXT))
CASE(make_bitcode_file, add_text(p, "lib/bitcode/evil.bc", SCRIPT_TEXT))
CASE(make_outside_file, add_text(p, "etc/evil", SCRIPT_TEXT))
CASE(make_foreign_license, add_text(p, "licenses/other/copyright", SCRIPT_TEXT))
CASE(make_bad_manifest_json, p->manifest_end = "")
CASE(make_duplicate_key, p->manifest_end = ",\"package\":\"other\"}")
CASE(make_unknown_member, p->manifest_end = ",\"surprise\":1}")
CASE(make_unknown_format, p->format = 2)
CASE(make_other_package, p->package = "other";
	 find_member(p, "licenses/evil/copyright")->path = "licenses/other/copyright")
CASE(make_other_version, p->version = "1.1")
CASE(make_name_quote, p->package = "ev'il")
CASE(make_name_double_quote, p->package = "ev\\\"il")
CASE(make_name_slash, p->package = "../evil")
CASE(make_name_dashes, p->package = "ev--il")
CASE(make_name_newline, p->package = "ev\\nil")
CASE(make_name_zero, p->package = "evil\\u0000")
CASE(make_name_64k, p->package = fill_text(p, 'a', LONG_NAME_BYTES))
CASE(make_name_not_utf8, p->package = "ev\xffil")
CASE(make_extension_quote, p->extension = "ev'il")
CASE(make_version_quote, p->version = "1.0'")
CASE(make_version_slash, p->version = "1.0/2")
CASE(make_version_dashes, p->version = "1.0--2.0")
CASE(make_version_newline, p->version = "1.0\\n")
CASE(make_version_64k, p->version = fill_text(p, '1', LONG_NAME_BYTES))
CASE(make_version_not_utf8, p->version = "1.0\xff")
CASE(make_version_bad, p->version = "1.0 beta")

static void
make_long_path(Package *package, const HostileOptions *options)
{
	char		path[LONG_PATH_BYTES + 1];

	(void) options;
	memset(path, 'a', sizeof(path) - 1);
	memcpy(path, "share/", strlen("share/"));
	for (size_t i = 200; i < sizeof(path) - 1; i += 200)
		path[i] = '/';
	path[sizeof(path) - 1] = '\0';
	tar_pax_record(package->text, TEXT_BYTES, "path", path);
	add_stray(package, "share/long")->pax = package->text;
}

/* A file of 1 TiB of which the archive holds one block. */
static void
make_sparse(Package *package, const HostileOptions *options)
{
	Member	   *member = add_text(package, "share/sparse", "");

	(void) options;
	tar_pax_record(package->text, TEXT_BYTES, "GNU.sparse.size", "1099511627776");
	tar_pax_record(package->text, TEXT_BYTES, "GNU.sparse.numblocks", "1");
	tar_pax_record(package->text, TEXT_BYTES, "GNU.sparse.map", "1099511627264,512");
	member->pax = package->text;
	member->bytes = NULL;
	member->size = 512;
	member->manifest_size = UINT64_C(1) << 20;
}

#define ARCHIVE DEPOT_ERROR_ARCHIVE
#define LIMIT DEPOT_ERROR_ARCHIVE_LIMIT
#define MANIFEST DEPOT_ERROR_MANIFEST
#define CONTROL DEPOT_ERROR_CONTROL_FILE

static const HostileCase hostile_cases[] = {
	{"valid", make_valid, DEPOT_OK, "", false, false},
	{"dotdot", make_dotdot, ARCHIVE, "leaves the directory", false, false},
	{"inner-dotdot", make_inner_dotdot, ARCHIVE, "leaves the directory", false, false},
	{"absolute", make_absolute, ARCHIVE, "absolute path", false, false},
	{"odd-name", make_odd_name, ARCHIVE, "has a name other than", false, false},
	{"symlink", make_symlink, ARCHIVE, "symbolic link", false, false},
	{"hardlink", make_hardlink, ARCHIVE, "hard link", false, false},
	{"device", make_device, ARCHIVE, "is a device", false, false},
	{"block-device", make_block_device, ARCHIVE, "is a device", false, false},
	{"fifo", make_fifo, ARCHIVE, "is a fifo", false, false},
	{"duplicate", make_duplicate, ARCHIVE, "twice", false, false},
	{"duplicate-manifest", make_duplicate_manifest, ARCHIVE, "twice", false, false},
	{"duplicate-directory", make_duplicate_directory, ARCHIVE, "twice", false, false},
	{"unknown-directory", make_unknown_directory, ARCHIVE, "not in its manifest", false, false},
	{"casefold", make_casefold, ARCHIVE, "only in case", false, false},
	{"casefold-manifest", make_casefold_manifest, MANIFEST, "only in case", false, false},
	{"file-directory", make_file_directory, ARCHIVE, "a file and a directory", false, false},
	{"file-directory-manifest", make_file_directory_manifest, MANIFEST, "a file and a directory", false, false},
	{"missing-file", make_missing_file, ARCHIVE, "is not in the archive", false, false},
	{"extra-file", make_extra_file, ARCHIVE, "not in its manifest", false, false},
	{"long-path", make_long_path, LIMIT, "a path of 5000 bytes", false, false},
	{"sparse", make_sparse, ARCHIVE, "sparse", false, false},
	{"xattr", make_xattr, ARCHIVE, "extended attributes", false, false},
	{"acl", make_acl, ARCHIVE, "access control list", false, false},
	{"fflags", make_fflags, ARCHIVE, "file flags", false, false},
	{"zeros-bomb", make_zeros_bomb, LIMIT, "its manifest says 4096", false, false},
	{"zeros-bomb-declared", make_zeros_bomb_declared, LIMIT, "are allowed", false, false},
	{"zeros-bomb-ratio", make_zeros_bomb_ratio, LIMIT, "times as many", false, false},
	{"zeros-bomb-after", make_zeros_bomb_after, LIMIT, "accounts for", false, false},
	{"zeros-bomb-manifest", make_zeros_bomb_manifest, LIMIT, "manifest \"share/depot/evil.json\" has",
		false, false},
	{"zeros-bomb-pax", make_zeros_bomb_pax, ARCHIVE, "header cannot be read", false, false},
	{"entries-bomb", make_entries_bomb, ARCHIVE, "not in its manifest", false, false},
	{"window-bomb", make_window_bomb, LIMIT, "zstd window", false, false},
	{"trailing-data", make_trailing_data, ARCHIVE, "after its last member", false, false},
	{"trailing-frame", make_trailing_frame, ARCHIVE, "after the end of its zstd frame", false, false},
	{"no-end", make_no_end, ARCHIVE, "cut off", false, false},
	{"uncompressed", make_uncompressed, ARCHIVE, "not compressed", false, false},
	{"setuid", make_setuid, ARCHIVE, "set-user-ID", false, false},
	{"wrong-mode", make_wrong_mode, ARCHIVE, "has mode 0755", false, false},
	{"odd-mode", make_odd_mode, ARCHIVE, "has mode 0666", false, false},
	{"wrong-digest", make_wrong_digest, DEPOT_ERROR_DIGEST_MISMATCH, "is not what its manifest says",
		false, false},
	{"wrong-size", make_wrong_size, ARCHIVE, "its manifest says", false, false},
	{"larger-size", make_larger_size, LIMIT, "its manifest says", false, false},
	{"no-manifest", make_no_manifest, ARCHIVE, "not its manifest", false, false},
	{"manifest-last", make_manifest_last, ARCHIVE, "not its manifest", false, false},
	{"control-directory", make_control_directory, CONTROL, "\"directory\" is set", true, false},
	{"control-module-pathname", make_control_module_pathname, CONTROL, "no library of this package", true,
		false},
	{"control-module-parent", make_control_module_parent, CONTROL, "no library of this package", true, false},
	{"control-foreign-module", make_control_foreign_module, CONTROL, "no library of this package", true, false},
	{"control-include", make_control_include, CONTROL, "cannot include", true, false},
	{"control-trusted", make_control_trusted, CONTROL, "\"trusted\" is true", true, false},
	{"control-default-version", make_control_default_version, CONTROL, "\"default_version\" is", true, false},
	{"control-requires", make_control_requires, CONTROL, "\"requires\" differs", true, false},
	{"control-syntax", make_control_syntax, CONTROL, "line 3", true, false},
	{"control-missing", make_control_missing, CONTROL, "has no file", true, false},
	{"secondary-control-directory", make_secondary_directory, CONTROL, "\"directory\" is set", true, false},
	{"secondary-control-module-pathname", make_secondary_module, CONTROL, "no library of this package",
		true, false},
	{"secondary-control-trusted", make_secondary_trusted, CONTROL, "\"trusted\" is true", true, false},
	{"foreign-script", make_foreign_script, CONTROL, "belongs to extension \"plpgsql\"", true, false},
	{"foreign-control", make_foreign_control, CONTROL, "belongs to extension \"other\"", true, false},
	{"bad-script-name", make_bad_script_name, CONTROL, "not a valid name", true, false},
	{"plugins-file", make_plugins_file, MANIFEST, "lib/plugins/", false, false},
	{"bitcode-file", make_bitcode_file, MANIFEST, "lib/bitcode/", false, false},
	{"outside-file", make_outside_file, MANIFEST, "is not in lib/", false, false},
	{"foreign-license", make_foreign_license, MANIFEST, "is not in lib/", false, false},
	{"bad-manifest-json", make_bad_manifest_json, MANIFEST, "manifest", false, false},
	{"duplicate-key", make_duplicate_key, MANIFEST, "manifest", false, false},
	{"unknown-member", make_unknown_member, MANIFEST, "surprise", false, false},
	{"unknown-format", make_unknown_format, MANIFEST, "format 2 is not known", false, true},
	/* In order by themselves; refused where the signed metadata says another name or version. */
	{"other-package", make_other_package, DEPOT_OK, "", false, false},
	{"other-version", make_other_version, DEPOT_OK, "", false, false},
	{"name-quote", make_name_quote, MANIFEST, "not a package name", false, true},
	{"name-double-quote", make_name_double_quote, MANIFEST, "not a package name", false, true},
	{"name-slash", make_name_slash, MANIFEST, "not a package name", false, true},
	{"name-dashes", make_name_dashes, MANIFEST, "not a package name", false, true},
	{"name-newline", make_name_newline, MANIFEST, "not a package name", false, true},
	{"name-zero", make_name_zero, MANIFEST, "manifest", false, true},
	{"name-64k", make_name_64k, MANIFEST, "not a package name", false, true},
	{"name-not-utf8", make_name_not_utf8, MANIFEST, "manifest", false, true},
	{"extension-quote", make_extension_quote, MANIFEST, "not an extension name", false, true},
	{"version-quote", make_version_quote, MANIFEST, "not a version", false, true},
	{"version-slash", make_version_slash, MANIFEST, "not a version", false, true},
	{"version-dashes", make_version_dashes, MANIFEST, "not a version", false, true},
	{"version-newline", make_version_newline, MANIFEST, "not a version", false, true},
	{"version-64k", make_version_64k, MANIFEST, "not a version", false, true},
	{"version-not-utf8", make_version_not_utf8, MANIFEST, "manifest", false, true},
	{"version-bad", make_version_bad, MANIFEST, "not a version", false, true},
	{NULL, NULL, DEPOT_OK, NULL, false, false}
};

#undef ARCHIVE
#undef LIMIT
#undef MANIFEST
#undef CONTROL

#endif							/* DEPOT_TEST_HOSTILE_CASES_H */
