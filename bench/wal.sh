# shellcheck shell=bash disable=SC2154 # variables of the script that reads this
#
# wal.sh
#	How much WAL an installation writes, for bench/run.
#
# To be read with "source", after bench/set-up.sh.  Full-page images are left out: how
# many of them there are depends on when the last checkpoint was, whatever is written.
#
# SPDX-License-Identifier: PostgreSQL

# Waits until nothing is left in the table that no row names.
wait_for_tidy()
{
	local try

	for ((try = 0; try < 600; try++)); do
		[ "$(run_psql -c 'SELECT count(*) FROM depot.payload')" -ne 0 ] || return 0
		sleep 0.1
	done
	fail "payloads of packages that were removed are still there"
}

# Bytes between the insert positions before and after each of five installations, of which the smallest counts: what the
# server writes of its own accord only adds to it.
measure_wal()
{
	local name round before bytes

	run_psql -c 'ALTER SYSTEM SET full_page_writes = off' -c 'SELECT pg_reload_conf()' >>"$log"
	for name in "${PACKAGES[@]}"; do
		ask "SELECT * FROM refresh_extension_repository()"
		for ((round = 0; round < 5; round++)); do
			wait_for_tidy
			run_psql -c CHECKPOINT
			before=$(run_psql -c 'SELECT pg_current_wal_insert_lsn()')
			ask "SELECT * FROM install_extension('$name')"
			bytes=$(run_psql -c "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')")
			echo "$bytes" >>"$results/$name.wal"
			run_psql -c "SELECT size_bytes FROM depot.installed_build WHERE package = '$name'" >"$results/$name.size"
			ask "SELECT * FROM uninstall_extension('$name')"
		done
	done
	run_psql -c 'ALTER SYSTEM RESET full_page_writes' -c 'SELECT pg_reload_conf()' >>"$log"
}

print_wal()
{
	local name bytes size

	for name in "${PACKAGES[@]}"; do
		bytes=$(sort -n "$results/$name.wal" | head -n 1)
		size=$(cat "$results/$name.size")
		echo "| WAL of installing $name | $bytes bytes | package: $size bytes |" \
			"$(awk "BEGIN { printf \"%.3f times, or %.3f and 64 KiB\", $bytes / $size, ($bytes > 65536 ? $bytes - 65536 : 0) / $size }") |" \
			"at most 1.03 times and 64 KiB | $(verdict "$bytes <= 1.03 * $size + 65536") |"
	done
}
