# Installing, using and removing extensions that Debian ships, from file:, http and https.
#
# Holds promises 10 (repeatable) and 11 (nothing vanishes by absence).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $repository = depot_repository();
my $web = start_web($repository->{directory});
my $node = new_depot_node('install');
my $query_of = 'SELECT string_agg(package || \' \' || version || \' \' || state, \', \' ORDER BY package) FROM depot.installed_packages';

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# ---- before anything is installed ----

create_depot($node);
is_error($node, 'postgres', "SELECT install_extension('hll')", '42704', qr/hll/, 'install without a repository');
like(add_repository($node, $repository->{directory}), qr/^main\|\d+\|\d{4}-/, 'adding a repository says what it offers');
is(query("SELECT count(DISTINCT package) FROM depot.packages WHERE repository = 'main' AND NOT installed"),
	9, 'the catalogue lists every package');
is(query("SELECT extensions, size_bytes > 0, summary <> '' FROM depot.packages WHERE package = 'hll'"),
	'{hll}|t|t', 'the catalogue describes a package');
is(query($query_of), '', 'nothing is installed');

unchanged_ok(
	$node,
	'dry_run',
	sub {
		is(query("SELECT package, version, action, size_bytes > 0, restart_required, repository"
					. " FROM install_extension('hll', dry_run => true)"),
			'hll|2.17|install|t|f|main', 'dry_run tells what would be done');
	});

# ---- install ----

my @notices = psql_notices($node, 'postgres', "SELECT * FROM install_extension('hll')");
is(scalar(@notices), 1, 'one NOTICE sums it up');
like($notices[0], qr{NOTICE:  installed package "hll" 2\.17 \(\d+ kB\) from file://\S+ in \d+ ms},
	'the NOTICE names package, version, size, source and time');
# It has said at its start that there was no extension yet.
my @logged = grep { /pg_depot leader LOG: / && !/extension pg_depot does not exist/ } split /\n/, DepotTest::file_contents($node->logfile);
is(scalar(@logged), 1, 'the leader has logged one line') || diag(join("\n", @logged));
like($logged[0], qr/installed package "hll" 2\.17 /, 'which names package and version');
oracle_ok($node, 'after the first install');
query('CREATE EXTENSION hll');
is(query('SELECT round(hll_cardinality(hll_add_agg(hll_hash_integer(i)))::numeric / 1000) FROM generate_series(1, 10000) i'),
	10, 'a query that uses the new type');

query('CREATE DATABASE other');
query('CREATE EXTENSION hll', 'other');
is(query("SELECT hll_cardinality(hll_empty())", 'other'), 0, 'works in another database');
is(query("SELECT state, why, repository, extensions FROM depot.installed_packages WHERE package = 'hll'"),
	'active|requested|main|{hll}', 'depot.installed_packages shows it');
is(query("SELECT installed FROM depot.packages WHERE package = 'hll'"), 't', 'depot.packages shows it');
is(query("SELECT action, package, version, repository, role_name, database_name, source LIKE 'file:%', duration_ms >= 0"
			. " FROM depot.activity_log ORDER BY id DESC LIMIT 1"),
	'install|hll|2.17|main|' . query('SELECT current_user') . '|postgres|t|t', 'depot.activity_log shows it');
is(query('SELECT count(*) FROM depot.activity'), 0, 'depot.activity is empty');

# In one transaction block, and not undone by its end.
is( query("BEGIN; SELECT action FROM install_extension('semver'); CREATE EXTENSION semver; SELECT '1.2.3'::semver < '1.10.0'; COMMIT"),
	"install\nt", 'install and CREATE EXTENSION in one transaction block');
query("BEGIN; SELECT install_extension('ip4r'); ROLLBACK");
is(query("SELECT state FROM depot.installed_packages WHERE package = 'ip4r'"), 'active', 'ROLLBACK does not undo an install');
is( query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class WHERE false;"
		. " SELECT action FROM install_extension('rational'); CREATE EXTENSION pg_rational; COMMIT"),
	"0\ninstall", 'in a transaction that has a snapshot already');

# ---- http and https, and keep without a network ----

query('SELECT drop_extension_repository(\'main\')');
oracle_ok($node, 'dropping a repository keeps what came from it');
add_repository($node, $web->{http}, name => 'web');
@notices = psql_notices($node, 'postgres', "SELECT * FROM install_extension('pgtap')");
like($notices[0], qr/from \Q$web->{http}\E in/, 'installed by http');
is_error($node, 'postgres',
	"SELECT * FROM add_extension_repository('tls', '$web->{https}', trusted_root => \$r\$"
		. file_contents($repository->{root}) . '$r$)',
	'08001', qr/certificate is not trusted/, 'https with a certificate of an unknown authority');
