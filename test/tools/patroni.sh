#!/bin/bash
#
# patroni.sh
#	A Patroni cluster of one node, with etcd, for an example of the docs.
#
#	patroni.sh start FRAGMENT   in the working directory; FRAGMENT is merged into the node's configuration
#	patroni.sh stop
#
# Prints the settings that reach it, for "eval".
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail

wait_for()
{
	local attempt

	for attempt in {1..300}; do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	echo "patroni.sh: $* does not come true ($attempt attempts)" >&2
	tail -n 20 patroni.log >&2
	exit 1
}

has_leader()
{
	patronictl list | grep -q 'Leader.*running'
}

has_ended()
{
	! kill -0 "$1" 2>/dev/null
}

end()
{
	local pid

	pid=$(cat "$1.pid")
	kill "$pid"
	wait_for has_ended "$pid"
	rm "$1.pid"
}

start()
{
	local directory=$PWD etcd peer api server

	read -r etcd peer api server < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(4)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in sockets])')
	etcd --data-dir etcd --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
		--listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
		--initial-cluster "default=http://127.0.0.1:$peer" </dev/null >etcd.log 2>&1 &
	echo $! >etcd.pid
	cat >base.yml <<-END
	scope: shop
	name: shop-1
	restapi: {listen: '127.0.0.1:$api', connect_address: '127.0.0.1:$api'}
	etcd3: {hosts: '127.0.0.1:$etcd'}
	bootstrap:
	  dcs: {loop_wait: 1, ttl: 20, retry_timeout: 3}
	  initdb: [{encoding: UTF8}, {locale: C.UTF-8}]
	postgresql:
	  listen: '127.0.0.1:$server'
	  connect_address: '127.0.0.1:$server'
	  data_dir: $directory/data
	  bin_dir: $(pg_config --bindir)
	  authentication: {superuser: {username: postgres, password: x}, replication: {username: replicator, password: x}}
	  parameters: {unix_socket_directories: '$directory', fsync: 'off'}
	END
	python3 - "$1" >patroni.yml <<-'END'
	import sys, yaml
	def merge(into, what):
	    for key, value in what.items():
	        if isinstance(value, dict) and key in into:
	            merge(into[key], value)
	        else:
	            into[key] = value
	base = yaml.safe_load(open('base.yml'))
	merge(base, yaml.safe_load(open(sys.argv[1])))
	yaml.safe_dump(base, sys.stdout)
	END
	export PATRONICTL_CONFIG_FILE=$directory/patroni.yml
	patroni patroni.yml </dev/null >patroni.log 2>&1 &
	echo $! >patroni.pid
	wait_for has_leader
	echo "export PATRONICTL_CONFIG_FILE=$PATRONICTL_CONFIG_FILE PGHOST=$directory PGPORT=$server"
}

case ${1:-} in
	start) start "$2" ;;
	stop) end patroni; end etcd ;;
	*) exit 2 ;;
esac
