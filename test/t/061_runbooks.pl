# The runbooks of docs/runbooks.md: keys that change, are lost or are stolen, while a server follows.
#
# For each: the server follows without hands, what a stolen or removed key signs is refused afterwards, and
# what is installed keeps working.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use IPC::Run ();
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $web = "$work/web";
my $live = "$web/live";
my $repository = "$web/repository";
my $refresh = "SELECT * FROM refresh_extension_repository('main')";
mkdir $web or die "$web: $!";
make_keys($keys, qw(root1 root2 root3 targets snapshot timestamp));

# Runs the program, which must end with this exit code; returns what it printed.
sub depot
{
	my ($expected, @arguments) = @_;
	my $output = '';
	IPC::Run::run([ DepotTest::depot_program(), @arguments ], '<', '/dev/null', '>&', \$output);
	my $label = join(' ', map { s{^\Q$work\E/(?:keys/|web/)?}{}r } @arguments);
	is($? >> 8, $expected, "pg_depot $label") or diag($output);
	return $output;
}

# The --key options of some keys.
sub with
{
	return map { ('--key' => "$keys/$_") } @_;
}

my @targets = with('targets');
my @online = with(qw(snapshot timestamp));
my $packages = 0;

# A new package of each server's slice tells whether a server has followed: returns its version.
sub publish_next
{
	my ($directory, @key_options) = @_;
	my $version = '1.' . ++$packages;
	depot(0, 'repo', 'add', $directory, make_tree_package($work, 'depot_demo', $version));
	depot(0, 'repo', 'publish', $directory, @key_options);
	return $version;
}

depot(0, 'repo', 'init', $repository, (map { ('--root-key' => "$keys/root$_") } 1 .. 3), '--root-threshold', 2,
	map { ("--$_-key" => "$keys/$_") } qw(targets snapshot timestamp));
my $first = publish_next($repository, @targets, @online);
serve($live, $repository);
my $server = serve_badly($live);
my $node = new_depot_node('runbooks');
create_depot($node);

sub add_repository_again
{
	my ($root) = @_;
	my $text = file_contents($root);
	return $node->safe_psql('postgres',
		"SELECT * FROM add_extension_repository('main', '$server->{url}', trusted_root => \$root\$$text\$root\$)");
}
add_repository_again("$repository/metadata/1.root.json");
$node->safe_psql('postgres', "SELECT * FROM install_extension('depot_demo'); CREATE EXTENSION depot_demo");

sub works_ok
{
	my ($label) = @_;
	is($node->safe_psql('postgres', 'SELECT depot_demo_version()'), $first, "$label: what is installed works");
	return;
}

# The server, with nobody's help but a refresh, offers what was published last.
sub follows_ok
{
	my ($label, $version) = @_;
	$node->safe_psql('postgres', $refresh);
	is( $node->safe_psql('postgres', "SELECT version FROM install_extension('depot_demo', version => '$version', dry_run => true)"),
		$version, "$label: the server offers $version");
	works_ok($label);
	return;
}

# What these bytes say is refused, and forgotten when the repository itself is served again.
sub refused_copy_ok
{
	my ($label, $spoil, $message) = @_;
	my $copy = copy_repository($repository, "$web/copy");
	$spoil->($copy);
	serve($live, $copy);
	refused_ok($node, $label, $refresh, sqlstate => 'PD002', message => $message);
	works_ok($label);
	# The versions go past what the server saw announced by the copy, which has the keys of snapshot and timestamp.
	depot(0, 'repo', 'publish', $repository, (map { ('--renew' => $_) } qw(snapshot targets pg15-linux-amd64)), @targets, @online)
	  foreach 1, 2;
	serve($live, $repository);
	$node->safe_psql('postgres', $refresh);
	return;
}

sub lacks
{
	my ($role) = @_;
	return qr/^repository "main": $role metadata is not signed by enough trusted keys: have \d of \d valid signatures$/;
}

# Signs as a thief would, with keys of any directory.
sub sign_with
{
	my ($directory, $role, @arguments) = @_;
	run_ok(tool('sign'), 'role', $directory, $role, @arguments);
	return;
}

