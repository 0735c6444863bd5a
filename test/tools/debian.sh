# shellcheck shell=bash disable=SC2034 # the variables are for the scripts that read this
#
# debian.sh
#	What quickstart and run-tests share: root rights, Debian packages, steps.
#
# To be read with "source".  Packages are installed without side effects: no
# cluster is created and no service is started, whatever their scripts say.
#
# SPDX-License-Identifier: PostgreSQL

export LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

PG_MAJOR=15
PG_BIN=/usr/lib/postgresql/$PG_MAJOR/bin

# What is needed to build and run, on Debian 12.
BUILD_PACKAGES=(
	build-essential "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR" libpq-dev
	libcurl4-openssl-dev libsodium-dev libssl-dev nettle-dev libarchive-dev libjansson-dev libseccomp-dev libelf-dev
)

# Debian's own packages of extensions, which become ours: downloaded, never installed.
SAMPLE_PACKAGES=(
	"postgresql-$PG_MAJOR-ip4r" "postgresql-$PG_MAJOR-hll" "postgresql-$PG_MAJOR-semver"
	"postgresql-$PG_MAJOR-pgtap" "postgresql-$PG_MAJOR-rational"
)

# One that takes some time to install.
LARGE_PACKAGES=("postgresql-$PG_MAJOR-postgis-3" "postgresql-$PG_MAJOR-postgis-3-scripts")

fail()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Runs the script again as root, by sudo, unless it is root already.
become_root()
{
	[ "$(id -u)" -eq 0 ] && return
	command -v sudo >/dev/null || fail "run this as root: there is no sudo here"
	exec sudo -- "$(readlink -f "$0")" "$@"
}

require_debian_12()
{
	local codename=unknown

	if [ -r /etc/os-release ]; then
		codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")
	fi
	[ "$codename" = bookworm ] || fail "this needs Debian 12 (bookworm); docs/install.md tells how to build elsewhere"
}

# Runs a command or function with its output in a log; shows the end of it when it fails.
# Not to be used in a condition: there "set -e" means nothing.
logged()
{
	local log=$1 status=0

	shift
	set +e
	(set -e; "$@") >>"$log" 2>&1 </dev/null
	status=$?
	set -e
	[ "$status" -eq 0 ] && return
	tail -n 40 "$log" >&2
	fail "\"$*\" failed with exit code $status (all of its output: $log)"
}

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Brings the lists of packages up to date, once; without a network the old ones must do.
update_lists()
{
	local log=$1

	[ -z "${LISTS_ARE_FRESH:-}" ] || return 0
	LISTS_ARE_FRESH=yes
	apt-get update -q -o DPkg::Lock::Timeout=300 >>"$log" 2>&1 </dev/null ||
		echo "apt-get update failed; going on with the lists that are here" >>"$log"
}

# Installs those of the named Debian packages that are missing.
install_packages()
{
	local log=$1 package result=0
	local missing=()
	local policy=/usr/sbin/policy-rc.d
	local no_cluster=/etc/postgresql-common/createcluster.d/pg_depot-no-cluster.conf

	shift
	for package in "$@"; do
		is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	update_lists "$log"

	if [ -e "$policy" ]; then
		policy=
	else
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	mkdir -p "${no_cluster%/*}"
	echo 'create_main_cluster = false' >"$no_cluster"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o DPkg::Lock::Timeout=300 "${missing[@]}" >>"$log" 2>&1 </dev/null || result=$?
	rm -f "$no_cluster" ${policy:+"$policy"}
	[ "$result" -eq 0 ] && return
	tail -n 40 "$log" >&2
	fail "apt-get could not install ${missing[*]} (all of its output: $log)"
}

# Downloads Debian packages into a directory without installing them; those that are there stay.
download_packages()
{
	local log=$1 directory=$2 package
	local missing=()

	shift 2
	mkdir -p "$directory"
	for package in "$@"; do
		compgen -G "$directory/${package}_*.deb" >/dev/null || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	update_lists "$log"
	(cd "$directory" && logged "$log" apt-get download -q -o APT::Sandbox::User=root "${missing[@]}")
}

# Copies the checkout, without what was built in it, to a directory.
copy_checkout()
{
	local from=$1 to=$2

	mkdir -p "$to"
	tar -C "$from" --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' --exclude='*.bc' -cf - . |
		tar -C "$to" --no-same-owner -xf -
}
