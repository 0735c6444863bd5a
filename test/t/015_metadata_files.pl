# The files of what is trusted, damaged or not to be written, and a server's clock that is wrong: a refresh either
# puts things right or says why not; what was trusted counts, and no older metadata is ever taken for new.
#
# Holds promises 1 (verified first) and 3 (nothing half-done).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $web = "$work/web";
my $role = 'pg15-linux-amd64';
mkdir $web or die "$web: $!";

make_repository("$web/good", $keys, make_tree_package($work, 'depot_demo', '1.0'));
my $old = copy_repository("$web/good", "$web/old");
my $live = "$web/live";
serve($live, "$web/good");
sign('role', "$web/good", $keys, $role);
my $node = new_depot_node('files');
create_depot($node);
add_repository($node, $live, root => "$web/good/metadata/1.root.json");

my $refresh = "SELECT changed FROM refresh_extension_repository('main')";
my $install = "SELECT action FROM install_extension('depot_demo')";
my $metadata = $node->data_dir . '/pg_depot/var/metadata/main';

sub files_of
{
	my ($directory) = @_;
	return split /\n/, run_ok('sh', '-c', 'cd "$1" && find . -type f | LC_ALL=C sort', 'sh', $directory);
}

sub trusted
{
	return run_ok('sh', '-c', 'cd "$1" && find . -type f | LC_ALL=C sort | xargs sha256sum', 'sh', $metadata);
}

sub works_ok
{
	my ($label) = @_;
	my $answer = psql_error($node, 'postgres', $install);
	is($answer->{status}, 0, "$label: it can be installed from") or diag($answer->{stderr});
	$node->safe_psql('postgres', "SELECT uninstall_extension('depot_demo')");
	return;
}

# ---- half written ----

# A damaged file is as good as none: what is left of the others, and of the rows, keeps older metadata out.
my $kept = "$work/kept";
run_ok('cp', '-a', $metadata, $kept);
foreach my $file (grep { !/whole|root_history/ } files_of($metadata))
{
	foreach my $damage ('half of it', 'nothing in it', 'absent')
	{
		my $label = "$file: $damage";
		my $text = file_contents("$metadata/$file");
		write_file("$metadata/$file", $damage eq 'half of it' ? substr($text, 0, length($text) / 2) : '');
		unlink "$metadata/$file" if $damage eq 'absent';
		serve($live, $old);
		my $answer = psql_error($node, 'postgres', $refresh);
		is($answer->{sqlstate}, 'PD004', "$label: older metadata is not taken for new") or diag($answer->{stdout} . $answer->{stderr});
		serve($live, "$web/good");
		$answer = psql_error($node, 'postgres', $refresh);
		is($answer->{status}, 0, "$label: a refresh puts it right") or diag($answer->{stderr});
		is(file_contents("$metadata/$_"), file_contents("$kept/$_"), "$label: $_ is as it was")
		  foreach map { "$_.json" } qw(root timestamp snapshot targets), $role;
		run_ok('rm', '-rf', $metadata);
		run_ok('cp', '-a', $kept, $metadata);
	}
}
works_ok('half written');

# ---- a damaged root: the chain is walked again from where it began on this server ----

# Damages the trusted root of a repository, and removes what else could say what it was.
sub damage_root
{
	my ($directory, $text, @others) = @_;
	write_file("$directory/root.json", $text);
	run_ok('rm', '-rf', map { "$directory/$_" } @others);
	return;
}

sub heals_ok
{
	my ($label, $statement) = @_;
	my $answer = psql_error($node, 'postgres', $statement);
	is($answer->{status}, 0, "$label: put right") or diag($answer->{stderr});
	is(file_contents("$metadata/root.json"), file_contents("$web/good/metadata/3.root.json"), "$label: it is as it was");
	return;
}

make_keys($keys, 'root2', 'root3');
run_ok(DepotTest::depot_program(), 'repo', 'rotate', "$web/good", 'root', '--add', "$keys/$_->[1].pub", '--remove', "$keys/$_->[0].pub",
	map { ('--key' => "$keys/$_") } @$_)
  foreach [ 'root', 'root2' ], [ 'root2', 'root3' ];
sign('role', "$web/good", $keys, $role);
$node->safe_psql('postgres', $refresh);
my $text = file_contents("$metadata/root.json");
is($text, file_contents("$web/good/metadata/3.root.json"), 'a root that was replaced twice');
my %damages = (
	'half of it' => substr($text, 0, length($text) / 2),
	garbage => "\0\xff\n garbage" x 40,
	'other metadata' => file_contents("$metadata/timestamp.json"),
	'signed by nobody' => $text =~ s/"version":3/"version":4/r,
	'too large' => '{' x 700_000);
foreach my $damage (sort keys %damages)
{
	damage_root($metadata, $damages{$damage});
	heals_ok("root: $damage", $refresh);
	damage_root($metadata, $damages{$damage});
	heals_ok("root: $damage, met by an installation", $install);
	$node->safe_psql('postgres', "SELECT uninstall_extension('depot_demo')");
}

