# shellcheck shell=bash disable=SC2034,SC2154 # variables of, and for, the script that reads this
#
# set-up.sh
#	What bench/run measures with: a Debian root, a signed repository behind
#	nginx, a server.
#
# To be read with "source", after test/tools/debian.sh.  Everything is below
# $directory and so on one file system: the root and the Debian packages, which
# are kept from one run to the next, and $work, which is not.
#
# SPDX-License-Identifier: PostgreSQL

# The Debian packages of each of ours.
declare -A DEBIAN_NAMES=(
	[semver]="postgresql-$PG_MAJOR-semver"
	[pgtap]="postgresql-$PG_MAJOR-pgtap"
	[postgis]="postgresql-$PG_MAJOR-postgis-3 postgresql-$PG_MAJOR-postgis-3-scripts"
)

BENCH_PACKAGES=(
	"${BUILD_PACKAGES[@]}" "postgresql-client-$PG_MAJOR" libdbi-perl libdbd-pg-perl
	debootstrap nginx-light openssl zstd ca-certificates procps
)

as_postgres()
{
	(cd "$work" && exec setpriv --reuid=postgres --regid=postgres --init-groups "$@")
}

# ---- Debian's way: a root with everything but the packages that are measured ----

in_root()
{
	DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
}

debian_mirror()
{
	apt-get indextargets --format "\$(CODENAME) \$(REPO_URI)" 'Created-By: Packages' |
		awk '$1 == "bookworm" { print $2; exit }'
}

# Their dependencies come and stay by apt; they themselves are purged again.
make_root()
{
	local mirror names

	read -ra names <<<"${DEBIAN_NAMES[*]}"
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || fail "apt knows no mirror of bookworm"
	rm -rf "$root"
	debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror"
	mkdir -p "$root/etc/postgresql-common/createcluster.d" "$root/debs"
	echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.d/no-cluster.conf"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	in_root apt-get install -y -q --no-install-recommends "${names[@]}"
	in_root dpkg --purge "${names[@]}"
	download_packages /dev/stdout "$root/debs" "${names[@]}"
	touch "$root/complete"
}

# Sets debs to the files of a package of ours, as seen from the root.
find_debs()
{
	local name names

	read -ra names <<<"${DEBIAN_NAMES[$1]}"
	debs=()
	for name in "${names[@]}"; do
		debs+=("$(cd "$root" && printf '/%s' debs/"${name}"_*.deb)")
	done
}

# ---- our way: a repository, a web server, a server ----

