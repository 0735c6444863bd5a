# Every function and view: in the home database, in another one, and from a read-only session of each.
#
# @functions and %views have an entry for each that exists; one without an entry
# fails this test.  Then what other databases need: the leader gone, dump and
# restore, large answers, publications, and an installation that has changed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;
use Time::HiRes qw(time);

my $repository = depot_repository();
my $node = new_depot_node('surface', conf => "wal_level = logical\n");
create_depot($node);
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', 'CREATE EXTENSION pg_depot_client');
my @databases = ([ 'the home database', 'postgres' ], [ 'another database', 'app' ]);

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

query('CREATE ROLE surface_other');

# ---- functions ----

# In this order, in each database: name, statement, what it answers, and what it answers in a read-only
# transaction (undef: 25006, because it changes something).  A name may come several times.
my $add = "SELECT repository, packages > 5 FROM add_extension_repository('main', 'file://$repository->{directory}', trusted_root => \$root\$"
  . DepotTest::file_contents($repository->{root}) . '$root$)';
my @functions = (
	[ 'add_extension_repository', $add, qr/^main\|t$/, undef ],
	[ 'refresh_extension_repository', 'SELECT repository, changed FROM refresh_extension_repository()', qr/^main\|f$/, undef ],
	[ 'check_extension_list', "SELECT name, action, version, reason FROM check_extension_list('depot_demo 1.0')",
		qr/^depot_demo\|install\|1\.0\|$/, qr/^depot_demo\|install\|1\.0\|$/ ],
	[ 'install_extension', "SELECT package, version, action FROM install_extension('depot_demo', '1.0', dry_run => true)",
		qr/^depot_demo\|1\.0\|install$/, qr/^depot_demo\|1\.0\|install$/ ],
	[ 'install_extension', "SELECT package, version, action FROM install_extension('depot_demo', '1.0')", qr/^depot_demo\|1\.0\|install$/, undef ],
	[ 'update_extension', "SELECT version, action FROM update_extension('depot_demo', '1.*')", qr/^1\.2\|update$/, undef ],
	[ 'update_extension_everywhere', "CALL update_extension_everywhere('plpgsql')", qr/^app\|1\.0\|1\.0\|unchanged\|$/m, undef ],
	[ 'extension_lock', "SELECT extension_lock() #>> '{packages,0,package}'", qr/^depot_demo$/, qr/^depot_demo$/ ],
	[ 'apply_extension_lock', 'SELECT package, version, action FROM apply_extension_lock(extension_lock())', qr/^depot_demo\|1\.2\|keep$/, undef ],
	[ 'apply_extension_lock', 'SELECT package, action FROM apply_extension_lock(extension_lock(), dry_run => true)', qr/^depot_demo\|keep$/, qr/^depot_demo\|keep$/ ],
	[ 'verify_extension_files', 'SELECT count(*) FROM verify_extension_files()', qr/^0$/, qr/^0$/ ],
	[ 'verify_extension_files', 'SELECT count(*) FROM verify_extension_files(repair => true)', qr/^0$/, undef ],
	[ 'extension_files_ready', 'SELECT ready, reason, missing FROM extension_files_ready()', qr/^t\|\|(\{\})?$/, qr/^t\|\|(\{\})?$/ ],
	[ 'uninstall_extension', "SELECT package, action FROM uninstall_extension('depot_demo', dry_run => true)",
		qr/^depot_demo\|remove$/, qr/^depot_demo\|remove$/ ],
	[ 'uninstall_extension', "SELECT package, action FROM uninstall_extension('depot_demo')", qr/^depot_demo\|remove$/, undef ],
	[ 'add_extension_node', "SELECT add_extension_node('other', 'surface_other')", qr/^$/, undef ],
	[ 'drop_extension_node', "SELECT drop_extension_node('other')", qr/^$/, undef ],
	[ 'drop_extension_repository', "SELECT drop_extension_repository('main')", qr/^$/, undef ]);

