/*-------------------------------------------------------------------------
 *
 * pack_scripts.c
 *	  Links to ANY scripts become one-line scripts.
 *
 * PostGIS has one script, postgis--ANY--3.3.2.sql, that updates any older
 * version, and a link to it for each: postgis--2.0.0--3.3.2.sql.  Copies of it would
 * make a package of 33 MB one of 927 MB.  A script postgis--2.0.0--ANY.sql with nothing to do in it leads
 * to the same script: 2.0.0, ANY, 3.3.2.  Upstream came to the same answer in later versions.
 *
 * A link from a version to a stop-over and the link back from there
 * (3.3.2--3.3.2next and 3.3.2next--3.3.2, both links to the ANY script) force the script
 * to run once more; it does so on the way back, so the way out can be empty.
 *
 * All this holds only while the server chooses the same updates as before.
 * So the links of an extension are shortened only if, for every pair of versions, the path that PostgreSQL
 * would choose (shortest, ties broken by name: find_update_path in its extension.c) is the one it chose
 * before, with ANY put in; else their contents are packed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pack.h"
#include "common/control.h"

#define EXTENSION_DIRECTORY "share/extension/"
#define ANY "ANY"

/* Versions of one extension beyond this are no case for a table of all pairs; their links are copied. */
#define MAX_VERSIONS 2000

typedef enum LinkUse
{
	USE_NONE,					/* not a link to the ANY script */
	USE_TO_ANY,					/* V--T -> ANY--T: becomes V--ANY */
	USE_STOP_OVER				/* T--W -> ANY--T, where W only leads back to T: becomes empty */
} LinkUse;

typedef struct Script
{
	int			entry;			/* index of the pack's entries */
	int			from;			/* index of versions; -1: install script */
	int			to;
	LinkUse		use;
} Script;

typedef struct Graph
{
	const char *extension;
	char	  **versions;
	int			version_count;
	Script	   *scripts;
	int			script_count;
	int			any;			/* index of ANY, -1 when it does not occur */
	int			target;			/* what ANY updates to, -1 when that is not one version */
	bool	   *installable;	/* per version: has an install script */
} Graph;

static bool load_graph(DepotPack *pack, const char *extension, Graph *graph, DepotError *error);
static int	version_index(Graph *graph, const char *version, DepotError *error);
static bool choose_uses(const DepotPack *pack, Graph *graph);
static void choose_stop_overs(const DepotPack *pack, Graph *graph);
static bool links_to_any(const DepotPack *pack, const Graph *graph, const Script *script);
static bool paths_stay(const Graph *graph, bool reject_installable, int *work);
static void find_paths(const Graph *graph, int start, bool shortened, bool reject_installable, int *previous,
					   int *distance);
static bool apply_uses(DepotPack *pack, const Graph *graph, DepotError *error);
static void free_graph(Graph *graph);

bool
depot_pack_shorten_links(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->entry_count; i++)
	{
		DepotExtensionFile file;
		Graph		graph = {0};
		int		   *work = NULL;
		bool		ok;

		/* Each extension once: at its control file. */
		if (strncmp(pack->entries[i].member, EXTENSION_DIRECTORY, strlen(EXTENSION_DIRECTORY)) != 0 ||
			!depot_control_parse_file_name(pack->entries[i].member + strlen(EXTENSION_DIRECTORY), &file) ||
			file.kind != DEPOT_FILE_CONTROL)
			continue;
		ok = load_graph(pack, file.extension, &graph, error);
		if (ok && choose_uses(pack, &graph))
		{
			work = malloc(4 * sizeof(*work) * (size_t) graph.version_count);
			if (work == NULL)
				ok = depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
			else if (paths_stay(&graph, false, work) && paths_stay(&graph, true, work))
				ok = apply_uses(pack, &graph, error);
			else
				depot_pack_note(pack,
								"the scripts of %s that are links are packed in full: one-line scripts would"
								" change its update paths",
								file.extension);
		}
		free(work);
		free_graph(&graph);
		if (!ok)
			return false;
	}
	return true;
}

