# A read-only root and a user who owns nothing but a data directory: it works,
# and nothing of ours is written outside the depot directory.
#
# Runs in its own mount and pid namespaces, which take root to make.
#
# Holds promise 9 (system files are not ours).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

BEGIN
{
	if ($> != 0)
	{
		print "1..0 # SKIP needs root, to mount the root read-only\n";
		exit 0;
	}

	# In a plain chroot the root is no mount of its own, and cannot be made read-only apart.
	if (system('unshare -m --propagation private true 2>/dev/null') != 0)
	{
		print "1..0 # SKIP needs a mount namespace whose root is a mount\n";
		exit 0;
	}
	$ENV{DEPOT_TEST_ROOT} = 1;
}
use DepotTest;
use Test::More;

# Mounts what the inner part needs and goes on there.  Before the test's output is redirected.
BEGIN
{
	if (!defined $ENV{DEPOT_TEST_INSIDE})
	{
		my $work = $ENV{DEPOT_TEST_WORK};
		my $repository = DepotTest::depot_repository()->{directory};
		mkdir "$work/inside";
		chmod 0755, $work;
		DepotTest::run_ok('cc', '-std=c11', '-D_GNU_SOURCE', '-O2', '-o', "$work/watch", "$FindBin::RealBin/../tools/watch.c");
		my $script = <<'SH';
set -e
mount -t tmpfs -o mode=755 depot "$1/inside"
mkdir -p "$1/inside/cache" "$1/inside/data"
mount -t tmpfs -o mode=700 data "$1/inside/data"
chown nobody:nogroup "$1/inside/data"
cp -r "$2/.." "$1/inside/cache/repository-of-user-0"
cp "$1/watch" "$1/inside/watch"
mount -t tmpfs -o mode=755 depot /run
mount -t tmpfs -o mode=1777 depot /dev/shm
mount -o remount,ro,bind /
export DEPOT_TEST_INSIDE="$1/inside" DEPOT_TEST_WORK="$1/inside" DEPOT_TEST_WORK_IS_OURS=0
export DEPOT_TEST_CACHE="$1/inside/cache" TMPDIR="$1/inside" TESTDIR="$1/inside" HOME="$1/inside"
shift 2
exec "$@"
SH
		exec 'unshare', '-m', '-p', '-f', '--mount-proc', '--propagation', 'private', 'sh', '-c', $script, 'sh', $work,
		  $repository, $^X, "-I$FindBin::RealBin/../perl", "$FindBin::RealBin/$FindBin::RealScript"
		  or die "unshare: $!\n";
	}
}

# What the helpers need of a node.
package ReadOnlyNode
{
	sub connstr
	{
		my ($self, $database) = @_;
		return "host=$self->{data} port=5432 user=nobody dbname=$database";
	}
	sub logfile { return "$_[0]{data}/log" }
}

package main;

my $work = $ENV{DEPOT_TEST_INSIDE};
my $data = "$work/data";
my $node = bless { data => $data }, 'ReadOnlyNode';
my $repository = DepotTest::depot_repository();

sub as_nobody
{
	return run_ok('setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups', '--no-new-privs', '--', @_);
}

sub query
{
	my ($sql, $database) = @_;
	my $answer = DepotTest::psql_error($node, $database // 'postgres', $sql);
	die "failed: $sql: $answer->{stderr}" if $answer->{status} != 0;
	return $answer->{stdout};
}

sub pg_ctl
{
	my ($action) = @_;
	as_nobody('pg_ctl', '-s', '-w', '-D', $data, '-l', "$data/log", $action);
	return;
}

# ---- the scene ----

ok(!open(my $file, '>', '/depot-test-file'), 'the root is read-only');
like($!, qr/read-only/i, 'even for root');

# The test's own files are on a file system that is not watched: nobody can write there.
is(as_nobody('sh', '-c', 'find "$1" -xdev -writable ! -path "$1/data" 2>/dev/null; true', 'sh', $work), '',
	'the user cannot write among them');
as_nobody('initdb', '-D', $data, '-A', 'trust', '-U', 'nobody', '--locale=C.UTF-8', '-E', 'UTF8');
my $configuration = DepotTest::file_contents("$data/postgresql.conf");
DepotTest::write_file("$data/postgresql.conf", $configuration . <<"CONF");
shared_preload_libraries = 'pg_depot'
unix_socket_directories = '$data'
listen_addresses = ''
CONF

# Starts to watch; the function that it returns ends it and returns what was seen.
sub start_watch
{
	# What an earlier watch saw must not pass for this one's.
	unlink "$work/watched";
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', "$work/watched");
		open(STDERR, '>&', \*STDOUT);
		exec 'nice', '-n', '-10', "$work/watch", '/', $data, '/run', '/dev/shm' or POSIX::_exit(127);
	}
	DepotTest::wait_until(sub { -s "$work/watched" });
	my $answer = DepotTest::file_contents("$work/watched");
	die "watch says: $answer" if $answer !~ /^ready$/m;
	return sub {
		kill 'TERM', $pid;
		waitpid $pid, 0;
		return grep { defined $_->{path} }
		  map { my %event; @event{qw(kind pid program path)} = split /\t/, $_; \%event }
		  split /\n/, DepotTest::file_contents("$work/watched");
	};
}

