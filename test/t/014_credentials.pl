# Private repositories: each kind of credentials opens one, and goes to nobody else; secrets stay in the file and the
# process that sends them.
#
# Holds promise 12 (clear refusals).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use IO::Socket::INET;
use IPC::Run ();
use POSIX ();
use Test::More;

use constant SECRET => 'yEllOw.submarine-4711';

my $work = $ENV{DEPOT_TEST_WORK};
my $repository = depot_repository();
my $root = file_contents($repository->{root});
my $file = "$work/credentials.json";

# ---- web servers that ask for credentials ----

my ($http, $other, $tls) = map { DepotTest::free_port() } 1 .. 3;
my $web_work = "$work/web";
mkdir $web_work or die "$web_work: $!";
DepotTest::make_certificates($web_work);
run_ok('openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', "$web_work/client.key",
	'-out', "$web_work/client.csr", '-subj', '/CN=a server');
run_ok('openssl', 'x509', '-req', '-in', "$web_work/client.csr", '-CA', "$web_work/ca.crt", '-CAkey', "$web_work/ca.key",
	'-CAcreateserial', '-days', '30', '-out', "$web_work/client.crt");
write_file("$web_work/htpasswd", 'depot:{PLAIN}' . SECRET . "\n");
my $temporary = join("\n", map { "${_}_temp_path $web_work/$_;" } qw(client_body proxy fastcgi uwsgi scgi));
my $secret = SECRET;
write_file("$web_work/nginx.conf", <<"CONF");
daemon off;
worker_processes 1;
pid $web_work/nginx.pid;
error_log $web_work/error.log;
events { worker_connections 64; }
http {
	$temporary
	log_format heads '\$server_port \$uri \$status auth="\$http_authorization" token="\$http_private_token"';
	access_log $web_work/access.log heads;
	server {
		listen 127.0.0.1:$http;
		location /basic/ { alias $repository->{directory}/; auth_basic depot; auth_basic_user_file $web_work/htpasswd; }
		location /slow/ { alias $repository->{directory}/; auth_basic depot; auth_basic_user_file $web_work/htpasswd; limit_rate 4k; }
		location /bearer/ { if (\$http_authorization != "Bearer $secret") { return 401; } alias $repository->{directory}/; }
		location /header/ { if (\$http_private_token != "$secret") { return 403; } alias $repository->{directory}/; }
		location /moved/ { rewrite ^/moved/(.*) http://127.0.0.1:$other/\$1 redirect; }
	}
	server { listen 127.0.0.1:$other; root $repository->{directory}; }
	server {
		listen 127.0.0.1:$tls ssl;
		ssl_certificate $web_work/server.crt;
		ssl_certificate_key $web_work/server.key;
		ssl_client_certificate $web_work/ca.crt;
		ssl_verify_client on;
		root $repository->{directory};
	}
}
CONF
DepotTest::start_web_again({ work => $web_work, https => "https://127.0.0.1:$tls" });

my $node = new_depot_node('private', conf => "depot.ca_file = '$web_work/ca.crt'\nlog_statement = none\n");
create_depot($node);

sub add_sql
{
	my ($url, %options) = @_;
	my $name = $options{name} // 'main';
	my $mirrors = $options{mirrors} ? ", mirrors => ARRAY['" . join("','", @{ $options{mirrors} }) . "']" : '';
	return "SELECT * FROM add_extension_repository('$name', '$url', trusted_root => \$root\$$root\$root\$$mirrors)";
}

# Replaces the file, whole: pairs of a prefix and what is to be sent there, as JSON.
sub write_credentials
{
	my (@pairs) = @_;
	my @entries;
	while (my ($prefix, $kind) = splice(@pairs, 0, 2)) { push @entries, qq({"prefix": "$prefix", $kind}) }
	write_file("$file.new", '{"credentials": [' . join(', ', @entries) . ']}');
	chmod 0600, "$file.new";
	rename "$file.new", $file or die "rename: $!";
	return;
}

sub set_file
{
	my ($path) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET depot.credentials_file = '$path'");
	$node->reload;
	wait_until(sub { $node->safe_psql('postgres', 'SHOW depot.credentials_file') eq $path }) or die 'no reload';
	return;
}

# Adds the repository, installs from it, and drops it again.
sub opens_ok
{
	my ($label, $url) = @_;
	my $added = psql_error($node, 'postgres', add_sql($url));
	is($added->{status}, 0, "$label: added") or return diag($added->{stderr});
	is($node->safe_psql('postgres', "SELECT action FROM install_extension('hll')"), 'install', "$label: installed from it");
	$node->safe_psql('postgres', "SELECT uninstall_extension('hll'); SELECT drop_extension_repository('main')");
	return;
}

# ---- without credentials, and with a file that is not in order ----

my $base = "http://127.0.0.1:$http";
my $basic = qq("basic": {"user": "depot", "password": "$secret"});
my $denied = 'could not fetch "metadata/2.root.json" from 127.0.0.1: the server answered with status 401';
refused_ok($node, 'no file', add_sql("$base/basic"), sqlstate => '08006', message => $denied,
	detail => 'No credentials were sent: depot.credentials_file is not set.',
	hint => 'If the repository is private, give its credentials there; absent files need status 404.');
set_file($file);
refused_ok($node, 'a file that is not there', add_sql("$base/basic"), sqlstate => 'F0000',
	message => qq{could not open the credentials file "$file": No such file or directory});
write_credentials("$base/basic", $basic);
foreach my $mode (0644, 0640, 0604, 0700)
{
	chmod $mode, $file;
	refused_ok($node, sprintf('mode %04o', $mode), add_sql("$base/basic"), sqlstate => 'F0000',
		message => sprintf('the credentials file "%s" has mode %04o, which is more than 0600', $file, $mode), hint => qr/^Run chmod 0600 on it; /);
}
write_credentials("$base/basic", qq("basic": {"user": "depot", "password": "$secret", "note": "$secret"}));
my $error = refused_ok($node, 'a mistake in the file', add_sql("$base/basic"), sqlstate => 'F0000',
	message => qq{credentials file "$file", entry 1: member "basic" has a member that is not known});
write_credentials('http://192.0.2.1/depot', $basic);
refused_ok($node, 'a prefix with http', add_sql("$base/basic"), sqlstate => 'F0000', message => qr/entry 1: member "prefix" is an http URL of another host/);
write_credentials("$base/other", $basic);
refused_ok($node, 'no entry for it', add_sql("$base/basic"), sqlstate => '08006', message => $denied,
	detail => 'No credentials were sent: depot.credentials_file has no entry for this address.');
write_credentials("$base/basic/", '"bearer": "wrong-' . SECRET . '"');
refused_ok($node, 'wrong ones', add_sql("$base/basic"), sqlstate => '08006', message => $denied,
	detail => qq{The credentials of the entry for "$base/basic/" in depot.credentials_file were sent.}, hint => qr/^Correct that entry, /);
refused_ok($node, 'a user name in a mirror', add_sql("$base/basic", mirrors => ["https://depot:another\@127.0.0.1/x"]), sqlstate => '22023',
	message => 'invalid repository URL: user names and passwords are not allowed');

# ---- each kind, the file changed without a reload ----

write_credentials($base, '"bearer": "wrong"', "$base/basic", $basic);
opens_ok('basic, by the longest prefix', "$base/basic");
write_credentials("$base/bearer", qq("bearer": "$secret"));
opens_ok('bearer', "$base/bearer");
write_credentials("$base/header", qq("header": {"name": "PRIVATE-TOKEN", "value": "$secret"}));
opens_ok('header', "$base/header");
my $secure = "https://127.0.0.1:$tls";
refused_ok($node, 'no client certificate', add_sql($secure), sqlstate => '08006', message => qr/timestamp|status 400/);
write_credentials($secure, qq("client_certificate": {"certificate": "$web_work/client.crt", "key": "$web_work/client.key"}));
opens_ok('client certificate', $secure);

# The key is the server's user's alone, or root's and its group's.
my $named_key = sub {
	write_credentials($secure, qq("client_certificate": {"certificate": "$web_work/client.crt", "key": "$_[0]"}));
};
run_ok('cp', "$web_work/client.key", "$web_work/open.key");
$named_key->("$web_work/open.key");
foreach my $mode (0604, 0640, 0620, 0610)
{
	chmod $mode, "$web_work/open.key";
	refused_ok($node, sprintf('a key of mode %04o', $mode), add_sql($secure), sqlstate => 'F0000',
		message => sprintf(qq(the client certificate's key "$web_work/open.key" has mode %04o, which is more than 0600), $mode),
		hint => 'Run chmod 0600 on it; others may have read it, so think of a new key.');
}
chmod 0400, "$web_work/open.key";
opens_ok('a key that its owner can only read', $secure);
symlink "$web_work/open.key", "$web_work/link.key" or die "symlink: $!";
$named_key->("$web_work/link.key");
opens_ok('a link to a key', $secure);
my $where = 'Correct the path in depot.credentials_file.';
$named_key->("$web_work/absent.key");
refused_ok($node, 'a key that is not there', add_sql($secure), sqlstate => 'F0000', hint => $where,
	message => qq(could not look at the client certificate's key "$web_work/absent.key": No such file or directory));
$named_key->('/dev/null');
refused_ok($node, 'a device as a key', add_sql($secure), sqlstate => 'F0000', hint => $where,
	message => q(the client certificate's key "/dev/null" is not a regular file));
SKIP:
{
	my ($theirs) = grep { -f $_ && (stat _)[4] != 0 && (stat _)[4] != $> } glob('/var/mail/* /var/cache/*/* /var/lib/*/*');
	skip 'there is no file of another user here', 2 if !defined $theirs;
	$named_key->($theirs);
	refused_ok($node, 'a key of another user', add_sql($secure), sqlstate => 'F0000', hint => 'Change its owner with chown.',
		message => qq(the client certificate's key "$theirs" belongs neither to the server's user nor to root));
}
SKIP:
{
	my ($roots) = grep { -f $_ && (stat _)[4] == 0 && (stat _)[2] & 04 } qw(/etc/passwd /etc/hostname);
	skip 'there is no file of root here', 2 if !defined $roots;
	$named_key->($roots);
	refused_ok($node, "root's file that anybody can read", add_sql($secure), sqlstate => 'F0000', hint => qr/^Run chmod 0640 on it; /,
		message => qr/^the client certificate's key "\Q$roots\E" has mode 0644, which is more than 0640$/);
}

write_credentials($secure, qq("client_certificate": {"certificate": "$web_work/client.crt", "key": "$web_work/server.key"}));
refused_ok($node, 'a key of another certificate', add_sql($secure), sqlstate => 'F0000',
	message => 'could not fetch "metadata/2.root.json" from 127.0.0.1: the client certificate or its key cannot be used',
	hint => qr/^Check the files that depot\.credentials_file names/);

# ---- AWS SigV4, checked as S3 does ----

# Whether a request carries the signature that this key makes for it.
sub is_signed
{
	my ($request) = @_;
	my ($method, $path) = $request =~ m{^(GET) (\S+) HTTP/1\.1\r\n} or return 0;
	my %head = map { /^([^:]+):\s*(.*?)\s*$/ ? (lc $1 => $2) : () } split /\r\n/, $request;
	my ($key, $date, $region, $service, $signed, $signature) = ($head{authorization} // '') =~
	  m{^AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$}
	  or return 0;
	return 0 if $key ne 'AKIDEXAMPLE' || $region ne 'eu-central-1' || $service ne 's3' || ($head{'x-amz-content-sha256'} // '') ne sha256_hex('');
	my $canonical = join("\n", $method, $path, '', (map { "$_:$head{$_}" } split(/;/, $signed)), '', $signed, sha256_hex(''));
	my $text = join("\n", 'AWS4-HMAC-SHA256', $head{'x-amz-date'}, "$date/$region/$service/aws4_request", sha256_hex($canonical));
	my $signing = 'AWS4' . SECRET;
	$signing = hmac_sha256($_, $signing) foreach $date, $region, $service, 'aws4_request';
	return hmac_sha256_hex($text, $signing) eq $signature;
}

# An object store that lets nobody list: 403 is all it says of what is not there.
sub start_store
{
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16, Proto => 'tcp') or die "no port: $!";
	my $port = $listener->sockport;
	my $pid = fork() // die "fork: $!";
	if ($pid != 0)
	{
		close($listener);
		return ($pid, $port);
	}
	for (;;)
	{
		my $client = $listener->accept or next;
		my $request = '';
		while ($request !~ /\r\n\r\n/ && sysread($client, $request, 4096, length $request)) { }
		my ($path) = $request =~ m{^GET /(\S+)};
		$path = ($path // '') =~ s/%([0-9A-F]{2})/chr hex $1/ger;
		my $body = is_signed($request) && -f "$repository->{directory}/$path" ? file_contents("$repository->{directory}/$path") : undef;
		print $client defined $body ? DepotAttack::header('200 OK', length $body) . $body : DepotAttack::header('403 Forbidden', 0);
		close($client);
	}
	return;
}

my ($store, $store_port) = start_store();
my $sigv4 = qq("aws_sigv4": {"access_key": "AKIDEXAMPLE", "secret_key": "%s", "region": "eu-central-1", "service": "s3"%s});
write_credentials("http://127.0.0.1:$store_port", sprintf($sigv4, SECRET, ''));
opens_ok('AWS SigV4', "http://127.0.0.1:$store_port");
write_credentials("http://127.0.0.1:$store_port", sprintf($sigv4, SECRET, ', "session_token": "short-lived"'));
opens_ok('AWS SigV4 with a session token', "http://127.0.0.1:$store_port");
write_credentials("http://127.0.0.1:$store_port", sprintf($sigv4, 'another', ''));
refused_ok($node, 'AWS SigV4 with another key', add_sql("http://127.0.0.1:$store_port"), sqlstate => '08006',
	message => 'could not fetch "metadata/timestamp.json" from 127.0.0.1: the server answered with status 403',
	detail => qr/^The credentials of the entry for /);
kill 'TERM', $store;
waitpid $store, 0;

# ---- to nobody else ----

# What a port was sent since the log was cut.
sub sent_to
{
	my ($port) = @_;
	return grep { /^$port / } split /\n/, file_contents("$web_work/access.log");
}

write_credentials("$base/basic", $basic, "$base/moved", $basic);
truncate "$web_work/access.log", 0;
my $with_mirror = add_sql("$base/moved", mirrors => ["http://127.0.0.1:$other"]);
my @warnings = grep { /WARNING/ } psql_notices($node, 'postgres', $with_mirror);
like($warnings[0] // '', qr/address "\Q$base\E\/moved" is skipped: .* the server answered with a redirect$/, 'a redirect is not followed');
ok((grep { /\/moved\/.* auth="Basic/ } sent_to($http)) > 0, 'whom the credentials are for has got them');
my @other = sent_to($other);
cmp_ok(scalar @other, '>', 0, 'the mirror was asked');
is(scalar(grep { !/ auth="-" token="-"$/ } @other), 0, 'without credentials') or diag(@other);
$node->safe_psql('postgres', "SELECT drop_extension_repository('main')");

# ---- the tuf commands ----

# Runs a refresh of the program with these options; returns its exit code and what it complained.
sub tuf_refresh
{
	my (@options) = @_;
	my $output = '';
	IPC::Run::run([ DepotTest::depot_program(), 'tuf', '--metadata-dir', "$work/trusted", '--metadata-url', "$base/basic/metadata", @options, 'refresh' ],
		'<', \undef, '>', \my $roles, '2>', \$output);
	return ($? >> 8, $output);
}

run_ok(DepotTest::depot_program(), 'tuf', '--metadata-dir', "$work/trusted", 'init', $repository->{root});
my ($code, $complaint) = tuf_refresh();
is($code, 1, 'tuf refresh without credentials fails');
like($complaint, qr/^detail: No credentials were sent: --credentials-file is not set\.$/m, 'and names its option');
($code, $complaint) = tuf_refresh('--credentials-file', $file);
is($code, 0, 'with them it succeeds') or diag($complaint);

# ---- in nobody's hands ----

# Whether the memory of a process has a text in it; undef where it may not be read.
sub memory_has
{
	my ($pid, $text) = @_;
	open(my $memory, '<:raw', "/proc/$pid/mem") or return;
	foreach my $map (split /\n/, file_contents("/proc/$pid/maps"))
	{
		my ($start, $end) = $map =~ /^([0-9a-f]+)-([0-9a-f]+) rw-p/ or next;
		sysseek($memory, hex $start, 0) or next;
		sysread($memory, my $bytes, hex($end) - hex($start)) or next;
		return 1 if index($bytes, $text) >= 0;
	}
	return 0;
}

write_credentials("$base/slow", $basic);
my $session = start_psql($node, 'postgres', add_sql("$base/slow", name => 'slow'));
my @agents;
wait_until(sub { @agents = agent_pids(leader_pid($node)); @agents == 2 && grep { m{/slow/.* auth="Basic} } sent_to($http) })
  or die 'no transfer is running';
my ($fetch) = grep { file_contents("/proc/$_/cmdline") =~ /\0fetch\0/ } @agents;
ok(!open(my $environment, '<', "/proc/$fetch/environ"), 'the process that sends them can neither be traced nor dumped');
SKIP:
{
	my $leader_has = memory_has(leader_pid($node), $secret);
	skip 'the memory of processes may not be read here', 2 if !defined $leader_has;
	is(memory_has(leader_pid($node), $file), 1, 'the leader knows where the file is');
	is($leader_has, 0, 'and nothing that stands in it');
}
unlike(join(' ', map { file_contents("/proc/$_/cmdline") } @agents), qr/\Q$secret\E/, 'no secret on a command line');
finish_psql($session);
like(oracle_dump($node), qr/\Q$base\E\/slow/, 'rows have the address');
unlike(oracle_dump($node), qr/\Q$secret\E/, 'and no secret');
unlike(file_contents($node->logfile) =~ s/^.*STATEMENT:.*$//mgr, qr/\Q$secret\E/, 'nor has the log');
unlike($error->{stderr}, qr/\Q$secret\E/, 'nor an error about the file');

oracle_ok($node, 'after all of it', '--repository', $repository->{directory});
done_testing();