# What a view answers while depot_demo 1.0 is installed and 2.0 is to be had; the same in every database.
my %views = (
	'depot.packages' => [ "SELECT version, installed FROM depot.packages WHERE package = 'depot_demo' ORDER BY 1", "1.0|t\n1.1|f\n1.2|f\n2.0|f" ],
	'depot.installed_packages' => [ 'SELECT package, version, state, extensions FROM depot.installed_packages', 'depot_demo|1.0|active|{depot_demo}' ],
	'depot.desired' => [ 'SELECT name, origin, installed_version, state FROM depot.desired', 'depot_demo|requested|1.0|ok' ],
	'depot.activity' => [ 'SELECT count(*) FROM depot.activity', '0' ],
	'depot.activity_log' => [ 'SELECT action, package, version FROM depot.activity_log ORDER BY id DESC LIMIT 1', 'install|depot_demo|1.0' ],
	'depot.outdated' => [ 'SELECT * FROM depot.outdated', 'depot_demo|1.0|2.0|main|||' ],
	'depot.repositories' => [ 'SELECT name, state, last_success IS NULL, last_failure, last_error FROM depot.repositories', 'main|ok|f||' ],
	'depot.repository_roles' => [ 'SELECT role, version > 0, life FROM depot.repository_roles ORDER BY role', join("\n", map { "$_|t|99" } qw(pg15-linux-amd64 root snapshot targets timestamp)) ],
	'depot.nodes' => [ 'SELECT name, role, state, behind FROM depot.nodes', 'surface|primary|ok|0' ],
	'depot.node_versions' => [ 'SELECT name, pg_depot FROM depot.node_versions', 'surface|1.0.0' ],
	'depot.conflicts' => [ 'SELECT count(*) FROM depot.conflicts', '0' ],
	'depot.health' => [ q(SELECT count(*), string_agg(check_name, ', ') FILTER (WHERE state <> 'ok') FROM depot.health), '16|' ]);

foreach my $database (@databases)
{
	my ($where, $name) = @$database;
	my %tested = map { $_->[0] => 1 } @functions;
	my @members = split /\n/, query(<<'SQL', $name);
SELECT CASE classid WHEN 'pg_proc'::regclass THEN objid::regproc::text ELSE objid::regclass::text END
FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid IN (SELECT oid FROM pg_extension WHERE extname IN ('pg_depot', 'pg_depot_client'))
  AND (objid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND classid = 'pg_proc'::regclass)
       OR objid IN (SELECT oid FROM pg_class WHERE relkind = 'v' AND classid = 'pg_class'::regclass))
SQL
	is(join(' ', sort @members), join(' ', sort(keys %tested, keys %views)), "$where: every function and view has a test here");

	foreach my $function (@functions)
	{
		my ($function_name, $statement, $answer, $read_only_answer) = @$function;
		my $result = psql_error($node, $name, "SET default_transaction_read_only = on; $statement");
		if (defined $read_only_answer)
		{
			like($result->{stdout}, $read_only_answer, "$where: $function_name in a read-only transaction") or diag($result->{stderr});
		}
		else
		{
			is($result->{sqlstate}, '25006', "$where: $function_name changes nothing in a read-only transaction") or diag($result->{stderr});
		}
		$result = psql_error($node, $name, $statement);
		like($result->{stdout}, $answer, "$where: $function_name") or diag($result->{stderr});
		is($result->{status}, 0, "$where: $function_name succeeds");
	}
	oracle_ok($node, "$where: after every function");
}

# ---- views ----

query($add);
query("SELECT install_extension('depot_demo', '1.0')");
foreach my $view (sort keys %views)
{
	my ($statement, $answer) = @{ $views{$view} };
	foreach my $database (@databases)
	{
		my ($where, $name) = @$database;
		is(query($statement, $name), $answer, "$where: $view");
		is(query("BEGIN READ ONLY; $statement; COMMIT", $name), $answer, "$where: $view in a read-only transaction");
	}
	my $rows = "SELECT coalesce(json_agg(v ORDER BY v::text), '[]') FROM (SELECT * FROM $view) v" . ($view eq 'depot.health' ? " WHERE check_name !~ 'free'" : '');
	my ($there, $here) = map { query($rows, $_) =~ s/"last_seen":"[^"]+"/"last_seen":"now"/gr } 'app', 'postgres';
	is($there, $here, "$view: the same rows with all their columns");

	# Usual rows fit a window; so does what \d shows of the columns.  What is wider is read by \x.
	next if $view =~ /activity|desired|nodes|repositories/;
	foreach my $print ("SELECT * FROM $view LIMIT 5", "\\d $view")
	{
		my @long = grep { length > 100 } split /\n/, run_ok('psql', '-X', '-d', $node->connstr('app'), '-c', $print);
		ok(!@long, "$print: fits 100 columns") or diag(@long);
	}
}

# ---- updates that do not run here, or that another package forbids ----

