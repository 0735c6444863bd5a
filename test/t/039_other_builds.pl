# Packages for other servers: another major version, another platform, a later minor version.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use File::Path qw(make_path);
use Test::More;

my $program = DepotTest::depot_program();
my $work = DepotTest::tempdir(DIR => $ENV{DEPOT_TEST_WORK}, CLEANUP => 1);
my %keys = map { $_ => "$work/$_" } qw(root targets snapshot timestamp);
my $number = 0;

# Packs an extension of SQL alone for a major version, with the program's options.
sub pack_for
{
	my ($name, $major, @options) = @_;
	my $tree = "$work/tree" . $number++;
	my $directory = "$tree/usr/share/postgresql/$major/extension";
	make_path($directory, "$work/packages$number");
	write_file("$directory/$name.control", "comment = 'made for a test'\ndefault_version = '1.0'\n");
	write_file("$directory/$name--1.0.sql", "SELECT 1;\n");
	run_ok($program, 'pack', '--from-tree', $tree, '--package', $name, '--version', '1.0', '--summary', 'made for a test',
		'--license', 'PostgreSQL', '-q', '-o', "$work/packages$number", @options);
	run_ok($program, 'repo', 'add', "$work/repository", glob("$work/packages$number/*.tar.zst"));
	return;
}

sub publish
{
	run_ok($program, 'repo', 'publish', "$work/repository", map { ('--key' => $_) } values %keys);
	return;
}

run_ok($program, 'keygen', $_) foreach values %keys;
run_ok($program, 'repo', 'init', "$work/repository", map { ("--$_-key" => $keys{$_}) } keys %keys);
pack_for('depot_other_major', 17);
pack_for('depot_other_platform', 15, '--platform-arch', 'arm64');
publish();

run_ok('cp', '-a', "$work/repository", "$work/first");

my $node = new_depot_node('builds', conf => "log_statement = none\n");
create_depot($node);

# ---- a repository with nothing for this server ----

my $root = DepotTest::file_contents("$work/repository/metadata/1.root.json");
my $session = start_psql($node, 'postgres',
	"SELECT packages FROM add_extension_repository('others', 'file://$work/repository', trusted_root => \$root\$$root\$root\$)");
my $answer = finish_psql($session);
is($answer->{stdout}, '0', 'a repository without packages for this server is added');
my $role = $answer->{stderr} =~ /WARNING:  01000: repository "others": it has no packages for "(pg\d+-linux-\w+)"/ ? $1 : '';
like($role, qr/^pg15-linux-/, 'with a WARNING that names what it has nothing for');
my ($platform) = $role =~ /(linux-\w+)/;

foreach my $name (qw(depot_other_major depot_other_platform))
{
	unchanged_ok(
		$node, $name,
		sub {
			my $error = is_error($node, 'postgres', "SELECT install_extension('$name')", '42704',
				qr/^extension "$name" is not available$/, $name);
			is($error->{detail}, "No repository has a build of it for PostgreSQL 15 on $platform.", "$name: for what it is not");
		});
}

# ---- one that has something, for a later minor version ----

pack_for('depot_later', 15, '--minimum-minor', 99);
pack_for('depot_here', 15);
publish();
is($node->safe_psql('postgres', 'SELECT changed, packages FROM refresh_extension_repository()'), 't|2', 'packages for this server are found when there are any');
unchanged_ok(
	$node,
	'a later minor version',
	sub {
		my $error = is_error($node, 'postgres', "SELECT install_extension('depot_later')", '42704',
			qr/^no build of "depot_later" fits this server$/, 'a later minor version');
		is($error->{detail}, 'Repository "others" has 1.0 (needs PostgreSQL 15.99).', 'a later minor version: which it needs');
	});
is($node->safe_psql('postgres', "SELECT action FROM install_extension('depot_here')"), 'install', 'and what is for this server can be installed');

# ---- a repository that was named has nothing, another has ----

add_repository($node, "$work/first", name => 'first', root => "$work/first/metadata/1.root.json");
unchanged_ok(
	$node,
	'a repository that was named',
	sub {
		my $error = is_error($node, 'postgres', "SELECT install_extension('depot_later', repository => 'first')", '42704',
			qr/^extension "depot_later" is not available$/, 'a repository that was named');
		is($error->{detail}, qq{Repository "first" has no build of it for PostgreSQL 15 on $platform.}, 'it alone was asked');
		is($error->{hint}, 'The view depot.packages lists which repository has it.', 'another may have it');
	});
oracle_ok($node, 'builds for other servers', '--repository', "$work/repository");

done_testing();
