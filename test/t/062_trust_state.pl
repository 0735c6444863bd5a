# What a server has accepted of a repository it does not forget: not as a promoted
# standby, not as a new clone, not when its files are gone, not when its tables are
# rolled back.  What somebody wrote into the rows counts only as far as it is signed.
#
# Holds promises 1 (verified first) and 8 (trust is the superuser's).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use File::Path qw(remove_tree);
use Test::More;
use Time::HiRes qw(sleep time);

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $live = "$work/live";

# old offers depot_demo 1.0; new, the same repository later, 1.1 as well; other is somebody else's.
make_repository("$work/old", $keys, make_tree_package($work, 'depot_demo', '1.0'));
copy_repository("$work/old", "$work/new");
publish("$work/new", $keys, make_tree_package($work, 'depot_demo', '1.1'));
make_repository("$work/other", "$work/other-keys", make_tree_package($work, 'depot_demo', '9.0'));
my $root = "$work/old/metadata/1.root.json";
my ($role) = map { m{/\d+\.(pg\d+-[^/]*)\.json$} } glob("$work/old/metadata/*.json");
my $root_sha256 = sha256_of($root);
my $other_root = "$work/other/metadata/1.root.json";
my $other_sha256 = sha256_of($other_root);

my $refresh = "SELECT * FROM refresh_extension_repository('main')";
my $install = "SELECT * FROM install_extension('depot_demo')";
my $streaming = "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on\n";

my $node = new_depot_node('primary', conf => $streaming);
create_depot($node);
serve($live, "$work/old");
add_repository($node, $live, root => $root);

sub sha256_of
{
	my ($file) = @_;
	chomp(my $digest = run_ok('sh', '-c', 'sha256sum <"$1" | cut -c1-64', 'sh', $file));
	return $digest;
}

sub metadata_of
{
	my ($server) = @_;
	return $server->data_dir . '/pg_depot/var/metadata/main';
}

# Each row as "role version", with what tells whether it was written again.
sub rows_of
{
	my ($server) = @_;
	return map { my ($name, $stamp) = split /\|/; ($name => $stamp) } split /\n/, $server->safe_psql('postgres',
		"SELECT role || ' ' || version, xmin FROM depot.repository_metadata WHERE repository = 'main'");
}

# Tests that the rows hold what the files hold, byte for byte.
sub rows_equal_files_ok
{
	my ($server, $label) = @_;
	my $metadata = metadata_of($server);
	my %expected = map { ("root_history/$_" => 1) } map { s{.*/}{}r } glob("$metadata/root_history/*.root.json");
	$expected{$_} = 1 foreach map { s{.*/}{}r } grep { !/\/root\.json$/ } glob("$metadata/*.json");
	my @wrong;
	my $rows = $server->safe_psql('postgres',
		"SELECT role, version, encode(content, 'hex') FROM depot.repository_metadata WHERE repository = 'main'");
	foreach my $row (split /\n/, $rows)
	{
		my ($name, $version, $hex) = split /\|/, $row;
		my $file = $name eq 'root' ? "root_history/$version.root.json" : "$name.json";
		push @wrong, "$name $version is no file" if !delete $expected{$file};
		push @wrong, "$name $version has other bytes" if -e "$metadata/$file" && pack('H*', $hex) ne file_contents("$metadata/$file");
	}
	is(join(', ', @wrong, map { "$_ is no row" } sort keys %expected), '', "$label: the rows hold what the files hold");
	return;
}

# Tests that the old repository is refused, and names what was seen before.
sub old_is_refused_ok
{
	my ($server, $label) = @_;
	serve($live, "$work/old");
	is_error($server, 'postgres', $refresh, 'PD004',
		qr/^repository "main": repository went back: it serves timestamp metadata version \d+, but version \d+ was seen before$/,
		"$label: what is older than what was accepted");
	serve($live, "$work/new");
	return;
}

sub refresh_ok
{
	my ($server, $label) = @_;
	my $result = psql_error($server, 'postgres', $refresh);
	is($result->{status}, 0, $label) or diag($result->{stderr});
	return $result;
}

# Puts another data directory in the place of a server's, while it is stopped.
sub copy_data
{
	my ($from, $to) = @_;
	remove_tree($to);
	run_ok('cp', '-a', $from, $to);
	return;
}

# ---- what is recorded ----

