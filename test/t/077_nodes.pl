# Servers of a cluster report to their primary: who may, what depot.nodes shows of them, and what becomes of it when
# one of them, the primary or the connection goes.  What is not known is never shown as good.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotCluster;
use DepotTest;
use IO::Socket::INET;
use POSIX ();
use Test::More;

my $primary = new_primary('alpha', conf => "depot.report_interval = 1\n");

sub query
{
	my ($sql, $server) = @_;
	return ($server // $primary)->safe_psql('postgres', $sql);
}

# Waits until depot.nodes shows a server so; columns are name, state and those given.
sub shows
{
	my ($expected, $label, %options) = @_;
	my $server = $options{on} // $primary;
	my ($name) = split /\|/, $expected;
	my $columns = join ', ', 'name', 'state', @{ $options{columns} // [] };
	my $answer;
	my $is_so = wait_until(sub { $answer = query("SELECT $columns FROM depot.nodes WHERE name = '$name'", $server); $answer eq $expected }, 60);
	return ok($is_so, $label) || diag("got $answer, not $expected; " . substr(log_of($server), -2000));
}

sub conninfo
{
	my ($role, @servers) = @_;
	return join(' ', 'host=' . join(',', map { $_->host } @servers), 'port=' . join(',', map { $_->port } @servers), "user=$role");
}

# ---- who may ----

is(query('SELECT name, role, state, behind FROM depot.nodes'), 'alpha|primary|ok|0', 'a primary knows itself');
query("CREATE ROLE report_$_ LOGIN") foreach qw(alpha beta gamma);
query('CREATE ROLE report_root LOGIN SUPERUSER');
query('CREATE DATABASE app');
$primary->safe_psql('app', 'CREATE EXTENSION pg_depot_client');
query("SELECT add_extension_node('$_', 'report_$_')") foreach qw(alpha beta);
is(query('SELECT action, source FROM depot.activity_log ORDER BY id DESC LIMIT 2'), "add node|beta\nadd node|alpha", 'the log says who may report');

is_error($primary, 'postgres', "SELECT add_extension_node('beta', 'report_gamma')", '42710', qr/there is a server "beta" already/, 'a name that is taken');
is_error($primary, 'postgres', "SELECT add_extension_node('gamma', 'report_beta')", '42710', qr/or one that reports as role "report_beta"/, 'a role that is taken');
is_error($primary, 'postgres', "SELECT add_extension_node('gamma ray', 'report_gamma')", '42602', qr/invalid server name: "gamma ray"/, 'a name that is none');
is_error($primary, 'postgres', "SELECT add_extension_node('gamma', 'nobody')", '42704', qr/role "nobody" does not exist/, 'a role that is none');
is_error($primary, 'postgres', "SELECT add_extension_node('gamma', 'report_root')", '22023', qr/role "report_root" is a superuser/, 'a superuser');
is_error($primary, 'postgres', "SELECT add_extension_node(NULL, 'report_gamma')", '22004', qr/node must not be null/, 'null');
is_error($primary, 'postgres', "SELECT drop_extension_node('gamma')", '42704', qr/server "gamma" does not exist/, 'a server that was never added');
is_error($primary, 'postgres', 'DROP ROLE report_beta', '2BP01', qr/cannot be dropped/, 'a role that reports stays');
is(query('SELECT name, role_name FROM depot.node ORDER BY 1'), "alpha|report_alpha\nbeta|report_beta", 'refusals change nothing');

query(q(CREATE ROLE "odd"" role, PUBLIC" LOGIN; SELECT add_extension_node('odd', 'odd" role, PUBLIC')));
is(query("SELECT proacl FROM pg_proc WHERE proname = 'report_node'") =~ tr/=//, 4, 'a role of an odd name is granted no more than itself');
query(q(SELECT drop_extension_node('odd'); DROP ROLE "odd"" role, PUBLIC"));

query("INSERT INTO depot.node (name, role_name) SELECT 'many' || i, 'many' || i FROM generate_series(1, 1000) i");
is_error($primary, 'postgres', "SELECT add_extension_node('gamma', 'report_gamma')", '54000', qr/^table depot\.node is too large to be read$/, 'rows without end');
query("DELETE FROM depot.node WHERE name LIKE 'many%'; UPDATE depot.node SET error = repeat('x', 5000000) WHERE name = 'beta'");
is_error($primary, 'postgres', "SELECT add_extension_node('gamma', 'report_gamma')", '54000', qr/^table depot\.node is too large to be read$/, 'a row without end');
query('UPDATE depot.node SET error = NULL');

# ---- what a role that reports can do: that, and nothing else ----

sub report
{
	my ($name, %changes) = @_;
	my %report = (format => 1, node => qq("$name"), applied_generation => 1, interval_s => 5,
		version => '"1.0.0"', server_version => '"15.1"', libc_version => '"2.36"', platform => '"linux-amd64"', %changes);
	return "SELECT depot.report_node('{" . join(', ', map { qq("$_": $report{$_}) } sort keys %report) . "}')";
}

sub as_beta
{
	my ($statement) = @_;
	return "SET SESSION AUTHORIZATION report_beta; $statement";
}

is_error($primary, 'postgres', as_beta(report('alpha')), '42501', qr/role "report_beta" may not report as server "alpha"/, 'under the name of another server');
is_error($primary, 'postgres', as_beta(report('delta')), '42501', qr/may not report as server "delta"/, 'under a name that nobody has');
is_error($primary, 'postgres', report('beta'), '42501', qr/may not report as server "beta"/, 'not even a superuser reports for it');
is_error($primary, 'postgres', "SET SESSION AUTHORIZATION report_alpha; " . report('alpha'), '42710', qr/this server itself has the name "alpha"/, 'a second server of this name');
is_error($primary, 'postgres', "SET SESSION AUTHORIZATION report_gamma; " . report('gamma'), '42501', qr/permission denied for function report_node/, 'a role that was not added');
is_error($primary, 'postgres', as_beta($_->[0]), $_->[1], $_->[2], "a report: $_->[3]")
  foreach ([ "SELECT depot.report_node('[]')", '22023', qr/not a JSON object/, 'no object' ],
	[ "SELECT depot.report_node('{')", '22023', qr/not a JSON object/, 'no JSON' ],
	[ report('beta', format => 2), '22023', qr/not of format 1/, 'of a later format' ],
	[ report('beta', applied_generation => -1), '22023', qr/number in the report is out of range/, 'a negative generation' ],
	[ report('beta', interval_s => 86400), '22023', qr/number in the report is out of range/, 'an interval of a day' ],
	[ report('beta', generation_table => 4294967296), '22023', qr/number in the report is out of range/, 'a table that is none' ],
	[ report('be ta'), '42602', qr/invalid server name: "be ta"/, 'a name that is none' ],
	[ "SELECT depot.report_node(repeat(' ', 20000) || '{}')", '54000', qr/a report is at most 16384 bytes/, 'too long' ]);
is_error($primary, 'postgres', as_beta($_->[0]), '42501', qr/permission denied/, "the role: $_->[0]")
  foreach map { [$_] } 'SELECT FROM depot.node', 'UPDATE depot.node SET error = NULL', 'SELECT FROM depot.nodes', 'SELECT depot.known_nodes()',
  'SELECT FROM depot.generation', 'SELECT FROM depot.activity', "SELECT add_extension_node('x', 'report_beta')", "SELECT drop_extension_node('alpha')",
  "SELECT install_extension('semver')", 'SELECT refresh_extension_repository()', 'SELECT verify_extension_files()', 'SELECT extension_lock()';
is(query('SELECT state, problem FROM depot.nodes WHERE name = \'beta\''), 'unknown|it has never reported: its log and depot.health say why', 'nothing of that is a report');

my $row = "SELECT length(problem), right(problem, 40) FROM depot.nodes WHERE name = 'beta'";
is( query('SET SESSION AUTHORIZATION report_beta; '
		  . report('beta', missing => '"' . ('m' x 3000) . '"', error => '"caf\u00e9\nHINT: all is well"', sqlstate => '"53100-and-more"') . "; RESET SESSION AUTHORIZATION; $row"),
	"\n2079|mmmmm...; 53...: caf???HINT: all is well",
	'what a report says is cut and has no characters but printable ones');
shows('beta|unknown|it reports no more', 'its session has ended', columns => ['problem']);

# ---- a standby reports ----

my $beta = create_standby('beta', $primary, conf => "depot.report_interval = 1\ndepot.report_conninfo = '" . conninfo('report_beta', $primary) . "'\n");
shows('beta|ok|standby|0|', 'a standby is known', columns => [qw(role behind problem)]);
is(query("SELECT last_seen > now() - interval '1 minute', restart FROM depot.nodes WHERE name = 'beta'"), 't|f', 'and was seen just now');
my $versions = query("SELECT * FROM depot.node_versions WHERE name = 'alpha'");
like($versions, qr/^alpha\|1\.0\.0\|\d+\.\d+\|[\d.]+\|linux-\w+$/, 'depot.node_versions');
is(query("SELECT 'alpha', pg_depot, postgresql, libc, platform FROM depot.node_versions WHERE name = 'beta'"), $versions, 'has those of the standby');
is($primary->safe_psql('app', 'SELECT name FROM depot.node_versions ORDER BY 1'), "alpha\nbeta", 'in another database, too');
install($primary, 'semver');
shows('beta|ok|' . generation($primary), 'it reports what it has applied', columns => ['generation']);
is($primary->safe_psql('app', 'SELECT name, role, state FROM depot.nodes ORDER BY 1'), "alpha|primary|ok\nbeta|standby|ok", 'another database shows the same');
is(query("SELECT state, value FROM depot.health WHERE check_name = 'nodes'"), 'ok|2 ok', 'depot.health');
is(query('SELECT name, role, state, problem FROM depot.nodes ORDER BY 1', $beta), "alpha||unknown|only the primary knows\nbeta|standby|ok|", 'the standby knows itself, and of others that they exist');
is(query('SELECT count(*) FROM pg_stat_activity WHERE usename = \'report_beta\''), 1, 'it keeps its connection');

my $changed = "SELECT xmin, changed_at FROM depot.node WHERE name = 'beta'";
ok(wait_until(sub { query("SELECT version = '1.0.0' AND error IS NULL AND missing IS NULL FROM depot.node WHERE name = 'beta'") eq 't' }, 60), 'what it says is recorded');
is(query("SELECT version IS NULL FROM depot.node WHERE name = 'alpha'"), 't', 'what was refused, for it had the name of the primary, is not');
my $before = query($changed);
my $seen = query("SELECT last_seen FROM depot.known_nodes() WHERE name = 'beta'");
ok(wait_until(sub { query("SELECT last_seen > timestamptz '$seen' + interval '2 s' FROM depot.known_nodes() WHERE name = 'beta'") eq 't' }, 60), 'it goes on reporting');
is(query($changed), $before, 'which writes no row');

# ---- what is wrong there is told ----

$beta->append_conf('postgresql.conf', 'depot.hold = on');
$beta->reload;
ok(wait_until(sub { query('SHOW depot.hold', $beta) eq 'on' }), 'a standby holds');
install($primary, 'hll');
shows('beta|failed|1|hll 2.17: "depot.hold" is on', 'what it has not is named', columns => [ 'behind', 'problem' ]);
ok(wait_until(sub { query("SELECT missing FROM depot.node WHERE name = 'beta'") eq 'hll 2.17: "depot.hold" is on' }), 'and recorded');
is(query("SELECT state, value, what_to_do FROM depot.health WHERE check_name = 'nodes'"), 'warning|beta failed|SELECT * FROM depot.nodes', 'depot.health');
$beta->append_conf('postgresql.conf', 'depot.hold = off');
$beta->reload;
shows('beta|ok|0|', 'and when it has, that is told', columns => [ 'behind', 'problem' ]);

# ---- without a connection or a report ----

$beta->append_conf('postgresql.conf', "depot.report_conninfo = ''");
$beta->reload;
shows('beta|unknown|it reports no more|', 'it shall not report any more', columns => [ 'problem', 'behind' ]);
ok(wait_until(sub { query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_depot reporter'", $beta) eq '0' }), 'its reporter has ended');
$beta->append_conf('postgresql.conf', "depot.report_conninfo = '" . conninfo('report_gamma', $primary) . "'");
$beta->reload;
ok(wait_until(sub { log_of($beta) =~ /pg_depot cannot report to the primary: permission denied for function report_node/ }), 'another role: its log says what the primary answers');
is(query("SELECT state FROM depot.nodes WHERE name = 'beta'"), 'unknown', 'it stays unknown');
is(query("SELECT state, value FROM depot.health WHERE check_name = 'reports'", $beta), 'warning|permission denied for function report_node', 'its depot.health says so');
$beta->append_conf('postgresql.conf', "depot.report_conninfo = '" . conninfo('report_beta', $primary) . "'");
$beta->reload;
shows('beta|ok', 'its own role again');

# Its own name was forgotten where all servers have one cluster_name, as under Patroni.
$beta->append_conf('postgresql.conf', "depot.node_name = 'scope'");
$beta->restart;
ok( wait_until(sub { log_of($beta) =~ /cannot report to the primary: role "report_beta" may not report as server "scope"\n.*DETAIL: .*42501\.\n.*HINT:  It reports as server "beta": that is to be the "depot\.node_name" there\./ }),
	'a forgotten depot.node_name: its log says what to set') or diag(substr(log_of($beta), -2000));
is( query("SELECT value, what_to_do FROM depot.health WHERE check_name = 'reports'", $beta),
	'role "report_beta" may not report as server "scope"|see depot.report_conninfo, and depot.node_name, here "scope"; it is tried again', 'its depot.health, too');
query("SELECT add_extension_node('scope', 'report_gamma')");
is_error($primary, 'postgres', as_beta(report('scope')), '42501', qr/may not report as server "scope"/, 'a name that another has');
query("SELECT drop_extension_node('scope')");
$beta->append_conf('postgresql.conf', "depot.node_name = ''");
$beta->restart;
shows('beta|ok', 'and when that is done, it reports');
like(query("SELECT state, value FROM depot.health WHERE check_name = 'reports'", $beta), qr/^ok\|taken by the primary at 2/, 'and that all is well');

$beta->stop;
shows('beta|unknown', 'a standby that is down');
$beta->start;
shows('beta|ok', 'and up again');
$primary->restart;
shows('beta|ok', 'after a restart of the primary it reports again');
query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'report_beta'");
shows('beta|ok', 'after its session was ended it reports again');
my $reporter = query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_depot reporter'", $beta);
unlike(file_contents('/proc/' . leader_pid($beta) . '/maps'), qr/libpq\.so/, 'the leader does not map libpq');
like(file_contents("/proc/$reporter/maps"), qr/libpq\.so/, 'the reporter does');

# ---- a primary that says a gigabyte is coming ----

sub kilobytes
{
	my ($name) = @_;
	my ($value) = file_contents("/proc/$reporter/status") =~ /^$name:\s+(\d+) kB/m;
	return $value // die "no $name";
}

sub read_packet
{
	my ($socket) = @_;
	sysread($socket, my $head, 8) == 8 or return 0;
	my ($length, $code) = unpack 'NN', $head;
	sysread($socket, my $rest, $length - 8) if $length > 8;
	return $code;
}

# Takes each connection, lets it in, and answers the report with the head of a message of a gigabyte and some of its bytes.
sub serve_gigabytes
{
	my ($listener, $tally) = @_;
	my $parameters = join '', map { 'S' . pack('NZ*Z*', 6 + length($_->[0]) + length($_->[1]), @$_) }
	  [ 'server_version', '15.1' ], [ 'default_transaction_read_only', 'off' ], [ 'in_hot_standby', 'off' ];
	local $SIG{PIPE} = 'IGNORE';
	while (my $socket = $listener->accept)
	{
		syswrite $socket, 'N' while read_packet($socket) != 196608;
		syswrite $socket, 'R' . pack('NN', 8, 0) . $parameters . 'Z' . pack('Na', 5, 'I');
		sysread $socket, my $report, 65536 or next;
		syswrite $socket, 'T' . pack('N', 1_000_000_000);
		my $bytes = 0;
		my $zeros = "\0" x 1_000_000;
		while ($bytes < 200_000_000)
		{
			$bytes += syswrite($socket, $zeros) // last;
		}
		syswrite $tally, "$bytes\n";
	}
	return;
}

my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $!";
my $tally = "$ENV{DEPOT_TEST_WORK}/tally";
open(my $tally_out, '>', $tally) or die "open: $!";
my $liar = fork() // die "fork: $!";
if ($liar == 0)
{
	# It ends by itself if this test dies.
	alarm $PostgreSQL::Test::Utils::timeout_default;
	serve_gigabytes($listener, $tally_out);
	POSIX::_exit(0);
}
my %least = map { $_ => kilobytes($_) } qw(VmPeak VmHWM);
$beta->append_conf('postgresql.conf', "depot.report_conninfo = 'host=127.0.0.1 port=" . $listener->sockport . " user=report_beta'");
$beta->reload;
ok(wait_until(sub { (() = file_contents($tally) =~ /\n/g) >= 2 }), 'a gigabyte is announced: the reporter tries again');
ok(wait_until(sub { log_of($beta) =~ m{cannot report to the primary: .*(?:memory|lost synchronization)} }, 30), 'its log says why') or diag(substr(log_of($beta), -2000));
cmp_ok(kilobytes($_) - $least{$_}, '<', 64 * 1024, "it takes no more than 64 MB: $_") foreach sort keys %least;
kill 'KILL', $liar;
waitpid $liar, 0;
close $listener;
$beta->append_conf('postgresql.conf', "depot.report_conninfo = '" . conninfo('report_beta', $primary) . "'");
$beta->reload;
shows('beta|ok', 'with the true primary it reports again');
is(query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_depot reporter'", $beta), $reporter, 'it was one process all the time');

# ---- a library that has to be preloaded ----

my $work = "$ENV{DEPOT_TEST_WORK}/preload";
mkdir $_ or die "mkdir: $!" foreach $work, "$work/packages";
my ($semver) = grep { m{semver_[^/]*$} } DepotTest::debian_packages($work);
run_ok(DepotTest::depot_program(), 'pack', '--from-deb', '-q', '--preload', 'semver=shared', '--package', 'preloaded', '-o', "$work/packages", $semver);
make_repository("$work/repository", "$work/keys", glob("$work/packages/*.tar.zst"));
query('SELECT uninstall_extension(\'semver\')');
query("SELECT add_extension_repository('preload', 'file://$work/repository', trusted_root => pg_read_file('$work/repository/metadata/1.root.json'))");
query("SELECT install_extension('preloaded')");
shows('beta|ok|t', 'it waits for a restart', columns => ['restart']);
shows('alpha|ok|t', 'the primary, too', columns => ['restart']);
$beta->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_depot, semver'");
$beta->restart;
shows('beta|ok|f', 'which it has had', columns => ['restart']);

# ---- streaming, and never heard of ----

my $gamma = create_standby('gamma', $primary,
	conf => "depot.report_interval = 1\ndepot.report_conninfo = '" . conninfo('report_gamma', $primary, $beta) . "'\n");
ok(wait_until(sub { query("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'gamma' AND replay_lsn IS NOT NULL") eq '1' }), 'a third server streams');
is(query('SELECT name, role, state, problem FROM depot.nodes WHERE name = \'gamma\''), 'gamma|standby|unknown|it has never reported: add_extension_node lets it', 'it is shown as unknown');
is(query("SELECT state FROM depot.health WHERE check_name = 'nodes'"), 'warning', 'depot.health');
query("SELECT add_extension_node('gamma', 'report_gamma')");
shows('gamma|ok', 'once it may, it reports by itself');
query("SELECT drop_extension_node('gamma')");
shows('gamma|unknown|it has never reported: add_extension_node lets it', 'what is dropped is forgotten', columns => ['problem']);
is_error($primary, 'postgres', 'SET SESSION AUTHORIZATION report_gamma; ' . report('gamma'), '42501', qr/permission denied for function/, 'and may not report');
query("SELECT add_extension_node('gamma', 'report_gamma')");
shows('gamma|ok', 'added again');

# ---- a standby of a standby ----

query("CREATE ROLE report_delta LOGIN; SELECT add_extension_node('delta', 'report_delta')");
replayed($beta, $primary);
my $delta = create_standby('delta', $beta, conf => "depot.report_conninfo = '" . conninfo('report_delta', $primary, $beta) . "'\n");
shows('delta|ok|standby|0', 'it reports to the primary, not to what it replays from', columns => [qw(role behind)]);
is(query("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'delta'"), 0, 'to which it has no other connection');
install($primary, 'depot_demo', '1.0');
shows('delta|ok|' . generation($primary), 'it reports what it has applied', columns => ['generation']);
$beta->stop;
shows('beta|unknown', 'the one between is down');
install($primary, 'depot_wide');
shows('delta|behind|1', 'its standby goes on reporting, and is behind', columns => ['behind']);
$beta->start;
shows('delta|ok|0', 'the one between is back', columns => ['behind']);

# ---- another primary ----

replayed($beta, $primary);
replayed($gamma, $primary);
replayed($delta, $beta);
$primary->stop;
ok(wait_until(sub { log_of($gamma) =~ /cannot report to the primary: \S/ }), 'no primary: the log of who reports says so');
unlike(log_of($gamma), qr/cannot report to the primary: .*(?:  |\t|\s\n)/, 'in one line');
$beta->promote;
shows('delta|ok|standby', 'its own standby reports to it', on => $beta, columns => ['role']);
$gamma->append_conf('postgresql.conf', "primary_conninfo = '" . $beta->connstr . " application_name=gamma'");
$gamma->reload;
shows('gamma|ok|standby', 'the other standby follows the new primary', on => $beta, columns => ['role']);
is(query('SELECT name, role, state FROM depot.nodes ORDER BY 1', $beta), "alpha|standby|unknown\nbeta|primary|ok\ndelta|standby|ok\ngamma|standby|ok", 'which knows itself and that the old one is not there');
ok(wait_until(sub { query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_depot reporter'", $beta) eq '0' }), 'and does not report itself');
install($beta, 'rational');
shows("$_|ok|" . generation($beta), "an installation on the new primary reaches $_", on => $beta, columns => ['generation']) foreach qw(gamma delta);

# ---- settings ----

foreach my $case ([ 'report_conninfo', 'host=x password=secret' ], [ 'report_conninfo', 'host=x password = secret' ], [ 'report_conninfo', 'postgresql://u:secret@x/' ],
	[ 'node_name', 'two words' ], [ 'report_interval', '0' ])
{
	my ($setting, $value) = @$case;
	is_error($beta, 'postgres', "ALTER SYSTEM SET depot.$setting = '$value'", '22023', qr/depot\.$setting/, "depot.$setting = '$value'");
}

# ---- the extension goes and comes ----

$beta->safe_psql('postgres', 'DROP EXTENSION pg_depot; CREATE EXTENSION pg_depot');
wait_for_leader($beta);
shows('gamma|unknown|it has never reported: add_extension_node lets it', 'created anew, it knows none of those that reported before', on => $beta, columns => ['problem']);
ok(wait_until(sub { query("SELECT count(*) FROM depot.nodes WHERE name = 'alpha'", $beta) eq '0' }, 10), 'and shows none that is not there');
query("SELECT add_extension_node('gamma', 'report_gamma')", $beta);
shows('gamma|ok', 'added again, it reports', on => $beta);

# The numbers of changes begin again, and who has not replayed that has higher ones.
add_repository($beta, depot_repository()->{directory});
install($beta, $_) foreach qw(hll ip4r pgtap);
shows('gamma|ok|' . generation($beta), 'what is installed now, too', on => $beta, columns => ['generation']);
query('SELECT pg_wal_replay_pause()', $gamma);
ok(wait_until(sub { query('SELECT pg_get_wal_replay_pause_state()', $gamma) eq 'paused' }), 'it is paused');
$beta->safe_psql('postgres', 'DROP EXTENSION pg_depot; CREATE EXTENSION pg_depot');
wait_for_leader($beta);
add_repository($beta, depot_repository()->{directory});
query("ALTER SYSTEM SET depot.wait_for_timeout = '2s'", $beta);
$beta->reload;
query("SELECT add_extension_node('gamma', 'report_gamma')", $beta);
ok(wait_until(sub { query('SELECT last_seen IS NOT NULL FROM depot.nodes WHERE name = \'gamma\'', $beta) eq 't' }), 'it reports meanwhile');
like(psql_error($beta, 'postgres', "SELECT install_extension('rational', wait_for => 'all')")->{stderr},
	qr/WARNING:  01000: 0 of \d servers that were waited for.* "gamma" \(\d+ behind\)/s, 'what it had of rows that are gone does not count');
shows('gamma|behind|0|' . generation($beta), 'neither in depot.nodes', on => $beta, columns => [qw(generation behind)]);
query('SELECT pg_wal_replay_resume()', $gamma);
shows('gamma|ok|' . generation($beta) . '|0', 'and once it has replayed them, it is there', on => $beta, columns => [qw(generation behind)]);

$_->stop foreach $delta, $gamma, $beta;
done_testing();