query("UPDATE depot.available SET custom = jsonb_set(custom::jsonb, '{postgresql,minimum_minor}', '99')::json WHERE package = 'depot_demo' AND version = '2.0'");
is(query('SELECT available_version, reason FROM depot.outdated', 'app'), '1.2|', 'a newer version that does not run here is passed over');
query("UPDATE depot.available SET custom = jsonb_set(custom::jsonb, '{postgresql,minimum_minor}', '99')::json WHERE package = 'depot_demo'");
like(query('SELECT available_version, reason FROM depot.outdated', 'app'), qr/^2\.0\|needs PostgreSQL \d+\.99$/, 'it is shown where there is nothing else');
query('SELECT drop_extension_repository(\'main\')');
query($add);
query("SELECT install_extension('depot_needs')");
query(q(UPDATE depot.installed_build SET custom = jsonb_set(custom::jsonb, '{depends}', '[{"package": "depot_demo", "constraint": "< 2"}]')::json WHERE package = 'depot_needs'));
is(query("SELECT available_version, reason FROM depot.outdated WHERE package = 'depot_demo'", 'app'), '2.0|package "depot_needs" needs version < 2',
	'an update that another package forbids, with its reason');
query("SELECT uninstall_extension('depot_needs')");

# ---- large answers ----

query(q(INSERT INTO depot.available (repository, target, package, version, kind, names, extensions, size_bytes, unpacked_bytes, sha256, summary, custom)
	SELECT 'main', 't/' || i, 'package' || i, '1.' || i, 'extension', ARRAY['package' || i], ARRAY['package' || i], i, i, repeat('a', 64), repeat('words ', 10), '{}'
	FROM generate_series(1, 10000) i));
my $start = time;
is(query("SELECT count(*), sum(size_bytes) FROM depot.packages WHERE package LIKE 'package%'", 'app'), '10000|50005000', '10,000 packages are read from another database');
my $seconds = time - $start;
cmp_ok($seconds, '<', 60, 'in time');
note(sprintf('10,000 packages: %d ms', $seconds * 1000));
query("DELETE FROM depot.available WHERE package LIKE 'package%'");

# ---- dump and restore ----

my $dump = run_ok('pg_dump', '-d', $node->connstr('app'));
like($dump, qr/^CREATE EXTENSION IF NOT EXISTS pg_depot_client/m, 'pg_dump writes the extension');
unlike($dump, qr/home_rows|CREATE VIEW/, 'and nothing of what it made');
DepotTest::write_file("$ENV{DEPOT_TEST_WORK}/app.sql", $dump);
query('CREATE DATABASE restored TEMPLATE template0');
run_ok('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', "$ENV{DEPOT_TEST_WORK}/app.sql");
is(query($views{'depot.outdated'}[0], 'restored'), $views{'depot.outdated'}[1], 'the restored database has working views');
query('CREATE DATABASE copied TEMPLATE app');
is(query($views{'depot.outdated'}[0], 'copied'), $views{'depot.outdated'}[1], 'so has one made from it as a template');
query('DROP DATABASE copied');
query('DROP DATABASE restored');

query('CREATE EXTENSION pg_depot_client', 'template1');
my $second = new_depot_node('second');
$second->start;
DepotTest::write_file("$ENV{DEPOT_TEST_WORK}/all.sql", run_ok('pg_dumpall', '-d', $node->connstr('postgres')));
run_ok('psql', '-Xq', '-d', $second->connstr('postgres'), '-f', "$ENV{DEPOT_TEST_WORK}/all.sql");
wait_for_leader($second);
$second->safe_psql('postgres', 'CREATE DATABASE later');
is($second->safe_psql($_, 'SELECT package, version FROM depot.installed_packages'), 'depot_demo|1.0', "pg_dumpall into another cluster: $_ has working views")
  foreach qw(app template1 later postgres);
$second->stop;
query('DROP EXTENSION pg_depot_client', 'template1');

# ---- a publication of everything ----

query('CREATE PUBLICATION everything FOR ALL TABLES');
is(query("SELECT state FROM depot.health WHERE check_name = 'publications'", 'app'), 'warning', 'a publication of all tables is a warning');
foreach my $statement ("SELECT update_extension('depot_demo')", "SELECT install_extension('hll')", 'SELECT refresh_extension_repository()',
	"SELECT uninstall_extension('hll')", "SELECT install_extension('hll')", "SELECT drop_extension_repository('main')", $add)
{
	my $result = psql_error($node, 'postgres', $statement);
	is($result->{status}, 0, substr($statement, 0, 60) . ' with a publication of all tables') or diag($result->{stderr});
}
oracle_ok($node, 'with a publication of all tables');
query('DROP PUBLICATION everything');