$node->append_conf('postgresql.conf', "depot.ca_file = '$web->{ca_file}'");
$node->reload;
add_repository($node, $web->{https}, name => 'tls');
@notices = psql_notices($node, 'postgres', "SELECT * FROM install_extension('depot_needs', repository => 'tls')");
is(scalar(@notices), 2, 'a NOTICE for what it needs, too');
like($notices[1], qr/"depot_needs" 1\.0 .* from \Q$web->{https}\E in/, 'installed by https with depot.ca_file');
is(query("SELECT string_agg(package || ' ' || why, ', ' ORDER BY package) FROM depot.installed WHERE package LIKE 'depot%'"),
	'depot_demo dependency, depot_needs requested', 'a dependency is recorded as such');
oracle_ok($node, 'after installs by http and https');

DepotTest::stop_web($web);
unchanged_ok(
	$node,
	'a second call',
	sub {
		foreach my $name (qw(hll semver ip4r pgtap rational depot_needs))
		{
			is(query("SELECT DISTINCT action FROM install_extension('$name')"), 'keep', "$name is kept, without a network");
		}
	});
query("CREATE EXTENSION $_") foreach qw(ip4r pgtap);
query('CREATE EXTENSION depot_needs CASCADE');
is(query("SELECT '10.0.0.0/8'::ip4r >>= '10.1.2.3'::ip4"), 't', 'ip4r works');
is(query("SELECT '1/3'::rational + '1/6' = '1/2'"), 't', 'rational works');
like(query("SELECT plan(1); SELECT ok(true, 'pgtap works'); SELECT * FROM finish()"), qr/^ok 1 - pgtap works$/m, 'pgtap works');
is(query('SELECT depot_needs_version()'), '1.0', 'an extension made by the test works');
query("SELECT drop_extension_repository('$_')") foreach qw(web tls);
is_error($node, 'postgres', "SELECT drop_extension_repository('web')", '42704', qr/"web" does not exist/, 'dropping it twice');

# ---- versions ----

add_repository($node, $repository->{directory});
is(query("SELECT action, version FROM install_extension('depot_demo', '2.0')"), 'keep|2.0', 'keep of the version that is asked for');
query('DROP EXTENSION depot_needs; DROP EXTENSION depot_demo');
is_error($node, 'postgres', "SELECT uninstall_extension('depot_demo')", '2BP01', qr/needed by package "depot_needs"/,
	'uninstall of what another package needs');
