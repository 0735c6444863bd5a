# The commands "pg_depot tuf" against nginx and a repository of "pg_depot repo": what they keep, what they ask
# for, and that every failure exits with 1 and changes nothing that was trusted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use File::Copy qw(copy);
use IPC::Run ();
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
our $program = DepotTest::depot_program();
my $keys = "$work/keys";
my $trusted = "$work/trusted";
my $targets = "$work/targets";
my $served = "$work/web";
my $live = "$served/live";
mkdir $served or die "$served: $!";

# first offers depot_demo 1.0; second, the same repository later, 1.1 as well.
make_repository("$work/first", $keys, make_tree_package($work, 'depot_demo', '1.0'));
copy_repository("$work/first", "$work/second");
publish("$work/second", $keys, make_tree_package($work, 'depot_demo', '1.1'));
make_repository("$work/other", "$work/other-keys", make_tree_package($work, 'depot_demo', '9.0'));
my $root_file = "$work/first/metadata/1.root.json";
my %path = map { $_ => target_path("$work/second", qr/depot_demo-\Q$_\E/) } qw(1.0 1.1);
my ($role) = $path{'1.0'} =~ m{^(pg\d+/[^/]+)/} ? $1 =~ s{/}{-}r : die "odd path $path{'1.0'}";

serve($live, "$work/first");
my $web = start_web($served);

# The path of a target as metadata has it: without the digest in its file's name.
sub target_path
{
	my ($repository, $pattern) = @_;
	my $file = target_of($repository, $pattern);
	return substr($file, length("$repository/targets/")) =~ s{/[0-9a-f]{64}\.([^/]+)$}{/$1}r;
}

# ---- running it ----

sub tuf
{
	my (@arguments) = @_;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ $program, 'tuf', @arguments ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? & 127 ? "signal $?" : $? >> 8, $stdout, $stderr);
}