# ---- no leader ----

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
my $health = query("SELECT check_name, state FROM depot.health WHERE state <> 'ok' ORDER BY 1", 'app');
is($health, "home database|critical\nleader|critical\nreconcile|warning", 'health in another database without the leader');
is(query("SELECT state FROM depot.health WHERE check_name = 'served files'", 'app'), 'ok', 'and what that database can tell by itself');
is(query("SELECT state FROM depot.health WHERE check_name = 'repository main'"), 'ok', 'health in the home database has the tables');
is(query('SELECT count(*) FROM depot.activity', 'app'), 0, 'depot.activity without the leader');
is_error($node, 'app', 'SELECT FROM depot.packages', '57P03', qr/leader is not running/, 'a view of tables without the leader');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');

# ---- the home database is another one now ----

$node->append_conf('postgresql.conf', "depot.database = 'app'");
$node->restart;
ok(DepotTest::wait_until(sub { leader_pid($node) }), 'the leader is in another database');
is_error($node, 'app', 'CREATE EXTENSION pg_depot', '42710', qr/has extension pg_depot_client already/, 'pg_depot beside pg_depot_client');
is_error($node, 'postgres', 'CREATE EXTENSION pg_depot_client', '42710', qr/has extension pg_depot already/, 'pg_depot_client beside pg_depot');
$node->append_conf('postgresql.conf', "depot.database = 'postgres'");

# ---- the installation provides what the depot serves already (promise 9) ----

# Lets the seal name a file under another name, and with the ctime that renaming gave it.
sub seal_renamed
{
	my ($old, $new) = @_;
	my $depot = $node->data_dir . '/pg_depot';
	my $seal_file = "$depot/var/pgsql_tmp_seal/seal.json";
	my $seal = DepotTest::file_contents($seal_file);
	my ($old_path, $new_path) = map { substr($_, length("$depot/")) } $old, $new;
	my ($s, $ns) = split /\./, run_ok('stat', '-c', '%.9Z', $new);
	my $ctime = sprintf('%x.%x', $s, $ns);
	$seal =~ s{"\Q$old_path\E":"([0-9a-f:.]+):[0-9a-f.]+"}{"$new_path":"$1:$ctime"} or die "no control file in $seal";
	DepotTest::write_file($seal_file, $seal);
	return;
}

# As if it had been installed, and verified by this server, when the installation had no hstore yet.
$node->stop;
my $extensions = $node->data_dir . '/pg_depot' . pg_config_value('sharedir') . '/extension';
my $state_file = $node->data_dir . '/pg_depot/var/state.json';
my $state = DepotTest::file_contents($state_file);
rename("$extensions/depot_demo.control", "$extensions/hstore.control") or die "rename: $!";
$state =~ s{extension/depot_demo\.control}{extension/hstore.control} or die "no control file in $state";
DepotTest::write_file($state_file, $state);
seal_renamed("$extensions/depot_demo.control", "$extensions/hstore.control");
my $offset = -s $node->logfile;
$node->start;
wait_for_leader($node);
my $system_file = pg_config_value('sharedir') . '/extension/hstore.control';
like(substr(DepotTest::file_contents($node->logfile), $offset),
	qr/WARNING:  package "depot_demo" conflicts with the server installation\n.*DETAIL:  The file "\Q$system_file\E" exists\./,
	'the log says at start what the installation has too');
foreach my $database (@databases)
{
	my ($where, $name) = @$database;
	is(query('SELECT package, kind, path FROM depot.conflicts', $name), "depot_demo|extension|$system_file", "$where: depot.conflicts");
	is(query("SELECT state, value FROM depot.health WHERE check_name = 'conflicts'", $name), 'warning|1 with the server installation', "$where: depot.health");
}
my @long = grep { length > 100 } split /\n/, run_ok('psql', '-X', '-d', $node->connstr('app'), '-c', 'SELECT * FROM depot.conflicts');
ok(!@long, 'a conflict fits 100 columns') or diag(@long);
query("SELECT uninstall_extension('depot_demo')");
ok(!-e "$extensions/hstore.control" && -e $system_file, 'uninstalling removes the depot\'s file and leaves the installation\'s');
is(query('SELECT count(*) FROM depot.conflicts', 'app'), 0, 'the conflict has ended');
oracle_ok($node, 'after the conflict');

$node->stop;
done_testing();
