/*-------------------------------------------------------------------------
 *
 * pack_harness.h
 *	  Trees and Debian packages made for tests of "pg_depot pack", and the
 *	  program run on them.
 *
 * The program is ./build/pg_depot, or what PG_DEPOT_PROGRAM names.  Each test has a
 * scratch directory with tree/, out/ and tmp/ (TMPDIR of the program, which must be empty when it has ended).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_PACK_HARNESS_H
#define DEPOT_TEST_PACK_HARNESS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>

#include "common/archive.h"
#include "common/digest.h"
#include "scratch.h"

#define SHARE "tree/usr/share/postgresql/15/"
#define EXT SHARE "extension/"
#define LIB "tree/usr/lib/postgresql/15/lib/"
#define TREE_ARGUMENTS "--from-tree", "tree", "--package", "p", "--version", "1.0", "-o", "out"
#define MAX_ARGUMENTS 40

typedef struct Pack
{
	Scratch		scratch;
	DepotBuffer output;			/* of the last run */
	DepotBuffer errors;
	DepotManifest *manifest;	/* of the last package opened */
} Pack;

/* One file of a Debian package; link: target of a symbolic link. */
typedef struct DebFile
{
	const char *path;
	const char *text;
	const char *link;
} DebFile;

static Pack *pack;

static inline int
pack_setup(void **state)
{
	static Pack instance;
	DepotError	error;

	(void) state;
	memset(&instance, 0, sizeof(instance));
	pack = &instance;
	pack->scratch = scratch_make();
	depot_buffer_init(&pack->output);
	depot_buffer_init(&pack->errors);
	return pack->scratch.fd >= 0 && depot_digest_init(&error) &&
		mkdirat(pack->scratch.fd, "tree", 0755) == 0 &&
		mkdirat(pack->scratch.fd, "out", 0755) == 0 &&
		mkdirat(pack->scratch.fd, "tmp", 0755) == 0 ? 0 : -1;
}

static inline int
pack_teardown(void **state)
{
	(void) state;
	depot_manifest_free(pack->manifest);
	depot_buffer_free(&pack->output);
	depot_buffer_free(&pack->errors);
	scratch_remove(&pack->scratch);
	return 0;
}

/* Makes the directories of a path below the scratch directory. */
static inline void
make_parents(const char *path)
{
	char		parent[1024];
	DepotError	error;

	snprintf(parent, sizeof(parent), "%s", path);
	if (strchr(parent, '/') == NULL)
		return;
	*strrchr(parent, '/') = '\0';
	assert_true(depot_files_make_directories(pack->scratch.fd, parent, 0755, false, &error));
}

static inline void
put(const char *path, const char *text)
{
	make_parents(path);
	assert_true(scratch_write(pack->scratch.fd, path, text));
}

static inline void
put_link(const char *target, const char *path)
{
	make_parents(path);
	assert_int_equal(symlinkat(target, pack->scratch.fd, path), 0);
}

/* Compiles a shared library that a server would take for a module. */
static inline void
put_module(const char *path)
{
	char		command[2048];

	make_parents(path);
	put("module.c", "int puts(const char *); const void *Pg_magic_func(void); const void *Pg_magic_func(void)"
		" { puts(\"\"); return 0; }\n");
	snprintf(command, sizeof(command), "cc -shared -fPIC -o %s/%s %s/module.c", pack->scratch.path, path,
			 pack->scratch.path);
	assert_int_equal(system(command), 0);
}

static inline void
put_extension(const char *name, const char *control)
{
	char		path[512];

	snprintf(path, sizeof(path), EXT "%s.control", name);
	put(path, control);
	snprintf(path, sizeof(path), EXT "%s--1.0.sql", name);
	put(path, "SELECT 1;\n");
}

