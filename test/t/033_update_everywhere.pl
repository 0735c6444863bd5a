# CALL update_extension_everywhere: every database in a transaction of its own, a row each.

use strict;
use warnings;

use DBI;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = new_depot_node('everywhere', conf => "max_worker_processes = 4\nwal_level = replica\nautovacuum = off\n");
create_depot($node);
my ($directory) = map { glob($node->data_dir . "/pg_depot/$_/extension") } qw(usr/share/postgresql/* share);

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# Files as a package brings them, in the place where the server looks for them.
sub write_extension
{
	my ($name, $default_version, %scripts) = @_;
	write_file("$directory/${name}--$_.sql", $scripts{$_}) foreach keys %scripts;
	write_file("$directory/$name.control", "default_version = '$default_version'\nsuperuser = false\nrelocatable = true\n");
	return;
}

# Rows of a CALL, as psql prints them.
sub rows_of
{
	my ($call, $before) = @_;
	return psql_error($node, 'postgres', join(";\n", $before // (), $call))->{stdout};
}

write_extension('every', '1.0',
	'1.0' => "CREATE TABLE every_step (version text);\n",
	'1.0--1.1' => <<'SQL',
DO $$
BEGIN
	IF current_database() = 'breaks' THEN
		RAISE EXCEPTION 'not in this database' USING DETAIL = 'It breaks.';
	ELSIF current_database() = 'latin' THEN
		RAISE EXCEPTION 'nicht f%r mich', chr(252);
	END IF;
END
$$;
ALTER TABLE every_step ADD COLUMN added integer;
SQL
	'1.1--1.2' => "SELECT 1;\n");

# ---- refused ----

is_error($node, 'postgres', "BEGIN; CALL update_extension_everywhere('every')", '25001', qr/cannot run inside a transaction block/,
	'in a transaction block');
is_error($node, 'postgres', q{DO $$ BEGIN EXECUTE $c$CALL update_extension_everywhere('every')$c$; END $$}, '25001',
	qr/cannot be executed from a function/, 'in DO');
is_error($node, 'postgres', "SET default_transaction_read_only = on; CALL update_extension_everywhere('every')", '25006',
	qr/cannot execute CALL update_extension_everywhere in a read-only transaction/, 'in a read-only transaction');
is_error($node, 'postgres', 'CALL update_extension_everywhere(NULL)', '22004', qr/extension must not be null/, 'without a name');
is_error($node, 'postgres', q{CALL update_extension_everywhere('a;b')}, '42602', qr/invalid extension name/, 'a name that is none');
is_error($node, 'postgres', q{CALL update_extension_everywhere('every', '')}, '22023', qr/invalid extension version: ""/, 'an empty version');
is_error($node, 'postgres', q{CALL update_extension_everywhere('every', repeat('1', 300))}, '22023', qr/invalid extension version: "1{64}"/,
	'a long version');
is_error($node, 'postgres', 'CREATE ROLE every_group; SET ROLE every_group; CALL update_extension_everywhere(\'every\')', '28000',
	qr/role "every_group" is not permitted to log in/, 'a role that cannot connect');

# ---- no database has it ----

my @notices = psql_notices($node, 'postgres', "CALL update_extension_everywhere('every')");
like($notices[0], qr/NOTICE:  extension "every" exists in no database/, 'no database has it');
my $no_rows = run_ok('psql', '-X', '-d', $node->connstr('postgres'), '-c', "CALL update_extension_everywhere('every')");
like($no_rows, qr/^ database \| from_version \| to_version \| result \| message \n[-+]+\n\(0 rows\)/, 'a result without rows');

# ---- several databases ----

query(qq{CREATE DATABASE "$_"}) foreach ('breaks', 'closed', 'dropped', 'locked', 'Odd name', 'without', 'works');
query(q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
query('CREATE EXTENSION every', $_) foreach ('breaks', 'closed', 'dropped', 'latin', 'locked', 'Odd name', 'works');
query('ALTER DATABASE closed ALLOW_CONNECTIONS false');
query(q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'dropped'});
is( rows_of("CALL update_extension_everywhere('every')"),
	join("\n",
		'Odd name|1.0|1.0|unchanged|',
		'breaks|1.0|1.0|unchanged|',
		'closed|1.0|1.0|unchanged|',
		'dropped|||skipped|the database is invalid: dropping it was interrupted, and DROP DATABASE can be repeated',
		'latin|1.0|1.0|unchanged|',
		'locked|1.0|1.0|unchanged|',
		'works|1.0|1.0|unchanged|'),
	'nothing newer: a row for each that has it');

write_extension('every', '1.1');
my $blocker = $node->background_psql('locked');
$blocker->query_safe('BEGIN; LOCK TABLE every_step IN ACCESS SHARE MODE');
my $expected = join("\n",
	'Odd name|1.0|1.1|updated|',
	'breaks|1.0||failed|not in this database (It breaks.)',
	'closed|1.0|1.1|updated|',
	'dropped|||skipped|the database is invalid: dropping it was interrupted, and DROP DATABASE can be repeated',
	"latin|1.0||failed|nicht f\xc3\xbcr mich",
	'locked|1.0||failed|canceling statement due to lock timeout',
	'works|1.0|1.1|updated|');
is(rows_of("CALL update_extension_everywhere('every')", "SET lock_timeout = '100ms'"), $expected, 'a row each, also where one fails');
is(query(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'every_step'::regclass AND attname = 'added'}, $_->[0]), $_->[1],
	"what is said of $_->[0] is so")
  foreach ([ 'works', 1 ], [ 'breaks', 0 ], [ 'Odd name', 1 ]);
is(query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_depot extension update'}), 0, 'no worker is left');

# ---- canceled: the worker ends, too ----

is_error($node, 'postgres', "SET statement_timeout = '500ms'; CALL update_extension_everywhere('every')", '57014',
	qr/canceling statement due to statement timeout/, 'canceled');
ok( wait_until(
		sub { query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_depot extension update'}) == 0 }),
	'a canceled call leaves no worker');
my $session = start_psql($node, 'postgres', "CALL update_extension_everywhere('every')");
ok( wait_until(
		sub {
			query(q{SELECT count(*) FROM pg_stat_activity
				WHERE backend_type = 'pg_depot extension update' AND datname = 'locked' AND wait_event_type = 'Lock'
				AND query = 'ALTER EXTENSION every UPDATE'}) == 1;
		}),
	'the worker can be seen, with what it runs');
query(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL update_ext%'});
isnt(finish_psql($session)->{status}, 0, 'terminated');
ok( wait_until(
		sub { query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_depot extension update'}) == 0 }),
	'a terminated session leaves no worker');
$blocker->quit;
query('DROP DATABASE dropped') if $node->psql('postgres', q{UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'dropped'}) == 0;

# ---- to a version, by DBI (extended protocol) ----

my $dbi = DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
my $statement = $dbi->prepare('CALL update_extension_everywhere(?, ?)', { pg_server_prepare => 1 });
foreach my $round (1 .. 2)
{
	$statement->execute('every', '1.2');
	is_deeply($statement->{NAME}, [qw(database from_version to_version result message)], 'names of columns') if $round == 1;
	is_deeply(
		[ map { "$_->[0] $_->[3]" } @{ $statement->fetchall_arrayref } ],
		$round == 1
		? [ 'Odd name updated', 'breaks failed', 'closed updated', 'latin failed', 'locked updated', 'works updated' ]
		: [ 'Odd name unchanged', 'breaks failed', 'closed unchanged', 'latin failed', 'locked unchanged', 'works unchanged' ],
		"DBI sees all rows, round $round");
}
$statement->execute('every_other', undef);
is_deeply($statement->fetchall_arrayref, [], 'DBI sees that there are none');
ok(!eval { $statement->execute(undef, undef); 1 } && $dbi->state eq '22004', 'DBI sees an error');
$dbi->{AutoCommit} = 0;
ok(!eval { $statement->execute('every', undef); 1 } && $dbi->state eq '25001', 'DBI without AutoCommit is in a transaction');
$dbi->rollback;
$dbi->disconnect;
is(rows_of("CALL update_extension_everywhere(version => '9', extension => 'every')") =~ s/\n.*//sr,
	'Odd name|1.2||failed|extension "every" has no update path from version "1.2" to version "9"', 'a version that nobody has');

