# depot.auto_install: CREATE EXTENSION fetches what is not there, and leaves every other answer alone.
#
# Whether something was fetched is what the web server's log says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use Test::More;

my $work = "$ENV{DEPOT_TEST_WORK}/auto";
mkdir $work or die "mkdir: $!";
my $base = { map { ("auto_base--$_.sql" => "CREATE TABLE auto_base_steps AS SELECT '$_'::text AS made;\n") } qw(1.0 1.1) };
my @packages = (
	make_tree_package($work, 'auto_base', '1.0', scripts => { 'auto_base--1.0.sql' => $base->{'auto_base--1.0.sql'} }),
	make_tree_package($work, 'auto_top', '1.0', requires => 'auto_base'),
	make_tree_package($work, 'auto_lost', '1.0', requires => 'auto_nowhere'),
	make_tree_package($work, 'auto_inner', '1.0', package => 'auto_outer'),
	map { make_tree_package($work, 'auto_plain', $_) } qw(1.0 2.0));
my $newer = make_tree_package($work, 'auto_base', '1.1',
	scripts => { %{$base}, 'auto_base--1.0--1.1.sql' => "INSERT INTO auto_base_steps VALUES ('1.1');\n" });
my ($hll) = grep { m{hll_[^/]*$} } DepotTest::debian_packages($work);
run_ok(DepotTest::depot_program(), 'pack', '--from-deb', '-q', '--preload', 'hll=shared', '-o', "$work/packages", $hll);
make_repository("$work/repository", "$work/keys", @packages, glob("$work/packages/hll-*.tar.zst"));
my @ours = ('--repository', "$work/repository");
my $web = start_web("$work/repository");

my $node = new_depot_node('auto', conf => "wal_level = replica\n");
create_depot($node);
add_repository($node, $web->{http}, root => "$work/repository/metadata/1.root.json");
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'CREATE ROLE auto_user LOGIN; GRANT CREATE ON DATABASE other TO auto_user');

