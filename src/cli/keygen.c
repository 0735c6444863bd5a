/*-------------------------------------------------------------------------
 *
 * keygen.c
 *	  "pg_depot keygen": makes an ed25519 signing key.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/key.h"

static void
print_help(void)
{
	puts("Usage: pg_depot keygen [--passphrase | --passphrase-file FILE] PATH\n"
		 "\n"
		 "Makes an ed25519 key pair: the secret key in PATH (mode 0600), the public key in\n"
		 "PATH.pub.  Prints the keyid.  Existing files are never overwritten.\n"
		 "\n"
		 "  --passphrase            seal the secret key with a passphrase, asked for on the terminal\n"
		 "  --passphrase-file FILE  seal it with the first line of FILE");
}

int
depot_cmd_keygen(int argc, char **argv)
{
	static const struct option options[] = {
		{"passphrase", no_argument, NULL, 'p'},
		{"passphrase-file", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *passphrase_file = NULL;
	bool		ask = false;
	DepotError	error = {0};
	DepotKey   *key = NULL;
	char	   *passphrase = NULL;
	int			option;
	int			result = DEPOT_EXIT_FAILED;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option == 'h')
		{
			print_help();
			return DEPOT_EXIT_OK;
		}
		if (option == 'p')
			ask = true;
		else if (option == 'f')
			passphrase_file = optarg;
		else
			return depot_cli_option_error("keygen", option, argv);
	}
	if (optind != argc - 1)
		return depot_cli_usage_error("keygen", "exactly one PATH is needed");
	if (ask && passphrase_file != NULL)
		return depot_cli_usage_error("keygen", "--passphrase and --passphrase-file exclude each other");

	if (ask || passphrase_file != NULL)
	{
		passphrase = depot_cli_read_passphrase(passphrase_file, "Passphrase for the new key: ", true, &error);
		if (passphrase == NULL)
			goto done;
	}
	key = depot_key_generate(&error);
	if (key == NULL || !depot_key_save(key, argv[optind], passphrase, &error))
		goto done;
	printf("%s\n", key->keyid);
	result = DEPOT_EXIT_OK;

done:
	if (result != DEPOT_EXIT_OK)
		depot_cli_report_error(&error);
	depot_cli_free_passphrase(passphrase);
	depot_key_free(key);
	return result;
}
