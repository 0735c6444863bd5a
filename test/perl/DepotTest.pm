# DepotTest: what the server tests of pg_depot share.
#
# Built on PostgreSQL::Test::Cluster.  Tests run as a user that may start a
# server: from root they go on as postgres.  The parent of each test process is
# a reaper (PR_SET_CHILD_SUBREAPER), because a killed server that nobody waits
# for keeps its lock file for as long as it is a zombie.
#
#   DEPOT_TEST_DEBS    directory with Debian's packages (default: apt-get download)
#   DEPOT_TEST_CACHE   directory that keeps the repository from one test to the next
#   DEPOT_TEST_LONG    1: more of everything that is random
#
# SPDX-License-Identifier: PostgreSQL

package DepotTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use Fcntl qw(:flock);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IPC::Run ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

our ($root_only, $top, $pgxs_tests, %pg);

# As PostgreSQL's own tests have it.
my $patience_seconds = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

our @EXPORT = qw(
  add_repository agent_pids create_depot depot_repository file_contents is_long is_error leader_pid
  make_tree_package new_depot_node oracle_dump oracle_is_ok oracle_ok pg_config_value processes_gone
  finish_psql psql_error psql_notices run_ok start_again start_psql start_web start_web_again stop_psql stop_web unchanged_ok
  wait_for_leader wait_until write_file
);

# ---- who we are, before anything else is loaded ----

use constant PR_SET_CHILD_SUBREAPER => 36;

