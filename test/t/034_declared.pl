# The declared list: depot.extensions is carried out at start, at reload and after a refresh, the bad entries
# of it are told of, and nothing that is in use is ever removed.
# Holds promise 11 (nothing vanishes by absence).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $repository = depot_repository();
my $work = "$ENV{DEPOT_TEST_WORK}/declared";
mkdir $work or die "mkdir: $!";
make_repository("$work/repository", "$work/keys", make_tree_package($work, 'late_one', '1.0'));
my $web = start_web($repository->{directory});
my $node = new_depot_node('declared', conf => "depot.extensions = 'depot_demo 1.*, plpgsql, no_such_thing, a b c, plpgsql 1'\n");

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# The list's entries as "name state version", in its order.
sub entries
{
	return query(
		"SELECT string_agg(concat_ws(' ', name, state, w.installed_version), ', ' ORDER BY d.ordinal)"
		  . " FROM depot.declared d JOIN depot.desired w USING (name, state) WHERE origin = 'declared'");
}

# Sets the list and reloads; each value is another one, so that it is known when it has arrived.
sub set_list
{
	my ($list) = @_;
	query("ALTER SYSTEM SET depot.extensions = '$list'");
	query('SELECT pg_reload_conf()');
	return;
}

sub state_of
{
	my ($name) = @_;
	return query("SELECT string_agg(state, ' ' ORDER BY state) FROM depot.desired WHERE name = '$name'");
}

sub reason_of
{
	my ($name) = @_;
	return query("SELECT coalesce(reason, '') FROM depot.desired WHERE name = '$name'");
}

# Waits until depot.desired shows these states, written as "name state" and sorted.
sub states_ok
{
	my ($expected, $label, $seconds) = @_;
	my $states;
	wait_until(
		sub {
			$states = query("SELECT string_agg(name || ' ' || state, ', ' ORDER BY name, state) FROM depot.desired");
			return $states eq $expected;
		},
		$seconds);
	return is($states, $expected, $label);
}

sub version_of
{
	my ($package) = @_;
	return query("SELECT version FROM depot.installed_packages WHERE package = '$package' AND state = 'active'");
}

sub wait_for_log
{
	my ($pattern, $offset, $label) = @_;
	my $log;
	return ok(wait_until(sub { ($log = substr(file_contents($node->logfile), $offset)) =~ $pattern }), $label)
	  || diag($log);
}

sub log_end
{
	return -s $node->logfile;
}

# ---- at start ----

create_depot($node);
add_repository($node, $web->{http});
states_ok('a refused, depot_demo ok, no_such_thing refused, plpgsql ok, plpgsql refused',
	'after the first refresh: the good entries are carried out, the bad ones refused');
is(version_of('depot_demo'), '1.2', 'in the newest version that the constraint allows');
is(reason_of('a'), 'invalid version constraint: "b c"', 'the reason of a bad constraint');
is(reason_of('no_such_thing'), 'extension "no_such_thing" is not available', 'the reason of an unknown name');
is(query("SELECT reason FROM depot.desired WHERE name = 'plpgsql' AND state = 'refused'"),
	'"plpgsql" stands in the list before, as entry 2', 'the reason of the second entry for a name');
is(query("SELECT installed_version || ' ' || reason FROM depot.desired WHERE name = 'plpgsql' AND state = 'ok'"),
	'1.0 provided by the server installation', 'what the server installation has is ok');
is(query("SELECT role_name, database_name FROM depot.activity_log WHERE action = 'install'"),
	'depot.extensions|', 'the history says who asked');
is(query("SELECT why FROM depot.installed_packages WHERE package = 'depot_demo'"), 'declared', 'and so does the package');
like(file_contents($node->logfile), qr/WARNING:  3 of 5 entries of "depot\.extensions" cannot be carried out/,
	'the log counts the bad entries');
is(() = file_contents($node->logfile) =~ /(?:entry 4 of "depot\.extensions", "a"|Entry 4, "a"): /gi, 1, 'and names each once');
oracle_ok($node, 'after the start');

