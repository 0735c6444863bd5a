# DepotPatroni: a cluster of three servers that Patroni runs, with etcd.
#
# Everything is Debian's own program, started here, on 127.0.0.1 and ports of its
# own.  A member answers connstr, data_dir, host, logfile, name and port as a
# PostgreSQL::Test::Cluster does, so that what DepotTest has works on it, too.
# Who is primary, and whether the others stream, is asked of the servers.
#
# Each member has its own name in depot.nodes and reports as a role of this name,
# which the test makes.  Patroni promotes none whose files are not ready.
#
# SPDX-License-Identifier: PostgreSQL

package DepotPatroni;

use strict;
use warnings;

use DepotTest;
use IPC::Run ();
use File::Path qw(make_path);
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep);

my @clusters;

END
{
	my $status = $?;
	$_->stop foreach @clusters;
	$? = $status;
}

# Starts a program in the background; its output goes to a log.
sub start_program
{
	my ($log, @command) = @_;
	my $pid = fork() // die "fork: $!";
	return $pid if $pid != 0;
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>>', $log);
	open(STDERR, '>&', \*STDOUT);
	exec @command or POSIX::_exit(127);
}

# ---- set-up ----

# What all members share, as Patroni keeps it in etcd.  Servers that must prove nothing about a power failure need no fsync.
sub dynamic_configuration
{
	my (%parameters) = @_;
	return {
		loop_wait => 1,
		ttl => 20,
		retry_timeout => 3,
		maximum_lag_on_failover => 64 * 1024 * 1024,
		postgresql => {
			use_pg_rewind => JSON::PP::true,
			use_slots => JSON::PP::true,
			parameters => {
				shared_preload_libraries => 'pg_depot',
				wal_log_hints => 'on',
				wal_keep_size => '256MB',
				fsync => 'off',
				log_line_prefix => '%m [%p] %b ',
				%parameters
			}
		}
	};
}

# What a member has alone: its name, and how it reaches whoever is primary.
sub own_parameters
{
	my ($cluster, $member) = @_;
	return {
		unix_socket_directories => $member->{directory},
		'depot.node_name' => $member->name,
		'depot.report_conninfo' => $cluster->connstr('postgres', $member->name)
	};
}

sub configure_member
{
	my ($cluster, $member) = @_;
	my $api = DepotTest::free_port();
	my %configuration = (
		scope => 'depot',
		name => $member->name,
		restapi => { listen => "127.0.0.1:$api", connect_address => "127.0.0.1:$api" },
		etcd3 => { hosts => "127.0.0.1:$cluster->{etcd_port}" },
		bootstrap => {
			dcs => dynamic_configuration(%{ $cluster->{parameters} }),
			initdb => [ { encoding => 'UTF8' }, { locale => 'C.UTF-8' }, { auth => 'trust' } ]
		},
		postgresql => {
			listen => "127.0.0.1:$member->{port}",
			connect_address => "127.0.0.1:$member->{port}",
			data_dir => $member->data_dir,
			bin_dir => pg_config_value('bindir'),
			pgpass => "$member->{directory}/pgpass",
			pg_hba => [ 'local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust' ],
			authentication => {
				superuser => { username => 'postgres', password => 'x' },
				replication => { username => 'replicator', password => 'x' }
			},
			pre_promote => DepotTest::depot_program() . ' ready --quiet --datadir ' . $member->data_dir,
			parameters => own_parameters($cluster, $member)
		});
	# JSON is YAML, too.
	write_file($member->{configuration}, JSON::PP->new->canonical->pretty->encode(\%configuration));
	return;
}

# A cluster of three, not started; parameters are settings of all servers.
sub new
{
	my ($class, %parameters) = @_;
	my $directory = "$ENV{DEPOT_TEST_WORK}/patroni";
	my $self = bless { directory => $directory, parameters => \%parameters, etcd_port => DepotTest::free_port() }, $class;

	make_path($directory);
	$self->{members} = [ map { DepotPatroni::Member->new($directory, "member$_") } 1 .. 3 ];
	configure_member($self, $_) foreach $self->members;
	push @clusters, $self;
	return $self;
}

sub members { my ($self) = @_; return @{ $self->{members} } }

# Starts etcd and the members; returns when all of them stream.
sub start
{
	my ($self) = @_;
	my $peer = 'http://127.0.0.1:' . DepotTest::free_port();
	my $address = "http://127.0.0.1:$self->{etcd_port}";

	$self->{etcd_pid} = start_program("$self->{directory}/etcd.log", 'etcd', '--data-dir', "$self->{directory}/etcd",
		'--listen-client-urls', $address, '--advertise-client-urls', $address, '--listen-peer-urls', $peer,
		'--initial-advertise-peer-urls', $peer, '--initial-cluster', "default=$peer", '--unsafe-no-fsync');
	foreach my $member ($self->members)
	{
		$member->{pid} = start_program($member->logfile, 'patroni', $member->{configuration});
	}
	$self->wait_for_streaming(120);
	return;
}

# Members stop their servers themselves.
sub stop
{
	my ($self) = @_;
	foreach my $pid (grep { defined } (map { delete $_->{pid} } $self->members), delete $self->{etcd_pid})
	{
		kill 'TERM', $pid;
		waitpid $pid, 0;
	}
	return;
}

# ---- what the servers say ----

