# The path settings: whoever sets them, wherever, what is installed stays reachable.
#
# Holds promise 4 (the server starts).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use File::Temp qw(tempdir);
use Test::More;

my $repository = depot_repository();
my $node = new_depot_node('paths');
create_depot($node);
add_repository($node, $repository->{directory});
my $depot = $node->data_dir . '/pg_depot';
my $lib = $depot . pg_config_value('pkglibdir');
my $system_control = pg_config_value('sharedir') . '/extension';

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# A fresh session loads the library, creates another extension and uses a system one.
my $round = 0;

sub works_ok
{
	my ($label) = @_;
	$round++;
	my $error = DepotTest::psql_error($node, 'postgres',
		"SELECT hll_cardinality(hll_empty()); CREATE SCHEMA s$round; CREATE EXTENSION semver SCHEMA s$round;"
		  . " CREATE EXTENSION hstore VERSION '1.4' SCHEMA s$round; ALTER EXTENSION hstore UPDATE;"
		  . " SET client_min_messages = warning; DROP SCHEMA s$round CASCADE");
	ok($error->{status} == 0, "a fresh session works: $label") or diag($error->{stderr});
	return;
}

query("SELECT install_extension('$_')") foreach qw(hll semver);
query('CREATE EXTENSION hll');
works_ok('with nothing set');
is(query('SHOW dynamic_library_path'), "\$libdir:$lib", 'our directory is last in dynamic_library_path');
is(query('SHOW extension_destdir'), $depot, 'extension_destdir is ours');
is(query("SELECT count(*) FROM pg_file_settings WHERE name IN ('dynamic_library_path', 'extension_destdir')"), 0,
	'nothing is written to a configuration file');

# ---- dynamic_library_path, in every place there is ----

my $elsewhere = tempdir(CLEANUP => 1);
my $reload_shows = sub {
	my ($wanted, $label) = @_;
	ok(DepotTest::wait_until(sub { query('SHOW dynamic_library_path') eq $wanted }), "$label: what a fresh session sees")
	  or diag(query('SHOW dynamic_library_path'));
	return;
};

sub with_reload_and_restart
{
	my ($label, $wanted) = @_;
	$node->reload;
	$reload_shows->($wanted, "$label, reload");
	works_ok("$label, reload");

	# Without $libdir no server finds what it shall preload by a bare name.
	return if $wanted !~ /\$libdir/;
	$node->restart;
	is(query('SHOW dynamic_library_path'), $wanted, "$label, restart: what a fresh session sees");
	works_ok("$label, restart");
	return;
}

$node->append_conf('postgresql.conf', "dynamic_library_path = '$elsewhere:\$libdir'");
with_reload_and_restart('in the file', "$elsewhere:\$libdir:$lib");
$node->append_conf('postgresql.conf', "dynamic_library_path = '\$libdir:$lib:$elsewhere'");
with_reload_and_restart('in the file, with ours in it', "\$libdir:$lib:$elsewhere");
$node->append_conf('postgresql.conf', "dynamic_library_path = ''");
with_reload_and_restart('empty in the file', $lib);
my $leader = leader_pid($node);
query("SELECT pg_terminate_backend($leader, 10000)");
wait_for_leader($node);
isnt(leader_pid($node), $leader, 'the leader starts again without $libdir in the path');
query("SELECT install_extension('ip4r')");
is(query("SELECT action FROM uninstall_extension('ip4r')"), 'remove', 'the usage check works without $libdir in the path');
$node->adjust_conf('postgresql.conf', 'dynamic_library_path', undef);
with_reload_and_restart('taken out of the file', "\$libdir:$lib");

query("ALTER SYSTEM SET dynamic_library_path = '$elsewhere'");
with_reload_and_restart('ALTER SYSTEM', "$elsewhere:$lib");
query('ALTER SYSTEM RESET dynamic_library_path');
with_reload_and_restart('ALTER SYSTEM RESET', "\$libdir:$lib");

query("ALTER DATABASE postgres SET dynamic_library_path = '$elsewhere:\$libdir'");
with_reload_and_restart('ALTER DATABASE', "$elsewhere:\$libdir:$lib");
query('ALTER DATABASE postgres RESET dynamic_library_path');
with_reload_and_restart('ALTER DATABASE RESET', "\$libdir:$lib");