my $rows = query('SELECT string_agg(ctid || xmin::text || since, \',\' ORDER BY ordinal) FROM depot.declared');
unchanged_ok(
	$node,
	'a restart',
	sub {
		$node->restart;
		wait_for_leader($node);
		query('SELECT pg_reload_conf()');
		# A request that comes after it is answered after it.
		sleep 0.5;
		query("SELECT * FROM install_extension('plpgsql')");
	});
is(query('SELECT string_agg(ctid || xmin::text || since, \',\' ORDER BY ordinal) FROM depot.declared'),
	$rows, 'looking at the list again writes no row anew');

# ---- at reload ----

set_list('depot_demo 1.*, rational');
states_ok('depot_demo ok, rational ok', 'an entry more, the bad ones gone');
set_list('depot_demo >= 1, != 1.2, rational');
wait_until(sub { version_of('depot_demo') eq '2.0' });
is(version_of('depot_demo'), '2.0', 'what does not satisfy a new constraint is replaced');
set_list('rational, depot_demo');
states_ok('depot_demo ok, rational ok', 'a constraint less, and another order');
is(version_of('depot_demo'), '2.0', 'what satisfies stays');
set_list('rational');
states_ok('depot_demo ok, rational ok', 'without prune nothing goes');
is(reason_of('depot_demo'), 'no longer in depot.extensions', 'and depot.desired says that it is left over');
oracle_ok($node, 'after some reloads');

my $offset = log_end();
$node->append_conf('postgresql.conf', "depot.extensions = 'a\\001b'");
query('ALTER SYSTEM RESET depot.extensions');
query('SELECT pg_reload_conf()');
wait_for_log(qr/invalid value for parameter "depot\.extensions"/, $offset, 'what is no list is refused');
is(query('SHOW depot.extensions'), 'rational', 'and the list before it counts');
query("ALTER SYSTEM SET depot.extensions = 'rational'");

# ---- by hand meanwhile ----

query("SELECT uninstall_extension('rational')");
is(state_of('rational'), 'pending', 'what is uninstalled by hand is pending');
is(version_of('rational'), '', 'and not installed at once');
query('SELECT pg_reload_conf()');
states_ok('depot_demo ok, rational ok', 'but at the next reload');
set_list('rational, depot_demo 2.*');
states_ok('depot_demo ok, rational ok', 'an entry with a constraint');
query("SELECT update_extension('depot_demo', '1.0')");
states_ok('depot_demo pending, rational ok', 'another version by hand makes it pending');
like(reason_of('depot_demo'), qr/^changed since/, 'with a reason');
is(version_of('depot_demo'), '1.0', 'and stays');
query('SELECT pg_reload_conf()');
states_ok('depot_demo ok, rational ok', 'until the next reload');
is(version_of('depot_demo'), '2.0', 'which brings the declared one');

# ---- depot.hold ----

query('ALTER SYSTEM SET depot.hold = on');
set_list('rational, depot_demo, semver');
wait_until(sub { query('SHOW depot.extensions') =~ /semver/ });
sleep 0.5;
is(state_of('semver'), '', 'with depot.hold nothing is done');
query('ALTER SYSTEM RESET depot.hold');
query('SELECT pg_reload_conf()');
states_ok('depot_demo ok, rational ok, semver ok', 'until it is off again');

# ---- prune ----

query('CREATE DATABASE other');
query('CREATE EXTENSION semver', 'other');
query("SELECT install_extension('rational')");
is(query("SELECT why FROM depot.installed_packages WHERE package = 'rational'"), 'requested',
	'install_extension of what is declared makes it requested');
query("SELECT install_extension('depot_needs')");
query('ALTER SYSTEM SET depot.extensions_prune = on');
set_list('');
wait_until(sub { query('SELECT count(*) FROM depot.declared') == 0 });
sleep 0.5;
is(version_of('semver'), '0.32.0', 'an empty list removes nothing');
set_list('plpgsql, hll, a b c');
states_ok('a refused, depot_demo ok, depot_needs ok, hll ok, plpgsql ok, rational ok, semver ok',
	'a list with a bad entry removes nothing');
$offset = log_end();
set_list('plpgsql');
wait_for_log(qr/LOG:  removed package "hll"/, $offset, 'what is no longer in the list goes');
wait_for_log(qr/package "semver" is no longer in "depot\.extensions", but stays.*\n.*"semver" is used in database "other"/,
	$offset, 'but not what a database uses');