sub versions_of
{
	my ($directory) = @_;
	return { depot(0, 'repo', 'status', $directory) =~ /^(\S+) +(\d+) +\d{4}-/mg };
}

# ---- root changes three times, and the server sleeps through two of them ----

{
	my $old = copy_repository($repository, "$web/old");
	make_keys($keys, qw(root4 root5 root6));
	my $plan = depot(0, 'repo', 'rotate', $repository, 'root', '--add', "$keys/root4.pub", '--remove', "$keys/root1.pub",
		'--dry-run');
	like($plan, qr/^root: version 1 -> 2/m, 'the plan names the new version');
	like($plan, qr/needs 2 of the old keys:.*needs 2 of the new keys:/s, 'and who must sign');
	is(versions_of($repository)->{root}, 1, 'a dry run changes nothing');

	# One person has one key: the second signs a copy of one file.
	depot(3, 'repo', 'rotate', $repository, 'root', '--add', "$keys/root4.pub", '--remove', "$keys/root1.pub", with('root1', 'root4'));
	run_ok('cp', "$repository/signing.json", "$work/away.json");
	depot(3, 'repo', 'publish', $repository, @online);
	like(depot(0, 'repo', 'sign', "$work/away.json"), qr/root: key [0-9a-f]{64} removed/, 'the copy shows what changes');
	depot(0, 'repo', 'sign', "$work/away.json", with('root2'));
	like(depot(0, 'repo', 'sign', $repository, '--merge', "$work/away.json"), qr/more signatures are needed|all signatures are there/,
		'merged');
	depot(0, 'repo', 'publish', $repository, @online);
	follows_ok('root version 2', publish_next($repository, @targets, @online));

	$node->stop;
	depot(0, 'repo', 'rotate', $repository, 'root', '--add', "$keys/root5.pub", '--remove', "$keys/root2.pub",
		with('root2', 'root3', 'root4', 'root5'));
	depot(0, 'repo', 'rotate', $repository, 'root', '--add', "$keys/root6.pub", '--remove', "$keys/root3.pub",
		with('root3', 'root4', 'root5', 'root6'));
	my $version = publish_next($repository, @targets, @online);
	$node->start;
	wait_for_leader($node);
	follows_ok('root version 4, after sleeping through 3', $version);
	is(versions_of($repository)->{root}, 4, 'root has version 4');
	ok(-e "$repository/metadata/$_.root.json", "version $_ of root stays") foreach 1 .. 4;
	depot(0, 'repo', 'verify', $repository);

	# Whoever has the keys of the first root alone can make a fifth; nobody follows it.
	depot(0, 'repo', 'rotate', $old, 'root', '--threshold', $_, with('root1', 'root2')) foreach 1, 2, 1, 2;
	refused_copy_ok('a root signed by removed keys', sub { run_ok('cp', "$old/metadata/5.root.json", "$_[0]/metadata/") }, lacks('root'));
}

# ---- the timestamp key is stolen ----

{
	# The thief drives the version up, and servers believe it.
	my $copy = copy_repository($repository, "$web/copy");
	sign_with($copy, 'timestamp', with('timestamp'), '--version', '1000');
	serve($live, $copy);
	$node->safe_psql('postgres', $refresh);
	serve($live, $repository);
	refused_ok($node, 'the true timestamp, after the thief\'s', $refresh, sqlstate => 'PD004', message => qr/went back/);

	make_keys($keys, 'timestamp2');
	my $output = depot(0, 'repo', 'rotate', $repository, 'timestamp', '--add', "$keys/timestamp2.pub", '--remove', "$keys/timestamp.pub",
		with(qw(root4 root5 timestamp2)));
	like($output, qr/servers: forget the trusted timestamp/, 'the plan says how servers recover');
	@online = with(qw(snapshot timestamp2));
	ok(versions_of($repository)->{timestamp} < 1000, 'the version is lower than the thief\'s');
	follows_ok('new timestamp key', publish_next($repository, @targets, @online));
	refused_copy_ok('a timestamp by the stolen key', sub { sign_with($_[0], 'timestamp', with('timestamp2'), '--signer', "$keys/timestamp", '--version', '2000') },
		lacks('timestamp'));
	depot(0, 'repo', 'verify', $repository);
}

