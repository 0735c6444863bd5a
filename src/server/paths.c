/*-------------------------------------------------------------------------
 *
 * paths.c
 *	  Where the depot is, and how the server comes to look there.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "miscadmin.h"
#include "server/compat.h"
#include "server/errors.h"
#include "server/owner.h"
#include "server/paths.h"
#include "server/served.h"
#include "server/settings.h"
#include "storage/fd.h"

typedef struct PathSetting
{
	const char *name;
	char		element[MAXPGPATH]; /* what we add */
	GucStringCheckHook previous;
} PathSetting;

static PathSetting library_path = {.name = "dynamic_library_path"};
static PathSetting control_path = {
	.name = DEPOT_HAS_CONTROL_PATH ? "extension_control_path" : "extension_destdir"
};

static char directory[MAXPGPATH];
static char system_share[MAXPGPATH];
static DepotLayout layout;
static int	data_prefix_bytes = 0;
static char start_reason[2 * MAXPGPATH + 256];	/* why the depot was found unusable at start */
static char probe_reason[512];	/* why files of it cannot be executed */

static void find_directories(void);
static bool make_tree(void);
static bool wrap_setting(PathSetting *setting, GucStringCheckHook hook);
static bool check_library_path(char **newval, void **extra, GucSource source);
static bool check_control_path(char **newval, void **extra, GucSource source);

void
depot_paths_init(void)
{
	find_directories();

	if (strchr(directory, ':') != NULL)
		snprintf(start_reason, sizeof(start_reason),
				 "The data directory's path has a colon, which separates directories in \"dynamic_library_path\".");
	else if (make_tree())
	{
		if (!wrap_setting(&control_path, check_control_path))
			snprintf(start_reason, sizeof(start_reason),
					 "This server has no \"%s\" setting: PostgreSQL 15 to 17 need Debian's, Ubuntu's"
					 " or PGDG's packages.",
					 control_path.name);
		else
			(void) wrap_setting(&library_path, check_library_path);
	}

	if (depot_paths_inactive_reason() != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_depot is inactive"),
				 errdetail("%s", depot_paths_inactive_reason())));
}

/* Computes every path from the data directory, the setting and the installation. */
static void
find_directories(void)
{
	if (is_absolute_path(depot_settings_directory))
	{
		size_t		data_length = strlen(DataDir);

		strlcpy(directory, depot_settings_directory, sizeof(directory));
		if (strncmp(directory, DataDir, data_length) == 0 && directory[data_length] == '/')
			data_prefix_bytes = (int) (strlen(directory) - data_length);
	}
	else
	{
		snprintf(directory, sizeof(directory), "%s/%s", DataDir, depot_settings_directory);
		data_prefix_bytes = (int) strlen(depot_settings_directory) + 1;
	}

	get_share_path(my_exec_path, system_share);
	if (DEPOT_HAS_CONTROL_PATH)
	{
		strlcpy(layout.share, "share", sizeof(layout.share));
		strlcpy(layout.lib, "lib", sizeof(layout.lib));
		snprintf(control_path.element, sizeof(control_path.element), "%s/share", directory);
	}
	else
	{
		strlcpy(layout.share, system_share + 1, sizeof(layout.share));
		strlcpy(layout.lib, pkglib_path + 1, sizeof(layout.lib));
		strlcpy(control_path.element, directory, sizeof(control_path.element));
	}
	snprintf(library_path.element, sizeof(library_path.element), "%s/%s", directory, layout.lib);
}

/* Before any session can look there. */
static bool
verify_tree(int root_fd)
{
	char	   *reason = depot_served_verify(root_fd);

	if (reason == NULL)
		return true;
	snprintf(start_reason, sizeof(start_reason), "Could not verify the served tree: %s", reason);
	return false;
}

/* With extension_destdir set, a missing tree breaks the server's own extensions: it comes first. */
static bool
make_tree(void)
{
	DepotError	error;
	int			root_fd;
	bool		ok;

	if (mkdir(directory, S_IRWXU) != 0 && errno != EEXIST)
	{
		snprintf(start_reason, sizeof(start_reason), "Could not create directory \"%s\": %s.",
				 directory, strerror(errno));
		return false;
	}
	root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
	{
		snprintf(start_reason, sizeof(start_reason), "Could not open directory \"%s\": %s.",
				 directory, strerror(errno));
		return false;
	}
	ok = depot_store_prepare(root_fd, &layout, &error);
	if (!ok)
		snprintf(start_reason, sizeof(start_reason), "Could not make the served tree: %s.", error.message);
	else
		ok = depot_owner_take(directory, start_reason, sizeof(start_reason)) && verify_tree(root_fd);
	close(root_fd);
	return ok;
}

