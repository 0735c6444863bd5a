# Rows of another cluster that arrive by logical replication decide nothing here.
#
# Holds promises 1 (verified first, everywhere) and 11 (nothing vanishes by absence).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $conf = "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nlog_statement = none\n";
my $publisher = new_depot_node('publisher', conf => $conf);
my $subscriber = new_depot_node('subscriber', conf => $conf);
create_depot($publisher);
create_depot($subscriber);
add_repository($publisher, depot_repository()->{directory});
$publisher->safe_psql('postgres', "SELECT install_extension('hll'); CREATE TABLE mine (a int PRIMARY KEY);"
	  . 'INSERT INTO mine VALUES (1); CREATE PUBLICATION everything FOR ALL TABLES');
$subscriber->safe_psql('postgres', 'CREATE TABLE mine (a int PRIMARY KEY)');

sub arrives_ok
{
	my ($count, $label) = @_;
	return ok(DepotTest::wait_until(sub { $subscriber->safe_psql('postgres', 'SELECT count(*) FROM mine') eq $count }, 60), $label);
}

# How many rows each of the subscriber's tables has; what its own leader may write of is not compared.
sub row_counts
{
	return $subscriber->safe_psql('postgres', <<'SQL');
SELECT string_agg(format('%s %s', c.oid::regclass,
    (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM ' || c.oid::regclass, false, true, '')))[1]), ', ' ORDER BY relname)
FROM pg_class c WHERE relnamespace = 'depot'::regnamespace AND relkind = 'r'
SQL
}

my $counts = row_counts();
my $quoted = q($$) . $publisher->connstr("postgres") . q($$);
unchanged_ok(
	$subscriber,
	'another cluster\'s rows',
	sub {
		$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION everything CONNECTION $quoted PUBLICATION everything");
		arrives_ok(1, 'tables of others are copied');
		$subscriber->wait_for_subscription_sync($publisher, 'everything');
		is(row_counts(), $counts, 'of the first copy nothing gets into the tables');

		$publisher->safe_psql('postgres', "SELECT install_extension('semver'); SELECT uninstall_extension('hll');"
			  . 'SELECT refresh_extension_repository(); INSERT INTO mine VALUES (2)');
		arrives_ok(2, 'changes of other tables follow');
		is(row_counts(), $counts, 'of the changes nothing gets into the tables');
	});
like(DepotTest::file_contents($subscriber->logfile), qr/WARNING:  rows of another cluster's table "depot\.\w+" are left out/, 'the log says so');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM depot.repositories'), '0', 'no repository is trusted');

# ---- what both have is the subscriber's own ----

add_repository($subscriber, depot_repository()->{directory});
is($subscriber->safe_psql('postgres', "SELECT action FROM install_extension('semver')"), 'install', 'the subscriber installs for itself');
unchanged_ok(
	$subscriber,
	'changed and removed rows',
	sub {
		$publisher->safe_psql('postgres', "UPDATE depot.installed_build SET digest = repeat('0', 64);"
			  . 'DELETE FROM depot.installed; DELETE FROM depot.repository; INSERT INTO mine VALUES (3)');
		arrives_ok(3, 'rows are changed and removed over there');
		$subscriber->restart;
		wait_for_leader($subscriber);
	});
oracle_ok($subscriber, 'after a restart');

# ---- TRUNCATE, which cannot be left out ----

unchanged_ok(
	$subscriber,
	'TRUNCATE',
	sub {
		$publisher->safe_psql('postgres', 'TRUNCATE depot.installed_build; INSERT INTO mine VALUES (4)');
		ok($subscriber->wait_for_log(qr/ERROR:  table "depot\.installed_build" must not be truncated by logical replication/),
			'TRUNCATE stops the subscription');
	});
$publisher->safe_psql('postgres', 'DROP PUBLICATION everything; CREATE PUBLICATION everything FOR TABLE mine');
$subscriber->safe_psql('postgres', "ALTER SUBSCRIPTION everything DISABLE; ALTER SUBSCRIPTION everything SET (slot_name = NONE);"
	  . 'DROP SUBSCRIPTION everything');
$subscriber->safe_psql('postgres', "TRUNCATE mine; CREATE SUBSCRIPTION again CONNECTION $quoted PUBLICATION everything");
arrives_ok(4, 'a publication of what is meant goes on');

# ---- who else writes is not kept from it ----

$subscriber->safe_psql('postgres', "UPDATE depot.repository SET priority = 7; TRUNCATE depot.withdrawn");
is($subscriber->safe_psql('postgres', 'SELECT priority FROM depot.repository'), '7', 'a superuser can repair rows by hand');
is_error($subscriber, 'postgres', 'SELECT depot.refuse_replicated()', '39P01', qr/^depot\.refuse_replicated\(\) must be called as a trigger$/,
	'a direct call');

done_testing();
