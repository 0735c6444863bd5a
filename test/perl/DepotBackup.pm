# DepotBackup: backups of a server by pgBackRest and pg_basebackup, and servers made of them.
#
# What a backup says is judged: it must succeed, and no warning of its own or of
# the server's names a file of the depot.
#
# SPDX-License-Identifier: PostgreSQL

package DepotBackup;

use strict;
use warnings;

use DepotTest;
use Exporter qw(import);
use File::Path qw(make_path);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(base_backup_ok pgbackrest_ok restored_by set_up_pgbackrest);

my $work;

# The command line of pgBackRest for the one stanza there is.
sub pgbackrest
{
	my (@arguments) = @_;
	return ('pgbackrest', "--config=$work/pgbackrest.conf", '--stanza=depot', @arguments);
}

# Settings of a server, not started, that archive its WAL; its repository is a directory.
sub set_up_pgbackrest
{
	my ($node) = @_;

	$work = "$ENV{DEPOT_TEST_WORK}/pgbackrest";
	make_path(map { "$work/$_" } qw(repository lock));
	write_file("$work/pgbackrest.conf", <<"CONF");
[global]
repo1-path=$work/repository
repo1-retention-full=9
lock-path=$work/lock
log-level-console=detail
log-level-file=off
start-fast=y
compress-type=lz4
[depot]
pg1-path=${\$node->data_dir}
pg1-port=${\$node->port}
pg1-socket-path=${\$node->host}
CONF
	$node->append_conf('postgresql.conf', <<"CONF");
wal_level = replica
max_wal_senders = 5
archive_mode = on
archive_command = '${\join(' ', pgbackrest('archive-push', '%p'))}'
CONF
	return;
}

# Lines of a text that warn of files of the depot.
sub warnings_of_ours
{
	my ($text) = @_;
	return grep { /WARN|ERROR|FATAL|PANIC|warning:|error:/ && m{pg_depot/|usr/(?:lib|share)/postgresql} } split /\n/, $text;
}

# Runs a backup command while the server logs.
sub backup_ok
{
	my ($node, $label, @command) = @_;
	my $output = '';
	my $log_start = -s $node->logfile;

	my $is_done = IPC::Run::run(\@command, '<', '/dev/null', '>', \$output, '2>&1');
	my @warnings = warnings_of_ours($output . substr(file_contents($node->logfile), $log_start));
	ok($is_done, $label) or diag(substr($output, -3000));
	is("@warnings", '', "$label: no warning names our files");
	note grep { /WARN/ } map { "$_\n" } split /\n/, $output;
	return $output;
}

sub pgbackrest_ok
{
	my ($node, $label, @arguments) = @_;
	return backup_ok($node, $label, pgbackrest(@arguments));
}

# A copy of the server's data directory for a server of this name, which is verified.
sub base_backup_ok
{
	my ($node, $label, $name) = @_;
	my $clone = PostgreSQL::Test::Cluster->new($name);
	my $data = $clone->data_dir;

	backup_ok($node, $label, 'pg_basebackup', '-D', $data, '-d', $node->connstr('postgres') . " application_name=$name",
		'-c', 'fast', '-R');
	backup_ok($node, "$label: verified", 'pg_verifybackup', $data);
	set_address($clone);
	return $clone;
}

# What a server needs of its own that has another one's configuration.
sub set_address
{
	my ($node) = @_;
	$node->append_conf('postgresql.conf', "port = ${\$node->port}\narchive_mode = off\n");
	return;
}

# A server, not started, with what pgBackRest restores.
sub restored_by
{
	my ($name, @arguments) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	make_path($node->data_dir);
	chmod 0700, $node->data_dir;
	run_ok(pgbackrest('restore', '--pg1-path=' . $node->data_dir, @arguments));
	set_address($node);
	return $node;
}

1;