/*
 * Puts hook before setting's own check hook and sets the present value again
 * at its present source, so that it passes the hook as well.
 */
static bool
wrap_setting(PathSetting *setting, GucStringCheckHook hook)
{
	struct config_generic *option = depot_compat_find_option(setting->name);
	struct config_string *record = (struct config_string *) option;
	const char *value;

	if (option == NULL || option->vartype != PGC_STRING)
		return false;
	setting->previous = record->check_hook;
	record->check_hook = hook;

	value = GetConfigOption(setting->name, false, false);
	SetConfigOption(setting->name, value != NULL ? value : "", PGC_POSTMASTER, option->source);
	return true;
}

/* Adds setting's element at the end of a colon-separated *newval, unless it is there. */
static bool
add_element(const PathSetting *setting, char **newval)
{
	size_t		element_length = strlen(setting->element);
	const char *value = *newval != NULL ? *newval : "";
	const char *part = value;
	char	   *joined;

	while (part != NULL && *part != '\0')
	{
		const char *end = strchr(part, ':');
		size_t		length = end != NULL ? (size_t) (end - part) : strlen(part);

		if (length == element_length && strncmp(part, setting->element, length) == 0)
			return true;
		part = end != NULL ? end + 1 : NULL;
	}

	joined = psprintf("%s%s%s", value, value[0] != '\0' ? ":" : "", setting->element);
	depot_compat_guc_free(*newval);
	*newval = depot_compat_guc_strdup(joined);
	pfree(joined);
	return *newval != NULL;
}

static bool
check_library_path(char **newval, void **extra, GucSource source)
{
	if (library_path.previous != NULL && !library_path.previous(newval, extra, source))
		return false;
	return add_element(&library_path, newval);
}

static bool
check_control_path(char **newval, void **extra, GucSource source)
{
	if (control_path.previous != NULL && !control_path.previous(newval, extra, source))
		return false;
	if (DEPOT_HAS_CONTROL_PATH)
		return add_element(&control_path, newval);

	/* extension_destdir holds one directory: one that somebody chose stays. */
	if (*newval != NULL && **newval != '\0')
		return true;
	return add_element(&control_path, newval);
}

const char *
depot_paths_inactive_reason(void)
{
	static char reason[MAXPGPATH + 256];
	const char *value;

	if (start_reason[0] != '\0')
		return start_reason;
	if (probe_reason[0] != '\0')
		return probe_reason;
	if (DEPOT_HAS_CONTROL_PATH)
		return NULL;

	value = GetConfigOption(control_path.name, true, false);
	if (value != NULL && strcmp(value, directory) == 0)
		return NULL;
	snprintf(reason, sizeof(reason),
			 "\"%s\" is set to \"%s\"; it holds one directory, and the depot's is \"%s\". "
			 "Take the setting out of the configuration and reload it.",
			 control_path.name, value != NULL ? value : "", directory);
	return reason;
}

void
depot_paths_probe_executable(void)
{
	int			root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			fd = -1;
	void	   *page = MAP_FAILED;
	int			saved_errno = 0;

	if (root_fd >= 0)
		fd = openat(root_fd, "var/executable-probe", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
					S_IRUSR | S_IWUSR);
	if (fd >= 0 && ftruncate(fd, BLCKSZ) == 0)
		page = mmap(NULL, BLCKSZ, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (page == MAP_FAILED)
		saved_errno = errno;
	else
		(void) munmap(page, BLCKSZ);
	if (fd >= 0)
	{
		close(fd);
		(void) unlinkat(root_fd, "var/executable-probe", 0);
	}
	if (root_fd >= 0)
		close(root_fd);

	probe_reason[0] = '\0';
	if (page == MAP_FAILED)
		snprintf(probe_reason, sizeof(probe_reason),
				 "Files below \"%.200s\" cannot be mapped for execution: %s. "
				 "Mount its file system without noexec, or allow it in the security policy.",
				 directory, strerror(saved_errno));
}

bool
depot_paths_is_made(void)
{
	return start_reason[0] == '\0';
}

const char *
depot_paths_directory(void)
{
	return directory;
}

int
depot_paths_open_directory(void)
{
	int			fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open directory \"%s\": %m", directory)));
	return fd;
}

const DepotLayout *
depot_paths_layout(void)
{
	return &layout;
}

int
depot_paths_data_prefix_bytes(void)
{
	return data_prefix_bytes;
}

const char *
depot_paths_system_share(void)
{
	return system_share;
}

const char *
depot_paths_system_lib(void)
{
	return pkglib_path;
}
