# Newer files of what is installed, and damaged files brought back.
#
# Holds promise 10 (repeatable).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $repository = depot_repository();
my $node = new_depot_node('update');
my $depot = $node->data_dir . '/pg_depot';

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

sub installed_version
{
	my ($package) = @_;
	return query("SELECT version FROM depot.installed_packages WHERE package = '$package' AND state = 'active'");
}

create_depot($node);
add_repository($node, $repository->{directory});

# ---- update_extension ----

unchanged_ok(
	$node,
	'update of what is not installed',
	sub {
		is_error($node, 'postgres', "SELECT update_extension('depot_demo')", '55000', qr/is not installed/,
			'update of what is not installed');
	});
query("SELECT install_extension('depot_demo', '1.0')");
query('CREATE EXTENSION depot_demo');
unchanged_ok(
	$node,
	'dry_run',
	sub {
		is(query("SELECT package, version, action FROM update_extension('depot_demo', '1.*', dry_run => true)"),
			'depot_demo|1.2|update', 'dry_run tells what would be done');
	});
unchanged_ok(
	$node,
	'a version that is none',
	sub {
		is_error($node, 'postgres', "SELECT update_extension('depot_demo', '>= 9')", '42704',
			qr/no build of "depot_demo" satisfies ">= 9"/, 'a version nobody has');
	});
my @notices = psql_notices($node, 'postgres', "SELECT update_extension('depot_demo', '1.1')");
like($notices[0], qr/NOTICE:  updated package "depot_demo" 1\.1 \(\d+ kB\) from file:/, 'the NOTICE tells what was updated');
is(installed_version('depot_demo'), '1.1', 'to the version that was asked for');
oracle_ok($node, 'after an update to a version');
is(query("SELECT version, action FROM update_extension('depot_demo')"), '2.0|update', 'to the newest');
is(installed_version('depot_demo'), '2.0', 'the newest is active');
oracle_ok($node, 'after an update to the newest');
is(query("SELECT action, version, previous_version FROM depot.activity_log ORDER BY id DESC LIMIT 1"),
	'update|2.0|1.1', 'the history has both versions');
query('CREATE DATABASE other');
query('CREATE EXTENSION depot_demo', 'other');
is(query("SELECT extversion FROM pg_extension WHERE extname = 'depot_demo'", 'other'), '2.0', 'CREATE EXTENSION finds the new scripts');
unchanged_ok(
	$node,
	'the second update',
	sub {
		is(query("SELECT version, action FROM update_extension('depot_demo')"), '2.0|keep', 'the second update finds nothing to do');
	});
is(query("SELECT version, action FROM update_extension('depot_demo', '1.2')"), '1.2|update', 'back, when asked for by version');
oracle_ok($node, 'after going back');

# ---- repair ----

my ($script) = glob("$depot/usr/share/postgresql/*/extension/depot_demo.control");
ok(defined $script, 'the control file is served');
query("SELECT install_extension('hll')");
my ($library) = glob("$depot/usr/lib/postgresql/*/lib/hll.so");
unlink $script or die "unlink: $!";
DepotTest::write_file($library, 'not a library');
is(query('SELECT string_agg(package || \' \' || problem, \', \' ORDER BY package) FROM verify_extension_files()'),
	'depot_demo missing, hll wrong size', 'verify finds the damage');
@notices = psql_notices($node, 'postgres', 'SELECT * FROM verify_extension_files(repair => true)');
is(scalar(grep { /NOTICE:  repaired package "(depot_demo|hll)"/ } @notices), 2, 'repair says what it repaired');
is(query('SELECT count(*) FROM verify_extension_files()'), 0, 'and nothing is wrong any more');
oracle_ok($node, 'after the repair');
is(query('CREATE EXTENSION hll; SELECT hll_cardinality(hll_empty())'), 0, 'a repaired library works');
@notices = psql_notices($node, 'postgres', 'SELECT * FROM verify_extension_files(repair => true)');
like($notices[0], qr/all files of 2 packages are as their manifests say/, 'the second repair finds nothing to do');
unchanged_ok(
	$node,
	'repair in a read-only transaction',
	sub {
		is_error($node, 'postgres', 'BEGIN READ ONLY; SELECT verify_extension_files(repair => true)', '25006',
			qr/read-only transaction/, 'repair in a read-only transaction');
	});

# A repository that has gone: what depot.payload has is repaired from there.
query("SELECT drop_extension_repository('main')");
unlink $script or die "unlink: $!";
@notices = psql_notices($node, 'postgres', 'SELECT * FROM verify_extension_files(repair => true)');
like($notices[0], qr/NOTICE:  repaired package "depot_demo"/, 'repair from depot.payload, without the repository');
ok(-e $script, 'the control file is back');
oracle_ok($node, 'after the repair without the repository');

# Without its rows as well: the damage is still told of, with the reason.
query('DELETE FROM depot.payload');
unlink $script or die "unlink: $!";
is_error($node, 'postgres', 'SELECT verify_extension_files(repair => true)', '42704', qr/repository "main" does not exist/,
	'repair without the repository and without depot.payload');
ok(!-e $script, 'nothing was repaired');
is(query('SELECT package, problem FROM verify_extension_files()'), 'depot_demo|missing', 'verify still tells of the damage');

$node->stop;
done_testing();