my $role = query('SELECT current_user');
query("ALTER ROLE $role SET dynamic_library_path = '\$libdir:$elsewhere'");
with_reload_and_restart('ALTER ROLE', "\$libdir:$elsewhere:$lib");
query("ALTER ROLE $role RESET dynamic_library_path");
with_reload_and_restart('ALTER ROLE RESET', "\$libdir:$lib");

is(query("SET dynamic_library_path = '$elsewhere'; SHOW dynamic_library_path; SELECT hll_cardinality(hll_empty())"),
	"$elsewhere:$lib\n0", 'SET');
is(query("SET dynamic_library_path = '$elsewhere'; RESET dynamic_library_path; SHOW dynamic_library_path;"
			. ' SELECT hll_cardinality(hll_empty())'), "\$libdir:$lib\n0", 'RESET');
is(query("BEGIN; SET LOCAL dynamic_library_path = '$elsewhere'; SELECT hll_cardinality(hll_empty()); ROLLBACK; SHOW dynamic_library_path"),
	"0\n\$libdir:$lib", 'SET LOCAL and ROLLBACK');
is(query("SET dynamic_library_path TO DEFAULT; LOAD 'hll'; SHOW dynamic_library_path"), "\$libdir:$lib", 'LOAD by a bare name');
is_error($node, 'postgres', 'SET dynamic_library_path = E\'a\\nb::c\'; LOAD \'hll\'', '42602', qr/component in parameter "dynamic_library_path"/,
	'a path that PostgreSQL refuses stays refused');
works_ok('after a refused path');

# ---- a system extension with an update path, before anything is installed ----

my $fresh = new_depot_node('fresh');
create_depot($fresh);
is($fresh->safe_psql('postgres', "CREATE EXTENSION hstore VERSION '1.4'; ALTER EXTENSION hstore UPDATE;"
			. " SELECT 'a=>1'::hstore -> 'a'"), 1, 'a system extension with an update path, in an empty depot');
is($fresh->safe_psql('postgres', "CREATE EXTENSION citext VERSION '1.4'; ALTER EXTENSION citext UPDATE; SELECT 'A'::citext = 'a'"),
	't', 'another one');
$fresh->stop;

# ---- extension_destdir set by the administrator ----

my $theirs = tempdir(CLEANUP => 1);
run_ok('mkdir', '-p', "$theirs$system_control");
my $log_start = -s $node->logfile;

sub logged
{
	return substr(DepotTest::file_contents($node->logfile), $log_start);
}

