# Mirrors that are not to be trusted.  Alone, each is refused with a reason, what was trusted stays byte for byte, and the
# agents stay small; with a mirror in order behind it, it is skipped with a WARNING that says why.
#
# Holds promises 1 (verified first), 3 (nothing half-done) and 12 (clear refusals).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotMeasure;
use DepotTest;
use Test::More;

use constant MEMORY_LIMIT_KB => 64 * 1024;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $web = "$work/web";
my ($good, $case, $live) = ("$web/good", "$web/case", "$web/live");
my $role = 'pg15-linux-amd64';
mkdir $web or die "$web: $!";

make_repository($good, $keys, make_tree_package($work, 'depot_demo', '1.0'), make_tree_package($work, 'depot_needs', '1.0'));
my $old = copy_repository($good, "$web/old");
serve($live, $good);
my $server = serve_badly($live);
my $node = new_depot_node('mirrors', conf => "depot.stall_timeout = 2s\ndepot.connect_timeout = 5s\n");
create_depot($node);
add_repository($node, $server->{url}, root => "$good/metadata/1.root.json");

my $refresh = "SELECT changed FROM refresh_extension_repository('main')";
my $metadata = $node->data_dir . '/pg_depot/var/metadata/main';

# Digests of the files that are trusted.
sub trusted
{
	my ($directory) = @_;
	return run_ok('sh', '-c', 'cd "$1" && find . -type f | LC_ALL=C sort | xargs sha256sum', 'sh', $directory);
}

# Publishes new versions of every role but root, so that there is something to refresh.
sub publish_again
{
	sign('role', $good, $keys, $role);
	return;
}

sub set_mirrors
{
	my (@mirrors) = @_;
	$node->safe_psql('postgres', 'UPDATE depot.repository SET mirrors = ARRAY[' . join(',', map { "'$_'" } @mirrors) . ']::text[]');
	return;
}

sub newest
{
	my ($directory, $name) = @_;
	my ($file) = sort { ($b =~ m{/(\d+)\.\Q$name\E})[0] <=> ($a =~ m{/(\d+)\.\Q$name\E})[0] } glob("$directory/metadata/*.$name.json");
	return $file;
}

sub rewrite
{
	my ($path, $change) = @_;
	write_file($path, $change->(file_contents($path)));
	return;
}

# ---- metadata ----

my $from = qr/could not fetch "metadata\/[^"]+" from 127\.0\.0\.1: /;
my $went_back = qr/repository went back: it (?:serves|announces) .* but version \d+ was seen before$/;
my $old_root = file_contents("$old/metadata/1.root.json");
my @behaviours = (
	[ 'delayed forever', 'silent', 'timestamp', '08006', qr/^${from}the transfer stalled$/ ],
	[ 'a byte now and then', 'drip', 'timestamp', '08006', qr/^${from}the transfer stalled$/ ],
	[ 'cut off', 'truncate', 'snapshot', '08006', qr/^${from}truncated: got \d+ of \d+ bytes$/ ],
	[ 'cut off in good order', 'short', 'timestamp', 'PD001', qr/timestamp metadata: unexpected end at byte \d+$/ ],
	[ 'endless', 'endless', 'timestamp', '54000', qr/^${from}it is larger than 16384 bytes$/ ],
	[ 'an endless role', 'endless', $role, '54000', qr/^${from}it is larger than \d+ bytes$/ ],
	[ 'a page with status 200', 'page', 'timestamp', 'PD001', qr/timestamp metadata: not valid JSON at byte 1$/ ],
	[ 'a page as a role', 'page', $role, 'PD005', qr/"\Q$role\E" does not have its announced length$/ ],
	[ 'redirect', 'redirect', 'timestamp', '08006', qr/^${from}the server answered with a redirect$/ ],
	[ 'redirect to a file', 'redirect_file', 'timestamp', '08006', qr/^${from}the server answered with a redirect$/ ],
	[ 'redirect to another host', 'redirect_host', 'timestamp', '08006', qr/^${from}the server answered with a redirect$/ ],
	[ 'deflate bomb', 'bomb', 'timestamp', 'PD001', qr/timestamp metadata: not valid JSON at byte 1$/ ],
	[ '100 MB of JSON nested 100,000 deep', 'nested', 'timestamp', '54000', qr/^${from}it is larger than 16384 bytes$/ ],
	[ 'the same as a role', 'nested', $role, '54000', qr/^${from}it is larger than \d+ bytes$/ ],
	[ 'status 500', 'error', 'snapshot', '08006', qr/^${from}the server answered with status 500$/ ],
	[ 'status 403', 'forbidden', 'timestamp', '08006', qr/^${from}the server answered with status 403$/ ],
	[ 'not HTTP', 'garbage', 'timestamp', '08006', $from ],
);

