# DepotCluster: a primary with a repository, and standbys of it.
#
#   my ($primary, $standby) = depot_cluster();
#   install($primary, 'semver');
#   follows($standby, $primary);        # waits: rows replayed, files equal them
#
# SPDX-License-Identifier: PostgreSQL

package DepotCluster;

use strict;
use warnings;

use DepotTest;
use Exporter qw(import);
use Test::More;

our @EXPORT = qw(
  applied_generation cluster_ok create_standby depot_cluster follows from_backup generation in_recovery install log_of new_primary replayed uninstall
);

# A started primary with the extension and repository "main".  Options: conf; url (default: the test repository's files);
# repository => 0: none; has_archiving.
sub new_primary
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 1, has_archiving => $options{has_archiving} // 0);
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'pg_depot'
restart_after_crash = on
log_line_prefix = '%m [%p] %b '
hot_standby = on
wal_log_hints = on
max_wal_senders = 10
wal_keep_size = 256MB
CONF
	$node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	create_depot($node);
	add_repository($node, $options{url} // depot_repository()->{directory}) if $options{repository} // 1;
	return $node;
}

# A server, not started, from a backup of another.  Options: conf; depot => 0: the depot is elsewhere; init: what
# init_from_backup is told besides.
sub from_backup
{
	my ($name, $source, $backup, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init_from_backup($source, $backup, %{ $options{init} // {} });

	# The framework's own copy loses the modes of directories.
	my $depot = $node->data_dir . '/pg_depot';
	run_ok('rm', '-rf', $depot);
	run_ok('cp', '-a', $source->backup_dir . "/$backup/pg_depot", $depot) if $options{depot} // 1;
	$node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	return $node;
}

# A started streaming standby of a server, made by pg_basebackup.  Options: those of from_backup; start => 0: not started.
my $backup_number = 0;

sub create_standby
{
	my ($name, $source, %options) = @_;
	my $backup = 'backup' . $backup_number++;
	$source->backup($backup);
	my $conf = "cluster_name = '$name'\n" . ($options{conf} // '');
	my $node = from_backup($name, $source, $backup, %options, conf => $conf, init => { has_streaming => 1 });
	$node->start if $options{start} // 1;
	return $node;
}

# A primary and one standby.  Options: primary_conf, standby_conf, url.
sub depot_cluster
{
	my (%options) = @_;
	my $primary = new_primary('primary', conf => $options{primary_conf}, url => $options{url});
	my $standby = create_standby('standby', $primary, conf => $options{standby_conf});
	return ($primary, $standby);
}

sub install
{
	my ($node, $extension, $version) = @_;
	my $wanted = defined $version ? ", '$version'" : '';
	return $node->safe_psql('postgres', "SELECT action FROM install_extension('$extension'$wanted)");
}

sub uninstall
{
	my ($node, $extension) = @_;
	return $node->safe_psql('postgres', "SELECT action FROM uninstall_extension('$extension')");
}

sub generation
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT generation FROM depot.generation');
}

# What var/applied.json says is applied, or -1.
sub applied_generation
{
	my ($node) = @_;
	my $text = eval { file_contents($node->data_dir . '/pg_depot/var/applied.json') } // '';
	return $text =~ /"generation_applied":(-?\d+)/ ? $1 : -1;
}

sub in_recovery
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 't';
}

# Waits until a server has replayed all that another has written.
sub replayed
{
	my ($standby, $source) = @_;
	my $function = in_recovery($source) ? 'pg_last_wal_replay_lsn' : 'pg_current_wal_lsn';
	my $position = $source->safe_psql('postgres', "SELECT $function()");
	my $is_there = wait_until(
		sub { psql_error($standby, 'postgres', "SELECT pg_last_wal_replay_lsn() >= '$position'")->{stdout} eq 't' }, 60);
	die $standby->name . " does not replay up to $position: " . substr(log_of($standby), -3000) if !$is_there;
	return;
}

# Tests that a standby replays what its source has written and makes its files equal the rows.
sub follows
{
	my ($standby, $source, $label, $seconds) = @_;
	replayed($standby, $source);
	my $answer = DepotTest::oracle_is_ok($standby, $seconds // 60);
	return ok($answer eq '', "$label: files of " . $standby->name . ' equal its rows')
	  || diag($answer . substr(log_of($standby), -3000));
}

# The same of any number of standbys and their primary, which comes first.
sub cluster_ok
{
	my ($label, $primary, @standbys) = @_;
	oracle_ok($primary, "$label: " . $primary->name);
	follows($_, $primary, $label) foreach @standbys;
	return;
}

sub log_of
{
	my ($node) = @_;
	return file_contents($node->logfile);
}

1;