# A directory where the server looks for control files.
my ($directory) = map { glob($node->data_dir . "/pg_depot/$_/extension") } qw(usr/share/postgresql/* share);

# Sets it and waits until sessions see it.
sub set_auto_install
{
	my ($value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET depot.auto_install = $value");
	$node->reload;
	wait_until(sub { $node->safe_psql('postgres', 'SHOW depot.auto_install') eq $value }) or die 'the setting does not arrive';
	return;
}

# Requests that the web server has answered; one of our own shows that its log is complete so far.
my $mark = 0;

sub request_count
{
	my ($port) = $web->{http} =~ /:(\d+)$/;
	my $name = 'mark-' . ++$mark;
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "no connection: $!";
	print $socket "GET /$name HTTP/1.0\r\n\r\n";
	() = <$socket>;
	close($socket);
	my $log;
	wait_until(sub { ($log = file_contents($web->{access_log})) =~ m{/$name } }) or die 'nginx writes no log';
	return scalar(grep { !m{GET /mark-} } split /\n/, $log);
}

# Tests that code makes the leader fetch and do nothing.
sub nothing_fetched_ok
{
	my ($label, $code) = @_;
	my $before = request_count();
	unchanged_ok($node, $label, $code);
	return is(request_count(), $before, "$label: nothing was fetched");
}

# What an error is to a client: all of its fields but where in which file it was raised.
sub answer_to
{
	my ($database, $sql) = @_;
	my $stderr = psql_error($node, $database, $sql)->{stderr};
	$stderr =~ s/^LOCATION:.*\n//mg;
	return $stderr =~ s/^psql:[^ ]* //mgr;
}

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

sub installed
{
	return query(q{SELECT string_agg(package || ' ' || version, ', ' ORDER BY package) FROM depot.installed_packages});
}

# ---- off ----

is(query('SHOW depot.auto_install'), 'off', 'off by default');
my @core_refusals = (
	[ 'CREATE EXTENSION auto_zzz', qr/0A000: extension "auto_zzz" is not available/ ],
	[ 'CREATE EXTENSION "no name of ours!"', qr/0A000: extension "no name of ours!" is not available/ ],
	[ 'CREATE EXTENSION "a--b"', qr/22023: invalid extension name/ ],
	[ q{CREATE EXTENSION plpgsql VERSION '77'}, qr/42710: extension "plpgsql" already exists/ ],
	[ q{CREATE EXTENSION pg_depot_zzz SCHEMA nowhere CASCADE}, qr/0A000: extension "pg_depot_zzz" is not available/ ],
	[ q{ALTER EXTENSION plpgsql UPDATE TO '77'}, qr/22023: extension "plpgsql" has no update path/ ],
	[ q{ALTER EXTENSION auto_base UPDATE TO '1.1'}, qr/42704: extension "auto_base" does not exist/ ],
	[ 'CREATE EXTENSION auto_base SCHEMA a SCHEMA b', qr/42601: conflicting or redundant options/ ]);
my %answer_when_off = map { $_->[0] => answer_to('postgres', $_->[0]) } @core_refusals;
nothing_fetched_ok(
	'off',
	sub {
		is_error($node, 'postgres', 'CREATE EXTENSION auto_base', '0A000', qr/extension "auto_base" is not available/, 'off');
	});

# ---- what it leaves alone, in the order in which it looks ----

set_auto_install('on');
foreach my $refusal (@core_refusals)
{
	my ($sql, $expected) = @{$refusal};
	my $answer = answer_to('postgres', $sql);
	like($answer, $expected, "$sql: the server's own answer");
	is($answer, $answer_when_off{$sql}, "$sql: the same as without pg_depot");
}

nothing_fetched_ok(
	'in a read-only transaction',
	sub {
		is_error($node, 'other', 'BEGIN READ ONLY; CREATE EXTENSION auto_base', '25006',
			qr/cannot execute CREATE EXTENSION in a read-only transaction/, 'in a read-only transaction');
	});
nothing_fetched_ok(
	'IF NOT EXISTS of what exists',
	sub {
		my @notices = psql_notices($node, 'other', 'CREATE EXTENSION IF NOT EXISTS plpgsql VERSION \'9\' CASCADE');
		like($notices[0], qr/extension "plpgsql" already exists, skipping/, 'IF NOT EXISTS of what exists');
	});
nothing_fetched_ok(
	'a role without the right',
	sub {
		is_error($node, 'other', 'SET ROLE auto_user; CREATE EXTENSION auto_base', '0A000',
			qr/extension "auto_base" is not available/, 'a role that may create extensions, but not have files fetched');
		is_error($node, 'postgres', 'SET ROLE auto_user; CREATE EXTENSION IF NOT EXISTS auto_base CASCADE', '0A000',
			qr/extension "auto_base" is not available/, 'a role that may neither');
	});
nothing_fetched_ok(
	'CREATE EXTENSION in the script of an extension',
	sub {
		write_file("$directory/auto_nested.control", "default_version = '1'\n");
		write_file("$directory/auto_nested--1.sql", "CREATE EXTENSION auto_base;\n");
		is_error($node, 'other', 'CREATE EXTENSION auto_nested', '0A000', qr/nested CREATE EXTENSION is not supported/,
			'in the script of an extension');
		unlink "$directory/auto_nested.control", "$directory/auto_nested--1.sql";
	});
nothing_fetched_ok(
	'ALTER EXTENSION without TO',
	sub {
		query('ALTER EXTENSION plpgsql UPDATE', 'other');
	});

# The same server in recovery, without anything to recover from.
$node->stop;
$node->append_conf('standby.signal', '');
$node->start;
my $requests = request_count();
is_error($node, 'other', 'CREATE EXTENSION auto_base', '25006', qr/cannot execute CREATE EXTENSION in a read-only transaction/,
	'in recovery');
is(request_count(), $requests, 'in recovery: nothing was fetched');
$node->stop;
unlink $node->data_dir . '/standby.signal';
$node->start;
wait_for_leader($node);

# The same server as pg_upgrade starts it.
$node->stop;
my $pg_ctl = pg_config_value('bindir') . '/pg_ctl';
run_ok($pg_ctl, '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start');
$requests = request_count();
is_error($node, 'other', 'CREATE EXTENSION auto_base', '0A000', qr/extension "auto_base" is not available/, 'in a binary upgrade');
is(request_count(), $requests, 'in a binary upgrade: nothing was fetched');
run_ok($pg_ctl, '-w', '-D', $node->data_dir, '-m', 'fast', 'stop');
$node->start;
wait_for_leader($node);

# ---- what it fetches ----

my @notices = psql_notices($node, 'other', 'CREATE EXTENSION auto_base');
like($notices[0], qr/NOTICE:  installed package "auto_base" 1\.0 \(\d+ kB\) from http/, 'the statement shows what was installed');
is(scalar @notices, 1, 'and nothing else');
is(query('SELECT made FROM auto_base_steps', 'other'), '1.0', 'CREATE EXTENSION in a database without pg_depot');
is(query(q{SELECT action || ' ' || package || ' ' || role_name || ' ' || database_name FROM depot.activity_log ORDER BY id DESC LIMIT 1}),
	'install auto_base ' . query('SELECT current_user') . ' other', 'done in the name of the role that created it');
oracle_ok($node, 'after CREATE EXTENSION', @ours);
nothing_fetched_ok('once more', sub { query('CREATE EXTENSION auto_base', 'postgres') });
query('DROP EXTENSION auto_base');

# In a transaction that is rolled back the files stay, as with the function.
query('BEGIN; CREATE EXTENSION auto_top CASCADE; ROLLBACK');
is(installed(), 'auto_base 1.0, auto_top 1.0', 'files stay after ROLLBACK');
is(query(q{SELECT count(*) FROM pg_extension WHERE extname LIKE 'auto%'}), 0, 'the extension does not');
@notices = psql_notices($node, 'postgres', 'CREATE EXTENSION auto_top CASCADE');
is(scalar(grep { /installing required extension "auto_base"/ } @notices), 1, 'CASCADE of what is there: the server alone');
is($node->psql('postgres', 'DROP EXTENSION auto_base'), 3, 'it is required');
query('DROP EXTENSION auto_top, auto_base');
query('SELECT uninstall_extension(\'auto_top\')');

# An extension that is there, but not what it requires.
write_file("$directory/auto_local.control", "default_version = '1'\nrequires = 'auto_top, auto_plain'\n");
write_file("$directory/auto_local--1.sql", "CREATE VIEW auto_local AS SELECT auto_plain_version();\n");
nothing_fetched_ok(
	'a requirement without CASCADE',
	sub {
		is_error($node, 'postgres', 'CREATE EXTENSION auto_local', '42704', qr/required extension "auto_top" is not installed/,
			'a requirement without CASCADE');
	});
@notices = psql_notices($node, 'postgres', 'CREATE EXTENSION auto_local CASCADE');
is(scalar(grep { /NOTICE:  installed package "auto_(top|plain)"/ } @notices), 2, 'CASCADE fetches all that is required');
is(query('SELECT auto_plain_version FROM auto_local'), '2.0', 'and the extension works');
query('DROP EXTENSION auto_local, auto_top, auto_base');
write_file("$directory/auto_local.control", "default_version = '1'\nrequires = 'auto_zzz'\n");
is_error($node, 'postgres', 'CREATE EXTENSION auto_local CASCADE', '0A000', qr/extension "auto_zzz" is not available/,
	'a requirement that nobody has');
unlink "$directory/auto_local.control", "$directory/auto_local--1.sql";
query('DROP EXTENSION auto_plain');

# A package whose own requirement nobody has: the server's answer, and the reason before it.
my $error = is_error($node, 'postgres', 'CREATE EXTENSION auto_lost', '0A000', qr/extension "auto_lost" is not available/,
	'a package that needs what nobody has');
like($error->{stderr}, qr/WARNING:.*extension "auto_nowhere" is not available\nDETAIL:  Package "auto_lost" needs it/, 'with the reason');

# A package by another name than its extension's is not what the command names.
$error = is_error($node, 'postgres', 'CREATE EXTENSION auto_outer', '0A000', qr/extension "auto_outer" is not available/,
	'the name of a package that no extension has');
like($error->{stderr}, qr/WARNING:.*"auto_outer" is not available\nDETAIL:  A package has this name.*\nHINT:  .*"auto_inner"/,
	'with its extension');
unlike(installed(), qr/auto_outer/, 'and nothing is installed');

# A library that the server must preload.
@notices = psql_notices($node, 'postgres', 'SELECT install_extension(\'hll\')');
like($notices[1], qr/NOTICE:  package "hll" needs library "hll" in "shared_preload_libraries", and a restart/, 'what is to do is said');
query('SELECT uninstall_extension(\'hll\')');

# ---- versions ----

query('SELECT uninstall_extension(\'auto_plain\')');
query(q{CREATE EXTENSION auto_plain VERSION '1.0'}, 'other');
is(query('SELECT auto_plain_version()', 'other'), '1.0', 'VERSION picks the package that has it');
query('DROP EXTENSION auto_plain', 'other');
@notices = psql_notices($node, 'other', q{CREATE EXTENSION auto_plain VERSION '2.0'});
like($notices[0], qr/updated package "auto_plain" 2\.0/, 'a VERSION that only a newer package has');
is(query('SELECT auto_plain_version()', 'other'), '2.0', 'is fetched and created');
$error = undef;
unchanged_ok(
	$node,
	'a version that an older package has',
	sub {
		$error = is_error($node, 'postgres', q{CREATE EXTENSION auto_plain VERSION '1.0'}, '22023',
			qr/has no installation script nor update path for version "1\.0"/, 'it never goes back for a version');
	});
like($error->{stderr}, qr/WARNING:.*is not available in version "1\.0" from a newer build\nDETAIL:  Repository "main" has 2\.0, 1\.0|has 1\.0, 2\.0/,
	'and says what there is');
$error = is_error($node, 'postgres', q{CREATE EXTENSION auto_inner VERSION '9'}, '0A000', qr/extension "auto_inner" is not available/,
	'a version that no package has');
like($error->{stderr}, qr/WARNING:.*extension "auto_inner" is not available in version "9"\nDETAIL:  Repository "main" has 1\.0\./,
	'of an extension that is not there');

is_error($node, 'other', q{ALTER EXTENSION auto_base UPDATE TO '1.1'}, '22023', qr/has no update path from version "1\.0" to version "1\.1"/,
	'a version that nobody has yet');
publish("$work/repository", "$work/keys", $newer);
@notices = psql_notices($node, 'other', q{ALTER EXTENSION auto_base UPDATE TO '1.1'});
like($notices[0], qr/updated package "auto_base" 1\.1/, 'UPDATE TO a version that only a newer package has');
is(query('SELECT string_agg(made, \' \' ORDER BY made) FROM auto_base_steps', 'other'), '1.0 1.1', 'the update script has run');
oracle_ok($node, 'after ALTER EXTENSION', @ours);

# ---- inside a function ----

query('SELECT uninstall_extension(\'auto_top\')');
query(q{DO $$ BEGIN EXECUTE 'CREATE EXTENSION auto_top CASCADE'; END $$});
is(query(q{SELECT extversion FROM pg_extension WHERE extname = 'auto_top'}), '1.0', 'inside DO');
query(q{DROP EXTENSION auto_top});
query('SELECT uninstall_extension(\'auto_top\')');
query(q{DO $$
BEGIN
	CREATE EXTENSION auto_top;
	RAISE EXCEPTION 'undone';
EXCEPTION WHEN raise_exception THEN
	CREATE EXTENSION auto_top;
END $$});
is(query(q{SELECT count(*) FROM pg_extension WHERE extname = 'auto_top'}), 1, 'inside a block with an exception');

# ---- another language ----

# The message in which the missing name is found is translated, where translations are installed.
query('DROP EXTENSION auto_plain', 'other');
query('SELECT uninstall_extension(\'auto_plain\')');
$node->append_conf('postgresql.conf', "lc_messages = 'C.UTF-8'");
$node->stop;
{
	local $ENV{LANGUAGE} = 'de';
	$node->start;
}
wait_for_leader($node);

# Written now, because a file that nobody can prove does not stay where it is when the server starts.
write_file("$directory/auto_local.control", "default_version = '1'\nrequires = 'auto_plain'\n");
write_file("$directory/auto_local--1.sql", "SELECT 1;\n");
note('said here: ' . answer_to('postgres', 'CREATE EXTENSION auto_zzz'));
query('CREATE EXTENSION auto_local CASCADE');
is(query(q{SELECT count(*) FROM pg_extension WHERE extname = 'auto_plain'}), 1, 'a requirement that a translated message names');
query('DROP EXTENSION auto_local, auto_plain');
query('SELECT uninstall_extension(\'auto_plain\')');
unlink "$directory/auto_local.control", "$directory/auto_local--1.sql";
$node->restart;
wait_for_leader($node);

# ---- a dump of a database that has what this server has not ----

my $dump = run_ok('pg_dump', '-d', $node->connstr('other'));
query('DROP DATABASE other');
query('DROP EXTENSION auto_top, auto_base');
query("SELECT uninstall_extension('$_')") foreach qw(auto_top auto_base);
is(installed() // '', '', 'nothing is installed');
query('CREATE DATABASE restored');
query($dump, 'restored');
is(query('SELECT extversion FROM pg_extension WHERE extname = \'auto_base\'', 'restored'), '1.1', 'a dump is restored with the extension');
oracle_ok($node, 'after the restore', @ours);

# ---- several at once ----

my @databases = map { "many_$_" } 1 .. 3;
query("CREATE DATABASE $_") foreach @databases;
my $requests_before = request_count();
my @sessions = map { start_psql($node, $_, 'CREATE EXTENSION auto_plain', stop => 1) } @databases;
is(join(' ', map { finish_psql($_)->{status} } @sessions), '0 0 0', 'three databases at once');
is(request_count() - $requests_before, 1, 'fetch it once');
query('DROP EXTENSION auto_plain', $_) foreach @databases;
query("SELECT uninstall_extension('auto_plain')");

# ---- what really fails ----

query('ALTER SYSTEM SET depot.hold = on');
$node->reload;
wait_until(sub { query('SHOW depot.hold') eq 'on' }) or die 'the setting does not arrive';
nothing_fetched_ok(
	'on hold',
	sub {
		is_error($node, 'restored', 'CREATE EXTENSION auto_plain', '55000', qr/pg_depot changes nothing on this server/, 'on hold');
	});
query('ALTER SYSTEM RESET depot.hold');
$node->reload;
wait_until(sub { query('SHOW depot.hold') eq 'off' }) or die 'the setting does not arrive';

DepotTest::stop_web($web);
unchanged_ok(
	$node,
	'the repository cannot be reached',
	sub {
		is_error($node, 'restored', 'CREATE EXTENSION auto_plain', '08001', qr/127\.0\.0\.1/, 'the repository cannot be reached');
	});

query('DROP EXTENSION pg_depot');
is_error($node, 'restored', 'CREATE EXTENSION auto_plain', '55000', qr/extension pg_depot does not exist in database "postgres"/,
	'without pg_depot');

$node->stop;
done_testing();