make_repository()
{
	local role name debs

	as_postgres mkdir "$work/keys" "$work/packages"
	for role in root targets snapshot timestamp; do
		as_postgres "$PG_BIN/pg_depot" keygen "$work/keys/$role"
	done
	as_postgres "$PG_BIN/pg_depot" repo init "$work/repository" --root-key "$work/keys/root" \
		--targets-key "$work/keys/targets" --snapshot-key "$work/keys/snapshot" --timestamp-key "$work/keys/timestamp"
	for name in "${!DEBIAN_NAMES[@]}"; do
		find_debs "$name"
		as_postgres "$PG_BIN/pg_depot" pack --quiet --from-deb -o "$work/packages" "${debs[@]/#/$root}"
	done
	as_postgres "$PG_BIN/pg_depot" repo add "$work/repository" "$work"/packages/*.tar.zst
	as_postgres "$PG_BIN/pg_depot" repo publish "$work/repository" --key "$work/keys/targets" \
		--key "$work/keys/snapshot" --key "$work/keys/timestamp"
}

# A port that nothing listens on.
# A repository with ten roles of 10,000 targets each.
make_large_repository()
{
	local role major arch

	as_postgres "$PG_BIN/pg_depot" repo init "$work/large" --root-key "$work/keys/root" \
		--targets-key "$work/keys/targets" --snapshot-key "$work/keys/snapshot" --timestamp-key "$work/keys/timestamp"
	for major in 14 15 16 17 18; do
		for arch in amd64 arm64; do
			role=$(echo "$work"/repository/metadata/*.pg15-linux-amd64.json)
			as_postgres "$here/targets" "$role" "$work/large" "$major" "linux-$arch" 10000
			as_postgres "$PG_BIN/pg_depot" repo publish "$work/large" --key "$work/keys/targets" \
				--key "$work/keys/snapshot" --key "$work/keys/timestamp"
		done
	done
}

free_port()
{
	perl -MIO::Socket::INET -e \
		'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 0)->sockport'
}

make_certificates()
{
	local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

	printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$work/web/extensions"
	openssl req -x509 "${key[@]}" -keyout "$work/web/ca.key" -out "$work/web/ca.crt" -days 30 -subj '/CN=bench CA'
	openssl req "${key[@]}" -keyout "$work/web/server.key" -out "$work/web/server.csr" -subj /CN=127.0.0.1
	openssl x509 -req -in "$work/web/server.csr" -CA "$work/web/ca.crt" -CAkey "$work/web/ca.key" -CAcreateserial \
		-days 30 -extfile "$work/web/extensions" -out "$work/web/server.crt"
}

# nginx with https on loopback; its settings are Debian's but for paths and user.
start_web()
{
	local kind

	mkdir "$work/web"
	make_certificates
	port=$(free_port)
	{
		echo "user postgres;"
		echo "pid $work/web/nginx.pid;"
		echo "error_log $work/web/error.log;"
		echo "events { }"
		echo "http {"
		for kind in client_body proxy fastcgi uwsgi scgi; do
			echo "	${kind}_temp_path $work/web/$kind;"
		done
		echo "	access_log off;"
		echo "	sendfile on;"
		echo "	server {"
		echo "		listen 127.0.0.1:$port ssl;"
		echo "		ssl_certificate $work/web/server.crt;"
		echo "		ssl_certificate_key $work/web/server.key;"
		echo "		root $work/repository;"
		echo "	}"
		echo "}"
	} >"$work/web/nginx.conf"
	nginx -e "$work/web/error.log" -c "$work/web/nginx.conf"
}

# Default settings, but where the server listens and whose certificates it trusts.
make_server()
{
	as_postgres "$PG_BIN/initdb" -D "$data" -A trust -E UTF8 --locale=C.UTF-8
	{
		echo "shared_preload_libraries = 'pg_depot'"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$work'"
		echo "depot.ca_file = '$work/web/ca.crt'"
	} >>"$data/postgresql.conf"
}

# Starts the server, or starts it again; the arguments are further ones of pg_ctl.
restart_server()
{
	if [ -e "$data/postmaster.pid" ]; then
		as_postgres "$PG_BIN/pg_ctl" -D "$data" -m fast -w stop
	fi
	as_postgres "$PG_BIN/pg_ctl" -D "$data" -l "$work/server.log" -w "$@" start
}

run_psql()
{
	"$PG_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -h "$work" -U postgres -d postgres "$@"
}

# Waits until the leader answers; the extension is there.
wait_for_leader()
{
	local try

	for ((try = 0; try < 300; try++)); do
		if run_psql -c 'SELECT count(*) FROM verify_extension_files()' >/dev/null 2>&1; then
			return
		fi
		sleep 0.1
	done
	fail "the leader does not answer; the server's log: $work/server.log"
}

add_repository()
{
	run_psql -c 'CREATE EXTENSION pg_depot'
	wait_for_leader
	run_psql -v root="$(cat "$work/repository/metadata/1.root.json")" -v url="https://127.0.0.1:$port" <<-'END'
		SELECT * FROM add_extension_repository('main', :'url', trusted_root => :'root');
	END
}

# Stops what was started; for the end, whatever it is.
stop_servers()
{
	if [ -e "$data/postmaster.pid" ]; then
		as_postgres "$PG_BIN/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1 || true
	fi
	if [ -e "$work/web/nginx.pid" ]; then
		kill "$(cat "$work/web/nginx.pid")" 2>/dev/null || true
	fi
}