my %first = rows_of($node);
is(join(' ', map { s/ .*//r } sort keys %first), "$role root snapshot targets timestamp", 'every role has a row');
rows_equal_files_ok($node, 'added');
refresh_ok($node, 'a refresh that finds nothing new');
is_deeply({ rows_of($node) }, \%first, 'writes no row again');

$node->backup('old');
my $old_rows = "$work/old_rows";
$node->safe_psql('postgres', "COPY depot.repository_metadata TO '$old_rows'");
$node->stop;
copy_data($node->data_dir, "$work/old_data");
$node->start;
wait_for_leader($node);

# ---- a promoted standby, whose own files are from before ----

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'old', has_streaming => 1);
$standby->start;
serve($live, "$work/new");
refresh_ok($node, 'the primary accepts what is newer');
my %second = rows_of($node);
rows_equal_files_ok($node, 'refreshed');
is($second{'root 1'}, $first{'root 1'}, 'what has not changed is not written again');
$node->wait_for_catchup($standby);
$standby->promote;
wait_for_leader($standby);
like(psql_error($standby, 'postgres', $install)->{stdout}, qr/depot_demo\|1\.1\|install/,
	'promoted standby: installs what the primary saw last');
rows_equal_files_ok($standby, 'promoted standby');
old_is_refused_ok($standby, 'promoted standby');
is(join("\n", grep { /counts for nothing/ } split /\n/, file_contents($standby->logfile)), '',
	'promoted standby: all rows count');
refresh_ok($standby, 'promoted standby: goes on');
$standby->stop;

# ---- new clones ----

$node->backup('new');
foreach my $is_without_files (0, 1)
{
	my $label = $is_without_files ? 'clone without the depot directory' : 'clone';
	my $clone = PostgreSQL::Test::Cluster->new("clone$is_without_files");
	$clone->init_from_backup($node, 'new');
	remove_tree($clone->data_dir . '/pg_depot') if $is_without_files;
	$clone->start;
	wait_for_leader($clone);
	old_is_refused_ok($clone, $label);
	refresh_ok($clone, "$label: goes on");
	rows_equal_files_ok($clone, $label);
	$clone->stop;
}

# ---- files that are gone ----

$node->stop;
remove_tree($node->data_dir . '/pg_depot');
$node->start;
wait_for_leader($node);
old_is_refused_ok($node, 'depot directory deleted');
refresh_ok($node, 'depot directory deleted: goes on');
is_deeply({ rows_of($node) }, \%second, 'depot directory deleted: no row is written again');

remove_tree(metadata_of($node));
old_is_refused_ok($node, 'metadata deleted under the running server');
remove_tree(metadata_of($node));
like(psql_error($node, 'postgres', $install)->{stdout}, qr/depot_demo\|1\.1\|install/,
	'metadata deleted under the running server: installs');
rows_equal_files_ok($node, 'metadata deleted');

# ---- a table rolled back, and one emptied ----

foreach my $case ([ 'table rolled back', "TRUNCATE depot.repository_metadata; COPY depot.repository_metadata FROM '$old_rows'" ],
	[ 'table emptied', 'TRUNCATE depot.repository_metadata' ])
{
	my ($label, $sql) = @$case;
	$node->safe_psql('postgres', $sql);
	old_is_refused_ok($node, $label);
	my $result = refresh_ok($node, "$label: goes on");
	is($result->{stderr}, '', "$label: nobody is warned");
	rows_equal_files_ok($node, $label);
}

# ---- rows that somebody wrote ----

my $hex_of_other_root = unpack('H*', file_contents($other_root) =~ s/"version":1\b/"version":2/r);
my @written = (
	[ 'bytes changed', 'timestamp',
		"UPDATE depot.repository_metadata SET content = convert_to(replace(convert_from(content, 'UTF8'), '\"expires\":\"2', '\"expires\":\"3'), 'UTF8')"
		  . " WHERE role = 'timestamp'" ],
	[ 'version raised in row and bytes', 'timestamp',
		"INSERT INTO depot.repository_metadata SELECT repository, role, 999, convert_to(replace(convert_from(content, 'UTF8'),"
		  . " '\"version\":' || version || '}', '\"version\":999}'), 'UTF8') FROM depot.repository_metadata WHERE role = 'timestamp'" ],
	[ 'version raised in the row alone', 'snapshot',
		"UPDATE depot.repository_metadata SET version = 999 WHERE role = 'snapshot'" ],
	[ 'foreign root', 'root',
		"INSERT INTO depot.repository_metadata VALUES ('main', 'root', 2, '\\x$hex_of_other_root')" ],
	[ 'nothing at all', $role, "UPDATE depot.repository_metadata SET content = '' WHERE role = '$role'" ],
	[ 'name of no role', '../root', "INSERT INTO depot.repository_metadata VALUES ('main', '../root', 1, '{}')" ],
	[ 'larger than metadata may be', 'timestamp',
		"INSERT INTO depot.repository_metadata VALUES ('main', 'timestamp', 999, convert_to(repeat(' ', 20000), 'UTF8'))" ],
);
foreach my $is_without_files (0, 1)
{
	foreach my $case (@written)
	{
		my ($what, $named, $sql) = @$case;
		my $label = "row written: $what" . ($is_without_files ? ', and no files' : '');
		remove_tree(metadata_of($node)) if $is_without_files;
		$node->safe_psql('postgres', $sql);
		my $result = refresh_ok($node, "$label: goes on");
		my @warnings = grep { /WARNING:/ } split /\n/, $result->{stderr};
		is(scalar @warnings, 1, "$label: one warning") or diag($result->{stderr});
		like($warnings[0] // '',
			qr/repository "main": row of depot\.repository_metadata for role "\Q$named\E", version \d+, counts for nothing: \S/,
			"$label: names the role");
		rows_equal_files_ok($node, $label);
		is(psql_error($node, 'postgres', $refresh)->{stderr}, '', "$label: the next refresh has nothing to say");
	}
}
# What stands beside a forged row counts all the same.
$node->safe_psql('postgres', $written[1][2]);
remove_tree(metadata_of($node));
old_is_refused_ok($node, 'beside a forged row');
refresh_ok($node, 'beside a forged row: goes on');

# ---- a server restored whole knows no more than it did ----

$node->stop;
copy_data($node->data_dir, "$work/new_data");
copy_data("$work/old_data", $node->data_dir);
$node->start;
wait_for_leader($node);
serve($live, "$work/old");
refresh_ok($node, 'restored whole: what it knew is accepted while it is valid');
serve($live, "$work/new");
copy_repository("$work/new", "$work/brief");
sign('role', "$work/brief", $keys, 'timestamp', '--expires-in', '20');
my $expired_at = time + 21;
serve($live, "$work/brief");
refresh_ok($node, 'a timestamp that is valid for twenty seconds');
$node->stop;
copy_data($node->data_dir, "$work/brief_data");
$node->start;
wait_for_leader($node);
$node->stop;
copy_data("$work/brief_data", $node->data_dir);
wait_until(sub { time > $expired_at });
$node->start;
wait_for_leader($node);
is_error($node, 'postgres', $refresh, 'PD003', qr/^repository "main": timestamp metadata of the repository expired on /,
	'restored whole: beyond the lifetime of the timestamp');
is_error($node, 'postgres', "SELECT * FROM install_extension('depot_demo', '1.1')", 'PD003', qr/expired/,
	'restored whole: nothing is installed by it');
$node->stop;
copy_data("$work/new_data", $node->data_dir);
$node->start;
wait_for_leader($node);
serve($live, "$work/new");

# ---- depot.trusted_roots ----

# Sets it in the configuration file, and waits until the leader has read it.
sub set_trusted_roots
{
	my ($list) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET depot.trusted_roots = '$list'");
	$node->reload;
	wait_until(sub { $node->safe_psql('postgres', 'SHOW depot.trusted_roots') eq $list }) or die 'no reload';
	wait_for_leader($node);
	return;
}

set_trusted_roots("main = $root_sha256");
refresh_ok($node, 'trusted_roots: the right digest');
write_file("$work/pinned.json", file_contents($root));
set_trusted_roots("other = $other_sha256, main = $work/pinned.json");
refresh_ok($node, 'trusted_roots: the right file, beside another repository');
remove_tree(metadata_of($node));
old_is_refused_ok($node, 'trusted_roots: rows verify from the pinned root');
refresh_ok($node, 'trusted_roots: goes on');
like(psql_error($node, 'postgres', "SELECT * FROM install_extension('depot_demo', '1.0')")->{stdout}, qr/depot_demo\|1\.0\|/,
	'trusted_roots: installs');

set_trusted_roots("main = $other_sha256");
my @refused = ($refresh, "SELECT * FROM install_extension('depot_demo', '1.1')");
foreach my $statement (@refused)
{
	my $error = is_error($node, 'postgres', $statement, 'PD006',
		qr/repository "main" was added with another trusted root than "depot\.trusted_roots" pins$/,
		"trusted_roots: another root, $statement");
	is($error->{detail}, "It was added with sha256 $root_sha256; pinned is $other_sha256.", 'names both');
}
set_trusted_roots("main = $other_root");
my $error = is_error($node, 'postgres', $refresh, 'PD006', qr/was added with another trusted root/, 'trusted_roots: the file of another root');
is($error->{detail}, "It was added with sha256 $root_sha256; pinned is $other_sha256, of file $other_root.", 'names both and the file');
set_trusted_roots("main = $work/absent.json");
is_error($node, 'postgres', $refresh, '58P01', qr/^repository "main": could not read its pinned root "\Q$work\E\/absent\.json": No such file or directory$/,
	'trusted_roots: no such file');
set_trusted_roots("main = $work");
like(psql_error($node, 'postgres', $refresh)->{message}, qr/could not read its pinned root/, 'trusted_roots: a directory');
write_file("$work/huge.json", ' ' x 600_000);
set_trusted_roots("main = $work/huge.json");
like(psql_error($node, 'postgres', $refresh)->{message}, qr/could not read its pinned root .*: File too large$/, 'trusted_roots: a huge file');
write_file("$work/pinned.json", '{}');
set_trusted_roots("main = $work/pinned.json");
is_error($node, 'postgres', $refresh, 'PD006', qr/another trusted root/, 'trusted_roots: a file that is no root');

foreach my $nonsense ('main', 'main = abc', "main = $root_sha256, main = $other_sha256", "Main = $root_sha256", 'main = ../root.json')
{
	is_error($node, 'postgres', "ALTER SYSTEM SET depot.trusted_roots = '$nonsense'", '22023',
		qr/invalid value for parameter "depot\.trusted_roots"/, "trusted_roots: \"$nonsense\"");
}
# Nonsense in the file at start must not mean that nothing is pinned.
$node->append_conf('postgresql.auto.conf', "depot.trusted_roots = 'main'\n");
$node->restart;
wait_for_leader($node);
$error = is_error($node, 'postgres', $refresh, '22023',
	qr/^no repository is used, since "depot\.trusted_roots" cannot be read: "main" is not of the form /, 'trusted_roots: nonsense at start');
is($error->{hint}, 'Correct it in the configuration file and reload that.', 'says what to do');
is($node->safe_psql('postgres', 'SET force_parallel_mode = on; SELECT count(*) > 0 FROM pg_class'), 't',
	'trusted_roots: nonsense at start, parallel workers') if $node->pg_version < 16;
set_trusted_roots("main = $root_sha256");
refresh_ok($node, 'trusted_roots: corrected by a reload');
is_error($node, 'postgres', "SET depot.trusted_roots = ''", '55P02', qr/cannot be changed now/, 'trusted_roots: a session');

# A file that another server wrote: the chain begins at the pin all the same.
set_trusted_roots('');
$node->safe_psql('postgres', "SELECT drop_extension_repository('main')");
serve($live, "$work/other");
add_repository($node, $live, root => $other_root);
run_ok('cp', '-a', metadata_of($node), "$work/foreign");
$node->safe_psql('postgres', "SELECT drop_extension_repository('main')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM depot.repository_metadata'), '0', 'a repository that is dropped leaves no rows');
serve($live, "$work/new");
$node->safe_psql('postgres', "SELECT add_extension_repository('main', 'file://$live', root_sha256 => '$root_sha256')");
copy_data("$work/foreign", metadata_of($node));
is_error($node, 'postgres', $refresh, 'PD002', qr/not signed by enough trusted keys/, 'files of another repository, no pin');
set_trusted_roots("main = $root_sha256");
refresh_ok($node, 'files of another repository: the pin counts');
is(file_contents(metadata_of($node) . '/root.json'), file_contents($root), 'the pinned root is the trusted one');
rows_equal_files_ok($node, 'pinned by digest');
$node->safe_psql('postgres', "SELECT uninstall_extension('depot_demo')");
like(psql_error($node, 'postgres', $install)->{stdout}, qr/depot_demo\|1\.1\|install/, 'pinned by digest: installs');
$node->stop;

done_testing();