# What each does to a copy of the repository; the fifth: nothing at all of what is trusted may change.
my @spoilt = (
	[ 'replay of old metadata', sub { copy_repository("$old/metadata", "$case/metadata") }, 'PD004', $went_back, 1 ],
	[ 'old timestamp with new files', sub { run_ok('cp', "$old/metadata/timestamp.json", "$case/metadata/timestamp.json") }, 'PD004', $went_back, 1 ],
	[ 'new timestamp with old files', sub {
			run_ok('sh', '-c', 'rm -r "$2/metadata" && cp -a "$1/metadata" "$2" && cp "$3/metadata/timestamp.json" "$2/metadata"', 'sh', $old, $case, $good);
		}, '58P01', qr/repository lacks version \d+ of its snapshot metadata$/ ],
	[ 'snapshot swapped for an old one', sub { run_ok('cp', newest($old, 'snapshot'), newest($case, 'snapshot')) }, 'PD005',
		qr/snapshot metadata does not have its announced (?:length|digest)$/ ],
	[ 'role swapped for targets', sub { run_ok('cp', newest($case, 'targets'), newest($case, $role)) }, '(?:PD005|54000)',
		qr/(?:does not have its announced|is larger than)/ ],
	[ 'signed by nobody', sub { sign('role', $case, $keys, 'timestamp', '--unsigned') }, 'PD002', qr/have 0 of 1 valid signatures$/, 1 ],
	[ 'expired long ago', sub { sign('role', $case, $keys, 'timestamp', '--expires-in', '-1500000000') }, 'PD003',
		qr/timestamp metadata of the repository expired on 19\d\d-.* ago\)$/, 1 ],
	[ 'a root nested 100,000 deep', sub { write_file("$case/metadata/2.root.json", '[' x 100_000 . ']' x 100_000) }, 'PD001',
		qr/root metadata: nested deeper than 64 levels at byte 64$/, 1 ],
	[ 'a root of nested pairs', sub { write_file("$case/metadata/2.root.json", '[' . join(',', ('[]') x 150_000) . ']') }, 'PD001',
		qr/root metadata/, 1 ],
	[ 'a root of 100 MB', sub { write_file("$case/metadata/2.root.json", '[' x 100_000_000) }, '54000', qr/^${from}it is larger than 512000 bytes$/, 1 ],
	[ 'root of version 1 as version 2', sub { write_file("$case/metadata/2.root.json", $old_root) }, 'PD004', qr/root metadata has version 1 where version 2 was expected$/, 1 ],
);