# ---- as another role ----

query('CREATE ROLE every_owner LOGIN');
query('REVOKE CONNECT ON DATABASE "Odd name" FROM PUBLIC');
query('GRANT CREATE ON DATABASE without TO every_owner; GRANT CREATE ON SCHEMA public TO every_owner', 'without');
write_extension('every', '2.0',
	'2.0' => "CREATE TABLE every_step (version text);\n",
	'2.0--2.1' => "RESET ROLE;\nRESET SESSION AUTHORIZATION;\n"
	  . "CREATE TABLE every_who AS SELECT session_user::text AS who, current_setting('is_superuser') AS super;\n");
query('SET ROLE every_owner; CREATE EXTENSION every', 'without');
is( rows_of("CALL update_extension_everywhere('every', '2.1')", 'SET ROLE every_owner'),
	join("\n",
		'Odd name|||skipped|permission denied to connect to the database',
		'breaks|1.0||failed|must be owner of extension every',
		'closed|||skipped|the database allows no connections',
		'latin|1.0||failed|must be owner of extension every',
		'locked|1.2||failed|must be owner of extension every',
		'template0|||skipped|the database allows no connections',
		'without|2.0|2.1|updated|',
		'works|1.2||failed|must be owner of extension every'),
	'what the role may not is a row, too');
