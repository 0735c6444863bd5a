# Locks: exactly what is installed, told by one server and brought about on another.
#
# Holds promises 3 (nothing half-done) and 10 (repeatable).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $repository = depot_repository();
my $node = new_depot_node('locked', conf => "log_statement = none\n");
create_depot($node);

sub lock_of
{
	my ($server) = @_;
	return $server->safe_psql('postgres', 'SELECT extension_lock()');
}

# Applies a lock; rows as "package version action".
sub apply
{
	my ($server, $lock, $options) = @_;
	return $server->safe_psql('postgres',
		"SELECT string_agg(package || ' ' || version || ' ' || action, ', ' ORDER BY package) FROM apply_extension_lock(\$lock\$$lock\$lock\$"
		  . ($options // '') . ')');
}

sub refuses
{
	my ($lock, $sqlstate, $message, $label, $options) = @_;
	my $error;
	unchanged_ok(
		$node, $label,
		sub {
			$error = is_error($node, 'postgres', "SELECT apply_extension_lock(\$lock\$$lock\$lock\$" . ($options // '') . ')',
				$sqlstate, $message, $label);
		});
	return $error;
}

# ---- out and in ----

my $empty = lock_of($node);
is($empty, '{"format": 1, "packages": []}', 'the lock of a server without packages');
is(apply($node, $empty), '', 'applying it does nothing');

add_repository($node, $repository->{directory});
$node->safe_psql('postgres', q{SELECT install_extension('depot_demo', '1.1'), install_extension('depot_needs'), install_extension('hll')});
my $lock = lock_of($node);
is($node->safe_psql('postgres', "SELECT string_agg(p->>'package' || ' ' || (p->>'version') || ' ' || (p->>'why'), ', ') FROM jsonb_array_elements(\$\$$lock\$\$::jsonb->'packages') p"),
	'depot_demo 1.1 requested, depot_needs 1.0 requested, hll 2.17 requested', 'a lock names packages, versions and reasons');
like($lock, qr/"sha256": "[0-9a-f]{64}"/, 'and digests');

unchanged_ok($node, 'the lock of the present state',
	sub { is(apply($node, $lock), 'depot_demo 1.1 keep, depot_needs 1.0 keep, hll 2.17 keep', 'applying the present state keeps all') });

my $other = new_depot_node('other', conf => "log_statement = none\n");
create_depot($other);
add_repository($other, $repository->{directory});
is(apply($other, $lock), 'depot_demo 1.1 install, depot_needs 1.0 install, hll 2.17 install', 'another server gets the same');
is(lock_of($other), $lock, 'and tells the same lock');
oracle_ok($other, 'a lock applied to another server');
is($other->safe_psql('postgres', 'CREATE EXTENSION depot_needs CASCADE; SELECT depot_demo_version()'), '1.1', 'in the locked version, not the newest');
is($other->safe_psql('postgres', "SELECT string_agg(action || ' ' || package, ', ' ORDER BY id) FROM depot.activity_log WHERE package IS NOT NULL"),
	'install depot_demo, install depot_needs, install hll', 'what others need comes first, and history has all of it');

# ---- forth and back ----

$node->safe_psql('postgres', q{SELECT update_extension('depot_demo', '1.2')});
is(apply($node, $lock, ', dry_run => true'), 'depot_demo 1.1 update, depot_needs 1.0 keep, hll 2.17 keep', 'a dry run tells');
is($node->safe_psql('postgres', "SELECT version FROM depot.installed_packages WHERE package = 'depot_demo'"), '1.2', 'and changes nothing');
is(apply($node, $lock), 'depot_demo 1.1 update, depot_needs 1.0 keep, hll 2.17 keep', 'a lock also goes back');
is(lock_of($node), $lock, 'to exactly what it says');
oracle_ok($node, 'back to a lock');

# Calls inside a transaction block stand, like every call.
$node->safe_psql('postgres', "SELECT uninstall_extension('hll'); BEGIN; SELECT count(*) FROM apply_extension_lock(\$\$$lock\$\$); ROLLBACK");
is(lock_of($node), $lock, 'a ROLLBACK does not undo it');
is(apply($node, $lock), 'depot_demo 1.1 keep, depot_needs 1.0 keep, hll 2.17 keep', 'and the second time finds nothing to do');

# ---- prune ----

$node->safe_psql('postgres', q{SELECT install_extension('semver'), install_extension('rational')});
is(apply($node, $lock), 'depot_demo 1.1 keep, depot_needs 1.0 keep, hll 2.17 keep', 'without prune, what the lock does not name stays');
is($node->safe_psql('postgres', 'SELECT count(*) FROM depot.installed_packages'), '5', 'all of it');
$node->safe_psql('postgres', 'CREATE DATABASE user_of_it');
$node->safe_psql('user_of_it', 'CREATE EXTENSION semver');
my $error = refuses($lock, '2BP01', qr/semver/, 'prune of what is used', ', prune => true');
like($error->{message} . $error->{detail}, qr/user_of_it/, 'names the database');
refuses($lock, '2BP01', qr/semver/, 'a dry run of it', ', prune => true, dry_run => true');
$node->safe_psql('user_of_it', 'DROP EXTENSION semver');
is(apply($node, $lock, ', prune => true, dry_run => true'),
	'depot_demo 1.1 keep, depot_needs 1.0 keep, hll 2.17 keep, rational 0.0.2 remove, semver 0.32.0 remove', 'a dry run tells what prune would remove');
my $open = $node->background_psql('user_of_it');
$open->query_safe('BEGIN; CREATE EXTENSION semver');
refuses($lock, '55006', qr/semver/, 'prune of what an open transaction uses', ', prune => true');
$open->quit;
is(apply($node, $lock, ', prune => true'), 'depot_demo 1.1 keep, depot_needs 1.0 keep, hll 2.17 keep, rational 0.0.2 remove, semver 0.32.0 remove',
	'prune removes what the lock does not name');
is(lock_of($node), $lock, 'which leaves exactly the lock');
oracle_ok($node, 'after prune');
is(apply($node, $empty, ', prune => true'), 'depot_demo 1.1 remove, depot_needs 1.0 remove, hll 2.17 remove', 'an empty lock with prune removes all');
is(lock_of($node), $empty, 'all of it');
oracle_ok($node, 'after an empty lock');

# ---- bad locks ----

my $zeros = '0' x 64;
(my $unknown = $lock) =~ s/("package": "hll".*?"sha256": ")[0-9a-f]{64}|("sha256": ")[0-9a-f]{64}(?=[^{}]*}\], "package": "hll")/($1 \/\/ $2) . $zeros/e;
isnt($unknown, $lock, 'the lock is altered');
$error = refuses($unknown, '42704', qr/^no repository lists the build of package "hll" 2\.17 that the lock names$/, 'an unknown digest');
is($error->{detail}, "Its sha256 is $zeros.", 'an unknown digest: which one');
(my $platform = $lock) =~ s/"linux-\w+"/"linux-riscv64"/g;
$error = refuses($platform, '42704', qr/^lock has no build of package "\w+" for PostgreSQL \d+ on linux-\w+$/, 'another platform');
like($error->{detail}, qr/^It has builds for: PostgreSQL \d+ on linux-riscv64\.$/, 'another platform: which it has');
(my $swapped = $lock) =~ s/"package": "hll"/"package": "ip4r"/;
refuses($swapped, '22023', qr/^the lock's build of package "ip4r" 2\.17 is one of package "hll" 2\.17$/, 'a digest of another package');
# What this lock names is on the other server, whose builds it keeps.
(my $renumbered = $lock) =~ s/"version": "2\.17"/"version": "2.18"/;
foreach my $server ($node, $other)
{
	is_error($server, 'postgres', "SELECT apply_extension_lock(\$lock\$$renumbered\$lock\$)", '22023',
		qr/^the lock's build of package "hll" 2\.18 is one of package "hll" 2\.17$/, 'a digest of another version');
}
my $without = $node->safe_psql('postgres', "SELECT jsonb_set('$lock', '{packages}', (SELECT jsonb_agg(p) FROM jsonb_array_elements('$lock'::jsonb->'packages') p WHERE p->>'package' <> 'depot_demo'))");
$error = refuses($without, '42P07', qr/^package "depot_needs" 1\.0 needs extension "depot_demo", which the lock has not$/, 'a lock that lacks what another package needs');
like($error->{hint}, qr/was this one edited/, 'a lock that lacks something: asks');
refuses('{"format": 9, "packages": []}', '22023', qr/^lock has format 9, which is not known$/, 'a later format');
refuses($_, '22023', qr/^lock is not a JSON object$/, "not a lock: $_") foreach '[]', 'null', '"lock"', '1';
refuses('{"format": 1, "packages": [{"package": "hll"}]}', '22023', qr/^lock, package "hll": member "version" is missing$/, 'a package without a version');
refuses('{"format": 1, "packages": [{"package": "../x"}]}', '42602', qr/^lock: invalid package name: "\.\.\/x"$/, 'a package by another name than packages have');
is_error($node, 'postgres', 'SELECT apply_extension_lock(NULL)', '22004', qr/^lock must not be null$/, 'null');
$node->safe_psql('postgres', 'CREATE ROLE tenant LOGIN');
is_error($node, 'postgres', "SET ROLE tenant; SELECT apply_extension_lock('$empty')", '42501', qr/permission denied/, 'not a superuser');
is_error($node, 'postgres', "BEGIN READ ONLY; SELECT apply_extension_lock('$empty')", '25006', qr/read-only transaction/, 'a read-only transaction');
is($node->safe_psql('postgres', 'BEGIN READ ONLY; SELECT extension_lock(); COMMIT'), $empty, 'telling the lock is reading');

# All or nothing: the second package of two cannot be had.
my $web = start_web($repository->{directory});
$node->safe_psql('postgres', "SELECT drop_extension_repository('main')");
add_repository($node, $web->{http});
my ($package) = glob("$repository->{directory}/targets/pg*/*/hll/*/*");
my $bytes = DepotTest::file_contents($package);
DepotTest::write_file($package, substr($bytes, 0, -1) . 'X');
refuses($lock, 'PD008', qr/./, 'one package of the lock is damaged: none is installed');
DepotTest::write_file($package, $bytes);
is(apply($node, $lock), 'depot_demo 1.1 install, depot_needs 1.0 install, hll 2.17 install', 'mended, all are');
oracle_ok($node, 'all or nothing');

# ---- packages that need each other ----

my $ring = DepotTest::tempdir(DIR => $ENV{DEPOT_TEST_WORK}, CLEANUP => 1);
DepotTest::make_tree_package($ring, 'depot_ring_a', '1.0', requires => 'depot_ring_b');
DepotTest::make_tree_package($ring, 'depot_ring_b', '1.0', requires => 'depot_ring_c');
DepotTest::make_tree_package($ring, 'depot_ring_c', '1.0', requires => 'depot_ring_a');
my %keys = map { $_ => "$ring/$_" } qw(root targets snapshot timestamp);
DepotTest::run_ok(DepotTest::depot_program(), 'keygen', $_) foreach values %keys;
DepotTest::run_ok(DepotTest::depot_program(), 'repo', 'init', "$ring/repository", map { ("--$_-key" => $keys{$_}) } keys %keys);
DepotTest::run_ok(DepotTest::depot_program(), 'repo', 'add', "$ring/repository", glob("$ring/packages/*.tar.zst"));
DepotTest::run_ok(DepotTest::depot_program(), 'repo', 'publish', "$ring/repository", map { ('--key' => $_) } values %keys);
add_repository($node, "$ring/repository", name => 'ring', root => "$ring/repository/metadata/1.root.json");
add_repository($other, "$ring/repository", name => 'ring', root => "$ring/repository/metadata/1.root.json");
$node->safe_psql('postgres', "SELECT install_extension('depot_ring_b')");
my $cycle = lock_of($node);
is(apply($other, $cycle, ', dry_run => true'),
	'depot_demo 1.1 keep, depot_needs 1.0 keep, depot_ring_a 1.0 install, depot_ring_b 1.0 install, depot_ring_c 1.0 install, hll 2.17 keep',
	'packages that need each other in a cycle are each taken once');
is(apply($other, $cycle), apply($other, $cycle) =~ s/keep/keep/gr =~ s/(ring_\w 1\.0) keep/$1 install/gr, 'and are installed');
is(lock_of($other), $cycle, 'which gives the same lock');

done_testing();
