# install_extension and update_extension return when other servers have the files: wait_for.  Those that have not are
# named after depot.wait_for_timeout, and whatever happens the installation stands.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;
use Time::HiRes qw(time);

# Long enough for a busy machine, where standbys are expected to follow; where they are not, with_timeout shortens it.
use constant PATIENT => '60s';

my $primary = new_primary('alpha', conf => "depot.wait_for_timeout = @{[PATIENT]}\n");

sub query
{
	my ($sql, $server) = @_;
	return ($server // $primary)->safe_psql('postgres', $sql);
}

sub set
{
	my ($setting, $value) = @_;
	query("ALTER SYSTEM SET $setting = '$value'");
	$primary->reload;
	ok(wait_until(sub { query("SHOW $setting") eq $value }), "$setting = $value");
	return;
}

# Installs, waiting for servers; tests its rows, and that a WARNING says what it should (undef: there is none).
sub waits
{
	my ($call, $rows, $warning, $label) = @_;
	my $start = time;
	my $result = psql_error($primary, 'postgres', "SELECT package, action FROM $call", timeout => 120);
	is($result->{stdout}, $rows, "$label: rows") or diag($result->{stderr});
	my $said = $result->{stderr} =~ /WARNING:  01000: (.*)\nDETAIL:  (.*)\n(HINT:  .*)\n/ ? "$1|$2|$3" : '';
	defined $warning ? like($said, $warning, "$label: WARNING") : is($said, '', "$label: no WARNING");
	return time - $start;
}

# Names of the packages that a server's files have.
sub served
{
	my ($server) = @_;
	my $state = file_contents($server->data_dir . '/pg_depot/var/state.json');
	return join(' ', sort $state =~ /"package":"(\w+)"/g);
}

# ---- without a standby, and what is no value ----

waits("install_extension('semver', wait_for => 'all')", 'semver|install', undef, 'all of no standbys');
foreach my $value ('', 'some', '-1', '65', '1.5', 'Local')
{
	my $error = is_error($primary, 'postgres', "SELECT install_extension('hll', wait_for => '$value')", '22023', qr/invalid value for wait_for: "\Q$value\E"/, "install_extension with '$value'");
	is($error->{hint}, 'It is "local", "all", or a number of standbys up to 64.', 'with a hint');
	is_error($primary, 'postgres', "SELECT update_extension('semver', wait_for => '$value')", '22023', qr/invalid value/, "update_extension with '$value'");
}
is_error($primary, 'postgres', "ALTER SYSTEM SET depot.wait_for = 'some'", '22023', qr/depot\.wait_for/, 'depot.wait_for = some');
is(query('SELECT package FROM depot.installed_packages'), 'semver', 'refusals change nothing');

# ---- standbys that follow ----

my %standby;
foreach my $name (qw(beta gamma))
{
	query("CREATE ROLE report_$name LOGIN; SELECT add_extension_node('$name', 'report_$name')");
	$standby{$name} = create_standby($name, $primary, conf => "depot.report_conninfo = '" . $primary->connstr . " user=report_$name'\n");
}

sub all_ok
{
	my ($label) = @_;
	ok(wait_until(sub { query("SELECT count(*) FILTER (WHERE state = 'ok') FROM depot.nodes") eq '3' }, 60), "$label: all servers are ok")
	  or diag(query('SELECT * FROM depot.nodes'));
	return;
}

all_ok('at first');
waits("install_extension('hll', wait_for => 'all')", 'hll|install', undef, 'all');
is(served($standby{$_}), 'hll semver', "$_ has the files when the call returns") foreach qw(beta gamma);
waits("install_extension('ip4r', wait_for => '2')", 'ip4r|install', undef, 'two');
is(served($standby{$_}), 'hll ip4r semver', "$_ has the files when the call returns") foreach qw(beta gamma);
waits("install_extension('ip4r', wait_for => 'all')", 'ip4r|keep', undef, 'what is there already');
cmp_ok(waits("install_extension('rational', wait_for => 'all', dry_run => true)", 'rational|install', undef, 'a dry run'), '<', 30, 'does not wait');
waits("update_extension('ip4r', wait_for => 'all')", 'ip4r|keep', undef, 'update_extension');
waits("install_extension('rational', wait_for => 'local')", 'rational|install', undef, 'local');
all_ok('then');

# ---- one is paused ----

set('depot.wait_for_timeout', '2s');
query('SELECT pg_wal_replay_pause()', $standby{beta});
ok(wait_until(sub { query('SELECT pg_get_wal_replay_pause_state()', $standby{beta}) eq 'paused' }), 'beta is paused');
my $seconds = waits("install_extension('pgtap', wait_for => 'all')", 'pgtap|install',
	qr/^1 of 2 servers that were waited for have the files of "pgtap"\|After 2 s they are not known to be on: "beta" \(1 behind\)\.\|HINT:  The installation stands/, 'all, one of them paused');
cmp_ok($seconds, '>=', 2, 'it has waited');
like(served($primary), qr/pgtap/, 'the installation stands');
is(served($standby{beta}), 'hll ip4r rational semver', 'and the paused standby has no file of it');
waits("install_extension('pgtap', wait_for => '1')", 'pgtap|keep', undef, 'one, which is there');
waits("install_extension('pgtap', wait_for => '3')", 'pgtap|keep', qr/^1 of 3 servers that were waited for .*"beta" \(1 behind\)\./, 'more than there are');

# Others go on meanwhile; the caller may give up, and the call may end later.
set('depot.wait_for_timeout', '5min');
query("SELECT uninstall_extension('pgtap')");
my $waiting = start_psql($primary, 'postgres', "SELECT action FROM install_extension('pgtap', wait_for => 'all')");
ok(wait_until(sub { query("SELECT phase FROM depot.activity WHERE subject = 'pgtap'") eq 'waiting for servers' }), 'depot.activity says what is waited for');
waits("uninstall_extension('rational')", 'rational|remove', undef, 'another request meanwhile');
waits("install_extension('rational')", 'rational|install', undef, 'and another');
waits("install_extension('pgtap')", 'pgtap|keep', undef, 'of the same package, too');
my $result = psql_error($primary, 'postgres', "SET statement_timeout = '1s'; SELECT install_extension('rational', wait_for => 'all')");
is($result->{sqlstate}, '57014', 'a caller gives up');
is(query("SELECT state FROM depot.installed_packages WHERE package = 'rational'"), 'active', 'which takes nothing back');
ok(wait_until(sub { query('SELECT count(*) FROM depot.activity') eq '1' }), 'and its request is gone');
query('SELECT pg_wal_replay_resume()', $standby{beta});
$result = finish_psql($waiting, 120);
is($result->{stdout}, 'install', 'the first one returns when the standby has followed');
unlike($result->{stderr}, qr/WARNING/, 'without a WARNING');
all_ok('after the pause');

# ---- a leader that is stopped, and a server that never reported ----

set('depot.wait_for_timeout', '2s');
my $leader = leader_pid($standby{gamma});
kill 'STOP', $leader;
waits("uninstall_extension('hll')", 'hll|remove', undef, 'an uninstallation waits for nobody');
waits("install_extension('hll', wait_for => 'all')", 'hll|install', qr/^1 of 2 servers .*: "gamma" \(2 behind\)\./, 'a leader that is stopped');
kill 'CONT', $leader;
all_ok('after the stop');

my $delta = create_standby('delta', $primary);
ok(wait_until(sub { query("SELECT count(*) FROM depot.nodes WHERE name = 'delta'") eq '1' }), 'a third standby streams');
waits("install_extension('hll', wait_for => 'all')", 'hll|keep', qr/^2 of 3 servers .*: "delta" \(does not report\)\./, 'a standby that never reported');
waits("install_extension('hll', wait_for => '2')", 'hll|keep', undef, 'two others are there');

# ---- the setting, and limits ----

set('depot.wait_for', 'all');
waits("install_extension('hll')", 'hll|keep', qr/"delta" \(does not report\)/, 'depot.wait_for');
waits("install_extension('hll', wait_for => 'local')", 'hll|keep', undef, 'which an argument overrides');
set('depot.auto_install', 'on');
query("SELECT uninstall_extension('ip4r')");
like(join(' ', psql_notices($primary, 'postgres', 'CREATE EXTENSION ip4r')), qr/2 of 3 servers/, 'CREATE EXTENSION alone');
$delta->stop;
ok(wait_until(sub { query("SELECT count(*) FROM depot.nodes WHERE name = 'delta'") eq '0' }), 'the third standby is gone');
set('depot.wait_for_timeout', '3s');
set('depot.request_timeout', '1s');
query('SELECT pg_wal_replay_pause()', $standby{beta});
waits("update_extension('semver', '0.32.0')", 'semver|keep', undef, 'what all have needs no new report');
query("SELECT uninstall_extension('semver')");
waits("install_extension('semver')", 'semver|install', qr/: "beta" \(2 behind\)\./, 'depot.request_timeout is about the work, not the wait');
set('depot.request_timeout', '5min');

# ---- the leader dies, a standby stops ----

set('depot.wait_for_timeout', '5min');
$waiting = start_psql($primary, 'postgres', "SELECT action FROM install_extension('semver')");
ok(wait_until(sub { query("SELECT phase FROM depot.activity") eq 'waiting for servers' }), 'a call waits');
query('SELECT pg_terminate_backend(' . leader_pid($primary) . ')');
is(finish_psql($waiting, 60)->{sqlstate}, '57P03', 'its leader ends');
wait_for_leader($primary);
is(query("SELECT state FROM depot.installed_packages WHERE package = 'semver'"), 'active', 'the installation stands');
query('SELECT pg_wal_replay_resume()', $standby{beta});
all_ok('at the end');
oracle_ok($primary, 'at the end');
cluster_ok('at the end', $primary, values %standby);

$_->stop foreach values %standby, $primary;
done_testing();