static inline int
count_entries(const char *path)
{
	int			fd = openat(pack->scratch.fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *stream = fdopendir(fd);
	struct dirent *item;
	int			count = 0;

	assert_non_null(stream);
	while ((item = readdir(stream)) != NULL)
		count += item->d_name[0] != '.';
	closedir(stream);
	return count;
}

static inline void
read_result(const char *name, DepotBuffer *buffer)
{
	DepotError	error;

	depot_buffer_reset(buffer);
	depot_buffer_append(buffer, "", 0);
	assert_true(depot_files_read(pack->scratch.fd, name, 1 << 20, buffer, &error));
}

/*
 * Runs "pg_depot pack" in the scratch directory with arguments (the last is
 * NULL) and returns its exit code.
 */
static inline int
run_pack(const char *first,...)
{
	const char *program = getenv("PG_DEPOT_PROGRAM");
	const char *arguments[MAX_ARGUMENTS] = {"pg_depot", "pack"};
	char	   *path = realpath(program == NULL ? "./build/pg_depot" : program, NULL);
	char		temporary[128];
	va_list		rest;
	int			count = 2;
	int			status;
	pid_t		pid;

	assert_non_null(path);
	va_start(rest, first);
	for (const char *argument = first; argument != NULL; argument = va_arg(rest, const char *))
	{
		assert_true(count < MAX_ARGUMENTS - 1);
		arguments[count++] = argument;
	}
	va_end(rest);
	snprintf(temporary, sizeof(temporary), "%s/tmp", pack->scratch.path);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		if (fchdir(pack->scratch.fd) == 0 && setenv("TMPDIR", temporary, 1) == 0 &&
			freopen("stdout.txt", "w", stdout) != NULL && freopen("stderr.txt", "w", stderr) != NULL)
			execv(path, (char **) arguments);
		_exit(127);
	}
	free(path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	read_result("stdout.txt", &pack->output);
	read_result("stderr.txt", &pack->errors);
	assert_int_equal(count_entries("tmp"), 0);
	return WEXITSTATUS(status);
}

/*
 * Packs the tree as package p of version 1.0; true when it was refused,
 * nothing was written, and the error has both texts in it.
 */
static inline bool
refuses_tree(const char *message, const char *file)
{
	int			code = run_pack(TREE_ARGUMENTS, NULL);

	if (code == 1 && count_entries("out") == 0 && strstr(pack->errors.data, message) != NULL &&
		strstr(pack->errors.data, file) != NULL)
		return true;
	fprintf(stderr, "exit code %d: %s", code, pack->errors.data);
	return false;
}

static inline void
pack_tree(void)
{
	int			code = run_pack(TREE_ARGUMENTS, NULL);

	if (code != 0)
		fprintf(stderr, "%s", pack->errors.data);
	assert_int_equal(code, 0);
}

/* Reads a package of out/ whole, as the check agent does, and unpacks it into unpacked/. */
static inline void
open_package(const char *file_name)
{
	char		sha256[65];
	char		path[256];
	DepotError	error;
	int			directory_fd;
	int			fd;

	snprintf(path, sizeof(path), "out/%s", file_name);
	depot_manifest_free(pack->manifest);
	fd = openat(pack->scratch.fd, path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	pack->manifest =
		depot_archive_verify(fd, &depot_archive_default_limits, NULL, sha256, NULL, NULL, &error);
	assert_non_null(pack->manifest);
	assert_true(depot_files_remove_tree(pack->scratch.fd, "unpacked", &error));
	assert_int_equal(mkdirat(pack->scratch.fd, "unpacked", 0700), 0);
	directory_fd = depot_files_open_directory(pack->scratch.fd, "unpacked", &error);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_true(depot_archive_unpack(fd, pack->manifest, sha256, &depot_archive_default_limits, directory_fd,
									 NULL, NULL, &error));
	close(directory_fd);
	close(fd);
}

static inline bool
has_file(const char *member)
{
	return depot_manifest_find_file(pack->manifest, member) != NULL;
}

/* The text of a member; valid until the next call. */
static inline const char *
member_text(const char *member)
{
	char		path[1024];

	snprintf(path, sizeof(path), "unpacked/%s", member);
	read_result(path, &pack->output);
	return pack->output.data;
}

static inline void
add_file(struct archive *archive, const DebFile *file, const void *bytes, size_t length)
{
	struct archive_entry *entry = archive_entry_new();

	archive_entry_set_pathname(entry, file->path);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_filetype(entry, file->link != NULL ? AE_IFLNK : AE_IFREG);
	if (file->link != NULL)
		archive_entry_set_symlink(entry, file->link);
	archive_entry_set_size(entry, file->link != NULL ? 0 : (la_int64_t) length);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	if (file->link == NULL)
		assert_int_equal(archive_write_data(archive, bytes, length), length);
	archive_entry_free(entry);
}

/*
 * Writes files (ended by a NULL path) as a tar archive into memory; a text
 * that begins with '@' names a file of the scratch directory.
 */
static inline size_t
make_tar(const DebFile *files, char *out, size_t out_bytes)
{
	struct archive *archive = archive_write_new();
	size_t		used = 0;

	archive_write_set_format_gnutar(archive);
	archive_write_add_filter_gzip(archive);
	archive_write_set_bytes_in_last_block(archive, 1);
	assert_int_equal(archive_write_open_memory(archive, out, out_bytes, &used), ARCHIVE_OK);
	for (; files->path != NULL; files++)
	{
		DepotBuffer text;
		DepotError	error;

		depot_buffer_init(&text);
		if (files->text != NULL && files->text[0] == '@')
			assert_true(depot_files_read(pack->scratch.fd, files->text + 1, 1 << 20, &text, &error));
		else
			depot_buffer_append_string(&text, files->text == NULL ? "" : files->text);
		add_file(archive, files, text.data, text.length_bytes);
		depot_buffer_free(&text);
	}
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
	return used;
}

/* Writes a Debian package into the scratch directory. */
static inline void
put_deb(const char *name, const char *control, const char *postinst, const DebFile *files)
{
	static char tar[1 << 20];
	const DebFile control_files[] = {{"./control", control, NULL},
	{postinst == NULL ? NULL : "./postinst", postinst, NULL},
	{NULL, NULL, NULL}};
	const DebFile parts[] = {{"debian-binary", NULL, NULL},
	{"control.tar.gz", NULL, NULL},
	{"data.tar.gz", NULL, NULL}};
	struct archive *archive = archive_write_new();
	char		path[512];

	archive_write_set_format_ar_svr4(archive);
	snprintf(path, sizeof(path), "%s/%s", pack->scratch.path, name);
	assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
	add_file(archive, &parts[0], "2.0\n", 4);
	add_file(archive, &parts[1], tar, make_tar(control_files, tar, sizeof(tar)));
	add_file(archive, &parts[2], tar, make_tar(files, tar, sizeof(tar)));
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
}

#endif							/* DEPOT_TEST_PACK_HARNESS_H */
