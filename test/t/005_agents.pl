# Agents while they run, callers that go away, a leader that is not there, and who may call.
#
# Holds promises 6 (no waiting inside) and 8 (trust is the superuser's).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $repository = depot_repository();
my $web = start_web($repository->{directory}, rate => '20k');
my $node = new_depot_node('agents', conf => "log_statement = none\ndepot.agent_memory = 100MB\n");
create_depot($node);
add_repository($node, $web->{slow});
$node->safe_psql('postgres', "SELECT install_extension('hll')");
my $depot = $node->data_dir . '/pg_depot';
my $install = "SELECT install_extension('depot_big')";

# Starts an installation that takes a minute and waits until its package is on its way.
sub start_install
{
	my ($sql) = @_;
	my $session = start_psql($node, 'postgres', $sql // $install);
	DepotTest::wait_until(
		sub {
			$node->safe_psql('postgres', "SELECT bytes_done > 0 FROM depot.activity WHERE phase = 'fetching'") eq 't';
		})
	  or die 'no installation is running: ' . $node->safe_psql('postgres', 'TABLE depot.activity');
	return $session;
}

sub caller_pid
{
	return $node->safe_psql('postgres', 'SELECT pid FROM depot.activity');
}

sub command_line
{
	my ($pid) = @_;
	return join(' ', split /\0/, DepotTest::file_contents("/proc/$pid/cmdline"));
}

# ---- what agents hold ----

my $session = start_install("SET client_connection_check_interval = '500ms'; $install");
my $leader = leader_pid($node);
my @agents = agent_pids($leader);
is(scalar(@agents), 2, 'two agents run');
is(join(' ', sort map { command_line($_) =~ /^\S*pg_depot agent (\w+) / ? $1 : '?' } @agents), 'check fetch', 'one of each kind');
foreach my $pid (@agents)
{
	my ($kind) = command_line($pid) =~ /agent (\w+)/;
	opendir(my $directory, "/proc/$pid/fd") or die "could not list the descriptors of $kind: $!";
	my %target = map { $_ => readlink("/proc/$pid/fd/$_") } grep { /^\d+$/ } readdir($directory);
	closedir($directory);
	my @foreign = grep { $_ > 3 && !($kind eq 'fetch' && is_of_a_transfer($target{$_})) } keys %target;
	ok(!@foreign, "$kind holds nothing of the server") or diag(join(', ', map { "$_ $target{$_}" } @foreign));
	like($target{0}, qr/^socket:/, "$kind: 0 is a socket");
	is($target{1}, $target{0}, "$kind: 1 is the same one");
	is($target{2}, '/dev/null', "$kind: 2 is /dev/null");
	like($target{3}, $kind eq 'fetch' ? qr{^\Q$depot\E/var/pgsql_tmp_staging/[0-9a-f]{32}$} : qr{^\Q$depot\E/var$},
		"$kind: 3 is its directory");
	is((split ' ', stat_fields($pid))[2], $pid, "$kind leads a process group of its own");
	is(DepotTest::file_contents("/proc/$pid/oom_score_adj"), "500\n", "$kind is killed before the server when memory is short");
	my %status = DepotTest::file_contents("/proc/$pid/status") =~ /^(\w+):\s*(.*)$/mg;
	is($status{SigBlk}, '0000000000000000', "$kind has an empty signal mask");
	is($status{NoNewPrivs}, 1, "$kind cannot gain privileges") if $kind eq 'check';
	is($status{Seccomp}, 2, "$kind has a system call filter") if $kind eq 'check';
	my %limit = DepotTest::file_contents("/proc/$pid/limits") =~ /^Max (.*?)\s{2,}(\S+)/mg;
	is($limit{'core file size'}, 0, "$kind writes no core file");
	is($limit{'address space'}, 100 * 1024 * 1024, "$kind has the memory that depot.agent_memory says");
	isnt($limit{'file size'}, 'unlimited', "$kind has bounded files");
	my @environment = sort map { /^(\w+)=/ } split /\0/, DepotTest::file_contents("/proc/$pid/environ");
	is("@environment", 'LC_ALL PATH TZ', "$kind has a built environment");
}

# What libcurl opens for a transfer: its connection, what wakes it, and the file it writes.
sub is_of_a_transfer
{
	my ($target) = @_;
	return $target =~ m{^(socket|pipe|anon_inode):|^\Q$depot\E/var/pgsql_tmp_staging/};
}

sub stat_fields
{
	my ($pid) = @_;
	my ($rest) = DepotTest::file_contents("/proc/$pid/stat") =~ /\) (.*)$/s;
	return $rest;
}

is($node->safe_psql('postgres',
		"SELECT request, subject, phase, bytes_done < bytes_total, role_name FROM depot.activity"),
	'install_extension|depot_big|fetching|t|' . $node->safe_psql('postgres', 'SELECT current_user'),
	'depot.activity shows the running request');

# Promise 6: meanwhile the leader has no transaction, no snapshot and no lock.
is($node->safe_psql('postgres', <<"SQL"), 't|0', 'the leader waits outside transactions and holds no lock');
SELECT bool_and(xact_start IS NULL AND backend_xid IS NULL AND backend_xmin IS NULL),
	(SELECT count(*) FROM pg_locks WHERE pid = $leader)
