# A repository that another tool signs, with ECDSA and RSA keys: refused, unless a superuser takes all types.
#
# Holds promises 1 (verified first) and 8 (trust is the superuser's).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use Digest::SHA qw(sha256_hex);
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $ours = "$work/ours";
my $theirs = "$work/theirs";

make_repository($ours, "$work/keys", make_tree_package($work, 'depot_demo', '1.0'));
copy_repository($ours, $theirs);
run_ok(DepotAttack::tool('resign'), $theirs);
my $our_root = file_contents("$ours/metadata/1.root.json");
my $root = file_contents("$theirs/metadata/1.root.json");
unlike($root, qr/ed25519/, 'no key of the other repository is ed25519');

my $node = new_depot_node('key_types');
create_depot($node);

sub add_sql
{
	my ($more) = @_;
	return "SELECT repository, packages FROM add_extension_repository('main', 'file://$theirs', trusted_root => \$root\$$root\$root\$$more)";
}

my $detail = 'Signatures by ECDSA or RSA keys that are not counted: 1. From this repository only ed25519 keys are accepted.';
my $hint = 'If its publisher signs with such keys, add it with all_key_types => true (and drop it first if it is there).';
my $few = 'root metadata is not signed by enough trusted keys: have 0 of 1 valid signatures';

# ---- refused ----

refused_ok($node, 'root with ECDSA keys', add_sql(''), sqlstate => 'PD006',
	message => qq(repository "main": the given root is not valid: $few), detail => $detail, hint => $hint);
refused_ok($node, 'said in words', add_sql(', all_key_types => false'), sqlstate => 'PD006', hint => $hint);
refused_ok($node, 'neither yes nor no', add_sql(', all_key_types => NULL'), sqlstate => '22004',
	message => 'all_key_types must not be null');

# ---- taken ----

is($node->safe_psql('postgres', add_sql(', all_key_types => true')), 'main|1', 'added with all types of keys');
is($node->safe_psql('postgres', 'SELECT all_key_types FROM depot.repositories'), 't', 'which the view says');
refused_ok($node, 'the same name with the other choice', add_sql(''), sqlstate => '42710',
	message => 'repository "main" already exists with another URL, trust anchor, priority, mirrors or key types');
like($node->safe_psql('postgres', "SELECT * FROM refresh_extension_repository('main')"), qr/^main\|f\|1\|/, 'refreshed');
is($node->safe_psql('postgres', "SELECT package, action FROM install_extension('depot_demo')"), 'depot_demo|install',
	'a package of it is installed');
$node->safe_psql('postgres', 'CREATE EXTENSION depot_demo; DROP EXTENSION depot_demo');
oracle_ok($node, 'after the installation');

# The same choice decides when trust begins anew.
$node->stop;
run_ok('rm', '-rf', $node->data_dir . '/pg_depot');
$node->start;
wait_for_leader($node);
is(oracle_is_ok($node, 120, '--quiet-server'), '', 'after the loss of the depot directory the package is fetched again');

# ---- a copy of the data directory ----

# Its files are none that this server has verified: they are proven at the start, before anybody brings them back.
my $root_sha256 = sha256_hex($root);
foreach my $pin ('', "main = $root_sha256")
{
	my $before = -s $node->logfile;
	$node->stop;
	run_ok('cp', '-a', $node->data_dir, $node->data_dir . '.copy');
	run_ok('rm', '-rf', $node->data_dir);
	rename $node->data_dir . '.copy', $node->data_dir or die "rename: $!";
	$node->append_conf('postgresql.conf', "depot.hold = on\ndepot.trusted_roots = '$pin'\n");
	$node->start;
	is($node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION depot_demo; SELECT depot_demo_version(); ROLLBACK'), '1.0',
		"a copy, with pinned roots '$pin': its files are proven at the start");
	unlike(substr(file_contents($node->logfile), $before), qr/not served/, "a copy, with pinned roots '$pin': none is set aside");
}
$node->append_conf('postgresql.conf', "depot.hold = off\ndepot.trusted_roots = ''\n");
$node->restart;
wait_for_leader($node);
oracle_ok($node, 'a copy', '--repository', $theirs);

# ---- the choice taken back by hand ----

$node->safe_psql('postgres', 'UPDATE depot.repository SET all_key_types = false');
refused_ok($node, 'refreshed as one of ed25519', "SELECT * FROM refresh_extension_repository('main')", sqlstate => 'PD006',
	message => qr/\Q$few\E/, detail => $detail, hint => $hint);

# ---- an ed25519 repository does not mind ----

$node->safe_psql('postgres', "SELECT drop_extension_repository('main')");
is( $node->safe_psql('postgres',
		"SELECT packages FROM add_extension_repository('ours', 'file://$ours', trusted_root => \$root\$$our_root\$root\$, all_key_types => true)"),
	1, 'a repository of ours with all types of keys');
# ---- only root is signed with ed25519 ----

# A package that nothing else proves.
my $mixed = "$work/mixed";
make_repository($mixed, "$work/mixed_keys", make_tree_package($work, 'depot_other', '1.0'));
run_ok(DepotAttack::tool('resign'), $mixed, "$work/mixed_keys/root");
my $mixed_root = file_contents("$mixed/metadata/1.root.json");
my $add_mixed = "SELECT repository, packages FROM add_extension_repository('mixed', 'file://$mixed', trusted_root => \$root\$$mixed_root\$root\$";

refused_ok($node, 'a good root, and ECDSA keys of timestamp', "$add_mixed)", sqlstate => 'PD002',
	message => 'repository "mixed": timestamp metadata is not signed by enough trusted keys: have 0 of 1 valid signatures',
	detail => $detail, hint => $hint);
is($node->safe_psql('postgres', "$add_mixed, all_key_types => true)"), 'mixed|1', 'taken with all types of keys');
is($node->safe_psql('postgres', "SELECT package, action FROM install_extension('depot_other')"), 'depot_other|install',
	'and installed from');

# No row can be read when a copy's files are looked at, and the pinned root does not ask for other keys than its own.
$node->stop;
run_ok('cp', '-a', $node->data_dir, $node->data_dir . '.copy');
run_ok('rm', '-rf', $node->data_dir);
rename $node->data_dir . '.copy', $node->data_dir or die "rename: $!";
$node->append_conf('postgresql.conf', 'depot.hold = on');
my $before = -s $node->logfile;
$node->start;
like(substr(file_contents($node->logfile), $before),
	qr/WARNING:  files of package "depot_other" are not those that were signed, and are not served\n.*DETAIL:  Of 3 the first is "[^"]*": repository "mixed": targets metadata is not signed by enough trusted keys/,
	'a copy: its files are set aside');
is_error($node, 'postgres', 'CREATE EXTENSION depot_other', '0A000', qr/^extension "depot_other" is not available/,
	'a copy: nothing of it is served');
$node->append_conf('postgresql.conf', 'depot.hold = off');
$node->reload;
is(oracle_is_ok($node, 120, '--quiet-server', '--repository', $mixed), '', 'a copy: the leader brings the files back');
is($node->safe_psql('postgres', 'CREATE EXTENSION depot_other; SELECT depot_other_version()'), '1.0', 'a copy: they work');
$before = -s $node->logfile;
$node->restart;
wait_for_leader($node);
is($node->safe_psql('postgres', 'SELECT depot_other_version()'), '1.0', 'a copy: at the next start they are served at once');
unlike(substr(file_contents($node->logfile), $before), qr/not served/, 'a copy: none is set aside any more');

$node->stop;
done_testing();
