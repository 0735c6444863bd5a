#!/bin/bash
#
# repository.sh
#	Makes a small signed repository for SQL tests and isolation specs.
#
#	repository.sh DIRECTORY
#
# DIRECTORY must not be there.  The repository is DIRECTORY/repository.  Who runs the
# tests puts its path into the setting test.repository; a spec adds it with
#
#	SELECT add_extension_repository('test', 'file://' || current_setting('test.repository'),
#	  trusted_root => pg_read_file(current_setting('test.repository') || '/metadata/1.root.json'));
#
#	depot_demo 1.0, 1.1, 2.0   one function
#	depot_needs 1.0            requires depot_demo
#	depot_slow 1.0, 1.1        its script takes the advisory lock 42 for the transaction, so that
#	                           who holds it decides when the script goes on
#	depot_slow_needs 1.0       requires depot_slow
#	depot_modules 1.0          modules of the server by other names: depot_decoding is test_decoding, an output
#	                           plugin, and depot_distance is earthdistance, which has geo_distance(point, point)
#
# The program, of PG_CONFIG's installation or named by PG_DEPOT, makes it.
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail

directory=$1
pg_config=${PG_CONFIG:-pg_config}
program=${PG_DEPOT:-$("$pg_config" --bindir)/pg_depot}
share=$("$pg_config" --sharedir)
roles=(root targets snapshot timestamp)

mkdir "$directory" "$directory/keys" "$directory/packages"

# Runs the program; what it says is of interest only when it fails.
run()
{
	"$program" "$@" >"$directory/log" 2>&1 || { cat "$directory/log" >&2; exit 1; }
}

# Packs one extension: name, version, requires, script; and an empty update script from each version after that.
pack()
{
	local name=$1 version=$2 requires=$3 script=$4 tree=$directory/tree from

	shift 4
	mkdir -p "$tree$share/extension"
	{
		printf "comment = 'made for a test'\ndefault_version = '%s'\nrelocatable = true\n" "$version"
		[ -z "$requires" ] || printf "requires = '%s'\n" "$requires"
	} >"$tree$share/extension/$name.control"
	printf '%s\n' "$script" >"$tree$share/extension/$name--$version.sql"
	for from in "$@"; do
		printf '%s\n' "$script" | sed 's/^CREATE /CREATE OR REPLACE /' >"$tree$share/extension/$name--$from--$version.sql"
	done
	run pack --from-tree "$tree" --package "$name" --version "$version" --summary 'made for a test' \
		--license PostgreSQL -q -o "$directory/packages"
	rm -r "$tree"
}

# The script of a version: one function that tells it.
tells()
{
	printf "CREATE FUNCTION %s_version() RETURNS text LANGUAGE sql AS \$\$ SELECT '%s' \$\$;\n" "$1" "$2"
}

pack depot_demo 1.0 '' "$(tells depot_demo 1.0)"
pack depot_demo 1.1 '' "$(tells depot_demo 1.1)" 1.0
pack depot_demo 2.0 '' "$(tells depot_demo 2.0)" 1.0 1.1
pack depot_needs 1.0 depot_demo "$(tells depot_needs 1.0)"
wait_for_lock='SELECT pg_catalog.pg_advisory_xact_lock(42);'
pack depot_slow 1.0 '' "$wait_for_lock"$'\n'"$(tells depot_slow 1.0)"
pack depot_slow 1.1 '' "$wait_for_lock"$'\n'"$(tells depot_slow 1.1)" 1.0
pack depot_slow_needs 1.0 depot_slow "$(tells depot_slow_needs 1.0)"

library_directory=$("$pg_config" --pkglibdir)
mkdir -p "$directory/tree$library_directory"
cp "$library_directory/test_decoding.so" "$directory/tree$library_directory/depot_decoding.so"
cp "$library_directory/earthdistance.so" "$directory/tree$library_directory/depot_distance.so"
run pack --from-tree "$directory/tree" --package depot_modules --version 1.0 --summary 'made for a test' \
	--license PostgreSQL -q -o "$directory/packages"

keys=()
role_keys=()
for role in "${roles[@]}"; do
	run keygen "$directory/keys/$role"
	keys+=(--key "$directory/keys/$role")
	role_keys+=("--$role-key" "$directory/keys/$role")
done
run repo init "$directory/repository" --timestamp-days 365 --snapshot-days 365 "${role_keys[@]}"
run repo add "$directory/repository" "$directory"/packages/*.tar.zst
run repo publish "$directory/repository" "${keys[@]}"
chmod -R go+rX "$directory/repository"
