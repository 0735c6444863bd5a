# Two servers that are given one depot directory: the second stays inactive and names the first.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;

my $directory = "$ENV{DEPOT_TEST_WORK}/shared_depot";
my $conf = "depot.directory = '$directory'\n";
my $first = new_primary('first', conf => $conf);
install($first, 'hll');
$first->safe_psql('postgres', 'CREATE EXTENSION hll');
my $first_pid = DepotTest::file_contents($first->data_dir . '/postmaster.pid') =~ /^(\d+)/ ? $1 : die 'no pid';

sub tree
{
	return run_ok('sh', '-c', 'cd "$1" && find . -type f ! -path "./var/*" -exec sha256sum {} + | sort', 'sh', $directory);
}

my $before = tree();
my $named = qr/Directory "\Q$directory\E" is another server's: process $first_pid, data directory "\Q@{[$first->data_dir]}\E"/;

sub stays_away
{
	my ($node, $label) = @_;
	like(log_of($node), qr/WARNING:  pg_depot is inactive\n.*DETAIL:  $named/, "$label: the log names the holder");
	is($node->safe_psql('postgres', 'SELECT 1'), '1', "$label: the server runs");
	is(tree(), $before, "$label: the first server's files are as before");
	is($first->safe_psql('postgres', 'SELECT hll_cardinality(hll_empty())'), '0', "$label: and serve it");
	return;
}

# ---- a server of another cluster ----

my $second = new_depot_node('second', conf => $conf);
$second->start;
stays_away($second, 'another cluster');
$second->safe_psql('postgres', 'CREATE EXTENSION pg_depot');
ok( DepotTest::wait_until(
		sub {
			my $error = psql_error($second, 'postgres', "SELECT install_extension('semver')");
			return $error->{sqlstate} eq '55000' && ($error->{detail} // '') =~ $named;
		}),
	'install on the second says whose the directory is');
like($second->safe_psql('postgres', "SELECT state || value || what_to_do FROM depot.health WHERE check_name = 'depot directory'"),
	qr/^criticalinactive$named/, 'so does depot.health');
is(tree(), $before, 'and changes nothing');

# ---- a clone on the same host, with its configuration ----

my $clone = create_standby('clone', $first, depot => 0, conf => $conf);
stays_away($clone, 'a clone');
install($first, 'semver');
replayed($clone, $first);
oracle_ok($first, 'an installation beside a clone');
$clone->stop;

# ---- restarts ----

$first->restart;
ok($first->poll_query_until('postgres', "SELECT state FROM depot.health WHERE check_name = 'depot directory'", 'ok'),
	'the first has its directory again after a restart');
$first->stop('immediate');
$first->start;
wait_for_leader($first);
oracle_ok($first, 'after an immediate stop');
$first->stop;
$second->restart;
is($second->safe_psql('postgres', "SELECT state FROM depot.health WHERE check_name = 'depot directory'"), 'ok',
	'when the first is gone, the second can have it at its next start');
$second->stop;

done_testing();
