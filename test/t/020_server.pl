# What a careless or hostile superuser may do to the server's own parts: none of it may take the leader down.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $repository = depot_repository();
my $node = new_depot_node('server');
create_depot($node);
add_repository($node, $repository->{directory});
$node->safe_psql('postgres', "SELECT install_extension('$_')") foreach qw(hll semver);

sub query
{
	return $node->safe_psql('postgres', $_[0]);
}

# How often a line is in the server's log from offset on.
sub count_in_log
{
	my ($pattern, $offset) = @_;
	my $text = substr(DepotTest::file_contents($node->logfile), $offset);
	return scalar(() = $text =~ /$pattern/g);
}

# ---- rows altered by hand ----

my $leader = leader_pid($node);
my %altered = (
	'a digest that is NULL' => 'ALTER TABLE depot.installed_build ALTER digest DROP NOT NULL; UPDATE depot.installed_build SET digest = NULL',
	'a digest that is no digest' => q(UPDATE depot.installed_build SET digest = '"}' || E'\n'),
	'a manifest digest with a quote' => q(UPDATE depot.installed_build SET manifest_sha256 = '","file":"x'),
	'a target that is NULL' => 'ALTER TABLE depot.installed_build ALTER target DROP NOT NULL; UPDATE depot.installed_build SET target = NULL',
	'a description that is garbage' => q(UPDATE depot.installed_build SET custom = '[1]'),
	'a description of another package' =>
	  q(UPDATE depot.installed_build b SET custom = o.custom, target = o.target FROM depot.installed_build o WHERE o.package <> b.package),
	'a version with a quote' => q(UPDATE depot.installed SET version = E'1"\'; --'),
	'a size that is huge' => 'UPDATE depot.installed_build SET size_bytes = 9223372036854775807, unpacked_bytes = -1',
	'names that are NULL' => 'UPDATE depot.available SET names = ARRAY[NULL]::text[]',
	'available packages without a digest' => q(UPDATE depot.available SET sha256 = 'x'),
	'a repository without a URL' => 'ALTER TABLE depot.repository ALTER url DROP NOT NULL; UPDATE depot.repository SET url = NULL',
	'a repository without an anchor' =>
	  'ALTER TABLE depot.repository DROP CONSTRAINT repository_check; UPDATE depot.repository SET trusted_root = NULL, root_sha256 = NULL',
	'mirrors that are NULL' => 'UPDATE depot.repository SET mirrors = ARRAY[NULL]::text[]',
	'mirrors of another type' => 'ALTER TABLE depot.repository ALTER mirrors DROP DEFAULT, ALTER mirrors TYPE text',
	'a repository with another name' => q(UPDATE depot.repository SET name = '../../x')
);