# ---- the targets key is stolen ----

{
	# The thief has published a build, with the help of whoever publishes.
	my $bad = publish_next($repository, @targets, @online);
	follows_ok('before it is known', $bad);
	make_keys($keys, 'targets2');
	depot(0, 'repo', 'yank', $repository, 'depot_demo', $bad, '--reason', 'published by a thief');
	depot(3, 'repo', 'rotate', $repository, 'targets', '--add', "$keys/targets2.pub", '--remove', "$keys/targets.pub", with('root4'));
	like(depot(0, 'repo', 'sign', $repository, with('root5', 'targets2')), qr/^signed root\nsigned targets\nsigned pg15-linux-amd64\n/m,
		'platforms follow targets');
	depot(0, 'repo', 'publish', $repository, @online);
	@targets = with('targets2');
	depot(0, 'repo', 'publish', $repository, @targets, @online);
	my $version = publish_next($repository, @targets, @online);
	follows_ok('new targets key', $version);
	is_error($node, 'postgres', "SELECT * FROM install_extension('depot_demo', version => '$bad', dry_run => true)", 'PD015',
		qr/^package "depot_demo" \Q$bad\E was withdrawn by its publisher$/, 'the thief\'s build is not offered any more');
	refused_copy_ok('targets by the stolen key', sub { sign_with($_[0], 'targets', @online, '--signer', "$keys/targets") }, lacks('targets'));
	refused_copy_ok('a platform\'s role by the stolen key', sub { sign_with($_[0], 'pg15-linux-amd64', @online, '--signer', "$keys/targets") },
		qr/role "pg15-linux-amd64" is not signed by enough trusted keys/);
	depot(0, 'repo', 'verify', $repository);
}

# ---- root keys are lost, first one, then too many ----

{
	make_keys($keys, 'root7');
	depot(0, 'repo', 'rotate', $repository, 'root', '--add', "$keys/root7.pub", '--remove', "$keys/root4.pub", with(qw(root5 root6 root7)));
	follows_ok('a lost root key replaced', publish_next($repository, @targets, @online));

	# Now 5 and 6 are gone: one of two signatures can be made.
	depot(3, 'repo', 'rotate', $repository, 'root', '--remove', "$keys/root6.pub", '--threshold', '1', with('root7'));
	like(depot(0, 'repo', 'sign', $repository), qr/needs 2 of the old keys/, 'the old threshold stands');
	depot(3, 'repo', 'publish', $repository, @online);
	depot(0, 'repo', 'sign', $repository, '--discard');
	follows_ok('below the threshold', publish_next($repository, @targets, @online));

	my $again = "$web/again";
	make_keys($keys, qw(new-root1 new-root2 new-root3));
	depot(0, 'repo', 'init', $again, (map { ('--root-key' => "$keys/new-root$_") } 1 .. 3), '--root-threshold', 2,
		'--targets-key', "$keys/targets2", '--snapshot-key', "$keys/snapshot", '--timestamp-key', "$keys/timestamp2");
	depot(0, 'repo', 'add', $again, glob("$repository/targets/*/*/*/*/*.tar.zst"));
	my $version = publish_next($again, @targets, @online);
	serve($live, $again);
	is_error($node, 'postgres', $refresh, 'PD004', qr/^repository "main": repository went back: /, 'a server does not take another root by itself');
	works_ok('before the new root is trusted');
	$node->safe_psql('postgres', "SELECT drop_extension_repository('main')");
	works_ok('without a repository');
	add_repository_again("$again/metadata/1.root.json");
	follows_ok('a new root, trusted by hand', $version);
	$node->restart;
	wait_for_leader($node);
	works_ok('after a restart');
	is($node->safe_psql('postgres', "SELECT version FROM install_extension('depot_demo', version => '$version')"), $version, 'and can be updated');
}

done_testing();
