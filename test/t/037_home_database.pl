# Commands on the home database itself: as a template, renamed, moved, dropped; by whom; and pg_upgrade.
#
# Holds promise 11 (nothing vanishes by absence).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;
use Time::HiRes qw(time);

my $repository = depot_repository();
my $node = new_depot_node('home', conf => "log_statement = none\n");
create_depot($node);
add_repository($node, $repository->{directory});
$node->safe_psql('postgres', "SELECT install_extension('hll')");
my $control = (glob($node->data_dir . '/pg_depot/usr/share/postgresql/*/extension/hll.control'))[0];
ok(-e $control, 'hll is served');
$node->safe_psql('postgres', 'CREATE DATABASE other');
mkdir $node->basedir . '/space' or die "mkdir: $!";
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '" . $node->basedir . "/space'");

# Runs a command from another database.  PostgreSQL waits five seconds for other sessions to leave, and then fails.
sub works
{
	my ($sql, $label) = @_;
	my $answer = finish_psql(start_psql($node, 'other', $sql, stop => 1));
	is($answer->{stderr}, '', $label);
	return;
}

sub serves
{
	my ($label) = @_;
	ok( DepotTest::wait_until(
			sub {
				finish_psql(start_psql($node, 'postgres', "SELECT action FROM install_extension('hll')"))->{stdout} eq 'keep';
			}),
		"$label: the leader serves again");
	return;
}

# ---- by whom it may be done ----

works('CREATE DATABASE copy TEMPLATE postgres', 'home database as a template');
serves('home database as a template');
is($node->safe_psql('copy', "SELECT count(*) FROM pg_extension WHERE extname = 'pg_depot'"), '1', 'the copy has the tables');

works('ALTER DATABASE postgres SET TABLESPACE elsewhere', 'home database moved to another tablespace');
serves('home database moved');
works('ALTER DATABASE postgres SET TABLESPACE pg_default', 'and back');
serves('home database moved back');

works('ALTER DATABASE postgres RENAME TO away', 'home database renamed');
ok(-e $control, 'files stay');
my $error = is_error($node, 'away', "SELECT install_extension('hll')", '57P03', qr/^the pg_depot leader is not running$/, 'without a home database');
works('ALTER DATABASE away RENAME TO postgres', 'home database renamed back');
serves('home database renamed back');

# ---- while a request runs ----

my $web = start_web($repository->{directory}, rate => '20k');
add_repository($node, $web->{slow}, name => 'slow');
$node->safe_psql('other', 'CREATE EXTENSION pg_depot_client');
my $running = start_psql($node, 'other', "SELECT install_extension('depot_big', repository => 'slow')");
ok($node->poll_query_until('other', "SELECT count(*) = 1 FROM depot.activity WHERE phase = 'fetching'"), 'a request runs');
my @agents = agent_pids(leader_pid($node));
unchanged_ok(
	$node,
	'a template while a request runs',
	sub {
		works('CREATE DATABASE beside TEMPLATE postgres', 'home database as a template while a request runs');
		my $answer = finish_psql($running);
		is($answer->{sqlstate}, '57P03', 'the request ends') or diag($answer->{stderr});
		like($answer->{stderr}, qr/HINT:  .*repeated/, 'and says that it can be repeated');
	});
serves('a template while a request runs');
ok(DepotTest::processes_gone(30, @agents), 'its agents are gone');
$node->safe_psql('postgres', $_) foreach 'DROP DATABASE beside', q{SELECT drop_extension_repository('slow')};
$node->safe_psql('other', 'DROP EXTENSION pg_depot_client');
DepotTest::stop_web($web);

# ---- what does not need it alone leaves the leader where it is ----

my $leader = leader_pid($node);
foreach my $sql ('ALTER DATABASE postgres CONNECTION LIMIT 50', "ALTER DATABASE postgres SET work_mem = '5MB'",
	'CREATE DATABASE plain', 'ALTER DATABASE plain RENAME TO simple', 'DROP DATABASE simple')
{
	$node->safe_psql('other', $sql);
	is(leader_pid($node), $leader, "$sql: the leader stays");
}
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN; CREATE ROLE maker LOGIN CREATEDB');
foreach my $role (qw(nobody maker))
{
	foreach my $sql ('DROP DATABASE postgres', 'ALTER DATABASE postgres RENAME TO mine', 'CREATE DATABASE mine TEMPLATE postgres')
	{
		is_error($node, 'other', "SET ROLE $role; $sql", '42501', qr/permission denied|must be owner/, "$role: $sql");
		is(leader_pid($node), $leader, "$role: $sql: the leader stays");
	}
}

# ---- dropped ----

works('DROP DATABASE postgres', 'home database dropped');
ok(-e $control, 'files stay');
is($node->safe_psql('other', 'CREATE EXTENSION hll; SELECT count(*) FROM pg_extension WHERE extname = \'hll\''), '1',
	'and what is installed can be used');
works('CREATE DATABASE postgres', 'home database created anew');
$node->safe_psql('postgres', 'CREATE EXTENSION pg_depot');
wait_for_leader($node);
is($node->safe_psql('postgres', "SELECT state FROM depot.installed_packages WHERE package = 'hll'"), 'unclaimed',
	'what no row names is shown as unclaimed');
add_repository($node, $repository->{directory});
is($node->safe_psql('postgres', "SELECT action FROM install_extension('hll')"), 'install', 'and adopted by installing it');
oracle_ok($node, 'a home database created anew');

# ---- pg_upgrade ----

# Two servers of one version cannot both have the tablespace's directory.
$node->safe_psql('postgres', 'DROP TABLESPACE elsewhere');
$node->stop;
my $new = new_depot_node('upgraded', conf => "log_statement = none\n");
my $binaries = pg_config_value('bindir');

sub upgrade
{
	my $output = '';
	my @command = (
		"$binaries/pg_upgrade", '--no-sync', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $binaries, '-B', $binaries,
		'-s', $new->host, '-p', $node->port, '-P', $new->port);
	my $is_done = IPC::Run::run(\@command, '<', '/dev/null', '>', \$output, '2>&1');
	my ($list) = $output =~ m{^\s+(/\S+loadable_libraries\.txt)$}m;
	return ($is_done, $output . (defined $list ? DepotTest::file_contents($list) : ''));
}

my ($is_done, $output) = upgrade();
ok(!$is_done, 'pg_upgrade stops where the new server has not the libraries that are in use');
like($output, qr{could not load library "\$libdir/hll"}, 'and names them') or diag($output);

run_ok('cp', '-a', $node->data_dir . '/pg_depot', $new->data_dir);
($is_done, $output) = upgrade();
ok($is_done, 'then pg_upgrade goes through') or diag($output);
$new->start;
wait_for_leader($new);
is($new->safe_psql('other', "SELECT hll_cardinality(hll_empty())"), '0', 'what is installed works on the new server');
ok($new->poll_query_until('postgres', "SELECT package || state FROM depot.installed_packages", 'hllactive'),
	'its rows are there, and its files are this server\'s');
is($new->safe_psql('postgres', "SELECT action FROM install_extension('semver')"), 'install', 'and the leader serves');
oracle_ok($new, 'after pg_upgrade');

done_testing();
