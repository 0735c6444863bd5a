# What the leader puts off comes back by itself, whatever was in the way and however that ended.
#
# Holds promise 3 (nothing half-done).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;
use Time::HiRes qw(sleep);

my $web = start_web(depot_repository()->{directory}, rate => '400k');
my $primary = new_primary('primary', conf => "log_statement = none\nmax_worker_processes = 3\n");

sub query
{
	my ($sql, $server) = @_;
	return ($server // $primary)->safe_psql('postgres', $sql);
}

sub sets
{
	my ($server, @lines) = @_;
	$server->append_conf('postgresql.conf', join("\n", @lines));
	$server->reload;
	return;
}

sub count_in_log
{
	my ($server, $pattern, $offset) = @_;
	return scalar(() = substr(log_of($server), $offset) =~ /$pattern/g);
}

# Keeps the leader from writing to a table, runs a sub, and lets it again.
sub while_locked
{
	my ($table, $during) = @_;
	my $session = start_psql($primary, 'postgres', "BEGIN; LOCK TABLE $table IN SHARE MODE; SELECT pg_sleep(600)");
	ok(wait_until(sub { query("SELECT count(*) FROM pg_locks WHERE relation = '$table'::regclass AND mode = 'ShareLock' AND granted") }), "$table is locked");
	$during->();
	query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = '$table'::regclass AND mode = 'ShareLock' AND granted");
	finish_psql($session);
	return;
}

# Waits until the leader has tried to write to a table that is locked.
sub is_blocked_by
{
	my ($table) = @_;
	my $leader = leader_pid($primary);
	return ok(wait_until(sub { query("SELECT count(*) FROM pg_locks WHERE pid = $leader AND relation = '$table'::regclass AND NOT granted") }),
		"the leader waits for $table");
}

# ---- tidying that took too long ----

install($primary, 'hll');
while_locked('depot.payload',
	sub {
		uninstall($primary, 'hll');
		my $offset = -s $primary->logfile;
		sets($primary, 'depot.request_timeout = 1');
		ok(wait_until(sub { count_in_log($primary, qr/WARNING:  the request took longer than/, $offset) >= 2 }),
			'tidying is given up, also after the reload');
	});
is(oracle_is_ok($primary, 30, '--quiet-server', '--no-payload-left'), '', 'and done when nothing is in the way');
sets($primary, 'depot.request_timeout = 300');

# ---- files that are replaced later ----

install($primary, 'depot_demo', '1.0');
my $depot = $primary->data_dir . '/pg_depot';
my $digest = query(q{SELECT digest FROM depot.installed_build WHERE package = 'depot_demo'});
my $scripts = $depot . pg_config_value('sharedir') . '/extension';
chmod 0500, $scripts or die "chmod: $!";
is_error($primary, 'postgres', q{SELECT update_extension('depot_demo', '1.1')}, '58030', qr/not yet active here/, 'files that cannot be written');
ok(wait_until(sub { query('SELECT count(*) FROM depot.payload') eq '1' }), 'the payload of those before has gone by then');
ok(-e "$depot/var/evidence/$digest", 'what proves them stays');
chmod 0700, $scripts or die "chmod: $!";
is(oracle_is_ok($primary, 60, '--quiet-server'), '', 'they are replaced when they can be');
ok(wait_until(sub { !-e "$depot/var/evidence/$digest" }, 30), 'and then what proved them goes');
uninstall($primary, 'depot_demo');

# ---- the payload of files that were here already ----

install($primary, 'semver');
query('DROP EXTENSION pg_depot');
query('CREATE EXTENSION pg_depot');
add_repository($primary, depot_repository()->{directory});
my $session;
while_locked('depot.history',
	sub {
		$session = start_psql($primary, 'postgres', q{SELECT action FROM install_extension('semver')});
		is_blocked_by('depot.history');
		sleep 1;
	});
is(finish_psql($session)->{stdout}, 'install', 'files that were here are adopted');
ok(wait_until(sub { query('SELECT count(*) FROM depot.payload') > 0 }), 'and their package is stored');

# ---- a declared list that is changed while the leader looks at the one before ----

while_locked('depot.declared',
	sub {
		sets($primary, q{depot.extensions = 'hll'});
		is_blocked_by('depot.declared');
		sets($primary, q{depot.extensions = 'rational'});
		ok(wait_until(sub { query('SHOW depot.extensions') eq 'rational' }), 'the list is another');
		sleep 1;
	});
ok(wait_until(sub { query('SELECT string_agg(name || state, $$ $$) FROM depot.declared') eq 'rationalok' }), 'the last list is carried out')
  or diag(query('TABLE depot.declared'));
is(query(q{SELECT count(*) FROM depot.installed WHERE package = 'hll'}), 0, 'and none before it');
sets($primary, q{depot.extensions = ''});

# ---- rows that are restored while builds are looked for ----

while_locked('depot.history',
	sub {
		query("COPY depot.installed (package, version, why, state) FROM stdin;\nhll\t2.17\trequested\tinstalled\n\\.\n");
		is_blocked_by('depot.history');
		query("COPY depot.installed (package, version, why, state) FROM stdin;\ndepot_demo\t1.2\trequested\tinstalled\n\\.\n");
		sleep 1;
	});
ok(wait_until(sub { query(q{SELECT count(*) FROM depot.installed_packages WHERE state <> 'active'}) eq '0' }), 'those that came later get a build, too')
  or diag(query('SELECT package, state FROM depot.installed_packages'));
oracle_ok($primary, 'what the primary put off');

# ---- on a standby: while pg_depot was inactive ----

query(q{SELECT uninstall_extension(package) FROM depot.installed WHERE state = 'installed' AND package <> 'hll'});
my $standby = create_standby('standby', $primary);
follows($standby, $primary, 'at the beginning');
SKIP:
{
	skip 'there is no extension_destdir', 3 if query(q{SELECT count(*) FROM pg_settings WHERE name = 'extension_destdir'}) eq '0';
	my $offset = -s $standby->logfile;
	sets($standby, q{extension_destdir = '/nowhere'});
	ok($standby->wait_for_log(qr/WARNING:  pg_depot is inactive/, $offset), 'a standby where pg_depot is inactive');
	install($primary, 'semver');
	replayed($standby, $primary);
	sleep 1;
	isnt(oracle_is_ok($standby, 0), '', 'applies nothing');
	sets($standby, q{extension_destdir = ''});
	follows($standby, $primary, 'active again');
}

# ---- what was replayed while something else failed ----

sub fetching_agents
{
	my @pids = agent_pids(leader_pid($standby));
	return grep { (eval { file_contents("/proc/$_/cmdline") } // '') =~ /\0agent\0fetch\0/ } @pids;
}

sets($primary, 'depot.replicate_payloads = off');
ok(wait_until(sub { query('SHOW depot.replicate_payloads') eq 'off' }), 'without payloads');
query(q{SELECT drop_extension_repository('main')});
add_repository($primary, $web->{slow}, name => 'slow');
install($primary, 'depot_big');
foreach (1 .. 5)
{
	my $pid;
	ok(wait_until(sub { ($pid) = fetching_agents(); $pid }), 'the standby fetches');
	my $offset = -s $standby->logfile;
	kill 'KILL', $pid;
	ok($standby->wait_for_log(qr/the fetch agent ended unexpectedly/, $offset), 'and fails');
	$standby->reload;
}
my $pid;
ok(wait_until(sub { ($pid) = fetching_agents(); $pid }), 'it fetches again');
uninstall($primary, 'hll');
replayed($standby, $primary);
sleep 1;
kill 'KILL', $pid;
my $control = $standby->data_dir . '/pg_depot' . pg_config_value('sharedir') . '/extension/hll.control';
ok(wait_until(sub { !-e $control }, 20), 'what was replayed meanwhile does not wait for what fails');

# ---- a reporter for which there is no worker ----

$session = start_psql($standby, 'postgres', 'SET ' . (query('SHOW server_version_num') < 160000 ? 'force_parallel_mode' : 'debug_parallel_query')
	  . ' = on; SELECT pg_sleep(600)');
ok(wait_until(sub { query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}, $standby) }), 'the last worker is taken');
my $offset = -s $standby->logfile;
sets($standby, q{depot.report_conninfo = 'host=/nowhere'});
ok($standby->wait_for_log(qr/WARNING:  this server does not report to its primary: no background worker is left/, $offset), 'so that there is none for the reporter');
query(q{SELECT pg_terminate_backend(leader_pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}, $standby);
finish_psql($session);
ok(wait_until(sub { query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_depot reporter'}, $standby) }), 'it starts when there is one again');

$standby->stop('immediate');
$primary->stop;
done_testing();
