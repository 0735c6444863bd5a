# Hostile packages, correctly signed and published: each is refused with a reason,
# in little time, memory and space, and leaves nothing.
#
# Holds promises 1 (verified first) and 9 (system files are not ours).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotMeasure;
use DepotTest;
use IPC::Run ();
use Test::More;
use Time::HiRes qw(time);

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $repository = "$work/repository";
my $role = 'pg15-linux-amd64';
my $evil = 'pg15/linux-amd64/evil/1.0/evil-1.0.tar.zst';

use constant {
	SECONDS_LIMIT => 30,
	MEMORY_LIMIT_KB => 64 * 1024,
	WRITTEN_LIMIT_BYTES => 1024 * 1024,
};

make_repository($repository, $keys, make_tree_package($work, 'depot_demo', '1.0'));
my $node = new_depot_node('hostile');
create_depot($node);
add_repository($node, $repository, root => "$repository/metadata/1.root.json");
$node->safe_psql('postgres', "SELECT install_extension('depot_demo')");

my $install = "SELECT * FROM install_extension('evil')";
my $refresh = 'SELECT * FROM refresh_extension_repository()';

# SQLSTATE of a code, as src/common/error.h has it.
my %sqlstate = file_contents("$DepotTest::top/src/common/error.h") =~ /^\tX\(\w+, "(\w+)", "(\w{5})"\)/mg;
my %case;
foreach my $line (split /\n/, run_ok(tool('hostile'), '--list'))
{
	my ($name, $code, $words) = split /\t/, $line, -1;
	$case{$name} = { code => $code, words => $words };
}
cmp_ok(scalar keys %case, '>', 80, 'there are many hostile packages');

# ---- making and publishing ----

# Makes the package of a case; returns the custom metadata to sign it with, which need not be JSON.
sub make_hostile
{
	my ($name, @options) = @_;
	my ($custom, $errors) = ('', '');
	IPC::Run::run([ tool('hostile'), '--custom', @options, $name, "$work/evil.tar.zst" ], '>', \$custom, '2>', \$errors)
	  or die "hostile $name: $errors";
	return $custom;
}

# Publishes it as evil 1.0.  What JSON cannot carry takes the way of a mark that is replaced when it is signed.
sub publish_hostile
{
	my ($custom) = @_;
	my @splices;
	$custom =~ s/\xff/MARKFF/g and push @splices, '--splice', 'MARKFF=ff';
	$custom =~ s/\\u0000/MARKNUL/g and push @splices, '--splice', 'MARKNUL=5c7530303030';
	write_file("$work/custom.json", $custom);
	sign('target', $repository, $keys, '--path', $evil, '--custom', "$work/custom.json", @splices, "$work/evil.tar.zst");
	return;
}

sub warnings_of
{
	my ($sql) = @_;
	return grep { /^(?:psql:\S+ )?WARNING:/ } psql_notices($node, 'postgres', $sql);
}

# ---- every hostile package ----

# Refused when it is installed: published under a description that hides what is wrong.
sub refuse_package
{
	my ($name, $sqlstate, $words) = @_;
	publish_hostile(make_hostile($name, '--honest-custom') =~ s/"unpacked_bytes":\d+/"unpacked_bytes":4096/r);
	is(join("\n", warnings_of($refresh)), '', "$name: its description is in order");
	if ($name !~ /bomb/)
	{
		refused_ok($node, "package: $name", $install, sqlstate => $sqlstate, message => qr/\Q$words\E/);
		return;
	}

	# An agent may be gone before it was looked at.
	my ($error, $seconds, %max);
	foreach (1 .. 10)
	{
		my $measure = start_measuring($node);
		my $begin = time;
		$error = psql_error($node, 'postgres', $install);
		$seconds = time - $begin;
		%max = stop_measuring($measure);
		last if $max{samples} >= 3;
	}
	is($error->{sqlstate}, $sqlstate, "package: $name: $sqlstate");
	like($error->{message}, qr/\Q$words\E/, "$name: says why");
	cmp_ok($seconds, '<', SECONDS_LIMIT, "$name: refused in time");
	cmp_ok($max{samples}, '>', 0, "$name: its memory was looked at");
	cmp_ok($max{memory_kb}, '<', MEMORY_LIMIT_KB, "$name: memory of agents");
	cmp_ok($max{staged_bytes}, '<', WRITTEN_LIMIT_BYTES, "$name: bytes written beside the download");
	note(sprintf('%s: %.2f s, %d kB of memory, %d bytes beside the download', $name, $seconds, $max{memory_kb}, $max{staged_bytes}));
	refused_ok($node, "package: $name", $install, sqlstate => $sqlstate, message => qr/\Q$words\E/);
	return;
}

