# A repository in one file, on a server without a network: the same rules hold.
#
# Holds promises 1 (verified first) and 12 (clear refusals).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $program = DepotTest::depot_program();
my $bundle = "$work/depot.bundle";

# depot_needy depends on depot_demo; depot_other is not needed by anybody.
make_repository("$work/first", $keys, make_tree_package($work, 'depot_demo', '1.0'),
	make_tree_package($work, 'depot_needy', '1.0', requires => 'depot_demo'),
	make_tree_package($work, 'depot_other', '1.0'));
copy_repository("$work/first", "$work/later");
publish("$work/later", $keys, make_tree_package($work, 'depot_demo', '1.1'));

# Makes the bundle anew; returns what the program printed.
sub bundle_of
{
	my ($repository, @arguments) = @_;
	unlink "$bundle.next";
	my $printed = run_ok($program, 'bundle', $repository, '--output', "$bundle.next", @arguments);
	rename("$bundle.next", $bundle) or die "rename: $!";
	return $printed;
}

# The program's exit code and first line on standard error.
sub fails_with
{
	my ($label, $code, $message, @command) = @_;
	my $errors = '';
	my $ok = IPC::Run::run([ $program, @command ], '>', \my $output, '2>', \$errors);
	is($? >> 8, $code, "$label: exit code");
	like($errors, $message, "$label: message");
	return;
}

# ---- making one ----

my $printed = bundle_of("$work/first", 'depot_needy');
like($printed, qr/^depot_demo-1\.0\.tar\.zst \(.*\)\ndepot_needy-1\.0\.tar\.zst \(.*\)\n\S+: 2 packages, .* kB$/,
	'a bundle has what was asked for and what that needs');
my @members = split /\n/, run_ok('tar', 'tf', $bundle);
is(scalar(grep { m{^targets/} } @members), 2, 'and nothing else');
is($members[0], 'metadata/1.root.json', 'it begins with the first root');
my $bytes = file_contents($bundle);
bundle_of("$work/first", 'depot_needy');
ok(file_contents($bundle) eq $bytes, 'the same repository makes the same bytes');

fails_with('a bundle that exists', 1, qr/^pg_depot: error: "\S+" exists$/m, 'bundle', "$work/first", '-o', $bundle, '--all');
fails_with('an unknown package', 1, qr/^pg_depot: error: the repository has nothing for "nothere"$/m,
	'bundle', "$work/first", '-o', "$work/new", 'nothere');
fails_with('a version that is not there', 1, qr/^pg_depot: error: pg15-linux-amd64: the repository has no version of "depot_demo" that is 9\.\*$/m,
	'bundle', "$work/first", '-o', "$work/new", '--platform', 'pg15-linux-amd64', 'depot_demo=9.*');
fails_with('no repository', 1, qr/^pg_depot: error: there is no "metadata\/1\.root\.json"$/m, 'bundle', $keys, '-o', "$work/new", '--all');
fails_with('nothing asked for', 2, qr/name packages, or give --all/, 'bundle', "$work/first", '-o', "$work/new");
copy_repository("$work/first", "$work/damaged");
{
	my $file = target_of("$work/damaged", qr/depot_demo/);
	my $text = file_contents($file);
	write_file($file, substr($text, 0, -1) . chr(ord(substr($text, -1)) ^ 1));
}
fails_with('a damaged package', 1, qr/is not the file that was signed$/m, 'bundle', "$work/damaged", '-o', "$work/new", 'depot_demo');
run_ok('cp', "$work/later/metadata/timestamp.json", "$work/damaged/metadata/timestamp.json");
fails_with('metadata of two times', 1, qr/lacks version \d+ of its snapshot metadata/, 'bundle', "$work/damaged", '-o', "$work/new", 'depot_other');
ok(!-e "$work/new" && !-e "$work/new.new", 'what failed leaves no file');

# ---- from a URL ----

my $web = start_web("$work/first");
my $root = "$work/first/metadata/1.root.json";
my @ca = ("--ca-file" => $web->{ca_file});
my $from_directory = file_contents($bundle);
bundle_of($web->{https}, '--root', $root, @ca, 'depot_needy');
ok(file_contents($bundle) eq $from_directory, 'a URL makes the same bundle as the directory that is served there');
fails_with('a URL without a root', 2, qr/a URL needs --root, the root\.json to trust$/m, 'bundle', $web->{https}, '-o', "$work/new", '--all');
fails_with('a URL and the root of another repository', 1, qr/root metadata is not signed by enough trusted keys|not valid/m,
	'bundle', $web->{https}, '-o', "$work/new", '--root', "$work/damaged/metadata/timestamp.json", @ca, '--all');
{
	my $file = target_of("$work/first", qr/depot_other/);
	my $text = file_contents($file);
	write_file($file, $text . 'x');
	fails_with('a URL that serves another package', 1, qr/^pg_depot: error: /m, 'bundle', $web->{https}, '-o', "$work/new",
		'--root', $root, @ca, 'depot_other');
	write_file($file, $text);
}
my $kept = "$work/kept.bundle";
run_ok('cp', $bundle, $kept);
bundle_of("file://$kept", '--root', $root, 'depot_demo');
is(scalar(grep { m{^targets/.*depot_demo} } split /\n/, run_ok('tar', 'tf', $bundle)), 1, 'a bundle is made of a bundle');
run_ok('cp', $kept, $bundle);
stop_web($web);
fails_with('a URL where nobody answers', 1, qr/^pg_depot: error: .*could not fetch "metadata\/1\.root\.json"/m,
	'bundle', $web->{https}, '-o', "$work/new", '--root', $root, @ca, '--all');
