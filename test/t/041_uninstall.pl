# Uninstalling: every user of a package is found and named, wherever it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $packages = "$ENV{DEPOT_TEST_WORK}/packages";
run_ok("$FindBin::RealBin/../tools/repository.sh", $packages);
my $node = new_depot_node('uninstall',
	conf => "wal_level = logical\nmax_replication_slots = 2\nmax_prepared_transactions = 4\nmax_worker_processes = 3\n");
create_depot($node);
my $root = DepotTest::file_contents("$packages/repository/metadata/1.root.json");
my $add = "add_extension_repository('main', 'file://$packages/repository', trusted_root => \$r\$$root\$r\$)";
query("SELECT $add");

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# What a refused call says: SQLSTATE, message and the lines of its detail.
sub refusal
{
	my ($call) = @_;
	my $error = DepotTest::psql_error($node, 'postgres', "SELECT uninstall_extension($call)");
	my ($detail) = $error->{stderr} =~ /^DETAIL:  (.*?)\n(?:HINT|LOCATION):/ms;
	return join("\n", $error->{sqlstate}, $error->{message} // "no error: $error->{stdout}", $detail // ());
}

# Tests that the call is refused with this text, by dry_run as well, and changes nothing.
sub refused
{
	my ($name, $text, $label) = @_;
	unchanged_ok(
		$node, $label,
		sub {
			is(refusal("'$name'"), $text, "$label: refused");
			is(refusal("'$name', dry_run => true"), $text, "$label: dry_run says so");
		});
	return;
}

# Runs a statement that makes a user of depot_modules, tests that it is named, and undoes it.
sub refused_while
{
	my ($sql, $user, $undo, $label) = @_;
	query($sql, $label =~ /slot|function/ ? 'other' : 'postgres');
	refused('depot_modules', "2BP01\n$user", $label);
	query($undo, 'other');
	return;
}

query("SELECT install_extension('$_')") foreach qw(depot_needs depot_slow depot_modules);
query("CREATE DATABASE $_") foreach qw(closed other broken);
query("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'");

# ---- extensions in any database ----

query('CREATE EXTENSION depot_needs CASCADE', 'closed');
query('ALTER DATABASE closed WITH ALLOW_CONNECTIONS false IS_TEMPLATE true');
query('CREATE EXTENSION depot_slow', 'other');
query('CREATE EXTENSION depot_slow', 'template1');
refused('depot_needs', "2BP01\nextension \"depot_needs\" is used in database \"closed\"", 'in a template that allows no connections');
refused(
	'depot_slow',
	"2BP01\nextension \"depot_slow\" is used in database \"other\"\nextension \"depot_slow\" is used in database \"template1\"",
	'in two databases');
refused(
	'depot_demo',
	"2BP01\npackage \"depot_demo\" is needed by package \"depot_needs\"\n"
	  . 'extension "depot_demo" is used in database "closed"',
	'what another package needs');

# ---- functions that name a library themselves ----

my $lib = $node->data_dir . '/pg_depot' . DepotTest::pg_config_value('pkglibdir');
query('CREATE SCHEMA own', 'other');
foreach my $name ('depot_distance', 'depot_distance.so', '$libdir/depot_distance', "$lib/depot_distance.so")
{
	refused_while(
		"CREATE FUNCTION own.f(point, point) RETURNS float8 LANGUAGE c AS '$name', 'geo_distance'",
		'function own.f(point,point) uses library "depot_distance" in database "other"',
		'DROP FUNCTION own.f',
		"a function of $name");
}

# Its arguments' names take more room than the worker that looks has for all users.
my $type = 't' x 60;
query("CREATE DOMAIN own.$type AS integer", 'other');
query(
	'CREATE FUNCTION own.long(' . join(', ', ("own.$type") x 99) . ") RETURNS float8 LANGUAGE c AS 'depot_distance', 'geo_distance'",
	'other');
like(refusal(q('depot_modules')), qr/^2BP01\nfunction own\.long\(own\.$type,own\./, 'a function with a long list of arguments');
query('DROP FUNCTION own.long', 'other');

# ---- settings ----

query('CREATE ROLE app');
my @settings = (
	[ 'ROLE app', 'session_preload_libraries', q('auto_explain, $libdir/depot_decoding'), 'role "app"' ],
	[ 'DATABASE other', 'session_preload_libraries', q('depot_decoding.so'), 'database "other"' ],
	[ 'ROLE app IN DATABASE other', 'local_preload_libraries', q('depot_decoding'), 'role "app" in database "other"' ],
	[ 'ROLE ALL', 'session_preload_libraries', q('depot_decoding'), 'the server' ],
);
foreach (@settings)
{
	my ($whose, $name, $value, $owner) = @{$_};
	refused_while("ALTER $whose SET $name = $value", qq(setting "$name" of $owner names library "depot_decoding"),
		"ALTER $whose RESET $name", "a setting of $whose");
}
foreach my $name ('session_preload_libraries', 'shared_preload_libraries')
{
	my $value = $name =~ /^shared/ ? 'pg_depot,depot_decoding' : 'depot_decoding';
	refused_while(
		"ALTER SYSTEM SET $name = $value",
		qq(setting "$name" of the server names library "depot_decoding"),
		"ALTER SYSTEM RESET $name",
		"$name in a file, not loaded yet");
}
query("ALTER SYSTEM SET session_preload_libraries = 'depot_decoding'");
query('SELECT pg_reload_conf()');
refused('depot_modules', qq(2BP01\nsetting "session_preload_libraries" of the server names library "depot_decoding"),
	'a setting of the running server');
query('ALTER SYSTEM RESET session_preload_libraries');
query('SELECT pg_reload_conf()');

# ---- slots ----

# Minor versions since August 2026 want to be told which output plugins are safe.
if (query("SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'"))
{
	query("ALTER SYSTEM SET output_plugin_libraries = 'depot_decoding'");
	query('SELECT pg_reload_conf()');
}
refused_while(
	"SELECT pg_create_logical_replication_slot('changes', 'depot_decoding')",
	'replication slot "changes" uses output plugin "depot_decoding"',
	"SELECT pg_drop_replication_slot('changes')",
	'a slot');

# ---- transactions that are not over ----

my $open = $node->background_psql('other');
$open->query_safe('BEGIN; CREATE EXTENSION depot_demo');
my $pid = $open->query_safe('SELECT pg_backend_pid()');
query('DROP EXTENSION depot_slow', $_) foreach qw(other template1);
query("BEGIN; CREATE EXTENSION depot_slow; PREPARE TRANSACTION 'it''s slow'", 'other');
my $is_open = "55006\nextension \"%s\" is being created or updated by an open transaction\nIt is %s in database \"other\".";
refused('depot_slow', sprintf($is_open, 'depot_slow', q(prepared transaction "it's slow")), 'a prepared transaction');
is( refusal("'depot_demo', force => true"),
	sprintf($is_open, 'depot_demo', "the transaction of process $pid"),
	'an open transaction, also by force');
$open->query_safe('ROLLBACK');
$open->quit;
$node->restart;
wait_for_leader($node);
refused('depot_slow', sprintf($is_open, 'depot_slow', q(prepared transaction "it's slow")), 'a prepared transaction after a restart');
query("COMMIT PREPARED 'it''s slow'", 'other');
refused('depot_slow', "2BP01\nextension \"depot_slow\" is used in database \"other\"", 'a prepared transaction that was committed');
is(query("SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND database = 0 AND classid = 'pg_extension'::regclass"),
	'0', 'no lock is left');

# ---- databases that cannot be looked into ----

is_error(
	$node, 'postgres',
	"BEGIN; ALTER DATABASE closed RENAME TO another; SELECT uninstall_extension('depot_modules')",
	'55000', qr/could not look into database "closed"/, 'a database that is locked by the caller');
my @notices = psql_notices($node, 'postgres', "SELECT uninstall_extension('depot_modules', dry_run => true)");
is_deeply(
	[ map { s/^[^:]*:[^:]*:\d+: //r } @notices ],
	['NOTICE:  database "broken" is invalid and was not looked into'],
	'an invalid database is skipped and named, and nothing else is');

# ---- force ----

is( refusal("'depot_demo', force => true"),
	"2BP01\npackage \"depot_demo\" is needed by package \"depot_needs\"",
	'force does not make up for what another package needs');
is_error($node, 'postgres', "SET ROLE app; SELECT uninstall_extension('depot_slow', force => true)", '42501',
	qr/permission denied/, 'force by somebody else');
my ($stdout, $stderr) = ('', '');
unchanged_ok(
	$node,
	'dry_run with force',
	sub {
		$node->psql('postgres', "SELECT action FROM uninstall_extension('depot_slow', dry_run => true, force => true)",
			stdout => \$stdout, stderr => \$stderr);
		is($stdout, 'remove', 'dry_run with force says what would be done');
		like($stderr, qr/WARNING:  package "depot_slow" would be removed although it is used\nDETAIL:  extension "depot_slow" is used in database "other"\n/,
			'and who uses it');
	});
$node->psql('postgres', "SELECT action FROM uninstall_extension('depot_slow', force => true)", stdout => \$stdout, stderr => \$stderr);
is($stdout, 'remove', 'force removes what is used');
like($stderr, qr/WARNING:  package "depot_slow" was removed although it is used\nDETAIL:  extension "depot_slow" is used in database "other"\n/,
	'and names who uses it');
is(query("SELECT count(*) FROM depot.installed_packages WHERE package = 'depot_slow'"), '0', 'it is gone');

# ---- a removal that could not be carried out, of what is used since ----

query("SELECT install_extension('depot_slow')");
query('DROP EXTENSION depot_slow', 'other');
my $extensions = $node->data_dir . '/pg_depot' . DepotTest::pg_config_value('sharedir') . '/extension';
chmod 0500, $extensions;
is_error($node, 'postgres', "SELECT uninstall_extension('depot_slow')", '58030', qr/its files are still here/, 'a removal that fails');
query('CREATE EXTENSION depot_slow', 'other');
chmod 0700, $extensions;
my $kept = qr/files of package "depot_slow" stay although its removal is recorded: extension "depot_slow" is used in database "other"/;
ok(DepotTest::wait_until(sub { DepotTest::file_contents($node->logfile) =~ $kept }), 'the leader leaves what is used since');
is(query("SELECT state FROM depot.installed_packages WHERE package = 'depot_slow'"), 'unclaimed', 'and shows it');
is(query('SELECT * FROM verify_extension_files()'), 'depot_slow||removal not finished', 'as verify_extension_files does');
refused('depot_slow', "2BP01\nextension \"depot_slow\" is used in database \"other\"", 'what is used and unclaimed');
query('DROP EXTENSION depot_slow', 'other');
is(query("SELECT action FROM uninstall_extension('depot_slow')"), 'remove', 'and removes it when nothing does');
ok(!-e "$extensions/depot_slow.control", 'its files are gone');

# ---- a package that is installed while databases are looked into, and needs what is being removed ----

# A look waits five seconds for a database that somebody renames; a machine that is slower than that is given another chance.
sub uninstall_with_installation
{
	my ($package, $other) = @_;
	foreach (1 .. 10)
	{
		my $blocker = $node->background_psql('postgres');
		$blocker->query_safe('BEGIN; ALTER DATABASE closed RENAME TO another; ALTER DATABASE another RENAME TO closed');
		my $removing = DepotTest::start_psql($node, 'postgres', "SELECT uninstall_extension('$package')");
		DepotTest::wait_until(
			sub { query("SELECT count(*) FROM pg_locks WHERE NOT granted AND classid = 'pg_database'::regclass") > 0 })
		  or die 'no look waits';
		query("SELECT install_extension('$other')");
		$blocker->quit;
		my $answer = DepotTest::finish_psql($removing);
		return $answer if $answer->{stderr} !~ /could not look into database/;
		query("SELECT uninstall_extension('$other')");
	}
	die 'it takes too long';
}

query("SELECT install_extension('depot_slow')");
my $answer = uninstall_with_installation('depot_slow', 'depot_slow_needs');
is($answer->{sqlstate}, '2BP01', 'what needs it since is seen') or diag($answer->{stderr});
like($answer->{stderr}, qr/package "depot_slow" is needed by package "depot_slow_needs"/, 'and named');
is(query(q{SELECT string_agg(package, ' ' ORDER BY package) FROM depot.installed_packages WHERE package ~ '_slow' AND state = 'active'}),
	'depot_slow depot_slow_needs', 'both stay');
oracle_ok($node, 'installed meanwhile', '--repository', "$packages/repository");

# ---- background workers: one is enough, none is not ----

$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
$node->restart;
wait_for_leader($node);
is_error($node, 'postgres', "SELECT uninstall_extension('depot_modules')", '53000',
	qr/no background worker is left to look into database "closed"/, 'without a background worker');
is(query("SELECT action FROM uninstall_extension('depot_modules', force => true)"), 'remove', 'force does without');

$node->stop;
done_testing();