query("SELECT uninstall_extension('depot_needs'); SELECT uninstall_extension('depot_demo')");
oracle_ok($node, 'after uninstalling two');
is(query("SELECT version FROM install_extension('depot_demo', '1.1', dry_run => true)"), '1.1', 'an exact version');
is(query("SELECT version FROM install_extension('depot_demo', '1.*', dry_run => true)"), '1.2', 'the newest of a series');
is(query("SELECT version FROM install_extension('depot_demo', '>= 1.0, < 1.2', dry_run => true)"), '1.1', 'a range');
is(query("SELECT version FROM install_extension('depot_demo', dry_run => true)"), '2.0', 'the newest');
my $error = is_error($node, 'postgres', "SELECT install_extension('depot_demo', '3.*')", '42704', qr/depot_demo/, 'no such version');
like(join(' ', map { $error->{$_} // '' } qw(message detail hint)), qr/1\.0.*2\.0|2\.0.*1\.0/, 'what exists is listed');
is_error($node, 'postgres', "SELECT install_extension('depot_demo', '>> nonsense')", '22023', qr/./, 'nonsense for a version');
query("SELECT install_extension('depot_demo', '1.0')");
oracle_ok($node, 'an old version');
is(query("SELECT action, version FROM install_extension('depot_demo')"), 'keep|1.0', 'kept although there is a newer one');
query('CREATE EXTENSION depot_demo');
is(query("SELECT action, version FROM install_extension('depot_demo', '2.0')"), 'update|2.0', 'update by asking for a version');
oracle_ok($node, 'after the update');
is(query('SELECT depot_demo_version()'), '1.0', 'the database keeps the version it has');
is(query("SELECT previous_version, version FROM depot.activity_log WHERE action = 'update'"), '1.0|2.0', 'the update is in the log');
query('DROP EXTENSION depot_demo');

# ---- unknown names ----

unchanged_ok(
	$node,
	'unknown names',
	sub {
		my $unknown = is_error($node, 'postgres', "SELECT install_extension('hl')", '42704', qr/"hl"/, 'unknown extension');
		like($unknown->{hint} // '', qr/"hll"/, 'the nearest name is offered');
		is_error($node, 'postgres', "SELECT install_extension('hll', repository => 'nowhere')", '42704', qr/nowhere/,
			'unknown repository');
		is_error($node, 'postgres', "SELECT install_extension(NULL)", '22004', qr/null/, 'no name');
		is_error($node, 'postgres', "SELECT install_extension($_->[1])", '42602', qr/./, $_->[0])
		  foreach [ 'a quote', q('hl''l') ], [ 'a slash', q('../hll') ], [ 'dashes', q('hll--1') ],
		  [ 'a newline', q(E'hll\n') ], [ 'nothing', q('') ], [ '64 KiB', q(repeat('x', 65536)) ];
		is_error($node, 'postgres', "SELECT uninstall_extension('never_here')", '42704', qr/never_here/, 'never installed');
	});

# ---- verify ----

my $depot = $node->data_dir . '/pg_depot';
my $control = $depot . pg_config_value('sharedir') . '/extension/hll.control';
is(query('SELECT count(*) FROM verify_extension_files()'), 0, 'verify finds no problem');
run_ok('sh', '-c', 'cp -p "$1" "$2" && echo x >>"$1"', 'sh', $control, "$depot/../kept");
like(query('SELECT * FROM verify_extension_files()'), qr/^hll\|\S*hll\.control\|(changed|wrong size)$/, 'verify finds a longer file');
run_ok('sh', '-c', 'cp -p "$2" "$1.new" && tr c C <"$2" >"$1.new" && mv "$1.new" "$1"', 'sh', $control, "$depot/../kept");
like(query('SELECT * FROM verify_extension_files()'), qr/^hll\|\S*hll\.control\|changed$/, 'verify finds another content');
run_ok('rm', $control);
like(query('SELECT * FROM verify_extension_files()'), qr/^hll\|\S*hll\.control\|missing$/, 'verify finds a missing file');
run_ok('ln', '-s', "$depot/../kept", $control);
like(query('SELECT * FROM verify_extension_files()'), qr/^hll\|\S*hll\.control\|not a regular file$/, 'verify finds a link');
run_ok('sh', '-c', 'rm "$1" && cp -p "$2" "$1" && chmod 755 "$1"', 'sh', $control, "$depot/../kept");
like(query('SELECT * FROM verify_extension_files()'), qr/^hll\|\S*hll\.control\|wrong mode$/, 'verify finds another mode');
run_ok('mv', "$depot/../kept", $control);
is(query('SELECT count(*) FROM verify_extension_files()'), 0, 'verify finds no problem any more');

# ---- uninstall ----

unchanged_ok(
	$node,
	'uninstall of what is used',
	sub {
		is_error($node, 'postgres', "SELECT uninstall_extension('hll')", '2BP01', qr/"hll" is used in database "postgres"/,
			'used in the home database');
		query('DROP EXTENSION hll');
		is_error($node, 'postgres', "SELECT uninstall_extension('hll')", '2BP01', qr/"hll" is used in database "other"/,
			'used in another database');
		query('ALTER DATABASE other ALLOW_CONNECTIONS false; ALTER DATABASE other IS_TEMPLATE true');
		is_error($node, 'postgres', "SELECT uninstall_extension('hll')", '2BP01', qr/"hll" is used in database "other"/,
			'used in a template that nobody can connect to');
		is_error($node, 'postgres', "SELECT uninstall_extension('hll', dry_run => true)", '2BP01', qr/"other"/, 'dry_run, too');
		query('ALTER DATABASE other ALLOW_CONNECTIONS true; ALTER DATABASE other IS_TEMPLATE false');
	});
query('DROP EXTENSION hll', 'other');
unchanged_ok($node, 'uninstall with dry_run',
	sub { is(query("SELECT package, version, action FROM uninstall_extension('hll', dry_run => true)"), 'hll|2.17|remove', 'dry_run says so') });
@notices = psql_notices($node, 'postgres', "SELECT uninstall_extension('hll')");
like($notices[0], qr/NOTICE:  removed package "hll" 2\.17/, 'uninstall says what it did');
oracle_ok($node, 'after uninstall');
is_error($node, 'postgres', 'CREATE EXTENSION hll', '0A000', qr/"hll" is not available/, 'CREATE EXTENSION after uninstall');
unchanged_ok($node, 'uninstall twice',
	sub { like((psql_notices($node, 'postgres', "SELECT uninstall_extension('hll')"))[0], qr/nothing to remove/, 'the second call says so') });
is(query("SELECT action FROM install_extension('hll')"), 'install', 'installed again');
query('CREATE EXTENSION hll');
oracle_ok($node, 'after installing it again');

# ---- restart ----

my $before = oracle_dump($node);
$node->restart;
wait_for_leader($node);
is(oracle_dump($node), $before, 'a restart changes nothing');
unlike(DepotTest::file_contents($node->logfile), qr/FATAL:.*pg_depot leader/, 'a leader that is told to end is no failure');
is(query('SELECT hll_cardinality(hll_empty())'), 0, 'a function works after a restart');
oracle_ok($node, 'after a restart');

# A file that is gone is fetched again at the next start, as the row says.
run_ok('rm', $control);
$node->restart;
wait_for_leader($node);
is(oracle_is_ok($node, 120), '', 'a file removed by hand is back after a restart');

# ---- promise 11: nothing vanishes by absence ----

sub tree
{
	return join("\n", grep { !/^row / } split /\n/, oracle_dump($node));
}

my $tree = tree();
query('DROP EXTENSION pg_depot');
is(tree(), $tree, 'DROP EXTENSION pg_depot keeps the files');
$node->restart;
ok(DepotTest::wait_until(sub { leader_pid($node) }), 'the leader starts without its tables');
is(query('SELECT hll_cardinality(hll_empty())'), 0, 'hll works without pg_depot\'s tables');
is(tree(), $tree, 'a restart without the tables keeps the files');
query('CREATE EXTENSION pg_depot');
is(query("SELECT state FROM depot.installed_packages WHERE package = 'hll'"), 'unclaimed', 'shown as unclaimed');
is(DepotTest::oracle_says($node, '--allow-unclaimed'), '', 'the oracle finds them as state.json has them');
wait_for_leader($node);
add_repository($node, $repository->{directory});
@notices = psql_notices($node, 'postgres', "SELECT install_extension('hll')");
like($notices[0], qr/from files that were already here/, 'adopted by digest');
is(query("SELECT state FROM depot.installed_packages WHERE package = 'hll'"), 'active', 'shown as active again');
is(tree(), $tree, 'adoption moves no file');
is_error($node, 'postgres', "SELECT uninstall_extension('pgtap')", '2BP01', qr/"pgtap" is used in database "postgres"/,
	'unclaimed files are removed only after the usage check');
query('DROP EXTENSION pgtap');
is(query("SELECT package, action FROM uninstall_extension('pgtap')"), 'pgtap|remove', 'an explicit call removes unclaimed files');
is(query("SELECT action FROM install_extension('$_')"), 'install', "$_ is adopted") foreach qw(semver ip4r rational depot_demo);
oracle_ok($node, 'all of them adopted');

# An adopted file that is not what it was is fetched again.
query('DROP EXTENSION pg_depot');
query('CREATE EXTENSION pg_depot');
wait_for_leader($node);
run_ok('sh', '-c', 'cp -p "$1" "$1.new" && tr c C <"$1" >"$1.new" && mv "$1.new" "$1"', 'sh', $control);
add_repository($node, $repository->{directory});
query("SELECT install_extension('$_')") foreach qw(hll semver ip4r rational depot_demo);
oracle_ok($node, 'a damaged unclaimed file is not adopted but fetched');

# TRUNCATE by hand.
$tree = tree();
query('TRUNCATE depot.installed, depot.installed_build, depot.available');
$node->restart;
wait_for_leader($node);
is(tree(), $tree, 'TRUNCATE by hand keeps the files');
query("SELECT install_extension('$_')") foreach qw(hll semver ip4r rational depot_demo);
oracle_ok($node, 'installed again after TRUNCATE');
is(tree(), $tree, 'TRUNCATE and install again move no file');

# Another home database, and one that does not exist.
query('CREATE DATABASE elsewhere');
$node->append_conf('postgresql.conf', "depot.database = 'elsewhere'");
$node->restart;
ok(DepotTest::wait_until(sub { leader_pid($node) }), 'the leader starts in another database');
is(query('SELECT hll_cardinality(hll_empty())'), 0, 'hll works with another depot.database');
is_error($node, 'postgres', "SELECT install_extension('pgtap')", '55000', qr/does not exist in database "elsewhere"/,
	'install with another depot.database');
is(tree(), $tree, 'another depot.database keeps the files');
$node->append_conf('postgresql.conf', "depot.database = 'nowhere'");
$node->restart;
is(query('SELECT hll_cardinality(hll_empty())'), 0, 'hll works with a depot.database that does not exist');
is_error($node, 'postgres', "SELECT install_extension('pgtap')", '57P03', qr/leader is not running/,
	'install with a depot.database that does not exist');
is(tree(), $tree, 'a depot.database that does not exist keeps the files');
$node->append_conf('postgresql.conf', "depot.database = 'postgres'");
$node->restart;
wait_for_leader($node);
oracle_ok($node, 'with the right depot.database again');

# In another database, and in the transaction that creates it.
is_error($node, 'elsewhere', 'CREATE EXTENSION pg_depot', '0A000', qr/belongs in database "postgres"/, 'CREATE EXTENSION pg_depot elsewhere');
query('DROP EXTENSION pg_depot');
is_error($node, 'postgres', "BEGIN; CREATE EXTENSION pg_depot; SELECT install_extension('hll'); COMMIT", '55000', qr/pg_depot/,
	'a call in the transaction that creates pg_depot');
is(tree(), $tree, 'and the files are still there');

$node->stop;
done_testing();