/* Reads the versions and scripts of one extension from the entries' names. */
static bool
load_graph(DepotPack *pack, const char *extension, Graph *graph, DepotError *error)
{
	graph->extension = extension;
	graph->any = -1;
	graph->target = -1;
	graph->scripts = calloc((size_t) pack->entry_count, sizeof(*graph->scripts));
	graph->versions = calloc(MAX_VERSIONS, sizeof(*graph->versions));
	graph->installable = calloc(MAX_VERSIONS, sizeof(*graph->installable));
	if (graph->scripts == NULL || graph->versions == NULL || graph->installable == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < pack->entry_count; i++)
	{
		const char *member = pack->entries[i].member;
		DepotExtensionFile file;
		Script	   *script = &graph->scripts[graph->script_count];

		if (strncmp(member, EXTENSION_DIRECTORY, strlen(EXTENSION_DIRECTORY)) != 0 ||
			!depot_control_parse_file_name(member + strlen(EXTENSION_DIRECTORY), &file) ||
			strcmp(file.extension, extension) != 0 || file.kind == DEPOT_FILE_CONTROL)
			continue;
		script->entry = i;
		script->use = USE_NONE;
		script->from = version_index(graph, file.version, error);
		script->to =
			file.kind == DEPOT_FILE_UPDATE_SCRIPT ? version_index(graph, file.target_version, error) : -1;
		if (script->from == -1 || (file.kind == DEPOT_FILE_UPDATE_SCRIPT && script->to == -1))
			return false;
		/* A table of its own for ANY (secondary control) or an install script: not the pattern we know. */
		if (file.kind != DEPOT_FILE_UPDATE_SCRIPT)
		{
			if (file.kind == DEPOT_FILE_INSTALL_SCRIPT && script->from >= 0)
				graph->installable[script->from] = true;
			if (strcmp(file.version, ANY) == 0)
				graph->target = -2;
			continue;
		}
		/* Too many versions to look at: script_count stays 0 and nothing is shortened. */
		if (script->from == -2 || script->to == -2)
		{
			graph->script_count = 0;
			return true;
		}
		graph->script_count++;
	}
	return true;
}

/* Returns the index of a version, a new one if need be; -1 on error, -2 when there are too many. */
static int
version_index(Graph *graph, const char *version, DepotError *error)
{
	for (int i = 0; i < graph->version_count; i++)
	{
		if (strcmp(graph->versions[i], version) == 0)
			return i;
	}
	if (graph->version_count == MAX_VERSIONS)
		return -2;
	graph->versions[graph->version_count] = strdup(version);
	if (graph->versions[graph->version_count] == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return -1;
	}
	if (strcmp(version, ANY) == 0)
		graph->any = graph->version_count;
	return graph->version_count++;
}

/* Whether a script is a link to the script that updates ANY to the graph's target. */
static bool
links_to_any(const DepotPack *pack, const Graph *graph, const Script *script)
{
	const char *link = pack->entries[script->entry].link_target;
	DepotExtensionFile file;

	return link != NULL && depot_control_parse_file_name(link, &file) &&
		file.kind == DEPOT_FILE_UPDATE_SCRIPT && strcmp(file.extension, graph->extension) == 0 &&
		strcmp(file.version, ANY) == 0 && strcmp(file.target_version, graph->versions[graph->target]) == 0;
}

/* Decides for each link what it could become; false when there is none. */
static bool
choose_uses(const DepotPack *pack, Graph *graph)
{
	bool		any_used = false;

	if (graph->any < 0 || graph->target == -2)
		return false;
	for (int i = 0; i < graph->script_count; i++)
	{
		const Script *script = &graph->scripts[i];

		/*
		 * With two targets a version that had one of them would find both behind ANY; with a script to ANY
		 * it is used already.
		 */
		if (script->to == graph->any || (script->from == graph->any && graph->target != -1))
			return false;
		if (script->from == graph->any)
			graph->target = script->to;
	}
	if (graph->target == -1)
		return false;
	for (int i = 0; i < graph->script_count; i++)
	{
		Script	   *script = &graph->scripts[i];

		if (script->to == graph->target && script->from != graph->any && links_to_any(pack, graph, script))
		{
			script->use = USE_TO_ANY;
			any_used = true;
		}
	}
	if (any_used)
		choose_stop_overs(pack, graph);
	return any_used;
}