wait_for_log(qr/package "depot_demo" is no longer in "depot\.extensions", but stays.*\n.*needed by package "depot_needs"/,
	$offset, 'nor what another package needs');
states_ok('depot_demo ok, depot_needs ok, plpgsql ok, rational ok, semver ok', 'nor what somebody asked for');
query('DROP EXTENSION semver', 'other');
query("SELECT uninstall_extension('depot_needs')");
query('SELECT pg_reload_conf()');
states_ok('plpgsql ok, rational ok', 'at the next reload what nobody uses any more goes');
is(query("SELECT role_name FROM depot.activity_log WHERE action = 'remove' AND previous_version = '0.32.0'"),
	'depot.extensions', 'the history says who asked');
query('ALTER SYSTEM RESET depot.extensions_prune');
oracle_ok($node, 'after pruning');

# ---- a repository that is down, and up again ----

stop_web($web);
$offset = log_end();
set_list('hll, pgtap, semver, plpgsql');
states_ok('hll failed, pgtap failed, plpgsql ok, rational ok, semver failed', 'without the repository they fail');
like(reason_of('pgtap'), qr/^could not fetch .*no connection$/, 'with the reason');
my $since = query("SELECT since FROM depot.desired WHERE name = 'hll'");
wait_for_log(qr/WARNING:  entry "hll" of "depot\.extensions" and 2 more: failed/, $offset, 'the log says so once for all of them');
sleep 4;
is(query("SELECT since FROM depot.desired WHERE name = 'hll'"), $since, 'further attempts leave state and time alone');
my $warnings = () = substr(file_contents($node->logfile), $offset) =~ /WARNING:  entry/g;
is($warnings, 1, 'and are not logged again and again');
start_web_again($web);
states_ok('hll ok, pgtap ok, plpgsql ok, rational ok, semver ok', 'when it is up again they come by themselves');
oracle_ok($node, 'after the repository came back');

# ---- after a refresh ----

add_repository($node, "$work/repository", name => 'second', root => "$work/repository/metadata/1.root.json");
set_list('late_one, late_two, hll 2.*');
states_ok('hll ok, late_one ok, late_two refused, pgtap ok, rational ok, semver ok', 'a name that nobody has yet');
publish("$work/repository", "$work/keys", make_tree_package($work, 'late_two', '1.0'), make_tree_package($work, 'late_one', '1.1'));
query("SELECT refresh_extension_repository('second')");
states_ok('hll ok, late_one ok, late_two ok, pgtap ok, rational ok, semver ok', 'comes after a refresh');
is(version_of('late_one'), '1.0', 'which does not update what satisfies');

set_list('late_one, late_two, late_three');
states_ok('hll ok, late_one ok, late_three refused, late_two ok, pgtap ok, rational ok, semver ok', 'another such name');
publish("$work/repository", "$work/keys", make_tree_package($work, 'late_three', '1.0'));
query("ALTER SYSTEM SET depot.refresh_interval = '1s'");
query('SELECT pg_reload_conf()');
states_ok('hll ok, late_one ok, late_three ok, late_two ok, pgtap ok, rational ok, semver ok',
	'comes by depot.refresh_interval');
query('ALTER SYSTEM RESET depot.refresh_interval');

# ---- a leader that is killed while it carries the list out ----

query("SELECT uninstall_extension('$_')") foreach qw(hll late_two semver);
set_list('late_one, late_two, late_three, hll, semver, depot_big');
sleep 0.1;
kill 'KILL', leader_pid($node);
ok(wait_until(sub { psql_error($node, 'postgres', 'SELECT 1')->{status} == 0 }), 'the server is back');
wait_for_leader($node);
states_ok('depot_big ok, hll ok, late_one ok, late_three ok, late_two ok, pgtap ok, rational ok, semver ok',
	'and goes on with the list');
oracle_ok($node, 'after the kill', '--repository', "$work/repository");

# ---- ten thousand entries ----

my $many = join(', ', 'hll', map { "name_$_ >= 1, < 2" } 1 .. 10_000);
my $start = time;
is(query("SELECT string_agg(action || ' ' || n, ', ' ORDER BY action)"
			. " FROM (SELECT action, count(*) n FROM check_extension_list('$many') GROUP BY 1) c"),
	'keep 1, refused 10000', 'check_extension_list of 10001 entries');