foreach my $what (sort keys %altered)
{
	query($altered{$what});
	my @errors = map { psql_error($node, 'postgres', $_) } 'SELECT verify_extension_files()', 'SELECT refresh_extension_repository()',
	  "SELECT install_extension('hll')", "SELECT install_extension('hlx')", "SELECT uninstall_extension('semver', dry_run => true)";
	my @internal = grep { ($_->{sqlstate} // '') =~ /^XX/ || $_->{status} == 2 } @errors;
	ok(!@internal, "$what: no internal error") or diag(map { $_->{stderr} } @internal);
	is(leader_pid($node), $leader, "$what: the leader lives");

	# It has to come up with such rows as well.
	$node->restart;
	ok(DepotTest::wait_until(sub { leader_pid($node) }), "$what: the leader starts");
	query('DROP EXTENSION pg_depot; CREATE EXTENSION pg_depot');
	wait_for_leader($node);
	add_repository($node, $repository->{directory});
	query("SELECT install_extension('$_')") foreach qw(hll semver);
	oracle_ok($node, "$what: taken back");
	$leader = leader_pid($node);
}
is(count_in_log(qr/terminated by signal/, 0), 0, 'no process crashed');

# ---- triggers and rules on the tables ----

unchanged_ok(
	$node,
	'tables with triggers and rules',
	sub {
		query('CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;'
			  . ' CREATE TRIGGER swallow BEFORE INSERT ON depot.installed FOR EACH ROW EXECUTE FUNCTION swallow()');
		is_error($node, 'postgres', "SELECT install_extension('rational')", '55000', qr/does not take/, 'a trigger that swallows rows');
		query('DROP TRIGGER swallow ON depot.installed; CREATE RULE swallow AS ON INSERT TO depot.history DO INSTEAD NOTHING');
		is_error($node, 'postgres', "SELECT install_extension('rational')", '55000', qr/does not take/, 'a rule that swallows rows');
		query('DROP RULE swallow ON depot.history; DROP FUNCTION swallow()');
	});

# ---- uninstall looks for use, whatever the rows say ----

query('CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION semver');
query(q(UPDATE depot.installed_build SET custom = '[]' WHERE package = 'semver'));
is_error($node, 'postgres', "SELECT uninstall_extension('semver')", '2BP01', qr/used in database "other"/,
	'uninstall of a package whose row is garbage');
query(q(UPDATE depot.installed_build b SET custom = a.custom FROM depot.available a WHERE a.package = b.package));
is_error($node, 'postgres', "BEGIN; ALTER DATABASE other RENAME TO another; SELECT uninstall_extension('semver')", '55000',
	qr/could not look into database "other"/, 'uninstall while the caller itself locks a database');

# ---- what a database may set for the leader ----

query('CREATE ROLE nobody_special; ' . join('; ', map { "ALTER DATABASE postgres SET $_" } 'search_path = public',
	"default_transaction_isolation = 'serializable'", 'default_transaction_read_only = on', 'role = nobody_special',
	'standard_conforming_strings = off'));
{
	local $ENV{PGOPTIONS} = '-c role=none -c default_transaction_read_only=off';
	query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_depot leader'");
	wait_for_leader($node);
	is(query("SELECT action FROM install_extension('depot_demo')"), 'install', 'install in a database with a role and settings of its own');
	query('ALTER DATABASE other SET standard_conforming_strings = off');
	my $log_position = -s $node->logfile;
	is(query("SELECT action FROM uninstall_extension('depot_demo', dry_run => true)"), 'remove', 'a look into databases with settings of their own');
	unlike(substr(DepotTest::file_contents($node->logfile), $log_position), qr/nonstandard use/, 'which read the same statements');
	query('ALTER DATABASE postgres RESET ALL; ALTER DATABASE other RESET ALL; DROP ROLE nobody_special');
}

# ---- nobody else writes the tables ----

query('CREATE ROLE grantee LOGIN; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO grantee, PUBLIC;'
	  . ' ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO grantee; ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO grantee');
query('DROP EXTENSION pg_depot; CREATE EXTENSION pg_depot');
foreach my $statement ("UPDATE depot.repository SET url = 'file:///tmp'", 'SELECT FROM depot.history', 'CREATE TABLE depot.mine ()',
	'SELECT depot.running_requests()')
{
	is_error($node, 'postgres', "SET ROLE grantee; $statement", '42501', qr/permission denied/, "default privileges do not allow $statement");
}
is(query('SET ROLE grantee; SELECT count(*) FROM depot.installed_packages'), 3, 'everybody reads what is installed');
query('ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM grantee, PUBLIC; ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM grantee;'
	  . ' DROP OWNED BY grantee; DROP ROLE grantee');
wait_for_leader($node);
add_repository($node, $repository->{directory});
query("SELECT install_extension('$_')") foreach qw(hll semver depot_demo);

# ---- reconcile goes on ----

my $extensions = $node->data_dir . '/pg_depot' . pg_config_value('sharedir') . '/extension';
add_repository($node, $repository->{directory}, name => 'second');
query("SELECT install_extension('rational', repository => 'second')");

# Once the leader stores nothing more: without depot.payload only a repository has the packages.
my $missing = q{SELECT count(*) FROM depot.installed_build b
	WHERE NOT EXISTS (SELECT FROM depot.payload p WHERE encode(p.digest, 'hex') = b.digest)};
ok(DepotTest::wait_until(sub { query($missing) == 0 }), 'depot.payload has all packages');
query("SELECT drop_extension_repository('main')");
query('DELETE FROM depot.payload');
$node->stop;
run_ok('rm', map { "$extensions/$_.control" } qw(hll semver pg_rational));
$node->start;
ok(DepotTest::wait_until(sub { -e "$extensions/pg_rational.control" }), 'two packages that cannot be had do not keep a third away');
ok(!-e "$extensions/hll.control", 'what has neither a repository nor a payload is not there');
add_repository($node, $repository->{directory});
is(DepotTest::oracle_is_ok($node, 120), '', 'the others are fetched when their repository is back');

# A lock on what it has to read only delays it.
my $session = start_psql($node, 'postgres', 'BEGIN; LOCK TABLE depot.installed; SELECT pg_sleep(3); COMMIT;');
ok(DepotTest::wait_until(sub { query("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'depot.installed'::regclass") }),
	'a table is locked');
run_ok('rm', "$extensions/hll.control");
query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_depot leader'");
is(DepotTest::oracle_is_ok($node, 120), '', 'a lock while the leader starts only delays it');
finish_psql($session);

# ---- no room for the leader ----

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
my $error = is_error($node, 'postgres', "SELECT install_extension('hll')", '57P03', qr/leader is not running/, 'no worker process for the leader');
like($error->{hint} // '', qr/max_worker_processes/, 'and the hint says so');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
wait_for_leader($node);

# ---- a directory that cannot be used ----

$node->append_conf('postgresql.conf', "depot.directory = '/proc/depot'");
$node->restart;
my $offset = -s $node->logfile;
ok(DepotTest::wait_until(sub { leader_pid($node) }), 'the leader starts without a directory');
is_error($node, 'postgres', "SELECT install_extension('hll')", '55000', qr/inactive/, 'install without a directory');
is(count_in_log(qr/pg_depot leader" .* exited/, $offset), 0, 'and stays');
$node->append_conf('postgresql.conf', "depot.directory = 'pg_depot'");

# Nor does a state that cannot be read fill the log.
my $state = $node->data_dir . '/pg_depot/var/state.json';
$node->stop;
rename($state, "$state.kept") && mkdir($state) or die "could not replace $state: $!";
$offset = -s $node->logfile;
$node->start;
my $start = time;
sleep 4;
my $exits = count_in_log(qr/pg_depot leader" .* exited/, $offset);
cmp_ok($exits, '<', (time - $start) / 2 + 1, 'the leader pauses after starts that failed');
is_error($node, 'postgres', "SELECT install_extension('hll')", '57P03', qr/leader is not running/, 'install without a leader');
rmdir($state) && rename("$state.kept", $state) or die "could not put $state back: $!";
$node->restart;
wait_for_leader($node);
oracle_ok($node, 'with the directory and its state again');

$node->stop;
done_testing();