# Where a client looks for whoever is primary.
sub connstr
{
	my ($self, $database, $user) = @_;
	my @members = $self->members;
	$user //= 'postgres';
	return 'host=' . join(',', map { $_->host } @members) . ' port=' . join(',', map { $_->port } @members)
	  . " dbname=$database user=$user connect_timeout=5 target_session_attrs=read-write";
}

# Members that answer by whether they are in recovery: the primary is it by its own word.
sub by_role
{
	my ($self) = @_;
	my %found = (t => [], f => []);

	foreach my $member ($self->members)
	{
		my $answer = psql_error($member, 'postgres', 'SELECT pg_is_in_recovery()');
		push @{ $found{ $answer->{stdout} } }, $member if $answer->{stdout} =~ /^[tf]$/;
	}
	return ($found{f}, $found{t});
}

# The primary, or undef while there is none or more than one.
sub primary
{
	my ($self) = @_;
	my ($primaries) = $self->by_role;
	return @$primaries == 1 ? $primaries->[0] : undef;
}

sub is_streaming
{
	my ($self) = @_;
	my ($primaries, $standbys) = $self->by_role;

	return 0 if @$primaries != 1 || @$standbys != $self->members - 1;
	my $answer = psql_error($primaries->[0], 'postgres', "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'");
	return $answer->{stdout} eq @$standbys;
}

# Waits until all members are there and all but one stream from it; dies with what they say otherwise.
sub wait_for_streaming
{
	my ($self, $seconds) = @_;
	return if wait_until(sub { $self->is_streaming || (sleep(0.2), 0)[1] }, $seconds);
	die "the members do not stream:\n" . `patronictl -c $self->{members}[0]{configuration} list 2>&1` . $self->end_of_logs;
}

# The end of what each member's server and Patroni logged, but for what Patroni says every second.
sub end_of_logs
{
	my ($self) = @_;
	my $text = '';

	foreach my $member ($self->members)
	{
		my @lines = grep { !/INFO: (?:no action|Lock owner|Local timeline)/ } split /\n/, eval { file_contents($member->logfile) } // '';
		$text .= join("\n", '==== ' . $member->name, @lines > 40 ? @lines[ -40 .. -1 ] : @lines, '');
	}
	return $text;
}

# ---- what happens to them ----

sub patronictl
{
	my ($self, @arguments) = @_;
	return run_ok('patronictl', '-c', $self->{members}[0]{configuration}, @arguments);
}

# Changes the dynamic configuration, "name=value" each.
sub configure
{
	my ($self, @settings) = @_;
	return $self->patronictl('edit-config', '--force', '--quiet', map { ('-s', $_) } @settings);
}

# Whether Patroni has heard that a member runs: it learns that later than a server itself.
sub is_known_to_run
{
	my ($self, $member) = @_;
	my $list = JSON::PP->new->decode($self->patronictl('list', '--format', 'json'));
	return grep { $_->{Member} eq $member->name && $_->{State} =~ /^(?:running|streaming)$/ } @$list;
}

# Hands the role over to another member, as an administrator does.
sub switch_over
{
	my ($self) = @_;
	return $self->patronictl($self->prepare_switch_over);
}

# The same to a member that may refuse: what comes of it is the caller's to find out.
sub try_switch_over
{
	my ($self) = @_;
	my @arguments = $self->prepare_switch_over;
	IPC::Run::run([ 'patronictl', '-c', $self->{members}[0]{configuration}, @arguments ], '<', '/dev/null', '>&', \my $said);
	return $said;
}

# Waits until the first member that is not primary can take over; the arguments that have it do so.
sub prepare_switch_over
{
	my ($self) = @_;
	my $primary = $self->primary // die "no primary to switch from\n" . $self->end_of_logs;
	my ($candidate) = grep { $_ != $primary } $self->members;

	wait_until(sub { $self->is_known_to_run($candidate) || (sleep(0.2), 0)[1] }, 30);
	return ('switchover', '--leader', $primary->name, '--candidate', $candidate->name, '--force');
}

# Kills the postmaster of the primary, which dies without a word.
sub kill_primary
{
	my ($self) = @_;
	my $primary = $self->primary // die "no primary to kill\n" . $self->end_of_logs;
	my ($pid) = split /\n/, file_contents($primary->data_dir . '/postmaster.pid');

	kill 'KILL', $pid or die "could not kill $pid: $!";
	return $primary;
}

# One server of the cluster.
package DepotPatroni::Member;

use strict;
use warnings;

use File::Path qw(make_path);

sub new
{
	my ($class, $parent, $name) = @_;
	my $directory = "$parent/$name";

	make_path($directory);
	return bless {
		name => $name,
		directory => $directory,
		configuration => "$directory/patroni.yml",
		port => DepotTest::free_port()
	}, $class;
}

sub connstr
{
	my ($self, $database) = @_;
	return "host=127.0.0.1 port=$self->{port} dbname=$database user=postgres connect_timeout=5";
}

sub safe_psql
{
	my ($self, $database, $sql) = @_;
	my $answer = DepotTest::psql_error($self, $database, $sql);
	die "$sql: $answer->{stderr}" if $answer->{status} != 0;
	return $answer->{stdout};
}

sub data_dir { my ($self) = @_; return "$self->{directory}/data" }
sub host { return '127.0.0.1' }
sub logfile { my ($self) = @_; return "$self->{directory}/log" }
sub name { my ($self) = @_; return $self->{name} }
sub port { my ($self) = @_; return $self->{port} }

1;
