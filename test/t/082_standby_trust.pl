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
use JSON::PP ();
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $repository = "$work/repository";
my $refresh = "SELECT refresh_extension_repository('main')";
make_keys($keys, qw(root1 root2 root3 targets snapshot timestamp alice));

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
equal_ok($_, $primary, 'under the first root') foreach $primary, @standbys;

# Tests that files come to equal the rows that are replayed; the oracle needs this repository's packages.
sub equal_ok
{
	my ($node, $source, $label) = @_;
	replayed($node, $source) if $node != $source;
	my $answer = DepotTest::oracle_is_ok($node, 60, '--repository', $repository);
	return ok($answer eq '', "$label: files of " . $node->name . ' equal rows') || diag($answer . substr(log_of($node), -3000));
}

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
	equal_ok($node, $primary, $label);
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
	equal_ok($standby, $primary, $label);
	is(served_version($standby, 'depot_demo'), '1.1', "$label: the new version is there");
	is(trusted_roots($standby), $standby == $seen ? '1.root.json' : '', "$label: trust begins where it did");
	begins_ok($standby, "$label, restarted");
}

# ---- a publisher's own role ----

# Puts a package into a repository, signed by alice's key.
sub publish_of_alice
{
	my ($directory, @files) = @_;
	repo('add', $directory, @files);
	repo('publish', $directory, with('alice'), @online);
	return;
}

sub delegate_to_alice
{
	my ($directory, @names) = @_;
	repo('delegate', $directory, 'alice', '--add', "$keys/alice.pub", (map { ('--path' => "*/*/$_/*/*") } qw(pub_demo pub_alice)),
		(map { ('--provides' => $_) } @names), @online);
	return;
}

delegate_to_alice($repository, qw(pub_demo pub_alice pub_evil));
publish_of_alice($repository, make_tree_package($work, 'pub_demo', '1.0'), make_tree_package($work, 'pub_evil', '1.0', package => 'pub_alice'));
copy_repository($repository, "$work/granting");
delegate_to_alice($repository, qw(pub_demo pub_alice));
$primary->safe_psql('postgres', $refresh);
install($primary, 'pub_demo');
foreach my $standby (@standbys)
{
	my $label = $standby->name . ": a publisher's package";
	equal_ok($standby, $primary, $label);
	is(served_version($standby, 'pub_demo'), '1.0', "$label: it is there");
	like(join(' ', map { file_contents($_) } glob(depot_of($standby) . '/var/evidence/*')), qr/"role":"pub-alice"/,
		"$label: with what proves it");
	begins_ok($standby, "$label, restarted");
}

# ---- clones ----

# Their packages are proven from different documents.
foreach my $with_files (0, 1)
{
	my $name = $with_files ? 'clone_with_files' : 'clone_without_files';
	my $clone = create_standby($name, $primary, conf => $cut_off . $pins_root, depot => $with_files, start => 0);
	$clone->start;
	equal_ok($clone, $primary, "$name made after all of it");
	is(served_version($clone, 'depot_demo'), '1.1', "$name: the version of the second root");
	is(served_version($clone, 'pub_demo'), '1.0', "$name: the publisher's package");
	unlike(log_of($clone), qr/not served/, "$name: all files are proven at the start");
	$clone->stop;
}

# ---- a third root that the second has not signed ----

# An attacker has the online keys, and a root of his own, which has come to version 3.  What his server recorded
# is planted into the rows.
my @planted = qw(installed installed_build evidence payload);
{
	my $theirs = "$work/theirs";
	make_keys("$work/stranger", map { "root$_" } 1 .. 3);
	repo('init', $theirs, '--root-key', "$work/stranger/root1", map { ("--$_-key" => "$keys/$_") } qw(targets snapshot timestamp));
	foreach my $next (2, 3)
	{
		my $last = $next - 1;
		repo('rotate', $theirs, 'root', '--add', "$work/stranger/root$next.pub", '--remove', "$work/stranger/root$last.pub",
			map { ('--key' => "$work/stranger/root$_") } $last, $next);
	}
	repo('add', $theirs, make_tree_package($work, 'depot_demo', '6.6'));
	repo('publish', $theirs, @online);
	my $attacker = new_primary('attacker', repository => 0);
	add_repository($attacker, $theirs, root => "$theirs/metadata/1.root.json");
	install($attacker, 'depot_demo');
	$attacker->safe_psql('postgres', "COPY depot.$_ TO '$work/depot_demo.$_'") foreach @planted;

	# While alice had the name pub_evil.
	$attacker->safe_psql('postgres', "SELECT drop_extension_repository('main')");
	add_repository($attacker, "$work/granting", root => $first_root);
	install($attacker, 'pub_alice');
	$attacker->safe_psql('postgres', "COPY depot.$_ TO '$work/pub_alice.$_'") foreach @planted;
	$attacker->stop;
}

# Statements that change the rows as a hostile superuser would, in a transaction that a leader sees.
sub change_rows
{
	my (@statements) = @_;
	$primary->safe_psql('postgres', join("\n", 'BEGIN;', (map { "$_;" } @statements), <<'SQL'));
UPDATE depot.generation SET generation = generation + 1;
ALTER TABLE depot.generation SET (fillfactor = 90);
ALTER TABLE depot.generation RESET (fillfactor);
COMMIT
SQL
	return;
}