# Waits for every orphan below us until the test itself has ended.
sub become_reaper
{
	return if ($ENV{DEPOT_TEST_REAPED_BY} // -1) == getppid();

	# Number of the system call prctl; perl has no other way to it.
	my %prctl_number = (x86_64 => 157, aarch64 => 167);
	my (undef, undef, undef, undef, $machine) = POSIX::uname();
	die "DepotTest: unknown machine $machine\n" if !exists $prctl_number{$machine};
	syscall($prctl_number{$machine}, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 or die "DepotTest: prctl: $!\n";

	my $test = fork() // die "DepotTest: fork: $!\n";
	if ($test == 0)
	{
		$ENV{DEPOT_TEST_REAPED_BY} = getppid();
		return;
	}
	$SIG{$_} = sub { kill $_[0], $test }
	  foreach qw(INT TERM HUP);
	for (;;)
	{
		my $ended = waitpid(-1, 0);
		next if $ended != $test && $ended != -1;
		my $status = $?;
		remove_tree($ENV{DEPOT_TEST_WORK}) if $ENV{DEPOT_TEST_WORK_IS_OURS} && $status == 0;
		POSIX::_exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
	}
}

sub make_work_directory
{
	return if defined $ENV{DEPOT_TEST_WORK};
	$ENV{DEPOT_TEST_WORK} = tempdir('depot-test-XXXXXX', TMPDIR => 1);
	$ENV{DEPOT_TEST_WORK_IS_OURS} = 1;
	return;
}

sub leave_root
{
	return if $> != 0 || $root_only;
	my (undef, undef, $uid, $gid) = getpwnam('postgres');
	die "DepotTest: there is no user postgres to go on as\n" if !defined $uid;
	make_work_directory();
	chown $uid, $gid, $ENV{DEPOT_TEST_WORK};
	if (defined $ENV{DEPOT_TEST_CACHE})
	{
		make_path($ENV{DEPOT_TEST_CACHE});
		chmod 01777, $ENV{DEPOT_TEST_CACHE};
	}
	$ENV{HOME} = $ENV{DEPOT_TEST_WORK};
	exec 'setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', $^X, '-I', dirname(abs_path(__FILE__)),
	  abs_path($0), @ARGV
	  or die "DepotTest: setpriv: $!\n";
}

sub pg_config_value
{
	my ($name) = @_;
	my $program = $ENV{PG_CONFIG} // 'pg_config';
	$pg{$name} //= do { my $value = `$program --$name`; chomp $value; $value };
	return $pg{$name};
}

BEGIN
{
	$root_only = $ENV{DEPOT_TEST_ROOT};
	$top = abs_path(dirname(__FILE__) . '/../..');
	umask 022;
	leave_root();
	make_work_directory();
	become_reaper();

	$pgxs_tests = dirname(pg_config_value('pgxs')) . '/../test';
	$ENV{TESTDIR} //= $ENV{DEPOT_TEST_WORK};
	$ENV{PG_REGRESS} //= "$pgxs_tests/regress/pg_regress";
	$ENV{PATH} = pg_config_value('bindir') . ":$ENV{PATH}:/usr/sbin:/sbin";
	chdir $ENV{DEPOT_TEST_WORK} or die "DepotTest: $ENV{DEPOT_TEST_WORK}: $!\n";
	unshift @INC, "$pgxs_tests/perl";
}

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

my @web_servers;

END
{
	my $status = $?;
	show_end_of_log() if $status != 0 && (Test::More->builder->is_passing || $status == 29 || $status == 255);
	kill 'TERM', $_ foreach @web_servers;
	waitpid $_, 0 foreach @web_servers;
	$? = $status;
}

# PostgreSQL::Test::Utils sends what a dying test says to a log; say it here as well.
sub show_end_of_log
{
	my $log = $PostgreSQL::Test::Utils::test_logfile;
	return if !defined $log || !-e $log;
	my @lines = split /\n/, file_contents($log);
	diag(join("\n", map { substr($_, 0, 400) } @lines > 12 ? @lines[ -12 .. -1 ] : @lines));
	return;
}

sub is_long
{
	return ($ENV{DEPOT_TEST_LONG} // '') =~ /^[1-9]/;
}

# ---- small things ----

sub file_contents
{
	my ($path) = @_;
	open(my $file, '<', $path) or die "could not open $path: $!";
	local $/ = undef;
	my $text = <$file>;
	close($file);
	return $text;
}

sub write_file
{
	my ($path, $text) = @_;
	open(my $file, '>', $path) or die "could not write $path: $!";
	print $file $text;
	close($file) or die "could not write $path: $!";
	return;
}

# Runs a command that must succeed; returns what it printed.
sub run_ok
{
	my (@command) = @_;
	my ($output, $errors) = ('', '');
	IPC::Run::run(\@command, '<', '/dev/null', '>', \$output, '2>', \$errors)
	  or die "@command failed: $errors$output";
	return $output;
}

# Waits for something to be true; returns whether it was.  A limit of one's own is only for what may well stay
# untrue, or what proves something by coming so early: a busy machine is slow, and who waits for nothing waits long.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $end = time + ($seconds // $patience_seconds);
	for (;;)
	{
		my $value = $condition->();
		return $value if $value;
		return 0 if time > $end;
		sleep 0.02;
	}
}

# ---- the repository ----

my @debian_extensions = qw(ip4r hll semver pgtap rational);

sub depot_program
{
	return $ENV{PG_DEPOT} // (pg_config_value('bindir') . '/pg_depot');
}

# Installed files of an extension without a library: name, version, and scripts by file name; package: its name.
sub make_tree_package
{
	my ($work, $name, $version, %options) = @_;
	my $package = $options{package} // $name;
	my $tree = tempdir(DIR => $work, CLEANUP => 1);
	my $directory = "$tree" . pg_config_value('sharedir') . '/extension';
	make_path($directory);
	my $control = "comment = 'made for a test'\ndefault_version = '$version'\nrelocatable = true\n";
	$control .= "requires = '$options{requires}'\n" if defined $options{requires};
	write_file("$directory/$name.control", $control);
	my %scripts = %{ $options{scripts} // {} };
	$scripts{"$name--$version.sql"} //=
	  "CREATE FUNCTION ${name}_version() RETURNS text LANGUAGE sql AS \$\$ SELECT '$version' \$\$;\n";
	write_file("$directory/$_", $scripts{$_}) foreach keys %scripts;
	make_path("$work/packages");
	run_ok(depot_program(), 'pack', '--from-tree', $tree, '--package', $package, '--version', $version,
		'--summary', 'made for a test', '--license', 'PostgreSQL', '-q', '-o', "$work/packages");
	return "$work/packages/$package-$version.tar.zst";
}

# Text that compresses to about half of its size, always the same.
sub dull_text
{
	my ($lines) = @_;
	my $text = '';
	my $state = 42;
	foreach (1 .. $lines)
	{
		my $line = '-- ';
		foreach (1 .. 15)
		{
			$state = ($state * 1103515245 + 12345) % 2147483648;
			$line .= sprintf('%06x', $state >> 7);
		}
		$text .= "$line\n";
	}
	return $text;
}

sub make_own_packages
{
	my ($work) = @_;
	my @files = map { make_tree_package($work, 'depot_demo', $_) } qw(1.0 1.1 1.2 2.0);
	push @files, make_tree_package($work, 'depot_needs', '1.0', requires => 'depot_demo');
	foreach my $version ('1.0', '1.1')
	{
		my %scripts = map { ("depot_wide--$_--0.$_.sql" => "-- step $_ of $version\n") } 1 .. 200;
		push @files, make_tree_package($work, 'depot_wide', $version, scripts => \%scripts);
	}
	my $big = "CREATE FUNCTION depot_big_version() RETURNS text LANGUAGE sql AS \$\$ SELECT '1.0' \$\$;\n"
	  . dull_text(30_000);
	push @files, make_tree_package($work, 'depot_big', '1.0', scripts => { 'depot_big--1.0.sql' => $big });
	return @files;
}

# Files of Debian's packages of these extensions.
sub download_debian
{
	my ($work, @extensions) = @_;
	my $major = PostgreSQL::Test::Utils::slurp_file(pg_config_value('includedir-server') . '/pg_config.h') =~
	  /PG_MAJORVERSION_NUM (\d+)/ ? $1 : die 'no PG_MAJORVERSION_NUM';
	my @names = map { "postgresql-$major-$_" } @extensions;
	my $debs = $ENV{DEPOT_TEST_DEBS};
	if (!defined $debs)
	{
		$debs = "$work/debs";
		make_path($debs);
		run_ok('sh', '-c', 'cd "$1" && shift && exec apt-get -q download "$@"', 'sh', $debs, @names);
	}
	return map { my ($file) = glob("$debs/${_}_*.deb"); $file // die "$debs holds no $_" } @names;
}

sub debian_packages
{
	my ($work) = @_;
	return download_debian($work, @debian_extensions);
}

sub build_repository
{
	my ($work) = @_;
	my $program = depot_program();
	my %keys = map { $_ => "$work/keys/$_" } qw(root targets snapshot timestamp);

	make_path("$work/keys", "$work/packages");
	run_ok($program, 'keygen', $_) foreach values %keys;
	run_ok($program, 'repo', 'init', "$work/repository", '--timestamp-days', '365', '--snapshot-days', '365',
		map { ("--$_-key" => $keys{$_}) } keys %keys);
	run_ok($program, 'pack', '--from-deb', '-q', '-o', "$work/packages", $_) foreach debian_packages($work);
	make_own_packages($work);
	run_ok($program, 'repo', 'add', "$work/repository", glob("$work/packages/*.tar.zst"));
	run_ok($program, 'repo', 'publish', "$work/repository", map { ('--key' => $_) } values %keys);
	return;
}

# The repository: {directory, root => path of its first root metadata, keys, packages}.
sub depot_repository
{
	my $cache = $ENV{DEPOT_TEST_CACHE} // "$ENV{DEPOT_TEST_WORK}/cache";
	make_path($cache);
	$cache = abs_path($cache);
	my $work = "$cache/repository-of-user-$>";
	open(my $lock, '>', "$cache/lock-of-user-$>") or die "could not write in $cache: $!";
	flock($lock, LOCK_EX) or die "flock: $!";
	if (!-e "$work/complete")
	{
		remove_tree($work);
		make_path($work);
		build_repository($work);
		write_file("$work/complete", '');
	}
	close($lock);
	return {
		directory => "$work/repository",
		root => "$work/repository/metadata/1.root.json",
		keys => "$work/keys",
		packages => "$work/packages"
	};
}

# ---- nginx ----

sub free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1, Proto => 'tcp') or die "no port: $!";
	my $port = $socket->sockport;
	close($socket);
	return $port;
}

# A certificate authority and a certificate of it for 127.0.0.1.
sub make_certificates
{
	my ($work) = @_;
	my @key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes');
	write_file("$work/extensions", "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n");
	run_ok('openssl', 'req', '-x509', @key, '-keyout', "$work/ca.key", '-out', "$work/ca.crt",
		'-days', '30', '-subj', '/CN=made for a test');
	run_ok('openssl', 'req', @key, '-keyout', "$work/server.key", '-out', "$work/server.csr", '-subj', '/CN=127.0.0.1');
	run_ok('openssl', 'x509', '-req', '-in', "$work/server.csr", '-CA', "$work/ca.crt", '-CAkey', "$work/ca.key",
		'-CAcreateserial', '-days', '30', '-extfile', "$work/extensions", '-out', "$work/server.crt");
	return;
}

# Serves a directory: {http, https, slow, ca_file, pid}; slow is http at rate bytes per second.
sub start_web
{
	my ($directory, %options) = @_;
	my $work = tempdir(DIR => $ENV{DEPOT_TEST_WORK}, CLEANUP => 1);
	my ($http, $https, $slow) = (free_port(), free_port(), free_port());
	my $rate = $options{rate} // '100k';
	my $temporary = join("\n", map { "${_}_temp_path $work/$_;" } qw(client_body proxy fastcgi uwsgi scgi));

	make_certificates($work);
	write_file("$work/nginx.conf", <<"CONF");
daemon off;
worker_processes 1;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 64; }
http {
	$temporary
	access_log $work/access.log;
	root $directory;
	server { listen 127.0.0.1:$http; }
	server { listen 127.0.0.1:$slow; location /targets { limit_rate $rate; } }
	server { listen 127.0.0.1:$https ssl; ssl_certificate $work/server.crt; ssl_certificate_key $work/server.key; }
}
CONF
	my $web = {
		work => $work,
		http => "http://127.0.0.1:$http",
		https => "https://127.0.0.1:$https",
		slow => "http://127.0.0.1:$slow",
		ca_file => "$work/ca.crt",
		access_log => "$work/access.log"
	};
	start_web_again($web);
	return $web;
}

# Starts nginx as start_web has configured it, at the same addresses: after stop_web, too.
sub start_web_again
{
	my ($web) = @_;
	my $work = $web->{work};
	my ($port) = $web->{https} =~ /:(\d+)$/;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$work/output");
		open(STDERR, '>&', \*STDOUT);
		exec 'nginx', '-e', "$work/error.log", '-c', "$work/nginx.conf" or POSIX::_exit(127);
	}
	push @web_servers, $pid;
	$web->{pid} = $pid;
	wait_until(sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 1) })
	  or die "nginx does not answer: " . file_contents("$work/output");
	return;
}