sub refresh_arguments
{
	my ($url) = @_;
	return ('--metadata-dir', $trusted, '--metadata-url', ($url // $web->{http}) . '/live/metadata/');
}

sub download_arguments
{
	my (@names) = @_;
	return (refresh_arguments(), '--target-base-url', "$web->{http}/live/targets", '--target-dir', $targets,
		(map { ('--target-name', $_) } @names), 'download');
}

# Every file below these directories that counts, with what is in it.
sub state_of
{
	my %state;
	foreach my $directory ($trusted, $targets)
	{
		next if !-d $directory;
		chomp(my @files = run_ok('find', $directory, '-type', 'f'));
		$state{$_} = file_contents($_) foreach map { split /\n/ } @files;
		ok(!-e "$directory/.pg_depot", "nothing is left to work with in $directory") if -e "$directory/.pg_depot";
	}
	return \%state;
}

sub succeeds
{
	my ($label, $output, @arguments) = @_;
	my ($code, $stdout, $stderr) = tuf(@arguments);
	is($code, 0, "$label: exit code 0") or diag($stderr);
	like($stdout, $output, "$label: what it prints");
	state_of();
	return;
}

# A failure: exit code 1, these words, and nothing changed.
sub fails
{
	my ($label, $words, @arguments) = @_;
	my $before = state_of();
	my ($code, undef, $stderr) = tuf(@arguments);
	is($code, 1, "$label: exit code 1");
	like($stderr, $words, "$label: what it says");
	is_deeply(state_of(), $before, "$label: nothing changed");
	return;
}

my $asked = 0;

# What a command asks nginx for, under a name of its own: a request is logged after it was answered.
sub requests_of
{
	my ($count, @arguments) = @_;
	my $name = 'asked' . ++$asked;
	serve("$served/$name", readlink $live);
	my ($code, undef, $stderr) = tuf(map { s{/live/}{/$name/}r } @arguments);
	is($code, 0, "$arguments[-1]: exit code 0") or diag($stderr);
	my @requests;
	wait_until(sub { (@requests = file_contents($web->{access_log}) =~ m{"GET /$name/(\S+) HTTP}g) >= $count });
	return join(' ', @requests);
}

# The trusted metadata in the directory: ROLE => bytes.
sub json_files
{
	opendir(my $directory, $trusted) or die "$trusted: $!";
	return join(' ', sort grep { /\.json$/ } readdir($directory));
}

sub same_bytes
{
	my ($file, $original, $label) = @_;
	ok(file_contents($file) eq file_contents($original), $label);
	return;
}

# ---- wrong usage ----

is((tuf('--help'))[0], 0, '--help exits with 0');
fails('no command', qr/expected one of the commands init, refresh and download\nhint: Try "pg_depot tuf --help"/);
fails('unknown command', qr/expected one of the commands/, '--metadata-dir', $trusted, 'update');
fails('unknown option', qr/unknown or ambiguous option "--metadata"/, '--metadata', $trusted, 'refresh');
fails('option without its argument', qr/option "--metadata-dir" needs an argument/, 'init', '--metadata-dir');
fails('init without a file', qr/init needs exactly one file/, '--metadata-dir', $trusted, 'init');
fails('init without a directory', qr/init needs --metadata-dir/, 'init', $root_file);
fails('refresh with an argument', qr/refresh takes no arguments/, refresh_arguments(), 'refresh', 'now');
fails('refresh without a URL', qr/refresh needs --metadata-url/, '--metadata-dir', $trusted, 'refresh');
fails('download without a name', qr/download needs --target-name/, refresh_arguments(), 'download');
fails('download without a directory', qr/download needs --target-dir/, refresh_arguments(), '--target-name', 'x', 'download');
fails('download without a target URL', qr/download needs --target-base-url/,
	refresh_arguments(), '--target-name', 'x', '--target-dir', $targets, 'download');

# ---- init ----

fails('refresh before init', qr/could not open the metadata directory ".*": No such file/, refresh_arguments(), 'refresh');
write_file("$work/garbage.json", '<html>');
write_file("$work/altered.json", file_contents($root_file) =~ s/"version":1/"version":2/r);
write_file("$work/large.json", ' ' x 600_000);
fails('root that is absent', qr/could not read ".*none.json": No such file/, '--metadata-dir', $trusted, 'init', "$work/none.json");
fails('root that is no JSON', qr/the given root is not valid/, '--metadata-dir', $trusted, 'init', "$work/garbage.json");
fails('root that was altered', qr/not signed by enough trusted keys/, '--metadata-dir', $trusted, 'init', "$work/altered.json");
fails('root that is too large', qr/is larger than 512000 bytes/, '--metadata-dir', $trusted, 'init', "$work/large.json");
fails('refresh without a root', qr/no trusted root.*\nhint: "pg_depot tuf init"/, refresh_arguments(), 'refresh');
succeeds('init', qr/^root       version 1, expires /, '--metadata-dir', $trusted, 'init', $root_file);
is(json_files(), 'root.json', 'init keeps the root');
same_bytes("$trusted/root.json", $root_file, 'byte for byte');
fails('init again', qr/has a trusted root already/, '--metadata-dir', $trusted, 'init', "$work/other/metadata/1.root.json");

# ---- refresh ----

fails('certificate of a stranger', qr/certificate is not trusted for this host\nhint: Set --ca-file if /, refresh_arguments($web->{https}), 'refresh');
fails('http elsewhere that does not answer', qr/could not fetch "2\.root\.json"/, '--metadata-dir', $trusted, '--metadata-url', 'http://127.0.0.1:1/metadata', 'refresh');
fails('URL that is none', qr/invalid repository URL/, '--metadata-dir', $trusted, '--metadata-url', 'live/metadata', 'refresh');
fails('URL of another place', qr/repository has no metadata\/timestamp\.json/, '--metadata-dir', $trusted, '--metadata-url', "$web->{http}/nowhere/", 'refresh');
succeeds('refresh', qr/^root +version 1, .*^timestamp +version \d+, .*^snapshot .*^targets /ms,
	refresh_arguments($web->{https}), '--ca-file', $web->{ca_file}, 'refresh');
is(json_files(), 'root.json snapshot.json targets.json timestamp.json', 'one file for each role');
same_bytes("$trusted/timestamp.json", "$work/first/metadata/timestamp.json", 'timestamp byte for byte');
my ($newest) = sort { $b cmp $a } glob("$work/first/metadata/*.targets.json");
same_bytes("$trusted/targets.json", $newest, 'targets byte for byte');
is(requests_of(2, refresh_arguments(), 'refresh'), 'metadata/2.root.json metadata/timestamp.json', 'with nothing new it asks for little');

# ---- download ----

fails('unknown target', qr{the repository has no target "pg0/nothing"}, download_arguments('pg0/nothing'));
succeeds('download', qr/^\Q$path{'1.0'}\E$/m, download_arguments($path{'1.0'}));
same_bytes("$targets/$path{'1.0'}", target_of("$work/first", qr/depot_demo-1\.0/), 'the target is what the repository has');
is((stat "$targets/$path{'1.0'}")[2] & 07777, 0644, 'and can be read by others');
is(json_files(), join(' ', sort "$role.json", 'root.json', 'snapshot.json', 'targets.json', 'timestamp.json'),
	'the role that signed it was fetched');
succeeds('download again', qr/^\Q$path{'1.0'}\E is there already$/m, download_arguments($path{'1.0'}));
is(requests_of(2, download_arguments($path{'1.0'})), 'metadata/2.root.json metadata/timestamp.json', 'what is there is not fetched');
write_file("$targets/$path{'1.0'}", 'damaged');
succeeds('download over a damaged file', qr/^\Q$path{'1.0'}\E$/m, download_arguments($path{'1.0'}));
same_bytes("$targets/$path{'1.0'}", target_of("$work/first", qr/depot_demo-1\.0/), 'it is whole again');

# Names in order, until one fails.
unlink "$targets/$path{'1.0'}" or die $!;
fails('unknown target first', qr/has no target "nothing"/, download_arguments('nothing', $path{'1.0'}));
my ($code, $stdout, $stderr) = tuf(download_arguments($path{'1.0'}, 'nothing'));
is($code, 1, 'unknown target last: exit code 1');
ok(-e "$targets/$path{'1.0'}", 'what came before it was downloaded');

# ---- a repository that goes on, and one that goes back ----

serve($live, "$work/second");
succeeds('download of a new version', qr/^\Q$path{'1.1'}\E$/m, download_arguments($path{'1.1'}));
serve($live, "$work/first");
fails('repository that went back', qr/repository went back: it serves timestamp metadata version/, refresh_arguments(), 'refresh');
serve($live, "$work/other");
fails('another repository', qr/timestamp metadata is not signed by enough trusted keys/, refresh_arguments(), 'refresh');

# ---- targets that are not what was signed ----

copy_repository("$work/second", "$work/bad");
serve($live, "$work/bad");
my $bad = target_of("$work/bad", qr/depot_demo-1\.1/);
my $good_bytes = file_contents($bad);
unlink "$targets/$path{'1.1'}" or die $!;
foreach my $case (
	[ 'altered target', substr($good_bytes, 0, -1) . chr(ord(substr($good_bytes, -1)) ^ 1), qr/it is not the file that was signed/ ],
	[ 'target that is too long', $good_bytes . 'x', qr/it is larger than \d+ bytes/ ],
	[ 'target that is cut', substr($good_bytes, 0, -1), qr/truncated/ ])
{
	my ($label, $bytes, $words) = @$case;
	write_file($bad, $bytes);
	fails($label, $words, download_arguments($path{'1.1'}));
}
unlink $bad or die $!;
fails('target that is absent', qr/repository lacks the file/, download_arguments($path{'1.1'}));
unlink glob("$work/bad/metadata/*.$role.json");
unlink "$trusted/$role.json" or die $!;
fails('role that is absent', qr/repository lacks version \d+ of its metadata of role "$role"/, download_arguments($path{'1.1'}));

# ---- places ----

serve($live, "$work/second");
succeeds('file: URLs', qr/^\Q$path{'1.1'}\E$/m, '--metadata-dir', $trusted, '--metadata-url', "file://$work/second/metadata",
	'--target-base-url', "file://$work/second/targets", '--target-dir', $targets, '--target-name', $path{'1.1'}, 'download');

# Links below the target directory are not followed.
my ($first_part) = split /\//, $path{'1.1'};
mkdir "$work/elsewhere" or die $!;
rename("$targets/$first_part", "$work/$first_part") or die $!;
symlink("$work/elsewhere", "$targets/$first_part") or die $!;
fails('link on the way of a target', qr/\Q$first_part\E/, download_arguments($path{'1.1'}));
is(join(' ', glob("$work/elsewhere/*")), '', 'nothing is written where it points');
unlink "$targets/$first_part" or die $!;
rename("$work/$first_part", "$targets/$first_part") or die $!;

# Nor is one in a target's place, which the target replaces, wherever it points (CVE-2021-41150).
write_file("$work/victim", 'of somebody else');
foreach my $points_to ("$work/victim", "$work/nowhere", $work)
{
	unlink "$targets/$path{'1.1'}";
	symlink($points_to, "$targets/$path{'1.1'}") or die $!;
	succeeds("link to $points_to in a target's place", qr/^\Q$path{'1.1'}\E$/m, download_arguments($path{'1.1'}));
	ok(!-l "$targets/$path{'1.1'}", 'the link is gone');
	same_bytes("$targets/$path{'1.1'}", target_of("$work/second", qr/depot_demo-1\.1/), 'the target is there');
	is(file_contents("$work/victim"), 'of somebody else', 'what it pointed to is as it was');
	ok(!-e "$work/nowhere", 'and nothing is made');
}
my ($inner) = $path{'1.1'} =~ m{^(.*)/};
rename("$targets/$inner", "$work/inner") or die $!;
symlink("$work/elsewhere", "$targets/$inner") or die $!;
fails('link as the directory of a target', qr/\Q$inner\E/, download_arguments($path{'1.1'}));
is(join(' ', glob("$work/elsewhere/*")), '', 'nothing is written where that points');
unlink "$targets/$inner" or die $!;
rename("$work/inner", "$targets/$inner") or die $!;
symlink("$work/elsewhere", "$trusted/.pg_depot") or die $!;
my ($link_code, undef, $link_error) = tuf(refresh_arguments(), 'refresh');
is($link_code, 1, 'link as the working directory: refused');
like($link_error, qr/could not open the working directory "\.pg_depot"/, 'link as the working directory: says so');
is(join(' ', glob("$work/elsewhere/*")), '', 'nothing is written there, either');
unlink "$trusted/.pg_depot" or die $!;

# What a command that was killed left is cleared away.
mkdir "$trusted/.pg_depot" or die $!;
mkdir "$trusted/.pg_depot/job" or die $!;
write_file("$trusted/.pg_depot/job/download", 'half of a file');
succeeds('refresh after one that was killed', qr/^root /, refresh_arguments(), 'refresh');

# Several at once wait for each other.
unlink map { "$targets/$_" } values %path;
my @commands = map { [ $program, 'tuf', download_arguments($path{'1.0'}, $path{'1.1'}) ] } 1 .. 3;
my @outputs = ('') x 3;
my @runs = map { IPC::Run::start($commands[$_], '<', \undef, '>', \$outputs[$_], '2>', \my $errors) } 0 .. 2;
$_->finish foreach @runs;
is(join(' ', map { $_->result(0) } @runs), '0 0 0', 'three downloads at once succeed');
same_bytes("$targets/$path{$_}", target_of("$work/second", qr/depot_demo-\Q$_\E/), "depot_demo $_ is whole") foreach sort keys %path;

# A directory that cannot be written to.
chmod 0500, $trusted or die $!;
fails('directory that is read-only', qr/could not make the working directory ".pg_depot": Permission denied/, refresh_arguments(), 'refresh');
chmod 0700, $trusted or die $!;

# The program alone: without the one that talks to the network there is no network.
mkdir "$work/alone" or die $!;
copy($program, "$work/alone/pg_depot") or die $!;
chmod 0755, "$work/alone/pg_depot" or die $!;
{
	local $program = "$work/alone/pg_depot";
	fails('no fetch agent', qr/could not start pg_depot_fetch: No such file.*\nhint: It belongs beside pg_depot itself/, refresh_arguments(), 'refresh');
}

# One that dies at work.
mkdir "$work/points" or die $!;
write_file("$work/points/fetch_begin", '');
{
	local $ENV{PG_DEPOT_TEST_POINTS} = "$work/points";
	fails('fetch agent that dies', qr/the fetch agent ended unexpectedly/, refresh_arguments(), 'refresh');
}

stop_web($web);
fails('web server that is down', qr/no connection/, refresh_arguments(), 'refresh');

done_testing();