ok(!-e "$work/new" && !-e "$work/new.new", 'again what failed leaves no file');

# ---- a server that has nothing else ----

my $node = new_depot_node('bundle');
create_depot($node);
add_repository($node, $bundle, root => "$work/first/metadata/1.root.json");
is($node->safe_psql('postgres', "SELECT package, version FROM install_extension('depot_needy') ORDER BY 1"),
	"depot_demo|1.0\ndepot_needy|1.0", 'it installs from a bundle');
is($node->safe_psql('postgres', 'CREATE EXTENSION depot_needy CASCADE; SELECT depot_demo_version()'), '1.0', 'and the extension works');
is($node->safe_psql('postgres', "SELECT count(*) FROM depot.packages WHERE package = 'depot_other'"), '1',
	'the metadata lists what is not in the bundle');
refused_ok($node, 'a package that is not in the bundle', "SELECT * FROM install_extension('depot_other')", sqlstate => '58P01',
	message => qr/^repository "main" does not have package "\S+" that its metadata lists$/);

# a later bundle brings what is new
bundle_of("$work/later", '--all');
like($node->safe_psql('postgres', "SELECT * FROM refresh_extension_repository('main')"), qr/main/, 'a later bundle is taken');
is($node->safe_psql('postgres', "SELECT version FROM update_extension('depot_demo') WHERE package = 'depot_demo'"), '1.1', 'and updates');
is($node->safe_psql('postgres', "SELECT version FROM install_extension('depot_other')"), '1.0', 'and has the rest');

# an earlier one is a step back
bundle_of("$work/first", '--all');
refused_ok($node, 'an earlier bundle', "SELECT * FROM refresh_extension_repository('main')", sqlstate => 'PD004',
	message => qr/^repository "main": repository went back: it serves timestamp metadata version 2, but version 3 was seen before$/);

# what is no whole bundle is named as that
my $whole = file_contents($bundle);
foreach my $case (
	[ 'a bundle that is cut off', substr($whole, 0, length($whole) / 2), qr/the file is not a bundle: it is cut off$/ ],
	[ 'a bundle with a damaged header', substr($whole, 0, 10) . 'x' . substr($whole, 11), qr/the file is not a bundle: a header of it is damaged$/ ],
	[ 'another file', "#!/bin/sh\n" x 100, qr/the file is not a bundle: it has a header of another kind$/ ],
	[ 'an empty file', '', qr/the file is not a bundle: it is cut off$/ ])
{
	my ($label, $contents, $message) = @$case;
	write_file($bundle, $contents);
	refused_ok($node, $label, "SELECT * FROM refresh_extension_repository('main')", sqlstate => 'PD010',
		message => qr/^could not fetch "[^"]+" from \Q$bundle\E: $message/,
		hint => 'Make it with "pg_depot bundle", and copy it whole.');
}
# bytes that were changed inside are found by their digest
bundle_of("$work/later", '--all');
$whole = file_contents($bundle);
my $at = rindex($whole, 'depot_other-1.0.tar.zst');
$at += 512 - $at % 512 + 100;
$node->safe_psql('postgres', "SELECT * FROM uninstall_extension('depot_other')");
write_file($bundle, substr($whole, 0, $at) . '????' . substr($whole, $at + 4));
refused_ok($node, 'a package that was changed inside', "SELECT * FROM install_extension('depot_other')", sqlstate => 'PD008',
	message => qr/it is not the file that was signed$/);
unlink $bundle;
refused_ok($node, 'a bundle that is gone', "SELECT * FROM refresh_extension_repository('main')", sqlstate => '08001',
	message => qr/there is no such directory or bundle$/);
is($node->safe_psql('postgres', 'SELECT depot_demo_version()'), '1.0', 'what is installed keeps working');

# ---- it is a mirror too ----

bundle_of("$work/later", '--all');
mkdir "$work/mirror" or die "$work/mirror: $!";
run_ok('tar', 'xf', $bundle, '-C', "$work/mirror");
$node->safe_psql('postgres', "SELECT * FROM drop_extension_repository('main')");
add_repository($node, "$work/mirror", root => "$work/first/metadata/1.root.json", name => 'mirror');
is($node->safe_psql('postgres', "SELECT version FROM install_extension('depot_other')"), '1.0', 'unpacked, a bundle is a repository in a directory');

done_testing();
