# Backups while packages change, and servers made of them: files follow the rows of the time they are restored to
# (promises 1 and 3).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotBackup;
use DepotTest;
use File::Path qw(make_path);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep);

use constant {
	# How often PostGIS comes and goes at most while a backup is taken; the session is ended when the backup is done.
	CHURNS => 500,
	AGREE_SECONDS => 30,
};

plan skip_all => 'takes minutes, and PostGIS' if !is_long();

# ---- the server ----

my $postgis = make_postgis_repository("$ENV{DEPOT_TEST_WORK}/postgis");
my $node = new_depot_node('backup', conf => "checkpoint_timeout = 1h\nlog_statement = none\n");
set_up_pgbackrest($node);
create_depot($node);
add_repository($node, depot_repository()->{directory});
add_repository($node, $postgis->{directory}, name => 'postgis', root => $postgis->{root});
pgbackrest_ok($node, 'a stanza', 'stanza-create');

# A signed repository of PostGIS, of Debian's two packages.
sub make_postgis_repository
{
	my ($work) = @_;
	my $program = DepotTest::depot_program();
	my %keys = map { $_ => "$work/keys/$_" } qw(root targets snapshot timestamp);
	my @debs = DepotTest::download_debian($work, qw(postgis-3 postgis-3-scripts));

	make_path("$work/keys");
	run_ok($program, 'keygen', $_) foreach values %keys;
	run_ok($program, 'repo', 'init', "$work/repository", map { ("--$_-key" => $keys{$_}) } keys %keys);
	run_ok($program, 'pack', '-q', '--from-deb', '-o', $work, @debs);
	run_ok($program, 'repo', 'add', "$work/repository", glob("$work/*.tar.zst"));
	run_ok($program, 'repo', 'publish', "$work/repository", map { ('--key' => $_) } values %keys);
	return { directory => "$work/repository", root => "$work/repository/metadata/1.root.json" };
}

sub query { my ($server, $sql) = @_; return $server->safe_psql('postgres', $sql) }

# How often PostGIS was installed or removed.
sub changes_of_postgis { return query($node, q{SELECT count(*) FROM depot.activity_log WHERE package = 'postgis'}) }

# Takes a backup while PostGIS comes and goes; at the end it is installed.
sub while_postgis_changes
{
	my ($label, $backup) = @_;
	my $before = changes_of_postgis();
	my $churn = start_psql($node, 'postgres',
		"SET client_min_messages = error;\n"
		  . ("SELECT * FROM install_extension('postgis');\nSELECT * FROM uninstall_extension('postgis');\n" x CHURNS));
	wait_until(sub { changes_of_postgis() > $before }, 30) or die 'PostGIS does not come';
	my $start = changes_of_postgis();
	$backup->();
	my $during = changes_of_postgis() - $start;
	stop_psql($churn);
	cmp_ok($during, '>=', 1, "$label: PostGIS came and went meanwhile ($during changes)");
	wait_until(sub { query($node, 'SELECT count(*) FROM depot.activity') == 0 }, 30) or die 'the leader is busy';
	query($node, q{SELECT * FROM install_extension('postgis')});
	return;
}

sub agrees_ok
{
	my ($server, $label) = @_;
	my $answer = oracle_is_ok($server, AGREE_SECONDS, '--quiet-server', '--repository', $postgis->{directory});
	return ok($answer eq '', "$label: files equal rows")
	  || diag(substr($answer, 0, 2000), "\n", substr(file_contents($server->logfile), -3000));
}

# Waits until what is committed now is in the archive.
sub archive_all
{
	my $segment = query($node, 'SELECT pg_walfile_name(pg_switch_wal())');
	wait_until(sub { query($node, "SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver") eq 't' }, 60)
	  or die "$segment is not archived";
	return;
}

# ---- a time between two updates ----

query($node, q{SELECT * FROM install_extension('semver'); CREATE EXTENSION semver});
query($node, q{SELECT * FROM install_extension('depot_demo', '1.0'); CREATE EXTENSION depot_demo});
pgbackrest_ok($node, 'a full backup', '--type=full', 'backup');
query($node, q{SELECT * FROM update_extension('depot_demo', '1.1')});
# pgBackRest counts in seconds, and takes a backup that ended in the second of the target for later.
sleep(1.1);
my $between = query($node, 'SELECT clock_timestamp()');
query($node, q{SELECT * FROM update_extension('depot_demo', '2.0')});
query($node, q{DROP EXTENSION semver});
query($node, q{SELECT * FROM uninstall_extension('semver')});
archive_all();

my $restored = restored_by('restored', '--type=time', "--target=$between", '--target-action=pause');
$restored->start;
agrees_ok($restored, 'restored to a time between two updates');
is(query($restored, q{SELECT version FROM depot.installed WHERE package = 'depot_demo'}), '1.1', 'rows of that time');
is(query($restored, q{SELECT '1.2.3'::semver}), '1.2.3', 'what was removed later is there');
$restored->promote;
wait_for_leader($restored);
agrees_ok($restored, 'the same, promoted');
query($restored, 'DROP EXTENSION depot_demo; CREATE EXTENSION depot_demo');
is(query($restored, 'SELECT depot_demo_version()'), '1.1', 'scripts of that time');
$restored->stop;

# ---- backups in the middle of changes ----

my $clone;
while_postgis_changes('pg_basebackup', sub { $clone = base_backup_ok($node, 'a base backup', 'clone') });
$clone->start;
$node->wait_for_catchup($clone->name, 'replay', $node->lsn('insert'));
agrees_ok($clone, 'a standby made of a base backup');
$clone->stop;

while_postgis_changes('pgBackRest', sub { pgbackrest_ok($node, 'a differential backup', '--type=diff', 'backup') });
archive_all();
$restored = restored_by('latest');
$restored->start;
wait_until(sub { query($restored, 'SELECT pg_is_in_recovery()') eq 'f' }, 60) or die 'recovery does not end';
wait_for_leader($restored);
agrees_ok($restored, 'restored to the end of the archive');
is(query($restored, q{SELECT state FROM depot.installed WHERE package = 'postgis'}), 'installed', 'PostGIS is there');
$restored->stop;
agrees_ok($node, 'the server itself');

done_testing();
