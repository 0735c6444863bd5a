# The oracle must object to every single thing that is not as the rows say.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $repository = depot_repository();
my $node = new_depot_node('oracle');
create_depot($node);
add_repository($node, $repository->{directory});
$node->safe_psql('postgres', "SELECT install_extension('$_')") foreach qw(hll semver depot_demo);
$node->safe_psql('postgres', "SELECT uninstall_extension('semver')");
oracle_ok($node, 'three installed, one of them removed');

my $depot = $node->data_dir . '/pg_depot';
my $library = pg_config_value('pkglibdir') . '/hll.so';
my $control = pg_config_value('sharedir') . '/extension/hll.control';
my $share = pg_config_value('sharedir');

# Damages, expects the objection, repairs, expects none.
sub objects_ok
{
	my ($label, $pattern, $damage, $repair) = @_;
	$damage->();
	my $answer = DepotTest::oracle_says($node, '--quiet-server');
	like($answer, $pattern, "objects to $label");
	$repair->();
	is(DepotTest::oracle_says($node, '--quiet-server'), '', "content after the repair of $label");
	return;
}

sub shell
{
	my ($command) = @_;
	return sub { run_ok('sh', '-ec', $command) };
}

sub sql
{
	my ($statement) = @_;
	return sub { $node->safe_psql('postgres', $statement) };
}

objects_ok('a changed byte', qr/hll\.so: other content/,
	shell("cp -p $depot$library $depot/../kept && printf x | dd of=$depot$library bs=1 seek=999 conv=notrunc status=none"),
	shell("mv $depot/../kept $depot$library"));
objects_ok('a truncated file', qr/hll\.control: other content/,
	shell("cp -p $depot$control $depot/../kept && : >$depot$control"), shell("mv $depot/../kept $depot$control"));
objects_ok('another mode', qr/hll\.control: mode 0600/, shell("chmod 600 $depot$control"), shell("chmod 644 $depot$control"));
objects_ok('a wider directory', qr/extension: directory of mode 0755/,
	shell("chmod 755 $depot$share/extension"), shell("chmod 700 $depot$share/extension"));
objects_ok('a missing file', qr/hll\.so: missing file of package hll/,
	shell("mv $depot$library $depot/../kept"), shell("mv $depot/../kept $depot$library"));
objects_ok('a missing control file', qr/hll\.control: missing/,
	shell("mv $depot$control $depot/../kept"), shell("mv $depot/../kept $depot$control"));
objects_ok('a file too many', qr/stray\.sql: no package holds it/,
	shell("echo >$depot$share/extension/stray.sql"), shell("rm $depot$share/extension/stray.sql"));
objects_ok('a file beside the tree', qr/^stray: no package holds it/m, shell("echo >$depot/stray"), shell("rm $depot/stray"));
objects_ok('a symbolic link', qr/link\.sql: symbolic link/,
	shell("ln -s /etc/passwd $depot$share/extension/link.sql"), shell("rm $depot$share/extension/link.sql"));
objects_ok('a symbolic link in var', qr{var/link: symbolic link},
	shell("ln -s /etc/passwd $depot/var/link"), shell("rm $depot/var/link"));
objects_ok('a file replaced by a link', qr/hll\.so: (not a regular file|symbolic link)/,
	shell("mv $depot$library $depot/../kept && ln -s ../kept $depot$library"),
	shell("mv $depot/../kept $depot$library"));
objects_ok('a hard link', qr/hll\.so: 2 links/, shell("ln $depot$library $depot/../kept"), shell("rm $depot/../kept"));
objects_ok('a fifo', qr/fifo: neither file nor directory/, shell("mkfifo $depot/fifo"), shell("rm $depot/fifo"));
objects_ok('a file of a removed package', qr/semver\.control: no package holds it/,
	shell("cp -p $depot$control $depot$share/extension/semver.control"), shell("rm $depot$share/extension/semver.control"));
objects_ok('something left in staging', qr{var/pgsql_tmp_staging/left: left in staging},
	shell("mkdir -m 700 $depot/var/pgsql_tmp_staging/left"), shell("rmdir $depot/var/pgsql_tmp_staging/left"));
objects_ok('a missing system directory', qr{extension: missing directory},
	shell("mv $depot$share/extension $depot/../kept"), shell("mv $depot/../kept $depot$share/extension"));
objects_ok('a damaged state file', qr/state\.json is not JSON/,
	shell("cp -p $depot/var/state.json $depot/../kept && echo x >$depot/var/state.json"),
	shell("mv $depot/../kept $depot/var/state.json"));

my $digest = $node->safe_psql('postgres', "SELECT digest FROM depot.installed_build WHERE package = 'hll'");
objects_ok('a row of another digest', qr/package hll: no repository holds an archive/,
	sql("UPDATE depot.installed_build SET digest = repeat('0', 64) WHERE package = 'hll'"),
	sql("UPDATE depot.installed_build SET digest = '$digest' WHERE package = 'hll'"));
objects_ok('a row of another package\'s digest', qr/hll/,
	sql("UPDATE depot.installed_build SET digest = '" . sha256_of("$repository->{packages}/depot_demo-2.0.tar.zst")
		. "' WHERE package = 'hll'"),
	sql("UPDATE depot.installed_build SET digest = '$digest' WHERE package = 'hll'"));