static void
choose_stop_overs(const DepotPack *pack, Graph *graph)
{
	for (int i = 0; i < graph->script_count; i++)
	{
		Script	   *script = &graph->scripts[i];
		bool		back = false;
		bool		other = false;

		if (script->from != graph->target || script->to == graph->any || !links_to_any(pack, graph, script))
			continue;
		for (int j = 0; j < graph->script_count; j++)
		{
			const Script *neighbour = &graph->scripts[j];

			if (neighbour->from == script->to && neighbour->use == USE_TO_ANY)
				back = true;
			else if (neighbour->from == script->to || (neighbour->to == script->to && neighbour != script))
				other = true;
		}
		if (back && !other && !graph->installable[script->to])
			script->use = USE_STOP_OVER;
	}
}

/*
 * Finds the tree of update paths from start that PostgreSQL would choose: each version's predecessor is, of
 * those one step nearer, the first by name.
 */
static void
find_paths(const Graph *graph, int start, bool shortened, bool reject_installable, int *previous,
		   int *distance)
{
	bool		found = true;

	for (int i = 0; i < graph->version_count; i++)
	{
		previous[i] = -1;
		distance[i] = -1;
	}
	distance[start] = 0;
	for (int level = 0; found; level++)
	{
		found = false;
		for (int i = 0; i < graph->script_count; i++)
		{
			const Script *script = &graph->scripts[i];
			int			to = shortened && script->use == USE_TO_ANY ? graph->any : script->to;

			if (distance[script->from] != level || (reject_installable && graph->installable[to]))
				continue;
			if (distance[to] == -1)
			{
				distance[to] = level + 1;
				previous[to] = script->from;
				found = true;
			}
			else if (distance[to] == level + 1 &&
					 strcmp(graph->versions[script->from], graph->versions[previous[to]]) < 0)
				previous[to] = script->from;
		}
	}
}

/* Compares all paths between versions other than ANY before and after; work has room for four per version. */
static bool
paths_stay(const Graph *graph, bool reject_installable, int *work)
{
	size_t		count = (size_t) graph->version_count;
	int		   *before = work;
	int		   *after = before + count;
	int		   *distance_before = after + count;
	int		   *distance_after = distance_before + count;

	for (int start = 0; start < graph->version_count; start++)
	{
		if (start == graph->any)
			continue;
		find_paths(graph, start, false, reject_installable, before, distance_before);
		find_paths(graph, start, true, reject_installable, after, distance_after);
		for (int i = 0; i < graph->version_count; i++)
		{
			int			step = after[i];

			if (i == graph->any)
				continue;
			if (step == graph->any)
				step = after[graph->any];
			if ((distance_before[i] == -1) != (distance_after[i] == -1) || step != before[i])
				return false;
		}
	}
	return true;
}

static bool
apply_uses(DepotPack *pack, const Graph *graph, DepotError *error)
{
	const char *target = graph->versions[graph->target];
	char		member[DEPOT_PACK_PATH_BYTES];
	char		text[512];
	int			count = 0;

	for (int i = 0; i < graph->script_count; i++)
	{
		const Script *script = &graph->scripts[i];
		DepotPackEntry *entry = &pack->entries[script->entry];

		if (script->use == USE_NONE)
			continue;
		if (script->use == USE_TO_ANY)
		{
			snprintf(text, sizeof(text),
					 "-- Nothing to do here: the update to %s goes on with %s--" ANY "--%s.sql.\n", target,
					 graph->extension, target);
			snprintf(member, sizeof(member), EXTENSION_DIRECTORY "%s--%s--" ANY ".sql", graph->extension,
					 graph->versions[script->from]);
			if (!depot_pack_rename(entry, member, error))
				return false;
		}
		else
			snprintf(text, sizeof(text),
					 "-- Nothing to do here: %s--" ANY "--%s.sql runs on the way back to %s.\n",
					 graph->extension, target, target);
		if (!depot_pack_set_text(entry, text, strlen(text), error))
			return false;
		count++;
	}
	pack->links_shortened += count;
	return true;
}

static void
free_graph(Graph *graph)
{
	for (int i = 0; i < graph->version_count; i++)
		free(graph->versions[i]);
	free(graph->versions);
	free(graph->scripts);
	free(graph->installable);
}
