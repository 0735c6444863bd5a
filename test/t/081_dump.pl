# pg_dump carries repositories and what is installed, by name and version; a restored server gets the builds itself.
#
# Holds promises 10 (repeatable), 11 (nothing vanishes by absence) and 12 (clear refusals).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $repository = "$work/repository";
my $program = DepotTest::depot_program();
my $conf = "log_statement = none\n";

make_repository($repository, $keys, map { make_tree_package($work, $_, '1.0') } qw(depot_demo depot_needed depot_gone));
publish($repository, $keys, make_tree_package($work, 'depot_needs', '1.0', requires => 'depot_needed'));
my $old = new_depot_node('old', conf => $conf);
create_depot($old);
add_repository($old, $repository, root => "$repository/metadata/1.root.json");
$old->safe_psql('postgres', "SELECT install_extension(e) FROM unnest(ARRAY['depot_demo', 'depot_needs', 'depot_gone']) e;"
	  . 'CREATE EXTENSION depot_demo; CREATE TABLE mine AS SELECT depot_demo_version() AS version');

# What is newest is not what was installed, and one is not to be had any more.
publish($repository, $keys, make_tree_package($work, 'depot_demo', '1.1'));
run_ok($program, 'repo', 'yank', $repository, 'depot_gone', '1.0', '--reason', 'loses rows');
publish($repository, $keys);

my $installed = "SELECT string_agg(format('%s %s %s', package, version, why), ', ' ORDER BY package) FROM depot.installed";
my $served = "SELECT string_agg(package || ' ' || version, ', ' ORDER BY package) FROM depot.applied_packages()";
my $dump = "$work/depot.sql";
run_ok('pg_dump', '-d', $old->connstr('postgres'), '-e', 'pg_depot', '-n', 'depot', '-f', $dump);
unlike(file_contents($dump), qr/installed_build|repository_metadata|available|mine/, 'a dump of schema depot has no builds and no metadata');

# ---- a new server ----

my $new = new_depot_node('new', conf => $conf);
$new->start;
run_ok('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-1', '-d', $new->connstr('postgres'), '-f', $dump);
is($new->safe_psql('postgres', $installed), $old->safe_psql('postgres', $installed), 'what is installed is restored by name and version');
ok( DepotTest::wait_until(
		sub { $new->safe_psql('postgres', $served) eq 'depot_demo 1.0, depot_needed 1.0, depot_needs 1.0' }, 60),
	'the builds are got from the repository, in the recorded version')
  or diag($new->safe_psql('postgres', $served));
is($new->safe_psql('postgres', $installed), $old->safe_psql('postgres', $installed), 'and are there for the same reason as before');
ok($new->wait_for_log(qr/WARNING:  package "depot_gone" 1\.0 is recorded as installed, but this server has no build of it/),
	'what cannot be had is named');
like(file_contents($new->logfile), qr/DETAIL:  .*(?:withdrawn|loses rows)/, 'with the reason');
is($new->safe_psql('postgres', "SELECT DISTINCT role_name FROM depot.history"), 'depot.installed', 'history says where it comes from');

# The rest of the database comes after the files.
run_ok('sh', '-c', "pg_dump -d '" . $old->connstr('postgres') . "' | psql -Xq -d '" . $new->connstr('postgres') . "' 2>&1");
is($new->safe_psql('postgres', 'SELECT version FROM mine'), '1.0', 'the other tables are restored');
is($new->safe_psql('postgres', 'SELECT depot_demo_version()'), '1.0', 'and the extension that they need works');

# ---- again, and without the row ----

my $lines = () = file_contents($new->logfile) =~ /WARNING:  package "depot_gone"/g;
$new->safe_psql('postgres', "SELECT uninstall_extension('depot_gone')");
$new->restart;
wait_for_leader($new);
oracle_ok($new, 'restored', '--repository', $repository);
cmp_ok($lines, '<=', 2, 'the log was not filled');

done_testing();