$node->append_conf('postgresql.conf', "extension_destdir = '$theirs'");
$node->reload;
ok(DepotTest::wait_until(sub { query('SHOW extension_destdir') eq $theirs }), 'the administrator\'s extension_destdir stays');
ok(DepotTest::wait_until(sub { logged() =~ /WARNING:  pg_depot is inactive/ }), 'a WARNING at the reload');
my $error = is_error($node, 'postgres', "SELECT install_extension('pgtap')", '55000', qr/pg_depot is inactive/, 'inactive after the reload');
like($error->{detail} // '', qr/"extension_destdir" is set to "\Q$theirs\E".*Take the setting out/, 'says why and what to do');
is_error($node, 'postgres', "SELECT uninstall_extension('semver')", '55000', qr/pg_depot is inactive/, 'uninstall, too');
is(query("CREATE EXTENSION hstore VERSION '1.4'; ALTER EXTENSION hstore UPDATE; SELECT 'a=>1'::hstore -> 'a'; DROP EXTENSION hstore"),
	1, 'a system extension works');

my $before = oracle_dump($node);
$log_start = -s $node->logfile;
$node->restart;
is(query('SHOW extension_destdir'), $theirs, 'the administrator\'s extension_destdir stays at a restart');
is(scalar(() = logged() =~ /WARNING:  pg_depot is inactive/g), 1, 'one WARNING at the start')
  or diag(logged());
ok(DepotTest::wait_until(
		sub { (DepotTest::psql_error($node, 'postgres', "SELECT install_extension('pgtap')")->{sqlstate} // '') eq '55000' }, 10),
	'inactive after the restart');
is(oracle_dump($node), $before, 'rows and files are as before');
$node->adjust_conf('postgresql.conf', 'extension_destdir', undef);
$node->reload;
ok(DepotTest::wait_until(sub { query('SHOW extension_destdir') eq $depot }), 'ours is back after a reload');
works_ok('extension_destdir taken out, reload');
ok(DepotTest::wait_until(
		sub { DepotTest::psql_error($node, 'postgres', "SELECT install_extension('pgtap')")->{status} == 0 }, 10),
	'active again without a restart');
$node->restart;
wait_for_leader($node);
works_ok('extension_destdir taken out, restart');
is(query("SET extension_destdir = ''; SHOW extension_destdir"), $depot, 'an empty extension_destdir is ours');
is(query("SET extension_destdir = '$theirs'; RESET extension_destdir; SHOW extension_destdir"), $depot, 'RESET');
query("ALTER DATABASE template1 SET extension_destdir = '$theirs'");
is(query("SELECT action FROM install_extension('ip4r')"), 'install', 'somebody else\'s database does not matter');
query('ALTER DATABASE template1 RESET extension_destdir');
oracle_ok($node, 'after all of it');
$node->stop;

# ---- depot.directory ----

my $outside = tempdir(CLEANUP => 1) . '/a.depot';
my $away = new_depot_node('away', conf => "depot.directory = '$outside'");
create_depot($away);
add_repository($away, $repository->{directory});
is($away->safe_psql('postgres', "SELECT action FROM install_extension('hll'); CREATE EXTENSION hll; SELECT hll_cardinality(hll_empty())"),
	"install\n0", 'an absolute depot.directory outside the data directory');
ok(!-e $away->data_dir . '/pg_depot', 'nothing is made inside the data directory');
oracle_ok($away, 'outside the data directory');
is((stat $outside)[2] & 07777, 0700, 'its mode is 0700');
$away->restart;
wait_for_leader($away);
is($away->safe_psql('postgres', 'SELECT hll_cardinality(hll_empty())'), 0, 'works after a restart');

# Another place is another depot: its files come anew, the old ones stay.
my $inside = 'some/where';
mkdir $away->data_dir . '/some';
$away->append_conf('postgresql.conf', "depot.directory = '$inside'");
$away->restart;
wait_for_leader($away);
is(oracle_is_ok($away, 120, '--quiet-server'), '', 'in another directory the rows are carried out again');
is($away->safe_psql('postgres', 'SELECT hll_cardinality(hll_empty())'), 0, 'and work there');
ok(-e "$outside" . pg_config_value('sharedir') . '/extension/hll.control', 'the files of the old place stay');
$away->stop;

# A depot directory that was removed, while the server was down and while it ran.
$away->start;
wait_for_leader($away);
$away->stop;
run_ok('rm', '-rf', $away->data_dir . "/$inside");
$away->start;
wait_for_leader($away);
is(oracle_is_ok($away, 120, '--quiet-server'), '', 'a depot directory that was removed is made again');
run_ok('rm', '-rf', $away->data_dir . "/$inside/var/metadata/main");
is($away->safe_psql('postgres', "SELECT action FROM install_extension('semver')"), 'install', 'trusted metadata that was removed is fetched again');
oracle_ok($away, 'after that');
$away->stop;

# PostgreSQL itself goes on with the default when a setting of a library is refused at the start.
foreach my $bad ("''", "'../x'", "'a b'", "'a:b'", "'\$libdir'", "'/tmp/../x'")
{
	my $refusals = () = DepotTest::file_contents($away->logfile) =~ /invalid value for parameter "depot\.directory"/g;
	$away->append_conf('postgresql.conf', "depot.directory = $bad");
	$away->start;
	is($away->safe_psql('postgres', 'SHOW depot.directory'), 'pg_depot', "depot.directory = $bad: the default counts");
	$away->stop;
	is(scalar(() = DepotTest::file_contents($away->logfile) =~ /invalid value for parameter "depot\.directory"/g),
		$refusals + 1, "depot.directory = $bad is refused by name");
}
$away->append_conf('postgresql.conf', "depot.directory = '/proc/nowhere'");
$away->start;
like(DepotTest::file_contents($away->logfile), qr/WARNING:  pg_depot is inactive\n.*DETAIL:  Could not create directory "\/proc\/nowhere"/,
	'a directory that cannot be made leaves the depot inactive, the server up');
$away->stop;

done_testing();
