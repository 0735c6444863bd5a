# Files that this server has not verified itself are neither served nor loaded: what travels with a data
# directory is checked, at its first start and at every one after that.
#
# The first promise of the design (verified first, everywhere) has its tests here, too.

use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use File::Find qw(find);
use JSON::PP ();
use Test::More;

my $repository = depot_repository();
my $work = $ENV{DEPOT_TEST_WORK};
my $lib = pg_config_value('pkglibdir');
my $extension = pg_config_value('sharedir') . '/extension';
my $mark = "$work/mark";
my $points = "$work/points";
mkdir $points or die "mkdir $points: $!";
$ENV{PG_DEPOT_TEST_POINTS} = $points;
my $node = new_depot_node('seal', conf => "wal_level = replica\nmax_wal_senders = 4\n");
create_depot($node);
add_repository($node, $repository->{directory});
$node->safe_psql('postgres', "SELECT install_extension('semver'); CREATE EXTENSION semver;"
	  . "SELECT install_extension('depot_demo', '1.0')");
oracle_ok($node, 'installed');

my $use = q(SELECT '1.2.3'::semver > '1.2.2');
my $clones = 0;

sub depot_of { return $_[0]->data_dir . '/pg_depot' }

my %seen_bytes;

# What a server's log says since it was asked last; before a start this is asked for nothing but that.
sub new_log
{
	my ($server) = @_;
	my $log = eval { file_contents($server->logfile) } // '';
	my $new = substr($log, $seen_bytes{ $server->name } // 0);
	$seen_bytes{ $server->name } = length $log;
	return $new;
}

sub quarantined
{
	my ($server) = @_;
	my @found;
	my $top = depot_of($server) . '/var/pgsql_tmp_seal/refused';
	find(sub { push @found, $File::Find::name =~ s{^\Q$top\E/}{}r if !-d || -l }, $top) if -d $top;
	return join ' ', sort @found;
}

# Makes a library that leaves a mark where it is loaded.
sub make_library
{
	my ($path) = @_;
	write_file("$work/evil.c", <<"C");
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void leave_mark(void)
{
	int fd = open("$mark", O_WRONLY | O_CREAT, 0600);
	close(fd);
}
C
	run_ok('cc', '-shared', '-fPIC', '-o', $path, "$work/evil.c");
	chmod 0644, $path or die "chmod $path: $!";
	return;
}

# A server whose data directory is a copy of the backup; change gets its depot directory before it starts.
sub new_clone
{
	my ($change, %options) = @_;
	my $clone = PostgreSQL::Test::Cluster->new('seal_clone_' . ++$clones);
	$clone->init_from_backup($node, 'first');
	$clone->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	run_ok('find', depot_of($clone), '-type', 'd', '-exec', 'chmod', '700', '{}', '+');
	$change->(depot_of($clone)) if defined $change;
	return $clone;
}

# ---- a restart ----

unlike(new_log($node), qr/pg_depot: verified/, 'an empty depot needs no verification');
$node->restart;
wait_for_leader($node);
unlike(new_log($node), qr/pg_depot: verified|not served/, 'a restart looks at the files only');
is($node->safe_psql('postgres', $use), 't', 'they are served');

# ---- a base backup ----

$node->backup('first');
my $backup = $node->backup_dir . '/first';
ok(-e "$backup/pg_depot/var/state.json", 'the backup has the depot');
ok(!glob("$backup/pg_depot/var/pgsql_tmp*/*"), 'the backup has no seal');

my $clone = new_clone();
$clone->start;
is($clone->safe_psql('postgres', $use), 't', 'the first session of a clone finds the library');
wait_for_leader($clone);
oracle_ok($clone, 'clone');
my $log = new_log($clone);
like($log, qr/LOG:  pg_depot: verified \d+ files of 2 packages that came from elsewhere in \d+ ms/,
	'the clone verified the files');
unlike($log, qr/not served|missing or damaged|fetched/, 'nothing was fetched');
$clone->restart;
unlike(new_log($clone), qr/pg_depot: verified|not served/, 'once verified, the clone starts like any server');
$clone->stop;

# ---- what was kept proves a package that no repository offers any more ----

ok(glob("$backup/pg_depot/var/evidence/*.json"), 'the backup has what proves the packages');
my $pin = (split / /, run_ok('sha256sum', $repository->{root}))[0];
foreach my $roots ('', "main = $pin")
{
	my $old = new_clone(sub {
		my ($depot) = @_;
		unlink glob("$depot/var/metadata/main/{targets,snapshot,timestamp,pg*}.json");
		run_ok('rm', '-rf', glob("$depot/var/metadata/main/whole"));
	}, conf => "depot.hold = on\ndepot.trusted_roots = '$roots'\n");
	$old->start;
	is($old->safe_psql('postgres', $use), 't', "proven by evidence alone, with pinned roots '$roots'");
	$old->stop;
}
my $pinned = new_clone(undef, conf => "depot.hold = on\ndepot.trusted_roots = 'main = " . '0' x 64 . "'\n");
$pinned->start;
isnt(psql_error($pinned, 'postgres', $use)->{status}, 0, 'with another root pinned nothing is served');
like(new_log($pinned), qr/WARNING:  files of package "semver" are not those that were signed/, 'and the log says so');
$pinned->stop;

# ---- the same with something exchanged ----

# Starts a clone that change has been to; its own files must come back, and nothing else may ever be used.
sub refused_ok
{
	my ($label, $change, $expected, $first) = @_;
	$first //= $expected;
	my $victim = new_clone($change);
	$victim->start;
	$victim->psql('postgres', $use);
	like(new_log($victim), qr/WARNING:  files .* not served\n.*\Q$first\E/, "$label: said in the log");
	like(quarantined($victim), qr/\Q$expected\E/, "$label: set aside");
	is(oracle_is_ok($victim, 60), '', "$label: brought back");
	is($victim->safe_psql('postgres', $use), 't', "$label: usable");
	new_log($victim);
	$victim->restart;
	is($victim->safe_psql('postgres', $use), 't', "$label: usable after a restart");
	unlike(new_log($victim), qr/pg_depot: verified|not served/, "$label: nothing to say at the restart");
	ok(!-e $mark, "$label: never loaded");
	$victim->stop;
	return;
}

# Lets state.json, which nobody has signed, fit the files that were exchanged.
sub adjust_state
{
	my ($depot) = @_;
	my $path = "$depot/var/state.json";
	my $state = JSON::PP->new->decode(file_contents($path));
	$state->{stamp}{path} = $depot;
	foreach my $file (map { @{ $_->{files} } } @{ $state->{packages} })
	{
		next if !-f "$depot/$file->{path}";
		$file->{size} = -s "$depot/$file->{path}";
		($file->{sha256}) = split / /, run_ok('sha256sum', "$depot/$file->{path}");
	}
	write_file($path, JSON::PP->new->canonical->encode($state));
	return;
}

refused_ok('library', sub {
	my ($depot) = @_;
	make_library("$depot$lib/semver.so");
	adjust_state($depot);
}, 'semver.so');

refused_ok('script', sub {
	my ($depot) = @_;
	my ($script) = glob("$depot$extension/semver--*.sql");
	write_file($script, "SELECT 'something else';\n");
	adjust_state($depot);
}, '.sql');

refused_ok('control file', sub {
	my ($depot) = @_;
	write_file("$depot$extension/semver.control", "default_version = '6.6.6'\n");
	adjust_state($depot);
}, 'semver.control');

refused_ok('added file', sub {
	my ($depot) = @_;
	make_library("$depot$lib/added.so");
}, 'added.so');

refused_ok('manifest', sub {
	my ($depot) = @_;
	my $manifest = "$depot" . pg_config_value('sharedir') . '/depot/semver.json';
	my $text = file_contents($manifest);
	make_library("$depot$lib/semver.so");
	my ($sha256) = split / /, run_ok('sha256sum', "$depot$lib/semver.so");
	$text =~ s/("path":"lib\/semver.so","sha256":")[0-9a-f]{64}/$1$sha256/ or die 'no digest in the manifest';
	write_file($manifest, $text);
	adjust_state($depot);
}, 'semver.so', 'semver');

refused_ok('symbolic link', sub {
	my ($depot) = @_;
	rename "$depot$lib/semver.so", "$work/real.so" or die "rename: $!";
	symlink "$work/real.so", "$depot$lib/semver.so" or die "symlink: $!";
}, 'semver.so');

refused_ok('hard link', sub {
	my ($depot) = @_;
	make_library("$work/linked.so");
	unlink "$depot$lib/semver.so" or die "unlink: $!";
	link "$work/linked.so", "$depot$lib/semver.so" or die "link: $!";
}, 'semver.so');

refused_ok('directory', sub {
	my ($depot) = @_;
	unlink "$depot$lib/semver.so" or die "unlink: $!";
	mkdir "$depot$lib/semver.so" or die "mkdir: $!";
	write_file("$depot$lib/semver.so/inside.so", 'something');
}, 'inside.so');

# ---- the same, with a leader that brings nothing back ----

my $lonely = new_clone(sub {
	my ($depot) = @_;
	make_library("$depot$lib/semver.so");
	adjust_state($depot);
}, conf => "depot.hold = on\n");
$lonely->start;
foreach my $start ('first', 'second')
{
	my $error = psql_error($lonely, 'postgres', $use);
	like($error->{message}, qr/could not access file "semver"/, "$start start: the exchanged library is not used");
	is($lonely->safe_psql('postgres', 'BEGIN; CREATE EXTENSION depot_demo; SELECT depot_demo_version(); ROLLBACK'),
		'1.0', "$start start: the other package is served");
	$lonely->restart if $start eq 'first';
}
$lonely->append_conf('postgresql.conf', 'depot.hold = off');
$lonely->restart;
is(oracle_is_ok($lonely, 120), '', 'then the package comes back');
ok(!-e $mark, 'the exchanged library was never loaded');

# ---- no agent ----

new_log($lonely);
$lonely->stop;
run_ok('cp', '-a', $lonely->data_dir, $lonely->data_dir . '.copy');
run_ok('rm', '-rf', $lonely->data_dir);
rename $lonely->data_dir . '.copy', $lonely->data_dir or die "rename: $!";
write_file("$points/check_tree", '');
$lonely->append_conf('postgresql.conf', 'depot.hold = on');
$lonely->start;
isnt(psql_error($lonely, 'postgres', $use)->{status}, 0, 'without an agent nothing is served')
  if new_log($lonely) =~ /could not be verified and are not served\n.*check agent ended unexpectedly/
  || !ok(0, 'a copied directory is verified');
$lonely->restart;
is($lonely->safe_psql('postgres', $use), 't', 'the next start verifies what was set aside');
$lonely->append_conf('postgresql.conf', 'depot.hold = off');
$lonely->reload;
is(oracle_is_ok($lonely, 60), '', 'and everything is there');

# ---- a running server is tampered with ----

my $served = depot_of($lonely) . "$lib/semver.so";
my (undef, undef, undef, undef, undef, undef, undef, undef, undef, $modified) = stat $served;
my $bytes = file_contents($served);
substr($bytes, 100, 1) ^= "\1";
unlink $served or die "unlink: $!";
write_file($served, $bytes);
chmod 0644, $served or die "chmod: $!";
utime $modified, $modified, $served or die "utime: $!";
new_log($lonely);
$lonely->restart;
$lonely->psql('postgres', $use);
like(new_log($lonely), qr/WARNING:  files of package "semver" are not those that were signed, and are not served\n.*changed/,
	'a changed byte is found at the next start');
is(oracle_is_ok($lonely, 60), '', 'and put right');

# ---- killed before the seal ----

write_file("$points/activate_seal", '');
$lonely->psql('postgres', "SELECT install_extension('ip4r')");
ok(wait_until(sub { !-e "$points/activate_seal" }, 60), 'the leader was killed between a change and its seal');
wait_for_leader($lonely);
is(oracle_is_ok($lonely, 60), '', 'nothing is lost');
new_log($lonely);
$lonely->restart;
$lonely->safe_psql('postgres', 'CREATE EXTENSION ip4r');
like(new_log($lonely), qr/LOG:  pg_depot: verified \d+ files of 1 packages/, 'the next start verifies that package');
$lonely->stop;

done_testing();