# What a server says is missing: reasons by package.
sub missing
{
	my ($node) = @_;
	my $text = eval { file_contents(depot_of($node) . '/var/applied.json') } // '{}';
	my $report = eval { JSON::PP->new->decode($text) } // {};
	return { map { $_->{package} => $_->{reason} // '' } @{ $report->{missing} // [] } };
}

# All standbys refuse a package for this reason, before and after a restart, and serve what they served.
sub refused_everywhere_ok
{
	my ($package, $reason, $label) = @_;
	foreach my $when ('before', 'after')
	{
		foreach my $standby (@standbys)
		{
			my $name = $standby->name;
			ok(wait_until(sub { (missing($standby)->{$package} // '') =~ $reason }), "$label: $name refuses it $when a restart")
			  || diag(JSON::PP->new->encode(missing($standby)) . substr(log_of($standby), -3000));
			is(served_version($standby, 'depot_demo'), '1.1', "$label: $name serves what it served $when a restart");
			next if $when eq 'after';
			like(log_of($standby), qr/WARNING:  [^\n]*$reason/, "$label: the log of $name says why");
			unlink depot_of($standby) . '/var/applied.json';
			$standby->restart;
		}
	}
	return;
}

# What the attacker's server recorded when it had this package, as tables new_<table>.
sub recorded
{
	my ($package) = @_;
	return map { ("CREATE TEMP TABLE new_$_ (LIKE depot.$_)", "COPY new_$_ FROM '$work/$package.$_'") } @planted;
}

$primary->safe_psql('postgres', "CREATE TABLE kept_$_ AS TABLE depot.$_") foreach @planted;
change_rows(
	recorded('depot_demo'),
	"UPDATE depot.installed SET version = '6.6' WHERE package = 'depot_demo'",
	"DELETE FROM depot.installed_build WHERE package = 'depot_demo'",
	'INSERT INTO depot.installed_build TABLE new_installed_build',
	"INSERT INTO depot.evidence SELECT * FROM new_evidence WHERE role <> 'root' OR version = 3",
	'INSERT INTO depot.payload TABLE new_payload');
refused_everywhere_ok('depot_demo', qr/root metadata is not signed by enough trusted keys/, 'a third root by new keys alone');
change_rows(map { ("DELETE FROM depot.$_", "INSERT INTO depot.$_ TABLE kept_$_") } @planted);
equal_ok($_, $primary, 'the rows are put right') foreach $primary, @standbys;

# ---- a name that a publisher was not given ----

# The newest metadata of a role in the repository: version and path.
sub newest
{
	my ($role) = @_;
	my ($version) = sort { $b <=> $a } map { m{/(\d+)\.\Q$role\E\.json$} } glob("$repository/metadata/*.$role.json");
	return ($version, "$repository/metadata/$version.$role.json");
}

my (@documents, @digests);
foreach my $role ('targets', 'pub-alice')
{
	my ($version, $path) = newest($role);
	push @digests, sha256_hex(file_contents($path));
	push @documents, "INSERT INTO depot.evidence VALUES ('main', '$role', $version, '$digests[-1]', pg_read_binary_file('$path')) ON CONFLICT DO NOTHING";
}
change_rows(
	recorded('pub_alice'),
	@documents,
	"INSERT INTO depot.installed SELECT * FROM new_installed WHERE package = 'pub_alice'",
	"UPDATE new_installed_build SET evidence = ARRAY['$digests[0]', '$digests[1]']",
	"INSERT INTO depot.installed_build SELECT * FROM new_installed_build WHERE package = 'pub_alice'",
	'INSERT INTO depot.payload TABLE new_payload ON CONFLICT DO NOTHING');
refused_everywhere_ok('pub_alice', qr/provides extension "pub_evil", which role "pub-alice" was not given/, 'a name that was not given');
is(served_version($_, 'pub_evil'), 'none', 'a name that was not given: ' . $_->name . ' has no file of it') foreach @standbys;
change_rows(map { ("DELETE FROM depot.$_", "INSERT INTO depot.$_ TABLE kept_$_") } @planted);
equal_ok($_, $primary, 'without that name') foreach $primary, @standbys;

# ---- a promotion, and a third root that the second has signed ----

my $third = unpack('H*', file_contents("$work/theirs/metadata/3.root.json"));
change_rows("INSERT INTO depot.repository_metadata VALUES ('main', 'root', 3, '\\x$third')");
replayed($_, $primary) foreach @standbys;
$primary->stop;
$pinned->append_conf('postgresql.conf', "depot.proxy = ''\n");
$pinned->reload;
$pinned->promote;
wait_for_leader($pinned);
repo('rotate', $repository, 'root', '--add', "$keys/root3.pub", '--remove', "$keys/root2.pub", with(qw(root2 root3)));
publish_demo('1.2');
like(
	join("\n", psql_notices($pinned, 'postgres', $refresh)),
	qr/WARNING:  repository "main": row of depot\.repository_metadata for role "root", version 3, counts for nothing: root metadata is not signed/,
	'promoted: a refresh follows the true third root');
is($pinned->safe_psql('postgres', "SELECT action || ' ' || version FROM update_extension('depot_demo')"), 'update 1.2',
	'promoted: a package under the third root');
equal_ok($pinned, $pinned, 'promoted');
$seen->append_conf('postgresql.conf', "primary_conninfo = '" . $pinned->connstr . " application_name=seen'\n");
$seen->reload;
equal_ok($seen, $pinned, 'under the third root');
is(served_version($seen, 'depot_demo'), '1.2', 'the other standby: the new version is there');

publish_of_alice($repository, make_tree_package($work, 'pub_demo', '1.1'));
$pinned->safe_psql('postgres', $refresh);
is($pinned->safe_psql('postgres', "SELECT action || ' ' || version FROM update_extension('pub_demo')"), 'update 1.1',
	"promoted: a publisher's update");
equal_ok($pinned, $pinned, "promoted: a publisher's update");
equal_ok($seen, $pinned, "a publisher's update");

$_->stop foreach @standbys;
stop_web($web);
done_testing();
