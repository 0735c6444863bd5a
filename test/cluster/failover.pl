# Packages come and go while servers change roles and die (promises 3 and 5).
#
# Three servers of Patroni, load on the primary, and a client that installs and removes packages without a pause for
# whatever happens.  A failover loses what was not replicated yet, rows and files alike: the client begins its change again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotPatroni;
use DepotReconnect;
use DepotTest;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
	# How long after an event the client may see its errors, and how long files may take once all members stream again.
	EXPLAINED_SECONDS => 30,
	AGREE_SECONDS => 10,
};

my $seed = $ENV{DEPOT_TEST_SEED} // (time ^ $$) & 0xffff;
note "DEPOT_TEST_SEED=$seed";
srand $seed;

my $repository = depot_repository();
my $web = start_web($repository->{directory});
my $cluster = DepotPatroni->new('depot.ca_file' => $web->{ca_file});
$cluster->start;

# Changes before and after each event.
my $changes = is_long() ? 4 : 2;
my @times;

# Transactions on the primary, wherever it is: pgbench's clients end when they lose it, and others begin.
sub start_load
{
	my $pid = fork() // die "fork: $!";
	return $pid if $pid != 0;
	setpgrp;
	open(STDOUT, '>', "$ENV{DEPOT_TEST_WORK}/pgbench.log");
	open(STDERR, '>&', \*STDOUT);
	my $test = getppid();
	while (getppid() == $test)
	{
		system 'pgbench', '-n', '-c', '2', '-T', '5', '-R', '100', $cluster->connstr('load');
		sleep(0.2);
	}
	POSIX::_exit(0);
}

# What is there now.  The client may remember more, or less: what it was told last may be lost in a failover.
sub created_extensions
{
	my $names = join(', ', map { "'$_'" } DepotReconnect::extensions());
	return split /\n/,
	  $cluster->primary->safe_psql('postgres', "SELECT extname FROM pg_extension WHERE extname IN ($names) ORDER BY extname");
}

# Nothing changes meanwhile: files and rows agree on every member, and fresh sessions run what is installed.
sub agrees_ok
{
	my ($client, $label) = @_;

	$client->wait_for_pause;
	$cluster->wait_for_streaming(60);
	my $end = time + AGREE_SECONDS;
	my @extensions = created_extensions();
	my $probes = join('; ', map { DepotReconnect::probe($_) } @extensions);
	foreach my $member ($cluster->members)
	{
		my $left = $end - time;
		my $answer = oracle_is_ok($member, $left > 0 ? $left : 0, '--quiet-server');
		ok($answer eq '', "$label: files equal rows on " . $member->name)
		  or diag(substr($answer, 0, 2000), "\n", $cluster->end_of_logs);
		my $probed = psql_error($member, 'postgres', $probes);
		is($probed->{stderr}, '', "$label: " . $member->name . " runs what is installed (@extensions)");
		my $ready = psql_error($member, 'postgres', 'SELECT ready, reason FROM extension_files_ready()');
		is($ready->{stdout}, 't|', "$label: " . $member->name . ' is ready');
	}
	my $nodes;
	wait_until(
		sub {
			$nodes = $cluster->primary->safe_psql('postgres', 'SELECT name, state, behind FROM depot.nodes ORDER BY name');
			return $nodes eq join("\n", map { $_->name . '|ok|0' } $cluster->members) || (sleep(0.1), 0)[1];
		},
		AGREE_SECONDS);
	is($nodes, join("\n", map { $_->name . '|ok|0' } $cluster->members), "$label: the primary knows how all are");
	$client->go_on;
	return;
}

# Waits for the client to have made some changes more.
sub wait_for_changes
{
	my ($client, $count) = @_;
	my $before = $client->changes;
	wait_until(sub { $client->changes >= $before + $count || $client->has_ended || (sleep(0.1), 0)[1] }, 120);
	return if $client->changes >= $before + $count;
	die "the client makes no progress\n" . substr(file_contents($client->{file}), -3000) . $cluster->end_of_logs;
}

# An event in the middle of changes; then everything is as it should be again, on a primary that stays or another one.
sub survives_ok
{
	my ($client, $label, $is_kept, $event) = @_;

	wait_for_changes($client, $changes);
	my $before = $cluster->primary->name;
	push @times, time;
	$event->();
	wait_for_changes($client, $changes);
	agrees_ok($client, $label);
	my $after = $cluster->primary->name;
	ok($is_kept ? $before eq $after : $before ne $after, "$label: from $before to $after");
	return;
}

