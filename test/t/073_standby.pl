# Installing once, on the primary, is enough: a standby brings its own files into line with the rows it replays, without
# a network, before and after a promotion.
#
# Holds promise 5 (one path).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;
use Time::HiRes qw(sleep time);

# Only the primary reaches the repository: nothing answers at a standby's proxy.
my $web = start_web(depot_repository()->{directory});
my $cut_off = "depot.proxy = 'http://127.0.0.1:1'\n";
my $conf = "log_statement = none\n";
my $primary = new_primary('primary', conf => $conf, repository => 0);
my $standby = create_standby('standby', $primary, conf => $cut_off);
add_repository($primary, $web->{http});

# ---- install, update, uninstall ----

install($primary, 'hll');
install($primary, 'depot_demo', '1.0');
follows($standby, $primary, 'an installation');
$primary->safe_psql('postgres', 'CREATE EXTENSION hll; CREATE EXTENSION depot_demo');
replayed($standby, $primary);
is($standby->safe_psql('postgres', 'SELECT hll_cardinality(hll_empty())'), '0', 'the standby calls into the library');
is($standby->safe_psql('postgres', 'SELECT depot_demo_version()'), '1.0', 'and runs what the script made');

is($primary->safe_psql('postgres', "SELECT action FROM update_extension('depot_demo', '1.1')"), 'update', 'an update');
follows($standby, $primary, 'an update');
is($standby->safe_psql('postgres', "SELECT version FROM depot.installed_packages WHERE package = 'depot_demo' AND state = 'active'"),
	'1.1', 'its view shows the new version as active');

install($primary, 'semver');
follows($standby, $primary, 'another installation');
uninstall($primary, 'semver');
follows($standby, $primary, 'and its removal');
is($standby->safe_psql('postgres', "SELECT count(*) FROM depot.applied_packages() WHERE package = 'semver'"), '0', 'whose files are gone');

# How long it takes, measured by what stands in applied.json; the bound is generous for a busy machine.
my @seconds;
foreach (1 .. 5)
{
	install($primary, 'rational');
	my $wanted = generation($primary);
	my $start = time;
	ok(DepotTest::wait_until(sub { applied_generation($standby) == $wanted }, 30), 'applied') or last;
	push @seconds, time - $start;
	uninstall($primary, 'rational');
}
cmp_ok((sort { $a <=> $b } @seconds)[ @seconds / 2 ], '<', 3, 'soon after the commit');
note("seconds from the answer on the primary to the files on the standby: @seconds");

# ---- it asks nothing while nothing changes ----

$primary->safe_psql('postgres', 'CREATE DATABASE busy');
run_ok('pgbench', '-i', '-q', '-s', '1', $primary->connstr('busy'));
follows($standby, $primary, 'before the load');
my $pid = leader_pid($standby);
my $switches = sub { return file_contents("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : die 'no switches' };
my $ticks = sub { my @stat = split ' ', file_contents("/proc/$pid/stat"); return $stat[13] + $stat[14] };
my ($switches_before, $ticks_before) = ($switches->(), $ticks->());
my $transactions = $standby->safe_psql('template1', "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'");
run_ok('pgbench', '-n', '-c', '2', '-T', '8', $primary->connstr('busy'));
cmp_ok($switches->() - $switches_before, '<', 80, 'under load elsewhere, the leader wakes five times a second at most');
cmp_ok($ticks->() - $ticks_before, '<=', 4, 'and takes next to no time');
cmp_ok($standby->safe_psql('template1', "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'") - $transactions,
	'<=', 1, 'and makes no transactions');

# ---- views in other databases ----

$primary->safe_psql('busy', 'CREATE EXTENSION pg_depot_client');
replayed($standby, $primary);
is($standby->safe_psql('busy', "SELECT string_agg(package || ' ' || state, ', ' ORDER BY package) FROM depot.installed_packages"),
	'depot_demo active, hll active', 'a view in another database of the standby');
is_error($standby, 'busy', "SELECT install_extension('semver')", '25006', qr/during recovery/, 'where nothing can be installed');

# ---- promotion ----

$pid = leader_pid($standby);
$primary->stop;
$standby->append_conf('postgresql.conf', "depot.proxy = ''");
$standby->reload;
$standby->promote;
is($standby->safe_psql('postgres', "SELECT action FROM install_extension('semver')"), 'install', 'the new primary installs at once');
is(leader_pid($standby), $pid, 'with the same leader');
$standby->safe_psql('postgres', 'CREATE EXTENSION semver');
oracle_ok($standby, 'the new primary');

# ---- the old primary comes back ----

# What it wrote and nobody replayed is not there any more, files included.
$primary->start;
install($primary, 'ip4r');
oracle_ok($primary, 'the old primary went on by itself');
$primary->stop;
$standby->safe_psql('postgres', 'CHECKPOINT');
run_ok('pg_rewind', '--target-pgdata', $primary->data_dir, '--source-server', $standby->connstr('postgres') . " user=" . getpwuid($>));
$primary->append_conf('postgresql.conf', 'port = ' . $primary->port . "\n$cut_off");
$primary->append_conf('postgresql.conf', "primary_conninfo = '" . $standby->connstr . " application_name=primary'");
$primary->set_standby_mode;
$primary->start;
follows($primary, $standby, 'the old primary, rewound');
is($primary->safe_psql('postgres', "SELECT '1.2.3'::semver > '1.2.0'"), 't', 'it has what the new primary installed');
install($standby, 'rational');
follows($primary, $standby, 'an installation on the new primary');

# Nobody needs the repository for what was recorded.
stop_web($web);
uninstall($standby, 'rational');
follows($primary, $standby, 'a removal with the repository gone');

$_->stop foreach $primary, $standby;
done_testing();