is(query('SELECT who, super FROM every_who', 'without'), 'every_owner|off', 'no script gets at more rights than the role has');

# ---- other procedures ----

query(q{CREATE PROCEDURE every_other(a integer, INOUT b integer DEFAULT 1) LANGUAGE plpgsql AS $$ BEGIN b := a + b; END $$});
is(query('CALL every_other(2)'), '3', 'other procedures return their row');
is(query(q{DO $$ DECLARE x integer := 5; BEGIN CALL every_other(2, x); IF x <> 7 THEN RAISE 'wrong: %', x; END IF; END $$}), '',
	'and work in functions');
query(q{CREATE PROCEDURE public.update_extension_everywhere(extension text) LANGUAGE sql AS $$ SELECT 1/0 $$});
unlike(psql_error($node, 'postgres', "SET search_path = public; CALL update_extension_everywhere('every_other')")->{stderr}, qr/ERROR/,
	'a procedure of the same name in public is not taken for ours');
query(q{DROP PROCEDURE public.update_extension_everywhere(text)});
query(q{ALTER PROCEDURE pg_catalog.update_extension_everywhere SET work_mem = '1MB'});
is_error($node, 'postgres', "CALL update_extension_everywhere('every')", '55000', qr/does not recognize its procedure/, 'an altered procedure');
query(q{ALTER PROCEDURE pg_catalog.update_extension_everywhere RESET ALL});

# ---- no worker ----

$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
wait_for_leader($node);
like(rows_of("CALL update_extension_everywhere('every')"),
	qr/\AOdd name\|\|\|failed\|no background worker is left \(Raise "max_worker_processes".*\nworks\|\|\|failed\|no background worker is left[^\n]*\z/s,
	'without a worker');

# ---- in recovery ----

$node->stop;
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->append_conf('standby.signal', '');
$node->start;
is_error($node, 'postgres', "CALL update_extension_everywhere('every')", '25006',
	qr/cannot execute CALL update_extension_everywhere during recovery/, 'in recovery');

$node->stop;
done_testing();