# A member that lacks files gives the leader lock back, and another one is promoted (docs/standbys.md).
sub refuses_ok
{
	my $before = $cluster->primary;
	my ($held) = grep { $_ != $before } $cluster->members;

	$cluster->wait_for_streaming(60);
	$before->safe_psql('postgres', 'DROP EXTENSION IF EXISTS pg_rational; '
		  . "SELECT uninstall_extension('rational') FROM depot.installed_packages WHERE package = 'rational'");
	ok(wait_until(sub { oracle_is_ok($held, 0, '--quiet-server') eq '' || (sleep(0.2), 0)[1] }, 60), 'not ready: nobody has the package');
	set_hold($held, 'on');
	$before->safe_psql('postgres', "SELECT install_extension('rational')");
	ok( wait_until(sub { psql_error($held, 'postgres', 'SELECT missing FROM extension_files_ready()')->{stdout} eq '{rational}' || (sleep(0.1), 0)[1] }, 60),
		'not ready: ' . $held->name . ' lacks a package');
	$cluster->try_switch_over;
	ok(wait_until(sub { (defined $cluster->primary && $cluster->primary != $held) || (sleep(0.2), 0)[1] }, 60), 'not ready: another member is primary afterwards');
	like(file_contents($held->logfile), qr/pre_promote script `[^`]*pg_depot ready [^`]*` exited with 1/, 'not ready: ' . $held->name . ' was asked to be');
	set_hold($held, 'off');
	$cluster->wait_for_streaming(60);
	ok(wait_until(sub { oracle_is_ok($held, 0, '--quiet-server') eq '' || (sleep(0.2), 0)[1] }, 60), 'ready: it has the package');
	return;
}

# A setting of one member, which Patroni leaves as it is.
sub set_hold
{
	my ($member, $value) = @_;
	PostgreSQL::Test::Utils::append_to_file($member->data_dir . '/postgresql.auto.conf', "depot.hold = $value\n");
	$member->safe_psql('postgres', 'SELECT pg_reload_conf()');
	ok(wait_until(sub { psql_error($member, 'postgres', 'SHOW depot.hold')->{stdout} eq $value || (sleep(0.1), 0)[1] }, 30), "depot.hold = $value on " . $member->name);
	return;
}

my $primary = $cluster->primary;
$primary->safe_psql('postgres', 'CREATE EXTENSION pg_depot');
$primary->safe_psql('postgres', 'CREATE DATABASE load');
wait_for_leader($primary);
add_repository($primary, $web->{https});
foreach my $name (map { $_->name } $cluster->members)
{
	$primary->safe_psql('postgres', "CREATE ROLE $name LOGIN; SELECT add_extension_node('$name', '$name')");
}
run_ok('pgbench', '-i', '-q', $cluster->connstr('load'));
my $load = start_load();
my $client = DepotReconnect->start($cluster->connstr('postgres'), pace => 0.05);
$client->go_on;

survives_ok($client, 'a switchover', 0, sub { $cluster->switch_over });
survives_ok($client, 'a killed primary that comes back', 1, sub { $cluster->kill_primary }) if is_long();
$cluster->configure('master_start_timeout=0');
survives_ok($client, 'a killed primary that another one replaces', 0, sub { $cluster->kill_primary });

$client->end;
kill 'KILL', -$load;
waitpid $load, 0;
refuses_ok() if is_long();
my @made = $client->changes;
cmp_ok(scalar(@made), '>=', is_long() ? 20 : 6, 'the client installed and removed packages: ' . @made);
my @unexplained = $client->unexplained(EXPLAINED_SECONDS, @times);
is(scalar(@unexplained), 0, 'no error but those of a failover')
  or diag(explain(\@unexplained), explain(\@times), $cluster->end_of_logs);
my @crashes = map { grep { /was terminated by signal/ } split /\n/, file_contents($_->logfile) } $cluster->members;
is("@crashes", '', 'no process of a server crashed');
my %met = map { ($_->{sqlstate} => 1) } grep { exists $_->{sqlstate} } $client->events;
note 'SQLSTATEs the client met: ', join(' ', sort keys %met);

done_testing();