FROM pg_stat_activity WHERE pid = $leader
SQL

# ---- callers that go away ----

sub gives_up_ok
{
	my ($label, $code, $sqlstate) = @_;
	unchanged_ok(
		$node, $label,
		sub {
			my $running = start_install();
			my @pids = agent_pids(leader_pid($node));
			my $start = time;
			$code->($running);
			my $answer = finish_psql($running);
			is($answer->{sqlstate}, $sqlstate, "$label: $sqlstate");
			cmp_ok(time - $start, '<', 30, "$label: long before the download ends");
			ok(DepotTest::processes_gone(30, @pids), "$label: its agents are gone");
			ok(DepotTest::wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM depot.activity') eq '0' }, 30),
				"$label: its request is gone");
		});
	oracle_ok($node, $label);
	return;
}

DepotTest::stop_psql($session);
ok(DepotTest::processes_gone(30, @agents), 'a client killed with -9: its agents are gone');
ok(DepotTest::wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM depot.activity') eq '0' }),
	'and its request');
oracle_ok($node, 'a client killed with -9');
gives_up_ok('pg_cancel_backend', sub { $node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . caller_pid() . ')') }, '57014');
gives_up_ok('Ctrl-C', sub { kill 'INT', $_[0]{pid} }, '57014');
gives_up_ok('pg_terminate_backend', sub { $node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . caller_pid() . ')') }, '57P01');
unchanged_ok(
	$node,
	'statement_timeout',
	sub {
		my $start = time;
		is_error($node, 'postgres', "SET statement_timeout = '1s'; $install", '57014', qr/statement timeout/, 'statement_timeout');
		cmp_ok(time - $start, '<', 30, 'statement_timeout: long before the download ends');
	});
oracle_ok($node, 'statement_timeout');

# An error in one statement of a block leaves the next transaction usable.
is($node->safe_psql('postgres', "BEGIN; SAVEPOINT s; SELECT install_extension('hll'); ROLLBACK TO s; SELECT 1; COMMIT") =~ /1$/ ? 1 : 0,
	1, 'a savepoint around a call');

# Several at once, and two for the same package.
my @sessions = map { start_psql($node, 'postgres', "SELECT install_extension('$_')") } qw(semver pgtap semver rational);
my @answers = map { finish_psql($_) } @sessions;
is(join(' ', map { $_->{sqlstate} } @answers), '   ', 'four at once, two of them for the same package') or diag(map { $_->{stderr} } @answers);
oracle_ok($node, 'four at once');

# More requests than there is room for are told so, none hangs.
@sessions = map { start_psql($node, 'postgres', "SET statement_timeout = '100s'; SELECT install_extension('hll')") } 1 .. 40;
@answers = map { finish_psql($_) } @sessions;
ok(!(grep { $_->{sqlstate} !~ /^(53000)?$/ } @answers), 'forty at once: an answer or 53000')
  or diag(join(' ', map { $_->{sqlstate} } @answers));
oracle_ok($node, 'forty at once');

# ---- agents that die ----

foreach my $kind (qw(fetch check))
{
	unchanged_ok(
		$node,
		"a killed $kind agent",
		sub {
			my $running = start_install();
			my ($pid) = grep { command_line($_) =~ /agent $kind/ } agent_pids(leader_pid($node));
			kill 'KILL', $pid;
			my $answer = finish_psql($running);
			is($answer->{sqlstate}, '58000', "a killed $kind agent: 58000");
			like($answer->{stderr}, qr/the $kind agent ended unexpectedly.*HINT:/s, "a killed $kind agent: says so");
		});
	oracle_ok($node, "a killed $kind agent");
}

# ---- the leader ----

