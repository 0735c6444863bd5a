/*-------------------------------------------------------------------------
 *
 * pack_options.c
 *	  The command line of "pg_depot pack".
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/pack.h"

#define COMMAND "pack"

enum
{
	OPTION_FROM_TREE = 256,
	OPTION_FROM_DEB,
	OPTION_FROM_OCI,
	OPTION_PLATFORM,
	OPTION_PACKAGE,
	OPTION_VERSION,
	OPTION_SUMMARY,
	OPTION_LICENSE,
	OPTION_HOMEPAGE,
	OPTION_ARCH,
	OPTION_MAJOR,
	OPTION_MINIMUM_MINOR,
	OPTION_PRELOAD,
	OPTION_REQUIRED,
	OPTION_DEPENDS,
	OPTION_WITHOUT_DEPENDS,
	OPTION_SETTING,
	OPTION_LICENSE_FILE,
	OPTION_JSON
};

static const struct option long_options[] = {
	{"from-tree", required_argument, NULL, OPTION_FROM_TREE},
	{"from-deb", no_argument, NULL, OPTION_FROM_DEB},
	{"from-oci", required_argument, NULL, OPTION_FROM_OCI},
	{"platform", required_argument, NULL, OPTION_PLATFORM},
	{"package", required_argument, NULL, OPTION_PACKAGE},
	{"version", required_argument, NULL, OPTION_VERSION},
	{"summary", required_argument, NULL, OPTION_SUMMARY},
	{"license", required_argument, NULL, OPTION_LICENSE},
	{"license-file", required_argument, NULL, OPTION_LICENSE_FILE},
	{"homepage", required_argument, NULL, OPTION_HOMEPAGE},
	{"platform-arch", required_argument, NULL, OPTION_ARCH},
	{"major", required_argument, NULL, OPTION_MAJOR},
	{"minimum-minor", required_argument, NULL, OPTION_MINIMUM_MINOR},
	{"preload", required_argument, NULL, OPTION_PRELOAD},
	{"required", required_argument, NULL, OPTION_REQUIRED},
	{"depends", required_argument, NULL, OPTION_DEPENDS},
	{"without-depends", required_argument, NULL, OPTION_WITHOUT_DEPENDS},
	{"setting", required_argument, NULL, OPTION_SETTING},
	{"output", required_argument, NULL, 'o'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}
};

static void print_help(void);
static int	take_option(int option, DepotPackOptions *options);
static int	take_number(int option, DepotPackOptions *options);
static int	take_module(int option, DepotPackOptions *options);
static int	take_repeatable(const char **list, int *count, const char *name);
static int	check_options(int argc, char **argv, bool from_deb, DepotPackOptions *options);

static void
print_help(void)
{
	puts("Usage: pg_depot pack --from-tree DIRECTORY --package NAME --version VERSION [OPTIONS]\n"
		 "       pg_depot pack --from-deb [OPTIONS] FILE.deb...\n"
		 "       pg_depot pack --from-oci DIRECTORY [OPTIONS]\n"
		 "\n"
		 "Makes a package of an installed tree (what \"make install DESTDIR=DIRECTORY\" wrote), of the\n"
		 "Debian packages of one extension, or of an extension image for CloudNativePG (an OCI image\n"
		 "layout), and prints where it is.\n"
		 "\n"
		 "  -o, --output DIRECTORY       where to write NAME-VERSION.tar.zst (default: here)\n"
		 "      --package NAME           default: from the Debian packages' names or the image's title\n"
		 "      --version VERSION        default: their upstream version, or the image's\n"
		 "      --major N                PostgreSQL major version, where the tree has several\n"
		 "      --minimum-minor N        oldest minor version of the server that will do\n"
		 "      --platform OS/ARCH       which image of the layout, such as linux/arm64 (default: this machine's)\n"
		 "      --platform-arch ARCH     Debian's name of the architecture, for packages without a library\n"
		 "      --summary TEXT           one line for people\n"
		 "      --license SPDX           license expression\n"
		 "      --license-file FILE      license text to put in; can be repeated\n"
		 "      --homepage URL\n"
		 "      --preload MODULE=WHEN    shared, session or none; can be repeated\n"
		 "      --required MODULE        the server must not start without it; can be repeated\n"
		 "      --depends \"NAME [CONSTRAINT]\"  needs another package; can be repeated\n"
		 "      --without-depends NAME   does not need it, whatever Debian says; can be repeated\n"
		 "      --setting \"NAME=VALUE [WHY]\"   a setting the extension needs; can be repeated\n"
		 "      --json                   print the result as JSON, and no notes\n"
		 "  -q, --quiet                  no notes and no progress\n"
		 "  -h, --help");
}

int
depot_pack_parse_options(int argc, char **argv, DepotPackOptions *options)
{
	bool		from_deb = false;
	int			option;

	memset(options, 0, sizeof(*options));
	options->output_directory = ".";
	options->minimum_minor = -1;
	while ((option = getopt_long(argc, argv, ":o:qh", long_options, NULL)) != -1)
	{
		int			result;

		if (option == '?' || option == ':')
			return depot_cli_option_error(COMMAND, option, argv);
		if (option == 'h')
		{
			print_help();
			return DEPOT_EXIT_OK;
		}
		if (option == OPTION_FROM_DEB)
			from_deb = true;
		result = take_option(option, options);
		if (result != -1)
			return result;
	}
	return check_options(argc, argv, from_deb, options);
}

/* Stores one option; -1 when it is fine, else an exit code. */
static int
take_option(int option, DepotPackOptions *options)
{
	switch (option)
	{
		case OPTION_FROM_TREE:
			options->tree = optarg;
			break;
		case OPTION_FROM_OCI:
			options->oci = optarg;
			break;
		case OPTION_PLATFORM:
			options->platform = optarg;
			break;
		case OPTION_PACKAGE:
			options->package = optarg;
			break;
		case OPTION_VERSION:
			options->version = optarg;
			break;
		case OPTION_SUMMARY:
			options->summary = optarg;
			break;
		case OPTION_LICENSE:
			options->license = optarg;
			break;
		case OPTION_HOMEPAGE:
			options->homepage = optarg;
			break;
		case OPTION_ARCH:
			options->arch = optarg;
			break;
		case OPTION_MAJOR:
		case OPTION_MINIMUM_MINOR:
			return take_number(option, options);
		case OPTION_PRELOAD:
		case OPTION_REQUIRED:
			return take_module(option, options);
		case OPTION_DEPENDS:
			return take_repeatable(options->depends, &options->depend_count, "--depends");
		case OPTION_WITHOUT_DEPENDS:
			return take_repeatable(options->without_depends, &options->without_depend_count,
								   "--without-depends");
		case OPTION_SETTING:
			return take_repeatable(options->settings, &options->setting_count, "--setting");
		case OPTION_LICENSE_FILE:
			return take_repeatable(options->license_files, &options->license_file_count, "--license-file");
		case OPTION_JSON:
			options->json = true;
			break;
		case 'o':
			options->output_directory = optarg;
			break;
		case 'q':
			options->quiet = true;
			break;
		default:
			break;
	}
	return -1;
}

