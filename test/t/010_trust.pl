# Repositories, mirrors and networks that are not to be trusted: each is refused
# with a reason, changes nothing, and takes nothing away.
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
my $web = "$work/web";
my $live = "$web/live";
mkdir $web or die "$web: $!";

# good1 offers depot_demo 1.0; good2, the same repository later, 1.1 as well.
make_repository("$web/good1", $keys, make_tree_package($work, 'depot_demo', '1.0'));
copy_repository("$web/good1", "$web/good2");
publish("$web/good2", $keys, make_tree_package($work, 'depot_demo', '1.1'));
make_repository("$web/other", "$work/other-keys", make_tree_package($work, 'depot_demo', '9.0'));
my $root = file_contents("$web/good1/metadata/1.root.json");
my $other_root = file_contents("$web/other/metadata/1.root.json");
chomp(my $root_sha256 = run_ok('sh', '-c', 'sha256sum <"$1" | cut -c1-64', 'sh', "$web/good1/metadata/1.root.json"));

serve($live, "$web/good2");
my $server = serve_badly($live);
my $url = $server->{url};
my $node = new_depot_node('trust', conf => "depot.stall_timeout = 2s\ndepot.connect_timeout = 5s\n");
create_depot($node);

sub add_sql
{
	my ($name, $repository_url, %options) = @_;
	my $mirrors = $options{mirrors} ? ', mirrors => ARRAY[' . join(',', map { "'$_'" } @{ $options{mirrors} }) . ']' : '';
	my $anchor = defined $options{sha256} ? "root_sha256 => '$options{sha256}'"
	  : 'trusted_root => $root$' . ($options{root} // $root) . '$root$';
	return "SELECT * FROM add_extension_repository('$name', '$repository_url', $anchor$mirrors)";
}

sub sql_ok
{
	my ($sql, $label) = @_;
	my ($stdout, $stderr) = ('', '');
	my $status = $node->psql('postgres', $sql, stdout => \$stdout, stderr => \$stderr, on_error_stop => 1);
	ok($status == 0, $label) or diag($stderr);
	return $stdout;
}

my $refresh = "SELECT * FROM refresh_extension_repository('main')";
my $install = "SELECT * FROM install_extension('depot_demo')";
my $uninstall = "SELECT * FROM uninstall_extension('depot_demo')";
my $metadata = $node->data_dir . '/pg_depot/var/metadata/main';

# ---- adding: the trust anchor and the address ----

my $not_signed = qr/^repository "main": (?:root|timestamp) metadata is not signed by enough trusted keys: have 0 of 1 valid signatures$/;
my $write_url = 'Write https://HOST/PATH, http://HOST/PATH or file:///PATH.';
my @no_http = ('42501', 'Use https, or set depot.allow_http in the configuration file.');
my $get_root = q{Take the publisher's root.json, or the sha256 of its 1.root.json, from a source you trust.};

# label, statement, SQLSTATE, message, detail, hint
my @bad_adds = (
	[ 'root of another repository', add_sql('main', $url, root => $other_root), 'PD002', $not_signed, '', qr/^The repository is damaged, / ],
	[ 'root that is not JSON', add_sql('main', $url, root => '<html>'), 'PD006',
		'repository "main": the given root is not valid: root metadata: not valid JSON at byte 1' ],
	[ 'root that is metadata of another role', add_sql('main', $url, root => file_contents("$web/good2/metadata/timestamp.json")),
		'PD006', 'repository "main": the given root is not valid: root metadata: _type is not "root"' ],
	[ 'root that somebody altered', add_sql('main', $url, root => $root =~ s/"version":1/"version":2/r), 'PD006',
		qr/^repository "main": the given root is not valid: root metadata is not signed by enough trusted keys: have 0 of 1/ ],
	[ 'root_sha256 of another root', add_sql('main', $url, sha256 => 'ab' x 32), 'PD006',
		'repository "main": its first root is not the one that was given',
		'Expected sha256 ' . 'ab' x 32 . ", found $root_sha256.",
		'Ask the publisher for the digest, by another way than the repository.' ],
	[ 'root_sha256 in upper case', add_sql('main', $url, sha256 => uc $root_sha256), '22023',
		'root_sha256 must be 64 lower-case hexadecimal digits' ],
	[ 'root_sha256 that is too short', add_sql('main', $url, sha256 => substr($root_sha256, 1)), '22023',
		'root_sha256 must be 64 lower-case hexadecimal digits' ],
	[ 'no trust anchor', "SELECT add_extension_repository('main', '$url')", '22023',
		'exactly one of trusted_root and root_sha256 must be given', '', $get_root ],
	[ 'two trust anchors', "SELECT add_extension_repository('main', '$url', trusted_root => '{}', root_sha256 => '$root_sha256')",
		'22023', 'exactly one of trusted_root and root_sha256 must be given', '', $get_root ],
	[ 'http to another host', add_sql('main', 'http://192.0.2.1/depot'), $no_http[0],
		'repository URL with host "192.0.2.1" uses http, which is not allowed', '', $no_http[1] ],
	[ 'http to another host as a mirror', add_sql('main', $url, mirrors => ['http://example.org/depot']), $no_http[0],
		'repository URL with host "example.org" uses http, which is not allowed', '', $no_http[1] ],
	[ 'a host that only begins like this one', add_sql('main', 'http://127.0.0.1.example.org/depot'), $no_http[0],
		'repository URL with host "127.0.0.1.example.org" uses http, which is not allowed', '', $no_http[1] ],
	[ 'ftp', add_sql('main', 'ftp://127.0.0.1/depot'), '22023', qr/ftp.*does not begin with https:/, '', $write_url ],
	[ 'a user name in the URL', add_sql('main', 'https://me:secret@127.0.0.1/depot'), '22023',
		qr/user names and passwords are not allowed$/, '', $write_url ],
	[ 'a relative file URL', add_sql('main', 'file:depot'), '22023', qr/a file URL needs an absolute path$/, '', $write_url ],
	[ 'dots in the URL', add_sql('main', 'https://127.0.0.1/a/../b'), '22023', qr/"\.\." are not allowed in the path$/, '', $write_url ],
	[ 'a query in the URL', add_sql('main', 'https://127.0.0.1/depot?x=1'), '22023', qr/a query \("\?"\) is not allowed$/, '', $write_url ],
	[ 'a directory without a repository', add_sql('main', "file://$work/keys"), '58P01',
		'repository "main": repository has no metadata/timestamp.json', '', qr/^Check the URL of the repository; / ],
	[ 'a directory that is not there', add_sql('main', "file://$work/nowhere"), '08001',
		qr/^could not fetch "metadata\/2.root.json" from \S+nowhere: there is no such directory or bundle$/ ],
	[ 'a host that does not answer', add_sql('main', 'http://127.0.0.1:1/'), '08001',
		'could not fetch "metadata/2.root.json" from 127.0.0.1: no connection' ],
	[ 'a host name that does not exist', add_sql('main', 'https://depot.invalid/'), '08001',
		'could not fetch "metadata/2.root.json" from depot.invalid: the host name could not be resolved' ],
	[ 'too many mirrors', add_sql('main', $url, mirrors => [ ($url) x 20 ]), '54000', 'a repository has at most 15 mirrors' ],
);
foreach my $case (@bad_adds)
{
	my ($label, $sql, $sqlstate, $message, $detail, $hint) = @$case;
	refused_ok($node, "add: $label", $sql, sqlstate => $sqlstate, message => $message, detail => $detail, hint => $hint);
}
ok(!-e $metadata, 'a repository that was refused leaves no metadata');

sql_ok(add_sql('main', $url, sha256 => $root_sha256), 'added by the digest of its root');
is(sql_ok('SELECT version FROM depot.packages ORDER BY version', 'the catalogue'), "1.0\n1.1", 'it lists both versions');

# ---- metadata ----

my $role = 'pg15-linux-amd64';
my $kept = "$work/kept-metadata";
run_ok('cp', '-a', $metadata, $kept);

sub restore_metadata
{
	run_ok('rm', '-rf', $metadata);
	run_ok('cp', '-a', $kept, $metadata);
	serve($live, "$web/good2");
	return;
}

# A copy of good2 with one thing wrong is refused; what was accepted before serves on.
sub refuse_metadata
{
	my ($label, $spoil, %expected) = @_;
	my $case = copy_repository("$web/good2", "$web/case");
	$spoil->($case);
	serve($live, $case);
	refused_ok($node, "refresh: $label", $refresh, %expected);
	sql_ok($install, "$label: what was accepted before can be installed");
	sql_ok($uninstall, "$label: and removed");
	restore_metadata();
	return;
}

sub spoil_role
{
	my (@arguments) = @_;
	return sub { sign('role', $_[0], $keys, @arguments) };
}

sub rewrite
{
	my ($path, $change) = @_;
	write_file($path, $change->(file_contents($path)));
	return;
}

sub spoil_file
{
	my ($name, $change) = @_;
	return sub { rewrite("$_[0]/metadata/$name.json", $change) };
}

# The newest metadata file of a role.
sub newest
{
	my ($case, $name) = @_;
	my $version = 1;
	$version++ while -e "$case/metadata/" . ($version + 1) . ".$name.json";
	return "$case/metadata/$version.$name.json";
}

# A new version of a role in order, whose file is then spoiled.
sub spoil_new
{
	my ($name, $spoil) = @_;
	return sub {
		my ($case) = @_;
		sign('role', $case, $keys, $name);
		$spoil->(newest($case, $name));
	};
}

my @stranger = ('--signer', "$keys/stranger");
my $replaced = qr/^The repository is damaged, is not the one that is trusted here, or somebody altered it\. If its keys were/;
my $renew = 'What is installed keeps working. If the clock is right, tell the publisher of the repository, who must renew it with "pg_depot repo publish".';
my $old_mirror = qr/^A mirror may serve old files, or the repository was restored from a backup/;
my $altered = 'The file was altered or damaged on its way, or a mirror is out of step.';
my $incomplete = 'A mirror may not be complete yet.';

sub lacks_signatures
{
	my ($what, $have, $of) = @_;
	return ('PD002', qq{repository "main": $what is not signed by enough trusted keys: have $have of $of valid signatures}, '', $replaced);
}

sub has_expired
{
	my ($what, $ago) = @_;
	return ('PD003', qr/^repository "main": \Q$what\E of the repository expired on [-0-9]+ [:0-9]+ UTC \($ago ago\)$/,
		qr/^It is version \d+; the clock of this server says [-0-9]+ [:0-9]+ UTC\.$/, $renew);
}

my $its_role = qq{metadata of role "$role"};
my $went_back = 'repository "main": repository went back: it';
my @bad_metadata = (
	[ 'timestamp unsigned', spoil_role('timestamp', '--unsigned'), lacks_signatures('timestamp metadata', 0, 1) ],
	[ 'timestamp by a wrong key', spoil_role('timestamp', @stranger), lacks_signatures('timestamp metadata', 0, 1) ],
	[ 'timestamp by a wrong key under the right name', spoil_role('timestamp', @stranger, '--forge'),
		lacks_signatures('timestamp metadata', 0, 1) ],
	[ 'timestamp expired', spoil_role('timestamp', '--expires-in', '-7210'), has_expired('timestamp metadata', '2 hours') ],
	[ 'timestamp goes back', sub { copy_repository("$web/good1/metadata", "$_[0]/metadata") }, 'PD004',
		"$went_back serves timestamp metadata version 2, but version 3 was seen before", '', $old_mirror ],
	[ 'timestamp names an older snapshot', spoil_role('timestamp', '--meta', 'snapshot.json=1'), 'PD004',
		"$went_back serves snapshot metadata version 1, but version 3 was seen before", '', $old_mirror ],
	[ 'timestamp truncated', spoil_file('timestamp', sub { substr($_[0], 0, 200) }), 'PD001',
		'repository "main": timestamp metadata: unexpected end at byte 200' ],
	[ 'timestamp is a page', spoil_file('timestamp', sub { '<html>no</html>' }), 'PD001',
		'repository "main": timestamp metadata: not valid JSON at byte 1' ],
	[ 'timestamp too large', spoil_file('timestamp', sub { $_[0] . ' ' x 20000 }), '54000',
		'could not fetch "metadata/timestamp.json" from 127.0.0.1: it is larger than 16384 bytes' ],
	[ 'timestamp missing', sub { unlink "$_[0]/metadata/timestamp.json" }, '58P01',
		'repository "main": repository has no metadata/timestamp.json', '', qr/^Check the URL/ ],
	[ 'snapshot unsigned', spoil_role('snapshot', '--unsigned'), lacks_signatures('snapshot metadata', 0, 1) ],
	[ 'snapshot by a wrong key', spoil_role('snapshot', @stranger), lacks_signatures('snapshot metadata', 0, 1) ],
	[ 'snapshot expired', spoil_role('snapshot', '--expires-in', '-86410'), has_expired('snapshot metadata', '1 day') ],
	[ 'snapshot names older targets', spoil_role('snapshot', '--meta', 'targets.json=1'), 'PD004',
		"$went_back announces targets metadata version 1, but version 2 was seen before", '', $old_mirror ],
	[ 'snapshot missing', spoil_new('snapshot', sub { unlink $_[0] }), '58P01',
		'repository "main": repository lacks version 4 of its snapshot metadata', '', $incomplete ],
	[ 'snapshot has other bytes', spoil_new('snapshot', sub { rewrite($_[0], sub { $_[0] =~ s/"expires":"2/"expires":"3/r }) }),
		'PD005', 'repository "main": snapshot metadata does not have its announced digest', '', $altered ],
	[ 'targets unsigned', spoil_role('targets', '--unsigned'), lacks_signatures('targets metadata', 0, 2) ],
	[ 'targets below threshold', spoil_role('targets', '--signatures', '1'), lacks_signatures('targets metadata', 1, 2) ],
	[ 'targets by a wrong key', spoil_role('targets', @stranger), lacks_signatures('targets metadata', 0, 2) ],
	[ 'targets expired', spoil_role('targets', '--expires-in', '-200000'), has_expired('targets metadata', '2 days') ],
	[ 'targets missing', spoil_new('targets', sub { unlink $_[0] }), '58P01',
		'repository "main": repository lacks version 3 of its targets metadata', '', $incomplete ],
	[ 'role unsigned', spoil_role($role, '--unsigned'), lacks_signatures($its_role, 0, 2) ],
	[ 'role below threshold', spoil_role($role, '--signatures', '1'), lacks_signatures($its_role, 1, 2) ],
	[ 'role by a wrong key', spoil_role($role, @stranger), lacks_signatures($its_role, 0, 2) ],
	[ 'role expired', spoil_role($role, '--expires-in', '-62'), has_expired($its_role, '1 minute') ],
	[ 'role missing', spoil_new($role, sub { unlink $_[0] }), '58P01',
		qq{repository "main": repository lacks version 3 of its $its_role}, '', $incomplete ],
	[ 'role has more bytes', spoil_new($role, sub { rewrite($_[0], sub { "$_[0] " }) }), '54000',
		qr/^could not fetch "metadata\/3\.\Q$role\E\.json" from 127\.0\.0\.1: it is larger than \d+ bytes$/ ],
	[ 'role truncated', spoil_new($role, sub { rewrite($_[0], sub { substr($_[0], 0, 500) }) }), 'PD005',
		qq{repository "main": $its_role does not have its announced length}, qr/^It has 500 bytes, announced were \d+\.$/ ],
	[ 'root unsigned', spoil_role('root', '--unsigned'), lacks_signatures('root metadata', 0, 1) ],
	[ 'root by a wrong key', spoil_role('root', @stranger), lacks_signatures('root metadata', 0, 1) ],
	[ 'root skips a version', sub {
			sign('role', $_[0], $keys, 'root', '--version', '3');
			rename("$_[0]/metadata/3.root.json", "$_[0]/metadata/2.root.json");
		}, 'PD004', 'repository "main": root metadata has version 3 where version 2 was expected', '',
		'Versions of root metadata go up by exactly one; a mirror may serve the wrong file.' ],
);
foreach my $case (@bad_metadata)
{
	my ($label, $spoil, $sqlstate, $message, $detail, $hint) = @$case;
	refuse_metadata($label, $spoil, sqlstate => $sqlstate, message => $message, detail => $detail, hint => $hint);
}

# The publisher's own word counts, even when nothing else of it is valid: a root that has expired stops what hangs on it.
{
	my $case = copy_repository("$web/good2", "$web/case");
	my @expired = has_expired('root metadata', '1 day');
	my %expected = (sqlstate => $expired[0], detail => $expired[2], hint => $expired[3]);
	sign('role', $case, $keys, 'root', '--expires-in', '-86410');
	serve($live, $case);
	refused_ok($node, 'refresh: root expired', $refresh, %expected, message => $expired[1]);
	refused_ok($node, 'install: root expired', $install, %expected, message => qr/root metadata of the repository expired/);
	restore_metadata();
}

# ---- packages ----

my $package = 'targets/pg15/linux-amd64/depot_demo/1.1/[0-9a-f]{64}\.depot_demo-1\.1\.tar\.zst';
my $no_package = qr/^could not fetch "$package" from 127\.0\.0\.1: /;
my $size = -s target_of("$web/good2", 'depot_demo-1\.1');
my $stalled = [ '08006', qr/${no_package}the transfer stalled$/, qr/^Less than \d+ bytes per second arrived over 2000 ms, after \d+ bytes\.$/,
	'If the line is slow, raise depot.stall_timeout.' ];
my $larger = [ '54000', qr/${no_package}it is larger than $size bytes$/, "The signed metadata says that it has $size bytes." ];
my %bad_transfers = (
	truncate => [ '08006', qr/${no_package}truncated: got \d+ of $size bytes$/ ],
	short => [ '08006', qr/${no_package}truncated: got \d+ of $size bytes$/ ],
	stall => $stalled,
	silent => $stalled,
	drip => $stalled,
	larger => $larger,
	endless => $larger,
	redirect => [ '08006', qr/${no_package}the server answered with a redirect$/, 'Redirects are not followed (status 302).',
		q{Give the repository's final address.} ],
	error => [ '08006', qr/${no_package}the server answered with status 500$/ ],
	forbidden => [ '08006', qr/${no_package}the server answered with status 403$/,
		'No credentials were sent: depot.credentials_file is not set.',
		'If the repository is private, give its credentials there; absent files need status 404.' ],
	gone => [ '58P01', qr/^repository "main" does not have package "\S+depot_demo-1\.1\.tar\.zst" that its metadata lists$/, '',
		'The repository or its mirror is incomplete; try again later, or tell its publisher.' ],
	garbage => [ '08006', $no_package ],
);
foreach my $behaviour (sort keys %bad_transfers)
{
	my ($sqlstate, $message, $detail, $hint) = @{ $bad_transfers{$behaviour} };
	behave($server, $behaviour, 'depot_demo-1.1');
	my $error = refused_ok($node, "package: $behaviour", $install, sqlstate => $sqlstate, message => $message, detail => $detail, hint => $hint);
	unlike($error->{stderr}, qr/root:|oops|OpenSSH/, "package: $behaviour: nothing that the server sent is shown");
}
foreach my $behaviour (qw(stall redirect error))
{
	behave($server, $behaviour, 'timestamp');
	refused_ok($node, "timestamp: $behaviour", $refresh, sqlstate => '08006', message => qr{^could not fetch "metadata/timestamp\.json" from 127\.0\.0\.1: });
}
behave_well($server);

{
	my $case = copy_repository("$web/good2", "$web/case");
	rewrite(target_of($case, 'depot_demo-1\.1'), sub { my ($text) = @_; substr($text, -20, 1) ^= "\1"; $text });
	serve($live, $case);
	refused_ok($node, 'package: other bytes than signed', $install, sqlstate => 'PD008',
		message => qr/${no_package}it is not the file that was signed$/,
		detail => qr/^Its sha256 is [0-9a-f]{64}, the signed metadata says [0-9a-f]{64}\.$/,
		hint => q{It was altered or damaged there or on its way; tell the repository's publisher.});
	sql_ok("UPDATE depot.repository SET mirrors = ARRAY['file://$web/good2']", 'a mirror that has the right bytes');
	sql_ok($install, 'installed from it');
	sql_ok($uninstall, 'and removed');
	sql_ok("UPDATE depot.repository SET mirrors = '{}'", 'no mirror');
	serve($live, "$web/good2");
}
sql_ok($install, 'the package in order is installed');
sql_ok($uninstall, 'and removed');

# ---- unreachable ----

stop_serving($server);
refused_ok($node, 'refresh: unreachable', $refresh, sqlstate => '08001',
	message => 'could not fetch "metadata/2.root.json" from 127.0.0.1: no connection');
refused_ok($node, 'install: unreachable', $install, sqlstate => '08001', message => qr/${no_package}no connection$/);
like(sql_ok("SELECT version FROM install_extension('depot_demo', dry_run => true)", 'a dry run needs no network'), qr/^1\.1$/,
	'and knows what would be installed');
sql_ok("UPDATE depot.repository SET refreshed_at = now() - interval '1 day'", 'metadata of yesterday');
like(sql_ok("SELECT version FROM install_extension('depot_demo', dry_run => true)", 'a dry run still works'), qr/^1\.1$/,
	'as nothing has expired');

# ---- mirrors ----

# Only packages are to be had, from a mirror; what was accepted yesterday says which.
copy_repository("$web/good2", "$web/packages-only");
run_ok('rm', '-rf', "$web/packages-only/metadata");
sql_ok("UPDATE depot.repository SET mirrors = ARRAY['file://$web/packages-only']", 'a mirror that has the packages only');
sql_ok($install, 'installed from it with metadata of yesterday');
is(sql_ok("SELECT source FROM depot.activity_log WHERE action = 'install' ORDER BY id DESC LIMIT 1", 'the history'),
	"file://$web/packages-only", 'it names the mirror');
sql_ok($uninstall, 'and removed');
sql_ok("UPDATE depot.repository SET expires_at = now() - interval '1 minute'", 'metadata that the rows call expired');
refused_ok($node, 'install: unreachable and expired', $install, sqlstate => '08001', message => qr/no connection$/);
sql_ok("SELECT drop_extension_repository('main')", 'dropped');

$server = serve_badly($live, $server->{port});
foreach my $first ('http://127.0.0.1:1', "file://$work/nowhere", "file://$web/packages-only")
{
	sql_ok(add_sql('main', $first, mirrors => [ 'http://127.0.0.1:1/x', $url ]), "mirrors in turn: $first, then two");
	sql_ok($install, 'installed from what was delivered');
	like(sql_ok("SELECT source FROM depot.activity_log WHERE action = 'install' ORDER BY id DESC LIMIT 1", 'the history'),
		$first =~ /only/ ? qr/^\Q$first\E$/ : qr/^\Q$url\E$/, 'it names the address');
	sql_ok($uninstall, 'removed');
	sql_ok("SELECT drop_extension_repository('main')", 'dropped');
}
foreach my $behaviour (qw(truncate larger redirect error gone garbage))
{
	behave($server, $behaviour, 'depot_demo-1.1');
	sql_ok(add_sql('main', $url, mirrors => ["file://$web/good2"]), "mirrors in turn: $behaviour, then one in order");
	sql_ok($install, 'installed from the mirror');
	is(sql_ok("SELECT source FROM depot.activity_log WHERE action = 'install' ORDER BY id DESC LIMIT 1", 'the history'),
		"file://$web/good2", 'it names the mirror');
	sql_ok($uninstall, 'removed');
	sql_ok("SELECT drop_extension_repository('main')", 'dropped');
}
behave_well($server);

# ---- going back by dropping and adding ----

serve($live, "$web/good1");
my %went_back = (sqlstate => 'PD004',
	message => "$went_back serves timestamp metadata version 2, but version 3 was seen before", hint => $old_mirror);
refused_ok($node, 'add again: older metadata than before', add_sql('main', $url), %went_back);
refused_ok($node, 'add again: root of another repository', add_sql('main', $url, root => $other_root),
	sqlstate => 'PD002', message => $not_signed);
refused_ok($node, 'add again: older metadata, after an attempt with another root', add_sql('main', $url), %went_back);
serve($live, "$web/good2");
sql_ok(add_sql('main', $url), 'added again with what was seen before');
sql_ok("SELECT drop_extension_repository('main')", 'dropped');
serve($live, "$web/other");
sql_ok(add_sql('main', $url, root => $other_root), 'another repository under the name is another repository');
is(sql_ok('SELECT version FROM depot.packages', 'the catalogue'), '9.0', 'and offers its own');

oracle_ok($node, 'after all of it', '--repository', "$web/good2");
done_testing();
