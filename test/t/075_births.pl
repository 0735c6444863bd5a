# The ways in which a server comes into being: each ends with files that equal its rows, those of its own time.
#
# Holds promises 3 (nothing half-done) and 5 (one path).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;
use Time::HiRes qw(time);

my $conf = "log_statement = none\nsuperuser_reserved_connections = 0\n";
my $web = start_web(depot_repository()->{directory}, rate => '300k');
my $primary = new_primary('primary', conf => $conf, has_archiving => 1, url => $web->{http});
install($primary, 'depot_demo', '1.0');
install($primary, 'hll');
$primary->safe_psql('postgres', 'CREATE EXTENSION depot_demo; CREATE EXTENSION hll');

sub update_to
{
	my ($version) = @_;
	is($primary->safe_psql('postgres', "SELECT action FROM update_extension('depot_demo', '$version')"), 'update', "updated to $version");
	return;
}

# What a server would create, by its own files.
sub served_version
{
	my ($node) = @_;
	my ($control) = glob($node->data_dir . '/pg_depot/usr/share/postgresql/*/extension/depot_demo.control');
	return 'none' if !defined $control;
	return file_contents($control) =~ /^default_version = '([^']+)'/m ? $1 : 'unknown';
}

# ---- a delayed and a cascading standby ----

my $near = create_standby('near', $primary);
my $far = create_standby('far', $near, start => 0);
$far->append_conf('postgresql.conf', "primary_conninfo = '" . $near->connstr . " application_name=far'");
$far->start;
my $late = create_standby('late', $primary, conf => "recovery_min_apply_delay = '6s'\n");
follows($_, $primary, 'at the beginning') foreach $near, $far, $late;

# ---- a base backup before, between and after updates ----

$primary->backup('before');
my $updated_at = time;
update_to('1.1');
follows($near, $primary, 'an update');
follows($far, $near, 'an update, by way of another standby');
is(served_version($late), '1.0', 'the delayed standby has the old files') if time - $updated_at < 5;
follows($late, $primary, 'an update, later');
is(served_version($late), '1.1', 'then it has the new ones');
$primary->safe_psql('postgres', "SELECT pg_create_restore_point('between')");
update_to('1.2');
install($primary, 'semver');
update_to('2.0');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->safe_psql('postgres', 'CHECKPOINT');

sub restored
{
	my ($name, $target) = @_;
	return from_backup($name, $primary, 'before', init => { has_restoring => 1, standby => 0 }, conf => "archive_mode = off\n$target");
}

# ---- restored to a time between two updates ----

my $then = restored('then', "recovery_target_name = 'between'\nrecovery_target_action = 'pause'\n");
$then->start;
ok($then->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'"), 'restored up to the point');
is(DepotTest::oracle_is_ok($then, 60), '', 'while it can still be looked at, files equal rows');
is(served_version($then), '1.1', 'and are of that time');
$then->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ok($then->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'it becomes a server of its own');
is(DepotTest::oracle_is_ok($then, 60), '', 'files equal rows');
is(served_version($then), '1.1', 'still of that time');
is($then->safe_psql('postgres', 'SELECT hll_cardinality(hll_empty())'), '0', 'and can be used');
is($then->safe_psql('postgres', "SELECT action FROM install_extension('semver')"), 'install', 'it installs by itself');
oracle_ok($then, 'restored to a point');
$then->stop;

# The same where nobody could look at rows meanwhile, up to the end of the archive.
my $end = restored('end', "hot_standby = off\nrecovery_target = ''\n");
$end->start;
ok($end->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'restored to the end of the archive');
is(DepotTest::oracle_is_ok($end, 60), '', 'files equal rows');
is(served_version($end), '2.0', 'the newest');
$end->stop;

# ---- a base backup while something is installed ----

add_repository($primary, $web->{slow}, name => 'slow');
my $session =
  start_psql($primary, 'postgres', "SELECT action FROM install_extension('depot_big', repository => 'slow')", stop => 1);
ok($primary->poll_query_until('postgres', "SELECT count(*) > 0 FROM depot.activity WHERE bytes_done > 0"), 'a download is under way');
my $directory = $primary->backup_dir . '/during';
my ($output, $errors) = ('', '');
ok(IPC::Run::run([ 'pg_basebackup', '-D', $directory, '-d', $primary->connstr, '--checkpoint', 'fast', '--no-sync' ], '>', \$output, '2>', \$errors),
	'a base backup meanwhile');
is($output . $errors, '', 'says nothing');
ok(!glob("$directory/pg_depot/var/pgsql_tmp_staging/*"), 'and leaves out what is being unpacked');
is(finish_psql($session, 180)->{stdout}, 'install', 'the installation goes on');
oracle_ok($primary, 'an installation during a backup');
my $during = from_backup('during', $primary, 'during', init => { has_streaming => 1 }, conf => "depot.proxy = 'http://127.0.0.1:1'\n");
$during->start;
follows($during, $primary, 'a standby from that backup');
$during->stop;

# ---- a plain copy of a server that is stopped ----

$_->stop foreach $late, $far, $near;
$primary->stop;
my $copy = PostgreSQL::Test::Cluster->new('copy');
mkdir $copy->basedir;
run_ok('cp', '-a', $primary->data_dir, $copy->data_dir);
$copy->append_conf('postgresql.conf', 'port = ' . $copy->port . "\nunix_socket_directories = '" . $copy->host . "'\narchive_mode = off\n");
$copy->start;
is(DepotTest::oracle_is_ok($copy, 60), '', 'a copy elsewhere: files equal rows');
is($copy->safe_psql('postgres', 'SELECT hll_cardinality(hll_empty())'), '0', 'and can be used');
$copy->stop;

done_testing();