my $check_seconds = time - $start;
cmp_ok($check_seconds, '<', 60, sprintf('takes %.2f s', $check_seconds));
$start = time;
set_list($many);
ok(wait_until(sub { query('SELECT count(*) FROM depot.declared') == 10_001 }), 'a list of 10001 entries');
diag(sprintf('%d entries: check_extension_list %.2f s, list %.2f s', 10_001, $check_seconds, time - $start));
$start = time;
query("SELECT * FROM install_extension('plpgsql')");
cmp_ok(time - $start, '<', 60, 'the leader still answers');
ok( wait_until(
		sub {
			query("SELECT string_agg(state || ' ' || n, ', ' ORDER BY state)"
				  . " FROM (SELECT state, count(*) n FROM depot.declared GROUP BY 1) c") eq 'ok 1, refused 10000';
		}),
	'all are decided');
my $lines = () = file_contents($node->logfile) =~ /entry \d+ of "depot\.extensions", "name_/g;
cmp_ok($lines, '<=', 20, 'the log is not filled');

# ---- ten changes under load ----

set_list('plpgsql');
states_ok('depot_big ok, hll ok, late_one ok, late_three ok, late_two ok, pgtap ok, plpgsql ok, rational ok, semver ok',
	'back to a short list');
query('ALTER SYSTEM SET depot.extensions_prune = on');
query('CREATE DATABASE load');
query('CREATE EXTENSION pg_depot_client', 'load');
query('CREATE EXTENSION pgtap', 'other');
my @sessions = (
	start_psql($node, 'load',
		"SELECT * FROM install_extension('ip4r'); CREATE EXTENSION ip4r; SELECT '1.2.3.4'::ip4; DROP EXTENSION ip4r;\n" x 20),
	start_psql($node, 'postgres', "SELECT * FROM install_extension('depot_big'); TABLE depot.desired; SELECT pg_sleep(0.1);\n" x 40));
my @lists = (
	'hll, depot_demo 1.*', 'hll, pgtap, depot_demo 2.*', 'depot_needs, a b c', 'depot_demo 1.1, hll 2.*, semver', 'pgtap',
	'depot_demo, depot_demo 1.0, semver', 'no_such_thing', 'hll, semver', 'depot_needs, hll',
	'hll, semver >= 0.30, < 1, depot_demo 1.*');
my ($created, @gone) = (0);
foreach my $n (0 .. $#lists)
{
	my $list = $lists[$n];
	set_list($list);
	# Whether its files are there is a matter of time; once it is created they must stay.
	sleep 0.07 * ($n % 4);
	my $is_created = psql_error($node, 'load', 'CREATE EXTENSION semver')->{status} == 0;
	sleep 1;
	push @gone, "$list: pgtap" if version_of('pgtap') eq '';
	next if !$is_created;
	$created++;
	push @gone, "$list: semver" if psql_error($node, 'load', "SELECT '1.2.3'::semver")->{status} != 0;
	query('DROP EXTENSION semver', 'load');
}
foreach my $session (@sessions)
{
	my $result = finish_psql($session);
	is($result->{stderr} =~ /ERROR/ ? $result->{stderr} : '', '', 'a session beside it has no error');
}
is(join(', ', @gone), '', "what a database uses stays (created $created times)");
ok(wait_until(sub { entries() eq 'hll ok 2.17, semver ok 0.32.0, depot_demo ok 1.2' }), 'depot.desired ends as the last list says')
  or diag(entries());
is(query('SELECT count(*) FROM verify_extension_files()'), 0, 'every file is as it should be');
is(query('SELECT pgtap_version() IS NOT NULL', 'other'), 't', 'and works');
ok( wait_until(
		sub {
			query("SELECT string_agg(package, ' ' ORDER BY package) FROM depot.installed_packages WHERE why = 'declared'") eq
			  'depot_demo hll pgtap semver';
		}),
	'what the list once called for and nobody uses is gone')
  or diag(query('SELECT package, why FROM depot.installed_packages'));
oracle_ok($node, 'after changes under load');

$node->stop;
done_testing();