static int
take_number(int option, DepotPackOptions *options)
{
	bool		major = option == OPTION_MAJOR;
	int64_t		value;

	if (!depot_cli_parse_number(optarg, major ? 10 : 0, major ? 99 : 999, &value))
		return depot_cli_usage_error(COMMAND, "%s must be a number from %d to %d, not \"%s\"",
									 major ? "--major" : "--minimum-minor", major ? 10 : 0, major ? 99 : 999,
									 optarg);
	if (major)
		options->major = (int) value;
	else
		options->minimum_minor = (int) value;
	return -1;
}

static int
take_module(int option, DepotPackOptions *options)
{
	DepotPackModuleOption *module = &options->modules[options->module_count];
	char	   *equals = strchr(optarg, '=');

	if (options->module_count == DEPOT_PACK_MAX_OPTIONS)
		return depot_cli_usage_error(COMMAND, "--preload and --required are given more than %d times",
									 DEPOT_PACK_MAX_OPTIONS);
	module->module = optarg;
	module->required = option == OPTION_REQUIRED;
	if (option == OPTION_PRELOAD)
	{
		if (equals == NULL)
			return depot_cli_usage_error(COMMAND,
										 "--preload must be MODULE=shared, MODULE=session or MODULE=none, "
										 "not \"%s\"",
										 optarg);
		*equals = '\0';
		module->has_preload = true;
		if (strcmp(equals + 1, "shared") == 0)
			module->preload = DEPOT_PRELOAD_SHARED;
		else if (strcmp(equals + 1, "session") == 0)
			module->preload = DEPOT_PRELOAD_SESSION;
		else if (strcmp(equals + 1, "none") == 0)
			module->preload = DEPOT_PRELOAD_NONE;
		else
			return depot_cli_usage_error(COMMAND, "--preload %s must be shared, session or none, not \"%s\"",
										 optarg, equals + 1);
	}
	options->module_count++;
	return -1;
}

static int
take_repeatable(const char **list, int *count, const char *name)
{
	if (*count == DEPOT_PACK_MAX_OPTIONS)
		return depot_cli_usage_error(COMMAND, "%s is given more than %d times", name, DEPOT_PACK_MAX_OPTIONS);
	list[(*count)++] = optarg;
	return -1;
}

static int
check_options(int argc, char **argv, bool from_deb, DepotPackOptions *options)
{
	if ((from_deb ? 1 : 0) + (options->tree != NULL ? 1 : 0) + (options->oci != NULL ? 1 : 0) != 1)
		return depot_cli_usage_error(COMMAND, "give one of --from-tree, --from-deb and --from-oci");
	if (options->platform != NULL && options->oci == NULL)
		return depot_cli_usage_error(COMMAND, "--platform is for --from-oci; packages of a tree have"
									 " --platform-arch");
	if (options->platform != NULL && strncmp(options->platform, "linux/", 6) != 0)
		return depot_cli_usage_error(COMMAND, "--platform must be linux/ARCH, not \"%s\"", options->platform);
	if (from_deb && optind == argc)
		return depot_cli_usage_error(COMMAND, "--from-deb needs at least one Debian package");
	if (from_deb && argc - optind > DEPOT_PACK_MAX_DEBS)
		return depot_cli_usage_error(COMMAND, "more than %d Debian packages", DEPOT_PACK_MAX_DEBS);
	if (!from_deb && optind < argc)
		return depot_cli_usage_error(COMMAND, "unexpected argument \"%s\"", argv[optind]);
	if (options->tree != NULL && (options->package == NULL || options->version == NULL))
		return depot_cli_usage_error(COMMAND, "--from-tree needs --package and --version");
	options->debs = (const char *const *) argv + optind;
	options->deb_count = from_deb ? argc - optind : 0;
	return -1;
}
