# Promise 1 on a standby: what a superuser of the primary makes of the depot's tables, and of what PostgreSQL runs when
# they are read, is not run by the standby's leader, which is a superuser.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use File::Temp qw(tempdir);
use Test::More;

my $work = tempdir(CLEANUP => 1);
chmod 0777, $work;
my $sql_of_generation = 'UPDATE depot.generation SET generation = generation + 1;'
  . 'ALTER TABLE depot.generation SET (fillfactor = 90); ALTER TABLE depot.generation RESET (fillfactor);';
my ($primary, $standby) = depot_cluster();

sub run_sql
{
	my ($sql) = @_;
	$primary->safe_psql('postgres', "SET client_min_messages = error; $sql");
	return;
}

sub reason
{
	return psql_error($standby, 'postgres', 'SELECT reason FROM extension_files_ready()')->{stdout};
}

sub says
{
	my ($label, $wanted) = @_;
	replayed($standby, $primary);
	return ok(wait_until(sub { reason() =~ $wanted }, 90), "$label: refused") || diag(reason() . substr(log_of($standby), -3000));
}

# The function tells where it ran by a file named after the server.
run_sql(<<"SQL");
CREATE FUNCTION spy() RETURNS bigint LANGUAGE plpgsql AS \$spy\$
BEGIN
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'touch $work/run-by-' || current_setting('cluster_name'));
    RETURN 1;
END \$spy\$;
CREATE FUNCTION spy(box) RETURNS bigint LANGUAGE sql AS 'SELECT public.spy()';
SQL
install($primary, 'depot_demo', '2.0');
follows($standby, $primary, 'at first');

# Each: what is done to the primary, what takes it back, what the standby says.
my @cases = (
	[ 'a cast of somebody\'s own',
		'CREATE CAST (box AS bigint) WITH FUNCTION spy(box); ALTER TABLE depot.installed_build RENAME TO away;'
		  . "CREATE TABLE depot.installed_build AS SELECT package, major, platform, version, digest, manifest_sha256, repository, target,"
		  . "'((0,0),(1,1))'::box AS size_bytes, unpacked_bytes, extensions, custom, evidence, evidence_root FROM depot.away;",
		'DROP CAST (box AS bigint); DROP TABLE depot.installed_build; ALTER TABLE depot.away RENAME TO installed_build;',
		qr/function "spy" is not one of PostgreSQL's own/ ],
	[ 'a function of PostgreSQL\'s replaced',
		'CREATE OR REPLACE FUNCTION pg_catalog.int8(integer) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT public.spy() $$;'
		  . 'ALTER TABLE depot.installed_build RENAME TO away;'
		  . 'CREATE TABLE depot.installed_build AS SELECT package, major, platform, version, digest, manifest_sha256, repository, target,'
		  . 'size_bytes::text::integer AS size_bytes, unpacked_bytes, extensions, custom, evidence, evidence_root FROM depot.away;',
		"CREATE OR REPLACE FUNCTION pg_catalog.int8(integer) RETURNS bigint LANGUAGE internal IMMUTABLE STRICT AS 'int48';"
		  . 'DROP TABLE depot.installed_build; ALTER TABLE depot.away RENAME TO installed_build;',
		qr/function "int8" is not one of PostgreSQL's own/ ],
);
foreach my $case (@cases)
{
	my ($label, $do, $undo, $wanted) = @$case;
	run_sql("BEGIN; $do $sql_of_generation COMMIT");
	says($label, $wanted);
	ok(!-e "$work/run-by-standby", "$label: nothing ran on the standby");
	unlink "$work/run-by-standby";
	run_sql("BEGIN; $undo $sql_of_generation COMMIT");
	replayed($standby, $primary);
	ok(wait_until(sub { reason() eq '' }, 90), "$label: all is well again") || diag(reason());
}

done_testing();