# The witness itself: it sees each kind of change, everywhere.
my $end_watch = start_watch();
as_nobody('sh', '-c', 'echo >/dev/shm/seen && mv /dev/shm/seen /dev/shm/moved && rm /dev/shm/moved && mkdir "$1/dir" && rmdir "$1/dir"',
	'sh', $data);
run_ok('sh', '-c', 'echo >/run/seen && chmod 600 /run/seen && rm /run/seen');
my $seen = join("\n", map { "$_->{kind} $_->{path}" } $end_watch->());
like($seen, qr/^\Q$_\E$/m, "the watch sees: $_")
  foreach 'create /dev/shm/seen', 'write /dev/shm/seen', 'move /dev/shm/moved', 'delete /dev/shm/moved', "create $data/dir",
  "delete $data/dir", 'create /run/seen', 'attributes /run/seen', 'delete /run/seen';

# ---- the whole way, watched ----

my %before = map { $_ => 1 } map { s{.*/}{}r } glob("$data/*");
$end_watch = start_watch();
pg_ctl('start');
query('CREATE EXTENSION pg_depot');
wait_for_leader($node);
my $root = DepotTest::file_contents($repository->{root});
query("SELECT add_extension_repository('main', 'file://$repository->{directory}', trusted_root => \$r\$$root\$r\$)");
query("BEGIN; SELECT install_extension('hll'); CREATE EXTENSION hll; COMMIT");
is(query('SELECT hll_cardinality(hll_empty())'), 0, 'hll works');
query('CREATE DATABASE other');
query('CREATE EXTENSION hll', 'other');
is(query('SELECT hll_cardinality(hll_empty())', 'other'), 0, 'hll works in another database');
foreach my $name (qw(ip4r semver pgtap rational depot_needs))
{
	is(query("SELECT DISTINCT action FROM install_extension('$name')"), 'install', "$name is installed");
}
oracle_ok($node, 'on a read-only root');
is(query("SELECT action FROM uninstall_extension('ip4r')"), 'remove', 'uninstall');
is(query("SELECT action FROM install_extension('ip4r')"), 'install', 'install again');
is(query('SELECT count(*) FROM verify_extension_files()'), 0, 'verify');
query('SELECT refresh_extension_repository()');
DepotTest::psql_error($node, 'postgres', "SELECT install_extension('no_such_extension')");
pg_ctl('restart');
wait_for_leader($node);
is(query('SELECT hll_cardinality(hll_empty())'), 0, 'hll works after a restart');
oracle_ok($node, 'after a restart');
pg_ctl('stop');
# A device is no file; in a plain root directory /dev/null is on a file system that is watched.
my @events = grep { !-c $_->{path} } $end_watch->();

# ---- what was written ----

# Files that PostgreSQL itself keeps beside what initdb made.
$before{$_} = 1 foreach qw(postmaster.pid postmaster.opts log current_logfiles);
my @outside = grep { $_->{path} !~ m{^(\Q$data\E/|/dev/shm/)} && $_->{path} !~ m{^\?(?:/|\z)} && $_->{path} ne $data } @events;
my @ours = grep { $_->{program} eq 'pg_depot' } @events;
my @stray = grep { $_->{path} !~ m{^\Q$data\E/pg_depot/var/} } grep { $_->{path} !~ m{^\?(?:/|\z)} } @ours;
my @unknown = grep { m{^\Q$data\E/([^/]+)} && $1 ne 'pg_depot' && !$before{$1} && $1 !~ /^\.s\.PGSQL\./ } map { $_->{path} } @events;
my @lost = grep { $_->{path} =~ m{^\?} } @events;

sub show
{
	return join("\n", map { "$_->{kind} by $_->{program} ($_->{pid}): $_->{path}" } @_[ 0 .. ($#_ > 20 ? 20 : $#_) ]);
}

cmp_ok(scalar(grep { $_->{path} =~ m{^\Q$data\E/pg_depot/} } @events), '>', 100, scalar(@events) . ' changes were seen');
cmp_ok(scalar(@ours), '>', 10, scalar(@ours) . ' of them by agents');
ok(!@outside, 'nothing is written outside the data directory') or diag(show(@outside));
ok(!@stray, 'agents write below var only') or diag(show(@stray));
ok(!@unknown, 'nothing new stands beside the depot directory') or diag(join("\n", @unknown));
ok(!(grep { $_->{kind} eq 'overflow' } @events), 'no change went unseen');

# A change in a directory that had gone before the witness could ask for its path can only be one of a job.
my %lost_programs = map { $_->{program} => 1 } @lost;
ok(!(grep { !/^(postgres|pg_depot|\?)$/ } keys %lost_programs), scalar(@lost) . ' changes were in directories that had gone') or diag(show(@lost));
my %after = map { $_ => 1 } map { s{.*/}{}r } glob("$data/*");
is(join(' ', sort grep { !$before{$_} } keys %after), 'pg_depot', 'the depot directory is the only new name in the data directory');
done_testing();
