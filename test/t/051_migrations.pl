# Migration scripts with ROLLBACK and with COMMIT, each run twice: by psql, by Sqitch and by a Perl DBI client.
#
# The scripts are those of docs/migrations.md.  The second run changes nothing:
# neither rows nor history, nor a byte, inode or time of a served file.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use DepotDocs qw(page_blocks);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IPC::Run ();
use Test::More;

my $database = 'app';
my %script = map { $_->{directives}{file} => $_->{text} }
  grep { $_->{directives}{file} } page_blocks(file_contents("$DepotTest::top/docs/migrations.md"));
my $node = new_depot_node('migrations');
my $depot = $node->data_dir . '/pg_depot';

sub query
{
	my ($sql, $where) = @_;
	return $node->safe_psql($where // $database, $sql);
}

# Rows, history and files, the files with their inodes and times.
sub everything
{
	my @not_staging = ('-path', '*/pgsql_tmp_staging', '-prune', '-o');
	my $files = run_ok('find', $depot, @not_staging, '-type', 'f', '-printf', '%P %i %s %T@ %m\n');
	return oracle_dump($node) . join("\n", sort split /\n/, $files);
}

sub created
{
	return query("SELECT extname, oid, xmin FROM pg_extension WHERE extname IN ('hll', 'ip4r', 'pg_rational')");
}

sub history_length
{
	return query('SELECT count(*) FROM depot.history', 'postgres');
}

# Runs a command with the server's address; returns its exit code and what it printed.
sub run_client
{
	my ($directory, @command) = @_;
	my $output = '';
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, HOME => $directory);
	IPC::Run::run([ 'sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $directory, @command ],
		'<', '/dev/null', '>&', \$output, IPC::Run::timeout(60));
	return ($? >> 8, $output);
}

sub new_directory
{
	my (%files) = @_;
	my $directory = tempdir(DIR => $ENV{DEPOT_TEST_WORK}, CLEANUP => 1);
	make_path("$directory/deploy", "$directory/verify", "$directory/revert");
	write_file("$directory/$_", $files{$_}) foreach keys %files;
	return $directory;
}

# ---- the three clients: each runs its migration to this end and says whether it went as expected ----

sub with_psql
{
	my ($end) = @_;
	my $directory = new_directory('hll.sql' => $script{'hll.sql'} =~ s/^COMMIT;/$end;/mr);
	my ($status, $output) = run_client($directory, 'psql', '-X', '-d', $database, '-f', 'hll.sql');
	return $status == 0 && $output =~ /^$end$/m ? '' : "exit code $status\n$output";
}

# Sqitch records a change whose script succeeds, so the one that rolls back must fail as well.
my $sqitch_project;

sub with_sqitch
{
	my ($end) = @_;
	if (!$sqitch_project)
	{
		$sqitch_project = new_directory();
		foreach my $command ([qw(config --user user.name Ada)], [qw(config --user user.email ada@example.org)],
			[qw(init shop --engine pg)], [qw(add network -n addresses)])
		{
			my ($status, $output) = run_client($sqitch_project, 'sqitch', @$command);
			die "sqitch @$command: $output" if $status != 0;
		}
	}
	write_file("$sqitch_project/$_", $script{$_}) foreach map { "$_/network.sql" } qw(deploy verify revert);
	my $failing = $script{'deploy/network.sql'} =~ s/^COMMIT;/ROLLBACK;\nSELECT 1 \/ 0;/mr;
	write_file("$sqitch_project/deploy/network.sql", $failing) if $end eq 'ROLLBACK';
	my ($status, $output) = run_client($sqitch_project, 'sqitch', 'deploy', '--verify', "db:pg:$database");
	return $status != 0 && $output =~ /division by zero/ ? '' : "exit code $status\n$output" if $end eq 'ROLLBACK';
	return $status == 0 || $output =~ /Nothing to deploy/ ? '' : "exit code $status\n$output";
}

# Sqitch knows that the change is deployed; this is its script without that.
sub with_sqitch_again
{
	my ($status, $output) = run_client($sqitch_project, 'sqitch', 'rebase', '-y', '--verify', "db:pg:$database");
	return $status == 0 && $output =~ /ip4r\|2\.4\.1\|keep/ ? '' : "exit code $status\n$output";
}

sub with_dbi
{
	my ($end) = @_;
	my $call = lc $end;
	my $directory = new_directory('migrate.pl' => $script{'migrate.pl'} =~ s/->commit;/->$call;/r);
	my ($status, $output) = run_client($directory, $^X, 'migrate.pl');
	return $status == 0 && $output =~ /^rational 0\.0\.2: (?:install|keep)$/ ? '' : "exit code $status\n$output";
}

# ---- what each must do ----

sub test_client
{
	my ($client, $package, $extension, $run) = @_;
	my $others = created();
	my $before = history_length();

	is($run->('ROLLBACK'), '', "$client: with ROLLBACK");
	is(created(), $others, "$client: ROLLBACK undoes CREATE EXTENSION");
	is(query("SELECT state FROM depot.installed_packages WHERE package = '$package'"),
		'active', "$client: and leaves the files");
	is(history_length(), $before + 1, "$client: and the entry in the history");
	oracle_ok($node, "$client: after ROLLBACK");

	my $state = everything();
	is($run->('ROLLBACK'), '', "$client: with ROLLBACK, again");
	is(everything(), $state, "$client: the second ROLLBACK changes nothing");

	query("SELECT uninstall_extension('$package')");
	is($run->('COMMIT'), '', "$client: with COMMIT");
	like(created(), qr/^\Q$extension\E\|/m, "$client: COMMIT keeps the extension");
	is(history_length(), $before + 3, "$client: one removal and one installation in the history");
	oracle_ok($node, "$client: after COMMIT");

	($state, $others) = (everything(), created());
	is($run->('COMMIT'), '', "$client: with COMMIT, again");
	is(everything(), $state, "$client: the second COMMIT changes nothing");
	is(created(), $others, "$client: nor does it create the extension again");
	return;
}

create_depot($node);
add_repository($node, depot_repository()->{directory});
query("CREATE DATABASE $database", 'postgres');
query('CREATE EXTENSION pg_depot_client');

test_client('psql', 'hll', 'hll', \&with_psql);
test_client('sqitch', 'ip4r', 'ip4r', \&with_sqitch);
test_client('DBI', 'rational', 'pg_rational', \&with_dbi);

# A change that is reverted and deployed again runs its script again.
my $state = everything();
is(with_sqitch_again(), '', 'sqitch: rebase runs the script again');
is(everything(), $state, 'sqitch: which changes neither rows nor files');

# The same call from a transaction that fails: nothing is recorded of what could not be installed.
my ($status, $output) = run_client(
	new_directory('bad.sql' => $script{'hll.sql'} =~ s/'hll', '2\.\*'/'hll', '>= 9'/r),
	'psql', '-X', '-v', 'VERBOSITY=verbose', '-d', $database, '-f', 'bad.sql');
is($status, 3, 'psql: a version that nobody has ends the script');
like($output, qr/ERROR:  42704: no build of "hll" satisfies ">= 9"/, 'psql: and says so');
is(everything(), $state, 'psql: which changes nothing');

$node->stop;
done_testing();