sub stop_web
{
	my ($web) = @_;
	kill 'TERM', $web->{pid};
	waitpid $web->{pid}, 0;
	@web_servers = grep { $_ != $web->{pid} } @web_servers;
	return;
}

# ---- servers ----

# A server with the library loaded, not started.
sub new_depot_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'pg_depot'
restart_after_crash = on
log_line_prefix = '%m [%p] %b '
CONF
	$node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	return $node;
}

# Starts it and creates the extension in its home database.
sub create_depot
{
	my ($node) = @_;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_depot');
	wait_for_leader($node);
	return;
}

sub add_repository
{
	my ($node, $url, %options) = @_;
	my $name = $options{name} // 'main';
	my $root = file_contents($options{root} // depot_repository()->{root});
	$url = "file://$url" if $url =~ m{^/};
	return $node->safe_psql('postgres',
		"SELECT * FROM add_extension_repository('$name', '$url', trusted_root => \$root\$$root\$root\$)");
}

# Runs statements; returns {status, stdout, stderr} and of the error {sqlstate, message, detail, hint}.
# Unlike safe_psql it does not mind a server that is not there or goes away.
sub psql_error
{
	my ($node, $database, $sql, %options) = @_;
	my $result = finish_psql(start_psql($node, $database, $sql, stop => 1), $options{timeout});
	my $stderr = $result->{stderr};
	$result->{message} = $1 if $stderr =~ /(?:ERROR|FATAL):  [0-9A-Z]{5}: (.*)$/m;
	my $after = defined $result->{message} ? substr($stderr, index($stderr, $result->{message})) : '';
	$result->{detail} = $1 if $after =~ /^DETAIL:  (.*)$/m;
	$result->{hint} = $1 if $after =~ /^HINT:  (.*)$/m;
	return $result;
}

# The NOTICE and WARNING lines of a statement that must succeed.
sub psql_notices
{
	my ($node, $database, $sql) = @_;
	my $stderr = '';
	my $status = $node->psql($database, $sql, stderr => \$stderr, on_error_stop => 1);
	die "failed: $sql: $stderr" if $status != 0;
	return grep { /(?:NOTICE|WARNING):/ } split /\n/, $stderr;
}

# Tests that a statement fails with this SQLSTATE and message.
sub is_error
{
	my ($node, $database, $sql, $sqlstate, $message, $label) = @_;
	my $error = psql_error($node, $database, $sql);
	my $is_right = ($error->{sqlstate} // '') eq $sqlstate && ($error->{message} // '') =~ $message;
	ok($is_right, "$label: $sqlstate") or diag("status $error->{status}: $error->{stderr}$error->{stdout}");
	return $error;
}

# A psql in the background; finish_psql waits for it, stop_psql kills it.
my $session_number = 0;

sub start_psql
{
	my ($node, $database, $sql, %options) = @_;
	my $stop = $options{stop} ? 1 : 0;
	my $base = "$ENV{DEPOT_TEST_WORK}/psql-" . $session_number++;
	write_file("$base.sql", $sql);
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$base.out");
		open(STDERR, '>', "$base.err");
		exec 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', "ON_ERROR_STOP=$stop", '-d', $node->connstr($database),
		  '-f', "$base.sql"
		  or POSIX::_exit(127);
	}
	return { pid => $pid, base => $base };
}

# Waits for it; returns {status, stdout, stderr, sqlstate, seconds}, or dies.
sub finish_psql
{
	my ($session, $seconds) = @_;
	my $start = time;
	my $status;
	if (!wait_until(sub { waitpid($session->{pid}, POSIX::WNOHANG) != 0 && defined($status = $?) }, $seconds))
	{
		stop_psql($session);
		die 'psql does not end: ' . file_contents("$session->{base}.err");
	}
	my $stderr = file_contents("$session->{base}.err");
	my $stdout = file_contents("$session->{base}.out");
	chomp $stdout;
	unlink map { "$session->{base}.$_" } qw(sql out err);
	return {
		status => $status >> 8,
		stdout => $stdout,
		stderr => $stderr,
		sqlstate => $stderr =~ /(?:ERROR|FATAL):  ([0-9A-Z]{5}):/ ? $1 : '',
		seconds => time - $start
	};
}

sub stop_psql
{
	my ($session) = @_;
	kill 'KILL', $session->{pid};
	waitpid $session->{pid}, 0;
	return;
}

sub leader_pid
{
	my ($node) = @_;
	my $answer = psql_error($node, 'postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_depot leader'");
	return $answer->{stdout} =~ /^(\d+)$/ ? $1 : 0;
}

# Waits until the leader takes requests.
sub wait_for_leader
{
	my ($node, $seconds) = @_;
	my $is_there = wait_until(
		sub { psql_error($node, 'postgres', 'SELECT count(*) FROM verify_extension_files()')->{status} == 0 },
		$seconds);
	die 'the leader does not answer: ' . substr(file_contents($node->logfile), -3000) if !$is_there;
	return;
}

# Processes whose parent is pid, except those that have ended.
sub children_of
{
	my ($pid) = @_;
	my @children;
	my $list = "/proc/$pid/task/$pid/children";
	my @candidates = map { "/proc/$_/stat" } split ' ', eval { file_contents($list) } // '';
	@candidates = glob('/proc/[0-9]*/stat') if !-e $list;
	foreach my $file (@candidates)
	{
		open(my $stat, '<', $file) or next;
		my $line = <$stat> // '';
		close($stat);
		my ($child, $state, $parent) = $line =~ /^(\d+) \(.*\) (\S) (\d+) /s or next;
		push @children, $child if $parent == $pid && $state ne 'Z';
	}
	return @children;
}

sub agent_pids
{
	my ($leader) = @_;
	return $leader ? children_of($leader) : ();
}

sub processes_gone
{
	my ($seconds, @pids) = @_;
	return wait_until(sub { !grep { my $stat = eval { file_contents("/proc/$_/stat") } // ''; $stat ne '' && $stat !~ /\) Z / } @pids },
		$seconds);
}

# Starts a server again whose postmaster was killed: its children may still be on their way out.
sub start_again
{
	my ($node, $seconds) = @_;
	my $is_up = wait_until(sub { $node->start(fail_ok => 1) || (sleep(0.1), 0)[1] }, $seconds);
	die 'the server does not start: ' . substr(file_contents($node->logfile), -3000) if !$is_up;
	return;
}

# ---- the oracle ----

sub oracle_command
{
	my ($node, @options) = @_;
	return ("$top/test/oracle", '--connection', $node->connstr('postgres'),
		'--repository', depot_repository()->{directory}, @options);
}

# What the oracle says, '' when files equal rows.
sub oracle_says
{
	my ($node, @options) = @_;
	my ($output, $errors) = ('', '');
	IPC::Run::run([ oracle_command($node, @options) ], '<', '/dev/null', '>', \$output, '2>', \$errors);
	my $status = $? >> 8;
	return '' if $status == 0 && $output eq '';
	return "exit status $status\n$output$errors";
}

# Asks until files equal rows, as reconciling may still go on; returns the last answer.
sub oracle_is_ok
{
	my ($node, $seconds, @options) = @_;
	my $answer;
	wait_until(sub { ($answer = oracle_says($node, @options)) eq '' || (sleep(0.1), 0)[1] }, $seconds);
	return $answer;
}

# The answer to a call may come before the leader's own work for other servers is done.
sub oracle_ok
{
	my ($node, $label, @options) = @_;
	my $answer = oracle_is_ok($node, 60, '--quiet-server', @options);
	return ok($answer eq '', "$label: files equal rows") || diag($answer);
}

# Fingerprint of rows and files.
sub oracle_dump
{
	my ($node) = @_;
	return run_ok(oracle_command($node, '--dump'));
}

# Tests that code changes neither rows nor files, once the leader has nothing more to do.
sub unchanged_ok
{
	my ($node, $label, $code) = @_;
	my ($before, $after);
	wait_until(sub { ($before = oracle_dump($node)) !~ m{var/pgsql_tmp_staging/} }, 60);
	$code->();
	wait_until(sub { ($after = oracle_dump($node)) eq $before }, 30);
	return is($after, $before, "$label: rows and files are as before");
}

1;