# Without the roots before it, the rows say what they were, and older ones are not taken for new.
damage_root($metadata, $damages{'half of it'}, 'root_history');
serve($live, $old);
is(psql_error($node, 'postgres', $refresh)->{sqlstate}, 'PD004', 'root and its history: older metadata is not taken for new');
serve($live, "$web/good");
heals_ok('root and its history', $refresh);
damage_root($metadata, $damages{'half of it'}, 'root_history');
heals_ok('root and its history, met by an installation', $install);
$node->safe_psql('postgres', "SELECT uninstall_extension('depot_demo')");

# Without the rows, too, it is where the repository was added that it began.
$node->safe_psql('postgres', 'DELETE FROM depot.repository_metadata');
damage_root($metadata, $damages{garbage}, 'root_history');
heals_ok('root, its history and the rows', $refresh);
works_ok('a damaged root');

# Of one that was added by its digest nothing may be left: then it says what to do.
my ($digest) = run_ok('sha256sum', "$web/good/metadata/1.root.json") =~ /^(\w+)/;
$node->safe_psql('postgres', "SELECT * FROM add_extension_repository('digest', 'file://$web/good', root_sha256 => '$digest')");
$node->safe_psql('postgres', "DELETE FROM depot.repository_metadata WHERE repository = 'digest'");
damage_root("$metadata/../digest", $damages{garbage}, 'root_history');
my $error = is_error($node, 'postgres', "SELECT install_extension('depot_demo', repository => 'digest')", 'PD006',
	qr/: the root to begin with is not on this server$/, 'a root of which only the digest is known');
is($error->{hint}, 'Refresh the repository with refresh_extension_repository().', 'says what to do');
$node->safe_psql('postgres', "SELECT refresh_extension_repository('digest')");
is(file_contents("$metadata/../digest/root.json"), $text, 'which puts it right');
$node->safe_psql('postgres', "SELECT drop_extension_repository('digest')");

# What a crash leaves beside the files.
write_file("$metadata/$_.new", '{"signed":') foreach qw(timestamp.json snapshot.json root.json);
run_ok('mkdir', '-p', "$metadata/whole.old");
write_file("$metadata/whole.old/timestamp.json", '{"signed":');
sign('role', "$web/good", $keys, $role);
is($node->safe_psql('postgres', $refresh), 't', 'beside files that a crash left half written: refreshed');
works_ok('files that a crash left');

# ---- not to be written ----

SKIP:
{
	skip 'root may write everywhere', 9 if $> == 0;
	sign('role', "$web/good", $keys, $role);
	my $before = trusted();
	chmod 0500, $metadata;
	refused_ok($node, 'read-only', $refresh, sqlstate => '58030', message => qr/^repository "main": could not .*: Permission denied$/);
	is(trusted(), $before, 'read-only: what was trusted is as it was');
	chmod 0700, $metadata;
	works_ok('read-only');
	is($node->safe_psql('postgres', "$refresh"), 't', 'read-only: once it can be written it is');
}

# ---- the clock ----

# Restarts the server with its clock off by so many years.  Not by faketime: what the postmaster of 15 forks in a signal
# handler would have the real time, the leader for one.
my $clock = "$work/clock.so";

sub start_at
{
	my ($years) = @_;
	local %ENV = %ENV;
	$ENV{LD_PRELOAD} = $clock if $years != 0;
	$ENV{CLOCK_OFF_BY_S} = $years * 365 * 86400;
	$node->restart;
	wait_for_leader($node);
	return;
}

write_file("$work/clock.c", <<'CODE');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static time_t offset_s;

static __attribute__((constructor)) void
read_offset(void)
{
	offset_s = atol(getenv("CLOCK_OFF_BY_S"));
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	static int	(*real) (clockid_t, struct timespec *);
	int			result;

	if (real == NULL)
		real = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, now);
	if (clock == CLOCK_REALTIME)
		now->tv_sec += offset_s;
	return result;
}

int
gettimeofday(struct timeval *now, void *zone)
{
	struct timespec precise;

	(void) zone;
	clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
CODE

{
	run_ok($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', $clock, "$work/clock.c");
	$node->safe_psql('postgres', $install);
	sign('role', "$web/good", $keys, $role);
	my $before = trusted();
	start_at(-30);
	refused_ok($node, 'a clock of long ago', $refresh, sqlstate => '55000', message => 'the clock of this server is wrong',
		detail => qr/^It says 199\d-\d\d-\d\d .* UTC, when pg_depot was not made yet\.$/, hint => qr/^Set the clock: /);
	is(trusted(), $before, 'a clock of long ago: what was trusted is as it was');
	start_at(30);
	refused_ok($node, 'a clock of the future', $refresh, sqlstate => 'PD003', message => qr/expired on 20\d\d-.* \(\d+ days ago\)$/,
		detail => qr/the clock of this server says 205\d-/);
	is(trusted(), $before, 'a clock of the future: what was trusted is as it was');
	is($node->safe_psql('postgres', 'CREATE EXTENSION depot_demo; DROP EXTENSION depot_demo; SELECT 1'), '1', 'what is installed works');
	start_at(0);
	is($node->safe_psql('postgres', $refresh), 't', 'with the right clock it is refreshed');
	$node->safe_psql('postgres', "SELECT uninstall_extension('depot_demo')");
	works_ok('with the right clock');
}

oracle_ok($node, 'after all of it', '--repository', "$web/good");
done_testing();
