/*-------------------------------------------------------------------------
 *
 * agent_depot.h
 *	  A depot directory, a repository with one package, and the check agent.
 *
 * The test is the leader: it answers needs out of a small repository in
 * memory and judges what stands in the depot directory afterwards.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_DEPOT_H
#define DEPOT_AGENT_DEPOT_H

#include "agent_harness.h"

#include <sys/file.h>
#include <sys/stat.h>

#include "common/archive.h"
#include "common/manifest.h"
#include "tuf_fixture.h"

#define JOB "0123456789abcdef0123456789abcdef"
#define JOB_PATH "var/pgsql_tmp_staging/" JOB
#define CONTROL "comment = 'a type'\ndefault_version = '2.17'\nmodule_pathname = '$libdir/hll'\n"
#define SCRIPT "CREATE TYPE hll;\n"
#define LIBRARY "not really an ELF file"
#define LICENSE "do as you like\n"

/* A depot directory, a repository with one package, and the agent that works between them. */
typedef struct Depot
{
	Fixture		fixture;
	Scratch		root;			/* D */
	Scratch		tree;			/* what is packed */
	int			job_fd;
	Agent		agent;
	char		package_sha256[65];
	char		manifest_sha256[65];
} Depot;

/*----- a package ----------------------------------------------------------------*/

static inline json_t *
file_entry(const Depot *depot, const char *path)
{
	char		hex[65];
	uint64_t	size_bytes;
	DepotError	error;

	assert_true(depot_digest_file(depot->tree.fd, path, hex, &size_bytes, &error));
	return json_pack("{s:s, s:I, s:s, s:s}", "path", path, "size", (json_int_t) size_bytes, "sha256", hex,
					 "mode", "0644");
}

static inline json_t *
manifest_json(const Depot *depot)
{
	json_t	   *manifest = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i, s:s},"
									 " s:{s:s, s:s, s:s, s:s}}",
									 "format", 1, "kind", "extension", "package", "hll", "version", "2.17",
									 "summary", "a type", "license", "Apache-2.0", "homepage", "",
									 "postgresql", "major", 15, "minimum_minor", 3, "flavor", "postgresql",
									 "platform", "os", "linux", "arch", "amd64", "libc", "glibc",
									 "libc_min", "2.34");
	json_t	   *rest = json_pack("{s:[{s:s, s:s, s:[s], s:[], s:b}], s:[{s:s, s:s, s:b}], s:[], s:[], s:[],"
								 " s:[o, o, o, o], s:[], s:{s:s, s:s, s:s}}",
								 "extensions", "name", "hll", "default_version", "2.17", "versions", "2.17",
								 "requires", "trusted", 0,
								 "modules", "name", "hll", "preload", "none", "required", 0,
								 "depends", "system_libraries", "settings",
								 "files", file_entry(depot, "lib/hll.so"),
								 file_entry(depot, "licenses/hll/copyright"),
								 file_entry(depot, "share/extension/hll--2.17.sql"),
								 file_entry(depot, "share/extension/hll.control"),
								 "components", "source", "kind", "tree", "name", "", "version", "");

	assert_non_null(manifest);
	assert_non_null(rest);
	assert_int_equal(json_object_update(manifest, rest), 0);
	json_decref(rest);
	return manifest;
}

static inline DepotManifest *
make_manifest(const Depot *depot)
{
	json_t	   *json = manifest_json(depot);
	char	   *text = json_dumps(json, 0);
	DepotError	error;
	DepotManifest *manifest = depot_manifest_parse(text, strlen(text), &error);

	if (manifest == NULL)
		fail_msg("%s: %s", error.message, error.detail);
	free(text);
	json_decref(json);
	return manifest;
}

/*
 * Packs the tree into the job's "package" file and lists it in the repository; the description may be
 * altered.
 */
