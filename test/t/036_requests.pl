# Requests beside each other: who waits for whom, for how long, and what the limits say.
#
# Holds promises 6 (no waiting inside) and 10 (repeatable): locks of the caller and of others, one package asked
# for twice, a slow repository, depot.hold, depot.min_free_space, depot.request_timeout, depot.max_agents.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $repository = depot_repository();
my $web = start_web($repository->{directory}, rate => '20k');
my $node = new_depot_node('requests', conf => "log_statement = none\n");
create_depot($node);
add_repository($node, $web->{http}, name => 'fast');
add_repository($node, $web->{slow}, name => 'slow');

sub wait_for_phase
{
	my ($phase, $count) = @_;
	DepotTest::wait_until(
		sub { $node->safe_psql('postgres', "SELECT count(*) FROM depot.activity WHERE phase = '$phase'") eq $count })
	  or die "no $count requests are $phase: " . $node->safe_psql('postgres', 'TABLE depot.activity');
	return;
}

sub set_and_reload
{
	my ($name, $value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	ok($node->poll_query_until('postgres', "SELECT setting = '$value' FROM pg_settings WHERE name = '$name'"), "$name = $value");
	# What the leader answers now it may still answer by the old value, but nothing after that.
	psql_error($node, 'postgres', "SELECT install_extension('plpgsql', dry_run => true)");
	return;
}

# Tests that the leader comes to have count agents and keeps the very same: those of a request that has just been
# answered are still on their way out, and those of one that must wait would be started now.
sub has_agents_ok
{
	my ($leader, $count, $label) = @_;
	my @agents;
	DepotTest::wait_until(sub { @agents = sort(agent_pids($leader)); @agents == $count });
	is(scalar(@agents), $count, $label);
	my $is_other = DepotTest::wait_until(sub { join(' ', sort(agent_pids($leader))) ne "@agents" }, 0.5);
	return ok(!$is_other, "$label: it stays so");
}

# ---- the caller's own locks, and others' ----

foreach my $case (
	[ 'LOCK TABLE depot.installed IN EXCLUSIVE MODE', 'installed' ],
	[ 'LOCK TABLE depot.generation IN ACCESS EXCLUSIVE MODE', 'generation' ],
	[ 'SELECT FROM depot.generation FOR UPDATE', 'generation' ],
	[ 'LOCK TABLE pg_catalog.pg_extension', 'pg_catalog.pg_extension' ])
{
	my ($lock, $table) = @$case;
	$table = "depot.$table" if $table !~ /\./;
	unchanged_ok(
		$node, $lock,
		sub {
			my $start = time;
			my $error = is_error($node, 'postgres', "BEGIN; $lock; SELECT install_extension('hll', repository => 'fast')",
				'55P03', qr/^this session's own transaction holds a lock on table "\Q$table\E"$/, $lock);
			like($error->{hint}, qr/^Commit or roll back first/, "$lock: says what to do");
			cmp_ok(time - $start, '<', 60, "$lock: long before depot.request_timeout");
		});
}

my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE depot.installed IN EXCLUSIVE MODE');
my $locked_out = start_psql($node, 'postgres', "SELECT action FROM install_extension('hll', repository => 'fast')");
DepotTest::wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM depot.activity WHERE subject = 'hll'") eq '1' })
  or die 'the request is not there';
sleep 1;
is($node->safe_psql('postgres', "SELECT count(*) FROM depot.activity WHERE subject = 'hll'"), '1', "another session's lock is waited for");
$holder->quit;
my $answer = finish_psql($locked_out);
is($answer->{stdout}, 'install', 'for as long as it is held') or diag($answer->{stderr});
oracle_ok($node, "another session's lock");

is_error($node, 'postgres', "BEGIN; ALTER EXTENSION pg_depot ADD TYPE depot_added; SELECT install_extension('hll')", '42704',
	qr/does not exist/, 'an ALTER EXTENSION that fails');
is_error($node, 'postgres',
	"BEGIN; CREATE TYPE depot_added AS ENUM (); ALTER EXTENSION pg_depot ADD TYPE depot_added; SELECT install_extension('hll')",
	'55000', qr/^this transaction has created or altered extension pg_depot$/, 'a call in the transaction that altered pg_depot');

# ---- one package, asked for twice ----

sub downloads
{
	my ($package) = @_;
	return scalar(() = DepotTest::file_contents($web->{access_log}) =~ m{"GET /targets/\S*/[0-9a-f]{64}\.\Q$package\E-\S+ HTTP}g);
}

$node->safe_psql('postgres', 'CREATE ROLE another SUPERUSER');
my @sessions = map { start_psql($node, 'postgres', $_) } (
	"SELECT action FROM install_extension('pgtap', repository => 'slow')",
	"SET ROLE another; SELECT action FROM install_extension('pgtap', repository => 'slow')",
	"SELECT action FROM install_extension('pgtap', repository => 'slow', version => '>= 0')");
my @answers = map { finish_psql($_) } @sessions;
is(join(' ', sort map { $_->{stdout} } @answers), 'install keep keep', 'two roles ask at once: one installs, the others find it')
  or diag(map { $_->{stderr} } @answers);
ok(DepotTest::wait_until(sub { downloads('pgtap') > 0 }) && downloads('pgtap') == 1, 'and it was fetched once');
oracle_ok($node, 'one package, three requests');

# ---- a slow repository ----

my $slow = start_psql($node, 'postgres', "SELECT install_extension('depot_big', repository => 'slow')");
wait_for_phase('fetching', 1);
my $second = start_psql($node, 'postgres', "SELECT install_extension('depot_wide', repository => 'slow')");
DepotTest::wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM depot.activity WHERE subject = 'depot_wide'") eq '1' })
  or die 'the second request is not there';
wait_for_phase('fetching', 1);
$answer = finish_psql(start_psql($node, 'postgres', "SELECT action FROM install_extension('semver', repository => 'fast')"));
is($answer->{stdout}, 'install', 'two requests to a slow repository do not hold up another');
cmp_ok($answer->{seconds}, '<', 30, 'which is answered long before they are');
has_agents_ok(leader_pid($node), 2, 'one of the slow ones has agents, the other waits');

# ---- depot.max_agents ----

set_and_reload('depot.max_agents', 1);
my $waiting = start_psql($node, 'postgres', "SELECT action FROM install_extension('rational', repository => 'fast')");
ok( DepotTest::wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM depot.activity WHERE subject = 'rational'") eq '1' }),
	'with depot.max_agents = 1 the next request waits');
my $leader = leader_pid($node);
has_agents_ok($leader, 2, 'without agents');
my $refreshing = start_psql($node, 'postgres', "SELECT count(*) FROM refresh_extension_repository('fast')");
ok( DepotTest::wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM depot.activity WHERE subject = 'fast'") eq '1' }),
	'so does a refresh');
my $fetched = "SELECT bytes_done FROM depot.activity WHERE subject = 'depot_big'";
my $bytes = $node->safe_psql('postgres', $fetched);
ok(DepotTest::wait_until(sub { $node->safe_psql('postgres', $fetched) > $bytes }), 'while the one that has agents goes on');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM depot.activity WHERE subject IN (\'depot_big\', \'depot_wide\')');
is(finish_psql($slow)->{sqlstate}, '57014', 'the slow request is canceled');
is(finish_psql($second)->{sqlstate}, '57014', 'and the one behind it');
is(finish_psql($waiting)->{stdout}, 'install', 'and the one that waited has its turn');
is(finish_psql($refreshing)->{status}, 0, 'so has the refresh');
set_and_reload('depot.max_agents', 2);

# ---- depot.request_timeout ----

set_and_reload('depot.request_timeout', 2);
unchanged_ok(
	$node,
	'depot.request_timeout',
	sub {
		my $error = is_error($node, 'postgres', "SELECT install_extension('depot_big', repository => 'slow')", '57014',
			qr/^the request took longer than "depot\.request_timeout"$/, 'depot.request_timeout');
		is($error->{hint}, 'The call can be repeated.', 'and says that it can be repeated');
	});
ok(DepotTest::processes_gone(30, agent_pids($leader)), 'its agents are gone');

my $stopped = start_psql($node, 'postgres', "SELECT install_extension('depot_big', repository => 'slow')");
wait_for_phase('fetching', 1);
kill 'STOP', agent_pids($leader);
is(finish_psql($stopped)->{sqlstate}, '57014', 'agents that were stopped: the request ends all the same');

kill 'STOP', $leader;
my $start = time;
is_error($node, 'postgres', "SELECT install_extension('ip4r', repository => 'fast')", '57P03',
	qr/^the pg_depot leader does not answer$/, 'a leader that was stopped');
cmp_ok(time - $start, '<', 60, 'is not waited for for ever');
kill 'CONT', $leader;
is($node->safe_psql('postgres', "SELECT action FROM install_extension('ip4r', repository => 'fast')"), 'install',
	'and goes on when it is let');
set_and_reload('depot.request_timeout', 300);
oracle_ok($node, 'time limits');

# ---- depot.min_free_space ----

set_and_reload('depot.min_free_space', 1000000000);
unchanged_ok(
	$node,
	'depot.min_free_space',
	sub {
		my $error = is_error($node, 'postgres', "SELECT install_extension('depot_demo', repository => 'fast')", '53100',
			qr/^not enough free space for the depot's files$/, 'depot.min_free_space');
		like($error->{detail}, qr/^\d+ MB are free in "pg_depot", \d+ MB are needed, and "depot\.min_free_space" keeps 1000000000 MB free\.$/,
			'with the numbers');
	});
is(downloads('depot_demo'), 0, 'and nothing was fetched');
set_and_reload('depot.min_free_space', 0);

# ---- what a refresh has emptied and filled ----

# Its pages are full of dead rows until autovacuum comes, so nobody reads all of them, though it be small.
$node->safe_psql('postgres', 'ANALYZE depot.available');
my $scans = q{SELECT seq_scan, idx_scan FROM pg_stat_all_tables WHERE relid = 'depot.available'::regclass};
my ($read_whole, $by_index) = split /\|/, $node->safe_psql('postgres', $scans);
$node->safe_psql('postgres', $_)
  foreach q{SELECT refresh_extension_repository('fast')}, q{SELECT install_extension('hll', dry_run => true)};
ok($node->poll_query_until('postgres', "SELECT s.idx_scan > $by_index + 1 FROM ($scans) s"), 'depot.available is read by its indexes');
is((split /\|/, $node->safe_psql('postgres', $scans))[0], $read_whole, 'and never as a whole');

# ---- depot.hold ----

set_and_reload('depot.hold', 'on');
foreach my $call (
	"install_extension('ip4r')", "update_extension('hll')", "uninstall_extension('hll')",
	'refresh_extension_repository()', "drop_extension_repository('slow')", 'verify_extension_files(repair => true)')
{
	unchanged_ok(
		$node, "$call on hold",
		sub {
			my $error = is_error($node, 'postgres', "SELECT $call", '55000', qr/^pg_depot changes nothing on this server$/, "$call on hold");
			is($error->{detail}, '"depot.hold" is on.', "$call on hold: says why");
		});
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM verify_extension_files()'), '0', 'what only looks works on hold');
is($node->safe_psql('postgres', "SELECT action FROM install_extension('hll', dry_run => true)"), 'keep', 'so does a dry run');

# A reconcile that is due waits until the hold ends.
my ($control) = glob($node->data_dir . '/pg_depot/usr/share/postgresql/*/extension/semver.control');
unlink $control or die "could not remove $control: $!";
$node->restart;
wait_for_leader($node);
sleep 1;
ok(!-e $control, 'on hold a missing file stays missing');
set_and_reload('depot.hold', 'off');
ok(DepotTest::wait_until(sub { -e $control }), 'and is brought back when the hold ends');
is(oracle_is_ok($node, 120, '--quiet-server'), '', 'files equal rows again');

done_testing();