objects_ok('a row of another version', qr/package hll: row says version 9/,
	sql("UPDATE depot.installed SET version = '9' WHERE package = 'hll'"),
	sql("UPDATE depot.installed SET version = '2.17' WHERE package = 'hll'"));
objects_ok('a row of another manifest', qr/package hll: row has another manifest/,
	sql("BEGIN; CREATE TABLE kept AS SELECT manifest_sha256 FROM depot.installed_build WHERE package = 'hll';"
		. "UPDATE depot.installed_build SET manifest_sha256 = repeat('0', 64) WHERE package = 'hll'; COMMIT"),
	sql("BEGIN; UPDATE depot.installed_build SET manifest_sha256 = (TABLE kept) WHERE package = 'hll';"
		. "DROP TABLE kept; COMMIT"));
objects_ok('a row without a build', qr/package hll: installed, without a build/,
	sql("UPDATE depot.installed_build SET platform = 'other' WHERE package = 'hll'"),
	sql("UPDATE depot.installed_build SET platform = 'linux-amd64' WHERE package = 'hll'"));
objects_ok('a row that says removed', qr/no package holds it/,
	sql("UPDATE depot.installed SET state = 'removed' WHERE package = 'hll'"),
	sql("UPDATE depot.installed SET state = 'installed' WHERE package = 'hll'"));
objects_ok('a row that says installed', qr/semver\.control: missing/,
	sql("UPDATE depot.installed SET state = 'installed' WHERE package = 'semver'"),
	sql("UPDATE depot.installed SET state = 'removed' WHERE package = 'semver'"));
objects_ok('a row without history', qr/package hll: the last line of its history/,
	sql("UPDATE depot.history SET package = 'lost' WHERE package = 'hll'"),
	sql("UPDATE depot.history SET package = 'hll' WHERE package = 'lost'"));
objects_ok('no row at all', qr/state\.json: package hll is named by no row/,
	sql("BEGIN; CREATE TABLE kept AS SELECT * FROM depot.installed WHERE package = 'hll';"
		. "DELETE FROM depot.installed WHERE package = 'hll'; COMMIT"),
	sql("BEGIN; INSERT INTO depot.installed TABLE kept; DROP TABLE kept; COMMIT"));

objects_ok('a changed byte of a payload', qr/depot\.payload: what stands under $digest has digest/,
	sql("UPDATE depot.payload SET data = set_byte(data, 9, get_byte(data, 9) # 1) WHERE encode(digest, 'hex') = '$digest' AND chunk = 1"),
	sql("UPDATE depot.payload SET data = set_byte(data, 9, get_byte(data, 9) # 1) WHERE encode(digest, 'hex') = '$digest' AND chunk = 1"));
objects_ok('a missing piece of a payload', qr/depot\.payload: $digest has 3 pieces, numbered to 3/,
	sql("BEGIN; CREATE TABLE kept AS SELECT * FROM depot.payload WHERE encode(digest, 'hex') = '$digest' AND chunk = 1;"
		. "DELETE FROM depot.payload WHERE encode(digest, 'hex') = '$digest' AND chunk = 1; COMMIT"),
	sql('BEGIN; INSERT INTO depot.payload TABLE kept; DROP TABLE kept; COMMIT'));
$node->safe_psql('postgres', q{INSERT INTO depot.payload VALUES ('\xff', 0, 'left')});
is(DepotTest::oracle_says($node, '--quiet-server'), '', 'a payload that nothing names may be on its way');
like(DepotTest::oracle_says($node, '--no-payload-left'), qr/nothing that is installed has digest ff$/m, 'unless it must not');
$node->safe_psql('postgres', q{DELETE FROM depot.payload WHERE digest = '\xff'});

# What no row names is in order only when the caller says so, and only as state.json has it.
$node->safe_psql('postgres', "DELETE FROM depot.installed WHERE package = 'hll'");
is(DepotTest::oracle_says($node, '--allow-unclaimed'), '', 'unclaimed files are in order when allowed');
run_ok('chmod', '600', "$depot$control");
like(DepotTest::oracle_says($node, '--allow-unclaimed'), qr/hll\.control: mode/, 'objects to a changed unclaimed file');
run_ok('chmod', '644', "$depot$control");

# The fingerprint sees what the comparison sees.
my $before = oracle_dump($node);
is(oracle_dump($node), $before, 'the fingerprint of an idle server stays');
run_ok('chmod', '600', "$depot$control");
isnt(oracle_dump($node), $before, 'the fingerprint shows a mode');
run_ok('chmod', '644', "$depot$control");
$node->safe_psql('postgres', 'UPDATE depot.generation SET generation = generation + 1');
isnt(oracle_dump($node), $before, 'the fingerprint shows a row');

# It says so when it cannot judge.
my $output = '';
IPC::Run::run([ "$FindBin::RealBin/../oracle", '--connection', 'host=/nonexistent', '--repository', '/tmp' ],
	'>', \$output, '2>', \$output);
is($? >> 8, 2, 'exit status 2 without a server');

$node->stop;
done_testing();

sub sha256_of
{
	my ($path) = @_;
	return (split / /, run_ok('sha256sum', $path))[0];
}