# Alone it is refused; with the repository in order as its mirror it is skipped.
sub attack
{
	my ($label, $sqlstate, $message, $is_all) = @_;
	my ($all, $whole) = (trusted($metadata), whole_set($metadata));

	set_mirrors();
	refused_ok($node, $label, $refresh, sqlstate => qr/^$sqlstate$/, message => ref $message ? qr/(?:^repository "main": )?$message/ : $message);
	is(whole_set($metadata), $whole, "$label: what was trusted is as it was");
	is(trusted($metadata), $all, "$label: and nothing beside it") if $is_all;
	set_mirrors("file://$good");
	my ($warning) = grep { /WARNING/ } psql_notices($node, 'postgres', "$refresh WHERE changed");
	my $skipped = qr/^(?:psql:\S+ )?WARNING:  repository "main": address "\Q$server->{url}\E" is skipped: /;
	like($warning // '', $skipped, "$label: skipped");
	my $why = ref $message ? qr/$message/ : $message;
	like(($warning // '') =~ s/$skipped//r, $why, "$label: and it says why");
	return;
}

my $measure = start_measuring($node);
foreach my $behaviour (@behaviours)
{
	my ($label, $name, $word, $sqlstate, $message) = @$behaviour;
	publish_again();
	behave($server, $name, $word);
	attack($label, $sqlstate, $message, $word eq 'timestamp');
	behave_well($server);
}
foreach my $spoiling (@spoilt)
{
	my ($label, $spoil, $sqlstate, $message, $is_all) = @$spoiling;
	publish_again();
	copy_repository($good, $case);
	$spoil->();
	serve($live, $case);
	attack($label, $sqlstate, $message, $is_all);
	serve($live, $good);
}

# ---- packages ----

my $skipped = qr/WARNING:  repository "main": address "\Q$server->{url}\E" is skipped: could not fetch "targets\/\S+depot_demo-1\.0\S+" from 127\.0\.0\.1: /;
my $size = -s target_of($good, 'depot_demo-1\.0');
my %packages = (
	truncate => qr/truncated: got \d+ of $size bytes$/,
	endless => qr/it is larger than $size bytes$/,
	nested => qr/it is larger than $size bytes$/,
	bomb => qr/it is (?:larger than $size bytes|not the file that was signed)$|truncated/,
	page => qr/truncated: got \d+ of $size bytes$/,
	redirect_file => qr/the server answered with a redirect$/,
	redirect_host => qr/the server answered with a redirect$/,
	gone => qr/there is no such file$/,
	silent => qr/the transfer stalled$/,
);
$node->safe_psql('postgres', $refresh);
foreach my $behaviour (sort keys %packages)
{
	behave($server, $behaviour, 'depot_demo-1.0');
	my @warnings = grep { /WARNING/ } psql_notices($node, 'postgres', "SELECT install_extension('depot_demo')");
	is(scalar @warnings, 1, "package: $behaviour: one warning");
	like($warnings[0] // '', qr/$skipped$packages{$behaviour}/, "package: $behaviour: it names the address and says why");
	$node->safe_psql('postgres', "SELECT uninstall_extension('depot_demo')");
}
behave_well($server);
copy_repository($good, $case);
run_ok('cp', target_of($case, 'depot_needs-1\.0'), target_of($case, 'depot_demo-1\.0'));
serve($live, $case);
my ($swapped) = grep { /WARNING/ } psql_notices($node, 'postgres', "SELECT install_extension('depot_demo')");
like($swapped // '', qr/$skipped(?:it is not the file that was signed|it is larger than|truncated)/, 'package: swapped for another: skipped');
$node->safe_psql('postgres', "SELECT uninstall_extension('depot_demo')");
serve($live, $good);

# ---- whoever holds the key of the timestamp: a snapshot that nobody has signed is read, up to its limit ----

set_mirrors();
foreach my $attack ([ 213_000, 'PD001', qr/snapshot metadata: not a JSON object$/ ], [ 214_000, '54000', qr/it is larger than 640000 bytes$/ ])
{
	my ($count, $sqlstate, $message) = @$attack;
	publish_again();
	copy_repository($good, $case);
	sign('role', $case, $keys, 'timestamp', map { ('--splice', $_ . '=' . unpack('H*', ucfirst $_)) } qw(hashes length));
	write_file(newest($case, 'snapshot'), '[' . join(',', ('{}') x $count) . ']');
	serve($live, $case);
	refused_ok($node, "snapshot of $count empty objects", $refresh, sqlstate => $sqlstate, message => $message);
	# The timestamp counts all the same, so that of the repository has to be newer.
	publish_again() foreach 1 .. 2;
	serve($live, $good);
	is($node->safe_psql('postgres', $refresh), 't', "snapshot of $count empty objects: the next refresh is in order");
}

my %max = stop_measuring($measure);
cmp_ok($max{samples}, '>', 100, 'the agents were looked at');
cmp_ok($max{memory_kb}, '>', 1000, 'so was the memory of check');
cmp_ok($max{memory_kb}, '<', MEMORY_LIMIT_KB, 'which was never more than 64 MB');
cmp_ok($max{fetch_memory_kb}, '>', 1000, 'and that of fetch');
cmp_ok($max{fetch_memory_kb}, '<', MEMORY_LIMIT_KB, 'which was not, either');
note("check: $max{memory_kb} kB, fetch: $max{fetch_memory_kb} kB, $max{samples} samples");

# ---- an address that cannot be reached is tried last, until a refresh has reached it ----

my $dead = start_web($good);
my $source = "SELECT source FROM depot.activity_log WHERE action = 'install' ORDER BY id DESC LIMIT 1";
add_repository($node, $dead->{http}, name => 'dead', root => "$good/metadata/1.root.json");
$node->safe_psql('postgres', "UPDATE depot.repository SET mirrors = ARRAY['file://$good'] WHERE name = 'dead'");

# Installs a package and removes it again; returns the warnings.
sub install_from_dead
{
	my ($package) = @_;
	my @said = grep { /WARNING/ } psql_notices($node, 'postgres', "SELECT install_extension('$package', repository => 'dead')");
	$node->safe_psql('postgres', "SELECT uninstall_extension('$package')");
	return @said;
}

stop_web($dead);
my @said = install_from_dead('depot_demo');
like("@said", qr/^\S*\s*WARNING:  repository "dead": address "\Q$dead->{http}\E" is skipped: .* no connection$/, 'an address that is down is skipped');
is(scalar(install_from_dead($_)), 0, "then it is not tried where another delivers: $_") foreach qw(depot_demo depot_demo);
is($node->safe_psql('postgres', $source), "file://$good", 'which is the one that was used');
start_web_again($dead);
is(scalar(install_from_dead('depot_demo')), 0, 'up again, it still has its time');
is($node->safe_psql('postgres', $source), "file://$good", 'as long as nobody has asked it');
$node->safe_psql('postgres', "SELECT refresh_extension_repository('dead')");
is(scalar(install_from_dead('depot_demo')), 0, 'once a refresh has reached it');
is($node->safe_psql('postgres', $source), $dead->{http}, 'it is the first again');
$node->safe_psql('postgres', "SELECT drop_extension_repository('dead')");

# ---- when every address fails, the error is the one that tells most ----

publish_again();
set_mirrors("file://$work/nowhere", 'http://127.0.0.1:1');
copy_repository($good, $case);
sign('role', $case, $keys, 'timestamp', '--unsigned');
serve($live, $case);
refused_ok($node, 'every address fails', $refresh, sqlstate => 'PD002', message => qr/^repository "main": timestamp metadata is not signed/,
	detail => qr{The repository has 3 addresses, and each failed\. http://127\.0\.0\.1:\d+: timestamp metadata is not signed.*/nowhere: could not .* no connection\.$});
set_mirrors();
serve($live, $good);

oracle_ok($node, 'after all of it', '--repository', $good);
done_testing();