$session = start_install();
$leader = leader_pid($node);
@agents = agent_pids($leader);
my $before = oracle_dump($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($leader)");
my $answer = finish_psql($session);
is($answer->{sqlstate}, '57P03', 'a terminated leader: 57P03');
cmp_ok($answer->{seconds}, '<', 30, 'a terminated leader: long before the download ends');
ok(DepotTest::processes_gone(30, @agents), 'a terminated leader: its agents are gone');
wait_for_leader($node);
is(oracle_dump($node), $before, 'a terminated leader: rows and files are as before');
oracle_ok($node, 'a terminated leader');

# A leader that dies without a word takes its agents along.
$session = start_install();
@agents = agent_pids(leader_pid($node));
kill 'KILL', leader_pid($node);
ok(DepotTest::processes_gone(30, @agents), 'a leader killed with -9: its agents are gone');
DepotTest::finish_psql($session);
wait_for_leader($node);
oracle_ok($node, 'a leader killed with -9');

# A leader that stands still: callers stay cancellable, and go on when it does.
$leader = leader_pid($node);
kill 'STOP', $leader;
is_error($node, 'postgres', "SET statement_timeout = '2s'; SELECT install_extension('ip4r')", '57014', qr/statement timeout/,
	'a stopped leader');
$session = start_psql($node, 'postgres', "SELECT action FROM install_extension('hll')");
sleep 1;
kill 'CONT', $leader;
is(finish_psql($session)->{stdout}, 'keep', 'a leader that goes on answers');
oracle_ok($node, 'a stopped leader');

# ---- what fails after the commit ----

my $lib = $depot . pg_config_value('pkglibdir');
chmod 0500, $lib;
my $late = is_error($node, 'postgres', "SELECT install_extension('ip4r')", '58030', qr/"ip4r" is recorded, but not yet active here/,
	'a directory that cannot be written');
like($late->{detail} // '', qr/ip4r\.so.*Permission denied/, 'says why');
is($node->safe_psql('postgres', "SELECT state FROM depot.installed_packages WHERE package = 'ip4r'"), 'pending', 'the row stands');
chmod 0700, $lib;
is(oracle_is_ok($node, 120, '--quiet-server'), '', 'the leader carries it out when it can');
is($node->safe_psql('postgres', "SELECT state FROM depot.installed_packages WHERE package = 'ip4r'"), 'active', 'and shows it');
chmod 0500, $lib;
is_error($node, 'postgres', "SELECT uninstall_extension('ip4r')", '58030', qr/removal of "ip4r" is recorded, but its files are still here/,
	'a removal, too');
chmod 0700, $lib;
is(oracle_is_ok($node, 120, '--quiet-server'), '', 'the leader carries that out, too');
chmod 0500, $lib;
is_error($node, 'postgres', "SELECT install_extension('ip4r')", '58030', qr/not yet active/, 'once more');
chmod 0700, $lib;
$node->safe_psql('postgres', "SELECT uninstall_extension('ip4r')");
is(oracle_is_ok($node, 120, '--quiet-server'), '', 'a removal before the leader comes to it leaves nothing');

# ---- who, and in which transaction ----

$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN; CREATE ROLE owner LOGIN CREATEDB CREATEROLE; GRANT pg_monitor TO owner');
my %calls = (
	install_extension => "install_extension('ip4r')",
	uninstall_extension => "uninstall_extension('hll')",
	add_extension_repository => "add_extension_repository('other', 'https://depot.example.org', root_sha256 => repeat('0', 64))",
	drop_extension_repository => "drop_extension_repository('main')",
	refresh_extension_repository => 'refresh_extension_repository()',
	verify_extension_files => 'verify_extension_files()');
unchanged_ok(
	$node,
	'callers who may not',
	sub {
		foreach my $name (sort keys %calls)
		{
			is_error($node, 'postgres', "SET ROLE $_; SELECT $calls{$name}", '42501', qr/$name/, "$name as $_")
			  foreach qw(nobody owner);
			next if $name eq 'verify_extension_files';
			is_error($node, 'postgres', "BEGIN READ ONLY; SELECT $calls{$name}", '25006', qr/$name/,
				"$name in a read-only transaction");
		}
		is($node->safe_psql('postgres', 'BEGIN READ ONLY; SELECT count(*) FROM verify_extension_files(); COMMIT'), 0,
			'verify_extension_files in a read-only transaction');
		is($node->safe_psql('postgres',
				"BEGIN READ ONLY; SELECT action FROM install_extension('ip4r', dry_run => true); COMMIT"),
			'install', 'dry_run in a read-only transaction');
		foreach my $table (qw(installed installed_build repository available history generation))
		{
			is_error($node, 'postgres', "SET ROLE nobody; TABLE depot.$table", '42501', qr/permission denied/, "table $table");
		}
	});
is($node->safe_psql('postgres', 'SET ROLE nobody; SELECT count(*) > 0 FROM depot.packages'), 't', 'anyone reads depot.packages');
is($node->safe_psql('postgres', 'SET ROLE nobody; SELECT count(*) > 0 FROM depot.installed_packages'), 't',
	'anyone reads depot.installed_packages');
is_error($node, 'postgres', "SET ROLE nobody; TABLE depot.$_", '42501', qr/permission denied/, "depot.$_ as nobody")
  foreach qw(activity activity_log);
is($node->safe_psql('postgres', 'SET ROLE owner; SELECT count(*) > 0 FROM depot.activity_log'), 't', 'pg_monitor reads depot.activity_log');
is($node->safe_psql('postgres', 'SET ROLE owner; SELECT count(*) FROM depot.activity'), 0, 'pg_monitor reads depot.activity');

# ---- without the library, and without a place for the program ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is_error($node, 'postgres', "SELECT install_extension('hll')", '55000', qr/pg_depot is not loaded by the server/, 'not preloaded');
is_error($node, 'template1', 'CREATE EXTENSION pg_depot', '55000', qr/pg_depot is not loaded by the server/, 'CREATE EXTENSION, too');
is($node->safe_psql('postgres', "LOAD 'pg_depot'; SELECT count(*) FROM depot.installed_packages WHERE state = 'pending'"),
	$node->safe_psql('postgres', "SELECT count(*) FROM depot.installed WHERE state = 'installed'"),
	'what is installed shows as not served');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', 'pg_depot');
$node->restart;
wait_for_leader($node);
oracle_ok($node, 'in the end');
$node->stop;
done_testing();
