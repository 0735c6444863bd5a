# How trust travels: standbys and clones follow a repository's keys by what the rows carry, from the root that they
# pin themselves, and go on with the repository once they are promoted.
#
# Holds promises 1 (verified first) and 5 (one path).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotCluster;
use DepotTest;
use Digest::SHA qw(sha256_hex);
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $repository = "$work/repository";
my $refresh = "SELECT refresh_extension_repository('main')";
make_keys($keys, qw(root1 root2 root3 targets snapshot timestamp));

sub repo
{
	return run_ok(DepotTest::depot_program(), 'repo', @_);
}

# The --key options of some keys.
sub with
{
	return map { ('--key' => "$keys/$_") } @_;
}

my @online = with(qw(targets snapshot timestamp));

sub publish_demo
{
	my ($version) = @_;
	repo('add', $repository, make_tree_package($work, 'depot_demo', $version));
	repo('publish', $repository, @online);
	return;
}

repo('init', $repository, '--root-key', "$keys/root1", map { ("--$_-key" => "$keys/$_") } qw(targets snapshot timestamp));
publish_demo('1.0');
my $first_root = "$repository/metadata/1.root.json";
my $root_sha256 = sha256_hex(file_contents($first_root));

# ---- the cluster: nobody but the primary reaches the repository ----

my $web = start_web($repository);
my $cut_off = "depot.proxy = 'http://127.0.0.1:1'\n";
my $pins_root = "depot.trusted_roots = 'main = $root_sha256'\n";
my $primary = new_primary('primary', repository => 0);
my $seen = create_standby('seen', $primary, conf => $cut_off);
my $pinned = create_standby('pinned', $primary, conf => $cut_off . $pins_root);
my @standbys = ($seen, $pinned);
add_repository($primary, $web->{http}, root => $first_root);
install($primary, 'depot_demo');
$primary->safe_psql('postgres', 'CREATE EXTENSION depot_demo');
cluster_ok('under the first root', $primary, @standbys);

sub depot_of
{
	my ($node) = @_;
	return $node->data_dir . '/pg_depot';
}

# The version that a server would create, by its own files.
sub served_version
{
	my ($node, $extension) = @_;
	my $control = depot_of($node) . pg_config_value('sharedir') . "/extension/$extension.control";
	my $text = eval { file_contents($control) } // '';
	return $text =~ /^default_version = '([^']+)'/m ? $1 : 'none';
}

# Roots that a server trusts outside the rows and its configuration.
sub trusted_roots
{
	my ($node) = @_;
	return join ' ', map { m{([^/]+)$} } sort glob(depot_of($node) . '/var/metadata/main/root_history/*');
}

# A started server makes its way to these files by itself, and says nothing of files that are not served.
sub begins_ok
{
	my ($node, $label) = @_;
	my $before = -s $node->logfile // 0;
	$node->restart;
	replayed($node, $primary) if in_recovery($node);
	is(DepotTest::oracle_is_ok($node, 60), '', "$label: files equal rows");
	unlike(substr(log_of($node), $before), qr/not served/, "$label: all files are proven at the start");
	return;
}

# ---- another root ----

repo('rotate', $repository, 'root', '--add', "$keys/root2.pub", '--remove', "$keys/root1.pub", with(qw(root1 root2)));
publish_demo('1.1');
$primary->safe_psql('postgres', "$refresh; SELECT update_extension('depot_demo')");
is($primary->safe_psql('postgres', "SELECT version, evidence_root FROM depot.installed_build WHERE package = 'depot_demo'"),
	'1.1|2', 'the primary has a build under the second root');
foreach my $standby (@standbys)
{
	my $label = $standby->name . ': under the second root';
	follows($standby, $primary, $label);
	is(served_version($standby, 'depot_demo'), '1.1', "$label: the new version is there");
	is(trusted_roots($standby), $standby == $seen ? '1.root.json' : '', "$label: trust begins where it did");
	begins_ok($standby, "$label, restarted");
}

foreach my $with_files (0, 1)
{
	my $name = $with_files ? 'clone_with_files' : 'clone_without_files';
	my $clone = create_standby($name, $primary, conf => $cut_off . $pins_root, depot => $with_files, start => 0);
	$clone->start;
	follows($clone, $primary, "$name made after the rotation");
	is(served_version($clone, 'depot_demo'), '1.1', "$name: the version of the second root");
	unlike(log_of($clone), qr/not served/, "$name: all files are proven at the start");
	$clone->stop;
}

$_->stop foreach @standbys, $primary;
stop_web($web);
done_testing();