static inline void
publish_package(Depot *depot, void (*alter) (json_t *custom))
{
	DepotManifest *manifest = make_manifest(depot);
	DepotBuffer text;
	DepotError	error;
	uint64_t	size_bytes;
	json_t	   *custom;
	int			fd = openat(depot->job_fd, "package", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	if (!depot_archive_write(fd, manifest, depot->tree.fd, NULL, NULL, &error))
		fail_msg("%s: %s", error.message, error.detail);
	close(fd);
	assert_true(depot_digest_file(depot->job_fd, "package", depot->package_sha256, &size_bytes, &error));
	depot_buffer_init(&text);
	assert_true(depot_manifest_write(manifest, &text, &error));
	depot_digest_sha256_hex(text.data, text.length_bytes, depot->manifest_sha256);
	depot_buffer_free(&text);

	custom = depot_manifest_custom(manifest, depot->manifest_sha256, &error);
	assert_non_null(custom);
	if (alter != NULL)
		alter(custom);
	json_object_set_new(depot->fixture.role, "targets",
						json_pack("{s:{s:I, s:{s:s}, s:{s:o}}}", FIXTURE_TARGET, "length",
								  (json_int_t) size_bytes,
								  "hashes", "sha256", depot->package_sha256, "custom", "pg_depot", custom));
	depot_manifest_free(manifest);
}

/* Publishes one version further, as a client that has seen the last one needs. */
static inline void
publish_again(Depot *depot)
{
	fixture_bump(depot->fixture.role);
	fixture_bump(depot->fixture.targets);
	fixture_bump(depot->fixture.snapshot);
	fixture_bump(depot->fixture.timestamp);
	fixture_publish(&depot->fixture);
}

/*----- a depot ---------------------------------------------------------------------*/

static inline void
depot_start_agent(Depot *depot)
{
	DepotError	error;
	int			var_fd = depot_files_open_directory(depot->root.fd, "var", &error);

	assert_true(var_fd >= 0);
	agent_start(&depot->agent, "check", var_fd);
	close(var_fd);
}

static inline void
depot_open(Depot *depot)
{
	DepotError	error;

	memset(depot, 0, sizeof(*depot));
	fixture_open(&depot->fixture);
	depot->root = scratch_make();
	depot->tree = scratch_make();
	assert_true(depot_files_make_directories(depot->root.fd, JOB_PATH, 0700, false, &error));
	depot->job_fd = depot_files_open_directory(depot->root.fd, JOB_PATH, &error);
	assert_true(depot_files_make_directories(depot->tree.fd, "share/extension", 0755, false, &error));
	assert_true(depot_files_make_directories(depot->tree.fd, "lib", 0755, false, &error));
	assert_true(depot_files_make_directories(depot->tree.fd, "licenses/hll", 0755, false, &error));
	assert_true(scratch_write(depot->tree.fd, "lib/hll.so", LIBRARY));
	assert_true(scratch_write(depot->tree.fd, "share/extension/hll.control", CONTROL));
	assert_true(scratch_write(depot->tree.fd, "share/extension/hll--2.17.sql", SCRIPT));
	assert_true(scratch_write(depot->tree.fd, "licenses/hll/copyright", LICENSE));
	publish_package(depot, NULL);
	fixture_publish(&depot->fixture);

	depot_start_agent(depot);
}

static inline void
depot_close(Depot *depot)
{
	agent_stop(&depot->agent);
	close(depot->job_fd);
	fixture_close(&depot->fixture);
	scratch_remove(&depot->root);
	scratch_remove(&depot->tree);
}

static inline json_t *
refresh_command(const char *root_file, const char *root_sha256)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s?, s:s?}", "command", "refresh", "repository", "main",
					 "job", JOB, "role", FIXTURE_ROLE, "reference_time", (json_int_t) FIXTURE_NOW,
					 "initial_root", root_file, "initial_root_sha256", root_sha256);
}

/* Answers one need out of the repository. */
static inline void
answer_need(Depot *depot, const json_t *need)
{
	const char *path = agent_string(need, "path");
	const char *text;

	/* targets stand among the files with their whole path, metadata with its name */
	if (strncmp(path, "targets/", 8) != 0)
	{
		assert_int_equal(strncmp(path, "metadata/", 9), 0);
		path += 9;
	}
	text = fixture_text(&depot->fixture, path);
	if (text == NULL)
	{
		agent_send(&depot->agent, json_pack("{s:s}", "command", "missing"));
		return;
	}
	assert_true(scratch_write(depot->job_fd, agent_string(need, "file"), text));
	agent_send(&depot->agent, json_pack("{s:s, s:s}", "command", "have", "file", agent_string(need, "file")));
}

/* Sends a command and serves it to its end; other lines are collected in lines. */
static inline json_t *
run_command(Depot *depot, json_t *command, json_t *lines)
{
	agent_send(&depot->agent, command);
	for (;;)
	{
		json_t	   *line = agent_read(&depot->agent);
		const char *type = agent_string(line, "type");

		if (line == NULL)
			fail_msg("the agent has ended");
		if (strcmp(type, "done") == 0 || strcmp(type, "error") == 0)
			return line;
		if (strcmp(type, "need") == 0)
			answer_need(depot, line);
		else if (lines != NULL)
			json_array_append(lines, line);
		json_decref(line);
	}
}

/* A refresh that must succeed, trusting the repository's first root. */
static inline void
refresh(Depot *depot)
{
	json_t	   *line;

	assert_true(scratch_write(depot->job_fd, "root", depot->fixture.pin));
	line = run_command(depot, refresh_command("root", NULL), NULL);
	assert_line_type(line, "done");
	json_decref(line);
}

static inline json_t *
package_command(const Depot *depot)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:i, s:i,"
					 " s:{s:i, s:i, s:s, s:s, s:s, s:s}}",
					 "command", "package", "repository", "main", "role", FIXTURE_ROLE, "job", JOB,
					 "target", FIXTURE_TARGET, "sha256", depot->package_sha256, "file", "package",
					 "reference_time", (json_int_t) FIXTURE_NOW, "check_expiry", 1,
					 "max_unpacked_bytes", 1000000, "max_package_bytes", 1000000,
					 "server", "major", 15, "minor", 20, "os", "linux", "arch", "amd64", "libc", "glibc",
					 "libc_version", "2.36");
}

#endif							/* DEPOT_AGENT_DEPOT_H */