# Its description is hostile, too: it is left out when the repository is refreshed, and nothing of it gets into a row.
sub ignore_description
{
	my ($name) = @_;
	publish_hostile(make_hostile($name));
	my @warnings = warnings_of($refresh);
	is(scalar @warnings, 1, "description: $name: one warning");
	like($warnings[0] // '', qr/repository "main": target "\Q$evil\E" of role "\Q$role\E" is ignored: /, "$name: says which target is ignored");
	is($node->safe_psql('postgres', 'SELECT DISTINCT package FROM depot.available'), 'depot_demo', "$name: no row of it");
	refused_ok($node, "description: $name", $install, sqlstate => '42704', message => 'extension "evil" is not available');
	return;
}

# A description that is not even JSON makes its whole role invalid; what was accepted before stays.
sub refuse_role
{
	my ($name) = @_;
	copy_repository($repository, "$work/before");
	publish_hostile(make_hostile($name));
	refused_ok($node, "description: $name", "SELECT * FROM refresh_extension_repository('main')", sqlstate => 'PD001',
		message => qr/^repository "main": metadata of role "\Q$role\E"(?:: | is )/);
	is(scalar warnings_of("SELECT * FROM install_extension('depot_demo')"), 0, "$name: the rest can be used");
	copy_repository("$work/before", $repository);
	sign('role', $repository, $keys, $role) foreach 1 .. 2;
	is(scalar(grep { !/ is ignored: / } warnings_of($refresh)), 0, "$name: the repository in order is accepted");
	return;
}

foreach my $name (sort keys %case)
{
	my ($code, $words) = @{ $case{$name} }{qw(code words)};
	next if $name eq 'valid';
	if ($name =~ /^other-/)
	{
		refuse_package($name, $sqlstate{manifest}, "the package's manifest does not say what the signed metadata says of it");
		next;
	}
	if ($name eq 'zeros-bomb-declared')
	{
		# Declared honestly it is not even fetched.
		publish_hostile(make_hostile($name));
		is(join("\n", warnings_of($refresh)), '', "$name: its description is in order");
		refused_ok($node, "package: $name, as its description says", $install, sqlstate => '54000',
			message => qq{package "$evil" is larger than "depot.max_unpacked_size"}, detail => qr/^It has 107\d+ bytes unpacked\.$/,
			hint => 'Raise the setting if the package is meant to be that large.');
	}
	refuse_package($name, $sqlstate{$code}, $words);
}
foreach my $name (sort keys %case)
{
	if ($name =~ /not-utf8$|-zero$/)
	{
		refuse_role($name);
	}
	elsif ($name =~ /^(?:name|extension|version)-|^unknown-format$/)
	{
		ignore_description($name);
	}
}

# ---- what the server has already ----

my $extensions = pg_config_value('sharedir') . '/extension';
my $libraries = pg_config_value('pkglibdir');

# Publishes a package with an extension and further files: text by path, or the path of a file to copy.
sub publish_tree
{
	my ($name, %files) = @_;
	my $tree = "$work/tree-of-$name";
	my %copies = %{ delete $files{copies} // {} };
	my $extension = delete $files{extension} // $name;
	$files{"$extensions/$extension.control"} = "default_version = '1.0'\nrelocatable = true\n";
	$files{"$extensions/$extension--1.0.sql"} = "SELECT 1;\n";
	run_ok('mkdir', '-p', "$work/packages", map { $tree . s{/[^/]*$}{}r } keys %files, keys %copies);
	write_file("$tree$_", $files{$_}) foreach keys %files;
	run_ok('cp', $copies{$_}, "$tree$_") foreach keys %copies;
	run_ok(DepotTest::depot_program(), 'pack', '--from-tree', $tree, '--package', $name, '--version', '1.0',
		'--summary', 'made for a test', '--license', 'PostgreSQL', '-q', '-o', "$work/packages");
	publish($repository, $keys, "$work/packages/$name-1.0.tar.zst");
	return;
}

my $system_data = pg_config_value('sharedir') . '/postgres.bki';
my $common = pg_config_value('sharedir') . '/depot_common/words';
publish_tree('sys_extension', extension => 'hstore');
publish_tree('sys_library', copies => { "$libraries/hstore.so" => "$libraries/hstore.so" });
publish_tree('sys_data', $system_data => "i\n");
publish_tree('first_owner', $common => "one\n");
publish_tree('second_owner', $common => "two\n");
publish_tree('thief', extension => 'depot_demo');
$node->safe_psql('postgres', $refresh);

my $provided = 'The server already provides this; use it, or remove it from the installation.';
foreach my $conflict ([ 'sys_extension', "$extensions/hstore--1.0.sql|$extensions/hstore.control" ], [ 'sys_library', "$libraries/hstore.so" ], [ 'sys_data', $system_data ])
{
	my ($name, $path) = @$conflict;
	refused_ok($node, "system: $name", "SELECT * FROM install_extension('$name')", sqlstate => '42P07',
		message => qq{package "$name" conflicts with the server installation}, detail => qr/^The file "(?:$path)" exists\.$/,
		hint => $provided);
}
my ($notice) = psql_notices($node, 'postgres', "SELECT * FROM install_extension('hstore')");
like($notice, qr/extension "hstore" \S+ is provided by the server installation; nothing to install/, 'what the server provides needs no package');
$node->safe_psql('postgres', "SELECT install_extension('first_owner')");
foreach my $conflict ([ 'second_owner', 'first_owner', $common ], [ 'thief', 'depot_demo', "$extensions/depot_demo--1.0.sql" ])
{
	my ($name, $owner, $path) = @$conflict;
	refused_ok($node, "other package: $name", "SELECT * FROM install_extension('$name')", sqlstate => '42P07',
		message => qq{package "$name" conflicts with package "$owner"}, detail => 'Both have the file "' . substr($path, 1) . '".',
		hint => 'Uninstall one of them first.');
}
$node->safe_psql('postgres', "SELECT uninstall_extension('first_owner')");
is($node->safe_psql('postgres', "SELECT action FROM install_extension('second_owner')"), 'install', 'once the first is gone, the second may come');

publish_hostile(make_hostile('valid'));
is(join("\n", warnings_of($refresh)), '', 'the package in order: no warning');
is($node->safe_psql('postgres', 'SELECT action FROM install_extension($$evil$$)'), 'install', 'the package in order is installed');
is($node->safe_psql('postgres', 'CREATE EXTENSION evil; SELECT evil_answer(); DROP EXTENSION evil'), '42', 'and works');
$node->safe_psql('postgres', 'SELECT uninstall_extension($$evil$$)');

# ---- metadata for which an agent has not the memory ----

sub set_agent_memory
{
	my ($value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET depot.agent_memory = '$value'");
	$node->reload;
	wait_until(sub { $node->safe_psql('postgres', 'SHOW depot.agent_memory') eq $value }) or die 'the setting does not arrive';
	# What the leader answers now it may still answer by the old value, but nothing after that.
	$node->safe_psql('postgres', q{SELECT install_extension('plpgsql', dry_run => true)});
	return;
}

write_file("$work/custom.json", '{"pad": "' . 'x' x 10_000_000 . '"}');
sign('target', $repository, $keys, '--path', $evil, '--custom', "$work/custom.json", "$work/evil.tar.zst");
set_agent_memory('64MB');
refused_ok($node, 'metadata: larger than an agent has memory for', "SELECT * FROM refresh_extension_repository('main')", sqlstate => '53200',
	message => qr/out of memory$/, detail => '', hint => 'An agent may use 64 MB; what it was given needs more. Raise "depot.agent_memory".');
set_agent_memory('1GB');
is(scalar(grep { /target "\Q$evil\E" .* is ignored: its description is too large/ } warnings_of($refresh)), 1, 'with more it is read, and refused for its size');

oracle_ok($node, 'after all of it', '--repository', $repository);
done_testing();
