# shellcheck shell=bash disable=SC2154 # variables of the script that reads this
#
# standby.sh
#	What bench/run measures on a streaming standby.
#
# To be read with "source", after bench/set-up.sh.  The standby is a base backup
# of the server, listens beside it and ends with it.
#
# SPDX-License-Identifier: PostgreSQL

STANDBY_PORT=5433

standby_psql()
{
	run_psql -p "$STANDBY_PORT" "$@"
}

# Waits until a command answers with "t".
wait_for_true()
{
	local try

	for ((try = 0; try < 600; try++)); do
		if [ "$("$@" 2>>"$log")" = t ]; then
			return
		fi
		sleep 0.1
	done
	fail "\"$*\" does not come true; the servers' logs: $work/server.log, $work/standby.log"
}

# Until the standby has replayed what is on the primary's disk now.
wait_for_replay()
{
	wait_for_true standby_psql -d template1 -c \
		"SELECT pg_last_wal_replay_lsn() >= '$(run_psql -c 'SELECT pg_current_wal_flush_lsn()')'"
}

# Restarts the server so that it says when it committed, and makes the standby.
make_standby()
{
	restart_server -o '-c track_commit_timestamp=on'
	as_postgres "$PG_BIN/pg_basebackup" -h "$work" -U postgres -D "$work/standby" -R -c fast
	echo "port = $STANDBY_PORT" >>"$work/standby/postgresql.conf"
	as_postgres "$PG_BIN/pg_ctl" -D "$work/standby" -l "$work/standby.log" -w start
	wait_for_replay
}

stop_standby()
{
	if [ -e "$work/standby/postmaster.pid" ]; then
		as_postgres "$PG_BIN/pg_ctl" -D "$work/standby" -m immediate -w stop >/dev/null 2>&1 || true
	fi
}

# What a standby does with a large package, done by hand: the check, and unpacking to disk.
check_and_unpack()
{
	"$PG_BIN/pg_depot" verify "$archive"
	unpack_and_sync
}

measure_standby()
{
	local round archive connection="host=$work user=postgres dbname=postgres"

	wait_for_leader
	run_psql -c "SELECT * FROM install_extension('semver')" -c 'CREATE EXTENSION semver' >>"$log" 2>&1
	"$here/standby-delay" "$connection" "$connection port=$STANDBY_PORT" semver "$standby_rounds" \
		"SELECT '1.2.3'::semver" >"$results/standby.semver"
	run_psql -c "DROP EXTENSION semver"
	"$here/standby-delay" "$connection" "$connection port=$STANDBY_PORT" postgis "$runs" \
		"$work/standby/pg_depot$("$PG_BIN/pg_config" --sharedir)/extension/postgis.control" >"$results/standby.postgis"
	archive=$(echo "$work"/packages/postgis-*.tar.zst)
	for ((round = 0; round <= runs; round++)); do
		rm -rf "$work/fresh"
		mkdir "$work/fresh"
		sync -f "$directory"
		time_command "$([ "$round" -eq 0 ] && echo "warm-up" || echo standby.local)" check_and_unpack
	done
}

# Transactions of the standby's home database, where only its leader is.
home_transactions()
{
	standby_psql -d replay -c "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'"
}

# pgbench as fast as it goes on the primary, replayed on the standby, whose leader has nothing to do.
measure_replay()
{
	local leader before after transactions

	run_psql -c 'CREATE DATABASE replay'
	"$PG_BIN/pgbench" -i -q -s 10 -h "$work" -U postgres replay >>"$log" 2>&1
	wait_for_replay
	leader=$(standby_psql -d replay -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_depot leader'")
	say "replay: watching the standby's leader for $replay_seconds s"
	sleep 5
	transactions=$(home_transactions)
	read -ra before <<<"$(read_usage "$leader")"
	"$PG_BIN/pgbench" -n -c 4 -h "$work" -U postgres -T "$replay_seconds" replay >"$results/replay.pgbench" 2>>"$log"
	read -ra after <<<"$(read_usage "$leader")"
	replay_transactions=$(($(home_transactions) - transactions))
	replay_cpu_us=$(((after[1] - before[1]) / 1000))
	wait_for_replay
	run_psql -c 'DROP DATABASE replay'
}

print_standby()
{
	local median high times

	median=$("$here/statistics" quartiles "$results/standby.semver" | cut -d' ' -f2)
	high=$("$here/statistics" quantile 0.99 "$results/standby.semver")
	echo "| semver on a standby, from the primary's commit | $(milliseconds standby.semver) | | | median under 300 ms |" \
		"$(verdict "$median < 300") |"
	echo "| | 99 % within $(printf %.0f "$high") ms | | | under 1 s | $(verdict "$high < 1000") |"
	times=$("$here/statistics" ratio "$results/standby.postgis" "$results/standby.local")
	echo "| postgis on a standby, from the primary's commit | $(milliseconds standby.postgis) |" \
		"\`pg_depot verify\`, \`zstd\`, \`tar\`, \`sync -f\`: $(milliseconds standby.local) | $times times as long |" \
		"at most 1.5 times as long | $(verdict "$times <= 1.5") |"
}

print_replay()
{
	local share tps

	share=$(awk "BEGIN { printf \"%.3f\", $replay_cpu_us / 1e4 / $replay_seconds }")
	tps=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$results/replay.pgbench")
	echo "| leader of a standby that replays pgbench, $tps tps, $replay_seconds s | $share % of a core | | |" \
		"at most 0.2 % | $(verdict "$share <= 0.2") |"
	echo "| | $replay_transactions transactions | | | fewer than 10 | $(verdict "$replay_transactions < 10") |"
}
