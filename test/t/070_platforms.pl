# Builds for servers of another platform: the primary fetches, verifies, stores and records them.
#
# Holds promise 1 (verified first).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $work = tempdir(CLEANUP => 1);
my $program = DepotTest::depot_program();
my %keys = map { $_ => "$work/$_" } qw(root targets snapshot timestamp);
my @keys = map { ('--key' => $_) } values %keys;

# A package without a library, for a platform.
sub make_package
{
	my ($name, $version, $arch) = @_;
	my $tree = tempdir(DIR => $work, CLEANUP => 1);
	my $directory = $tree . pg_config_value('sharedir') . '/extension';
	make_path($directory, "$work/$arch");
	write_file("$directory/$name.control", "comment = 'made for a test'\ndefault_version = '$version'\n");
	write_file("$directory/$name--$version.sql", "-- for $arch\n");
	run_ok($program, 'pack', '--from-tree', $tree, '--package', $name, '--version', $version, '--summary', 'made for a test',
		'--license', 'PostgreSQL', '--platform-arch', $arch, '-q', '-o', "$work/$arch");
	return "$work/$arch/$name-$version.tar.zst";
}

sub publish
{
	my (@files) = @_;
	run_ok($program, 'repo', 'add', "$work/repository", @files);
	run_ok($program, 'repo', 'publish', "$work/repository", @keys);
	return;
}

my $machine = run_ok('dpkg', '--print-architecture');
chomp $machine;
my $other = $machine eq 'arm64' ? 'amd64' : 'arm64';
run_ok($program, 'keygen', $_) foreach values %keys;
run_ok($program, 'repo', 'init', "$work/repository", map { ("--$_-key" => $keys{$_}) } keys %keys);
publish(map { my $arch = $_; map { make_package(@$_, $arch) } ([ 'depot_two', '1.0' ], [ 'depot_two', '1.1' ]) } $machine, $other);
publish(make_package('depot_one', '1.0', $machine));

my $node = new_depot_node('platforms');
create_depot($node);
add_repository($node, "$work/repository", root => "$work/repository/metadata/1.root.json");

sub query
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub builds
{
	my ($package) = @_;
	return query("SELECT platform, b.version FROM depot.installed_build b WHERE package = '$package' ORDER BY platform <> 'linux-$machine'");
}

# The payload of a build, as the server puts it together.
sub payload_of
{
	my ($package, $platform) = @_;
	return query("SELECT encode(sha256(string_agg(data, '' ORDER BY chunk)), 'hex') FROM depot.payload WHERE encode(digest, 'hex') ="
		  . " (SELECT digest FROM depot.installed_build WHERE package = '$package' AND platform = '$platform')");
}

sub sha256_of
{
	my ($path) = @_;
	return (split ' ', run_ok('sha256sum', $path))[0];
}

sub logged_ok
{
	my ($offset, $pattern, $label) = @_;
	return ok(wait_until(sub { substr(file_contents($node->logfile), $offset) =~ $pattern }, 60), $label)
	  || diag(substr(file_contents($node->logfile), $offset));
}

query(q{SELECT install_extension('depot_two', '1.0'), install_extension('depot_one')});
is(builds('depot_two'), "linux-$machine|1.0", 'while no other platform is known, there is one build');

# A server of another platform reports; what it says is in depot.node.
my $offset = -s $node->logfile;
query("INSERT INTO depot.node (name, role_name, platform) VALUES ('far', 'far', 'linux-$other'), ('odd', 'odd', E'linux-\\n'), ('near', 'near', 'linux-$machine')");
query('SELECT refresh_extension_repository()');
query(q{SELECT install_extension('depot_two', '1.1')});
logged_ok($offset, qr/recorded a build of package "depot_two" 1\.1 for linux-$other/, 'a build for the other platform is recorded');
is(builds('depot_two'), "linux-$machine|1.1\nlinux-$other|1.1", 'of the version that is installed');
is(payload_of('depot_two', "linux-$other"), sha256_of("$work/$other/depot_two-1.1.tar.zst"), 'its package is stored');
is(payload_of('depot_two', "linux-$machine"), sha256_of("$work/$machine/depot_two-1.1.tar.zst"), 'beside that of this platform');
logged_ok($offset, qr/WARNING:  servers on linux-$other have no build of package "depot_one" 1\.0.*\n.*has no build of this version for "pg\d+-linux-$other"/,
	'a build that nobody has is named');
is(builds('depot_one'), "linux-$machine|1.0", 'and not recorded');
my @oracle = ('--quiet-server', '--no-payload-left', '--repository', "$work/repository");
is(oracle_is_ok($node, 30, @oracle), '', 'files equal rows here');
is(query('SELECT count(*) FROM depot.available'), 3, 'and what is available is what is for this server');
is(query('SELECT count(*) FROM depot.repositories'), 1, 'from one repository');

# It comes later; a bad one does not count.
publish(make_package('depot_one', '1.0', $other));
my ($target) = glob("$work/repository/targets/pg*/linux-$other/depot_one/1.0/*.tar.zst");
run_ok('cp', $target, "$work/kept");
run_ok('sh', '-c', 'printf x | dd of="$1" bs=1 seek=100 conv=notrunc status=none', 'sh', $target);
$offset = -s $node->logfile;
query(q{SELECT uninstall_extension('depot_two'), install_extension('depot_two', '1.0')});
logged_ok($offset, qr/WARNING:  servers on linux-$other have no build of package "depot_one"/, 'one that is not what was signed is refused');
is(builds('depot_one'), "linux-$machine|1.0", 'and not recorded either');
is(wait_until(sub { builds('depot_two') eq "linux-$machine|1.0\nlinux-$other|1.0" }, 60), 1, 'others are recorded all the same');
run_ok('cp', "$work/kept", $target);
query(q{SELECT update_extension('depot_two')});
is(wait_until(sub { builds('depot_one') eq "linux-$machine|1.0\nlinux-$other|1.0" }, 60), 1, 'the right one is');
is(payload_of('depot_one', "linux-$other"), sha256_of("$work/$other/depot_one-1.0.tar.zst"), 'with its package');

query(q{SELECT uninstall_extension('depot_one'), uninstall_extension('depot_two')});
is(oracle_is_ok($node, 30, @oracle), '', 'files equal rows in the end');
is(wait_until(sub { query('SELECT count(*) FROM depot.payload') eq '0' }, 30), 1, 'payloads for every platform are removed with the package');
$node->stop;
done_testing();
