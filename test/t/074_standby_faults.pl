# What goes wrong on a standby: its files come to equal the rows all the same, and whoever looks is told why not yet.
#
# Holds promises 3 (nothing half-done), 5 (one path) and 11 (nothing vanishes by absence).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;
use Time::HiRes qw(sleep);

my $points = "$ENV{DEPOT_TEST_WORK}/points";
mkdir $points or die "mkdir: $!";
my $primary = new_primary('primary', conf => "log_statement = none\n");
my $standby = create_standby('standby', $primary, conf => "max_standby_streaming_delay = 0\n", start => 0);
{
	local $ENV{PG_DEPOT_TEST_POINTS} = $points;
	$standby->start;
}
follows($standby, $primary, 'at the beginning');

sub sets
{
	my ($node, $setting, $value) = @_;
	$node->append_conf('postgresql.conf', "$setting = $value");
	$node->reload;
	return;
}

# What the standby's leader noted last.
sub applied_json
{
	return eval { file_contents($standby->data_dir . '/pg_depot/var/applied.json') } // '';
}

sub count_in_log
{
	my ($pattern, $offset) = @_;
	my $text = substr(log_of($standby), $offset // 0);
	return scalar(() = $text =~ /$pattern/g);
}

sub leader
{
	return leader_pid($standby);
}

# ---- it is looked for changes, not asked ----

is_error($standby, 'postgres', "SELECT install_extension('hll')", '25006', qr/^cannot execute install_extension\(\) during recovery$/,
	'a request on a standby');

# ---- killed: agents, and the leader at each step ----

my $pid = leader();
foreach my $point (qw(check_verified check_unpacked))
{
	DepotTest::write_file("$points/$point", '');
	my $offset = -s $standby->logfile;
	install($primary, 'semver');
	follows($standby, $primary, "agent killed at $point");
	ok(!-e "$points/$point", "$point: an agent was killed");
	like(substr(log_of($standby), $offset), qr/the check agent ended unexpectedly/, "$point: the log says so");
	is(leader(), $pid, "$point: the leader lives");
	uninstall($primary, 'semver');
	follows($standby, $primary, "$point: removed again");
}
foreach my $point (is_long() ? qw(activate_begin activate_libraries activate_scripts activate_control activate_state) : 'activate_control')
{
	DepotTest::write_file("$points/$point", '');
	install($primary, 'hll');
	ok(DepotTest::wait_until(sub { !-e "$points/$point" }, 60), "$point: the leader is killed");
	follows($standby, $primary, "leader killed at $point");
	uninstall($primary, 'hll');
	follows($standby, $primary, "$point: removed again");
}
foreach my $point (is_long() ? qw(reconcile_remove deactivate_begin deactivate_control deactivate_libraries deactivate_state) : 'deactivate_control')
{
	install($primary, 'hll');
	follows($standby, $primary, "$point: installed");
	DepotTest::write_file("$points/$point", '');
	uninstall($primary, 'hll');
	ok(DepotTest::wait_until(sub { !-e "$points/$point" }, 60), "$point: the leader is killed");
	follows($standby, $primary, "leader killed at $point");
}

# ---- conflicts with replay ----

$pid = leader();
my $offset = -s $standby->logfile;
foreach my $round (1 .. (is_long() ? 8 : 2))
{
	my $session = start_psql($primary, 'postgres', 'VACUUM FULL depot.installed; VACUUM FULL depot.installed_build; VACUUM FULL depot.generation;' x 5);
	install($primary, $_) foreach qw(semver hll);
	psql_error($standby, 'postgres', "SELECT pg_cancel_backend($pid)");
	uninstall($primary, $_) foreach qw(semver hll);
	finish_psql($session);
}
install($primary, 'hll');
follows($standby, $primary, 'tables rewritten while it reads, and cancels');
is(leader(), $pid, 'conflicts: the leader lives');

# A lock that is replayed is waited for from outside a transaction.
my $session = start_psql($primary, 'postgres', 'BEGIN; LOCK TABLE depot.installed; SELECT pg_sleep(5); COMMIT;');
DepotTest::wait_until(sub { $primary->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE relation = 'depot.installed'::regclass AND mode = 'AccessExclusiveLock'") }, 30);
$primary->safe_psql('postgres', 'CREATE TABLE flushed ()');
ok($standby->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'depot.installed'::regclass AND mode = 'AccessExclusiveLock'"),
	'a lock is replayed');
kill 'TERM', $pid;
finish_psql($session);
install($primary, 'semver');
follows($standby, $primary, 'a lock while the leader starts');

# ---- more WAL than it can work off ----

$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
install($primary, 'depot_demo', '1.0');
foreach (1 .. 5)
{
	install($primary, 'depot_demo', $_) foreach qw(1.1 1.2 2.0 1.0);
}
$offset = -s $standby->logfile;
psql_error($standby, 'postgres', 'SELECT pg_wal_replay_resume()');
follows($standby, $primary, 'twenty updates at once');
cmp_ok(count_in_log(qr/activated package "depot_demo"/, $offset), '<=', 3, 'of which few were carried out');

# ---- no room ----

$offset = -s $standby->logfile;
sets($standby, 'depot.min_free_space', "'100TB'");
install($primary, 'depot_wide');
replayed($standby, $primary);
ok(DepotTest::wait_until(sub { applied_json() =~ /"ready":false,"missing":\[\{"package":"depot_wide","version":"1.1","reason":"not enough free space/ }, 30),
	'a full disk: the package is named as missing, with the reason')
  or diag(applied_json());
# The pause between attempts is 32 s then, and a reload ends it.
wait_until(sub { count_in_log(qr/not enough free space/, $offset) >= 6 }, 120) if is_long();
sets($standby, 'depot.min_free_space', '0');
follows($standby, $primary, 'with room again', is_long() ? 15 : 60);
ok(DepotTest::wait_until(sub { applied_json() =~ /"ready":true,"missing":\[\]/ }, 30), 'and ready') or diag(applied_json());

# ---- depot.hold ----

sets($standby, 'depot.hold', 'on');
uninstall($primary, 'depot_wide');
install($primary, 'ip4r');
replayed($standby, $primary);
ok(DepotTest::wait_until(sub { applied_json() =~ /"package":"ip4r","version":"[^"]+","reason":"\\"depot.hold\\" is on"/ }, 30),
	'depot.hold: what is not applied is named')
  or diag(applied_json());
isnt(DepotTest::oracle_is_ok($standby, 0), '', 'depot.hold: files are as they were');
sets($standby, 'depot.hold', 'off');
follows($standby, $primary, 'depot.hold is off again');

# ---- what this server alone preloads ----

sets($standby, 'session_preload_libraries', "'hll'");
uninstall($primary, 'hll');
replayed($standby, $primary);
ok($standby->wait_for_log(qr/WARNING:  files of package "hll" stay although its removal is recorded: setting "session_preload_libraries" of the server names library "hll"/),
	'a library that this server preloads stays');
like(applied_json(), qr/"ready":false/, 'and the files are not what the rows say');
is($standby->safe_psql('postgres', 'SELECT 1'), '1', 'so sessions can begin');
sets($standby, 'session_preload_libraries', "''");
follows($standby, $primary, 'no longer preloaded');

# ---- a build for another platform only ----

sets($primary, 'depot.hold', 'on');
$primary->safe_psql('postgres', q(UPDATE depot.installed_build SET platform = 'linux-m68k' WHERE package = 'semver';
	ALTER TABLE depot.generation SET (fillfactor = 90)));
replayed($standby, $primary);
ok( DepotTest::wait_until(sub { applied_json() =~ /"package":"semver","version":"[^"]+","reason":"no build for pg\d+-linux-\w+ is recorded"/ }, 30),
	'a build for another platform: the package is named as missing')
  or diag(applied_json());
$primary->safe_psql('postgres', q(UPDATE depot.installed_build SET platform = (SELECT platform FROM depot.installed_build WHERE package = 'ip4r')
	WHERE package = 'semver'; ALTER TABLE depot.generation RESET (fillfactor)));
sets($primary, 'depot.hold', 'off');
follows($standby, $primary, 'the row is put right');

# ---- a column of another type ----

# Whoever has altered it on the primary must not have the leader here take a boolean for an address.
$pid = leader();
sets($standby, 'depot.hold', 'on');
install($primary, 'hll');
$primary->safe_psql('postgres', 'CREATE TABLE kept AS SELECT * FROM depot.payload; ALTER TABLE depot.payload ALTER data TYPE boolean USING true');
replayed($standby, $primary);
sets($standby, 'depot.hold', 'off');
ok(DepotTest::wait_until(sub { applied_json() =~ /"package":"hll","version":"[^"]+","reason":"[^"]*cannot cast type boolean to bytea/ }, 30),
	'payloads of another type: the package is named as missing')
  or diag(applied_json());
is(leader(), $pid, 'and the leader lives');
$primary->safe_psql('postgres', q(BEGIN; DELETE FROM depot.payload; ALTER TABLE depot.payload ALTER data TYPE bytea USING '';
	INSERT INTO depot.payload SELECT * FROM kept; DROP TABLE kept; ALTER TABLE depot.generation SET (fillfactor = 90); COMMIT;
	ALTER TABLE depot.generation RESET (fillfactor)));
follows($standby, $primary, 'payloads put right');
uninstall($primary, 'hll');
follows($standby, $primary, 'payloads put right, and removed again');

# ---- the extension goes and comes ----

$pid = leader();
$primary->safe_psql('postgres', 'DROP EXTENSION pg_depot');
ok($standby->wait_for_log(qr/LOG:  extension pg_depot does not exist in database "postgres"; files that are installed stay/),
	'DROP EXTENSION: the log says so');
replayed($standby, $primary);
is(DepotTest::oracle_is_ok($standby, 30, '--allow-unclaimed'), '', 'its files stay');
$primary->safe_psql('postgres', 'CREATE EXTENSION pg_depot');
wait_for_leader($primary);
add_repository($primary, depot_repository()->{directory});
install($primary, 'rational');
replayed($standby, $primary);
is(DepotTest::oracle_is_ok($standby, 60, '--allow-unclaimed'), '', 'created again: what is installed now is applied');
is(leader(), $pid, 'and the leader lives');
install($primary, $_) foreach qw(semver ip4r depot_demo);
follows($standby, $primary, 'the others installed again');

# ---- the home database goes and comes ----

$offset = -s $standby->logfile;
$primary->safe_psql('template1', 'DROP DATABASE postgres');
ok($standby->wait_for_log(qr/LOG:  pg_depot leader waits for database "postgres", which does not exist/, $offset), 'DROP DATABASE: the leader waits');
sleep 4;
is(count_in_log(qr/pg_depot leader waits for/, $offset), 1, 'and says so once');
cmp_ok(count_in_log(qr/pg_depot leader" .* exited/, $offset), '<=', 3, 'without starting again and again');
ok(-e (glob($standby->data_dir . '/pg_depot/usr/share/postgresql/*/extension/semver.control'))[0], 'files stay');
$primary->safe_psql('template1', 'CREATE DATABASE postgres');
$primary->safe_psql('postgres', 'CREATE EXTENSION pg_depot');
wait_for_leader($primary);
my $repository = "$ENV{DEPOT_TEST_WORK}/repository";
run_ok('cp', '-a', depot_repository()->{directory}, $repository);
add_repository($primary, $repository);
install($primary, $_) foreach qw(semver ip4r depot_demo rational);
follows($standby, $primary, 'a home database created anew');

# ---- nobody can look at rows before the promotion ----

my $blind = create_standby('blind', $primary, conf => "hot_standby = off\n", start => 0);
$blind->start;
ok($blind->wait_for_log(qr/LOG:  pg_depot can apply nothing on this server before its promotion, since "hot_standby" is off/), 'hot_standby = off: the log says so');
install($primary, 'pgtap');
my $position = $primary->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
ok($primary->poll_query_until('postgres', "SELECT replay_lsn >= '$position' FROM pg_stat_replication WHERE application_name = 'blind'"), 'it replays');
ok(!glob($blind->data_dir . '/pg_depot/usr/share/postgresql/*/extension/pgtap.control'), 'and applies nothing');
$blind->promote;
is($blind->safe_psql('postgres', "SELECT action FROM install_extension('pgtap')"), 'keep', 'the first request after the promotion finds the files');
is(DepotTest::oracle_is_ok($blind, 30), '', 'which equal the rows');

$blind->stop;

# ---- promoted before it had all files ----

# Whoever asks for a package that is recorded, and whose files are not here, must not be told that all is well.
my $early = create_standby('early', $primary, conf => "depot.hold = on\ndepot.min_free_space = '100TB'\n");
install($primary, 'hll');
replayed($early, $primary);
$early->promote;
is_error($early, 'postgres', "SELECT install_extension('hll')", '55000', qr/^pg_depot changes nothing on this server$/, "promoted too early: nothing comes while depot.hold is on");
sets($early, 'depot.hold', 'off');
ok($early->poll_query_until('postgres', 'SHOW depot.hold', 'off'), 'promoted too early: depot.hold is off');
my $refusal = is_error($early, 'postgres', "SELECT install_extension('hll')", '58030', qr/^installation of "hll" is recorded, but not yet active here$/,
	'promoted too early: without room the call says that files are not here');
like($refusal->{detail}, qr/not enough free space/, 'promoted too early: and why');
is($early->safe_psql('postgres', "SELECT action FROM install_extension('hll', dry_run => true)"), 'keep', 'promoted too early: there is nothing to be installed');
sets($early, 'depot.min_free_space', '0');
ok($early->poll_query_until('postgres', 'SHOW depot.min_free_space', '0'), 'promoted too early: with room');
is($early->safe_psql('postgres', "SELECT action FROM install_extension('hll'); CREATE EXTENSION hll; SELECT hll_cardinality(hll_empty())"), "keep\n0",
	'promoted too early: the call returns when files are here');
oracle_ok($early, 'promoted too early');
$early->stop;
uninstall($primary, 'hll');

# ---- the primary and the repository are lost before it has finished ----

follows($standby, $primary, 'before the primary is lost');
$pid = leader();
sets($standby, 'depot.hold', 'on');
ok($standby->poll_query_until('postgres', 'SHOW depot.hold', 'on'), 'a standby that has not begun');
install($primary, 'hll');
$primary->safe_psql('postgres', "CREATE EXTENSION hll; SELECT update_extension('depot_demo', '1.0')");
uninstall($primary, 'ip4r');
replayed($standby, $primary);
$primary->stop('immediate');
rename $repository, "$repository.away" or die "rename: $!";
isnt(DepotTest::oracle_is_ok($standby, 0), '', 'has nothing of it when the primary is lost, and the repository');
is_error($standby, 'postgres', 'SELECT hll_cardinality(hll_empty())', '58P01', qr/hll/, 'as a query tells');
sets($standby, 'depot.hold', 'off');
is(DepotTest::oracle_is_ok($standby, 60), '', 'it finishes from what was replayed: files equal rows');
is($standby->safe_psql('postgres', 'SELECT hll_cardinality(hll_empty())'), '0', 'and the query works');
is(leader(), $pid, 'the leader lives');

$standby->promote;
is($standby->safe_psql('postgres', 'CREATE TABLE counted AS SELECT hll_add(hll_empty(), hll_hash_integer(1)) AS h; SELECT hll_cardinality(h) FROM counted'),
	'1', 'it is promoted, and hll works');
is_error($standby, 'postgres', "SELECT install_extension('depot_wide')", '08001', qr/^could not fetch/, 'what was not replayed needs the repository');
oracle_ok($standby, 'a new primary without a repository');
rename "$repository.away", $repository or die "rename: $!";
is(install($standby, 'depot_wide'), 'install', 'which is back: the new primary installs');
oracle_ok($standby, 'a new primary');
$standby->stop;
done_testing();
