# DepotAttack: what the tests of bad input share: repositories that are wrong in
# one way, a web server that misbehaves, and the test that a call is refused.
#
#   DEPOT_TEST_TOOLS   directory of the tools sign and hostile (default: build/tools)
#   DEPOT_TEST_FACTS   file that gets a line for each refusal: case, SQLSTATE, message, detail, hint
#
# SPDX-License-Identifier: PostgreSQL

package DepotAttack;

use strict;
use warnings;

use DepotTest;
use Exporter qw(import);
use File::Path qw(make_path);
use IO::Compress::Gzip qw(gzip);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT = qw(
  all_keys behave behave_well copy_repository make_keys make_repository publish refused_ok serve serve_badly sign
  staging_entries stop_serving target_of tool whole_set
);

my @servers;

END
{
	my $status = $?;
	kill 'TERM', $_ foreach @servers;
	waitpid $_, 0 foreach @servers;
	$? = $status;
}

# ---- repositories ----

sub tool
{
	my ($name) = @_;
	my $path = ($ENV{DEPOT_TEST_TOOLS} // "$DepotTest::top/build/tools") . "/$name";
	die "there is no $path; run \"make tools\" first\n" if !-x $path;
	return $path;
}

# A --key option for each key but the stranger's.
sub all_keys
{
	my ($keys) = @_;
	return map { ('--key' => $_) } grep { !/(?:\.pub|\/stranger)$/ } glob("$keys/*");
}

sub make_keys
{
	my ($keys, @names) = @_;
	make_path($keys);
	run_ok(DepotTest::depot_program(), 'keygen', "$keys/$_") foreach @names;
	return;
}

sub publish
{
	my ($repository, $keys, @packages) = @_;
	my $program = DepotTest::depot_program();
	run_ok($program, 'repo', 'add', $repository, @packages) if @packages;
	run_ok($program, 'repo', 'publish', $repository, all_keys($keys));
	return;
}

# A repository of these packages, with new keys below keys: two for targets, one for each other role, and a stranger's.
sub make_repository
{
	my ($repository, $keys, @packages) = @_;
	make_keys($keys, qw(root targets targets2 snapshot timestamp stranger));
	run_ok(DepotTest::depot_program(), 'repo', 'init', $repository, '--timestamp-days', '365', '--snapshot-days', '365',
		(map { ("--$_-key" => "$keys/$_") } qw(root targets snapshot timestamp)),
		'--targets-key', "$keys/targets2", '--targets-threshold', '2');
	publish($repository, $keys, @packages);
	return;
}

# Makes to a copy of from, in place of what to was.
sub copy_repository
{
	my ($from, $to) = @_;
	run_ok('rm', '-rf', $to);
	run_ok('cp', '-a', $from, $to);
	return $to;
}

# Lets a name below the web server's root stand for another directory, at once.
sub serve
{
	my ($name, $directory) = @_;
	unlink "$name.new";
	symlink($directory, "$name.new") or die "symlink: $!";
	rename("$name.new", $name) or die "rename: $!";
	return;
}

sub sign
{
	my ($what, $repository, $keys, @arguments) = @_;
	run_ok(tool('sign'), $what, $repository, all_keys($keys), @arguments);
	return;
}

# The file that holds a target, by a pattern of its name.
sub target_of
{
	my ($repository, $pattern) = @_;
	my @files = grep { /$pattern/ } glob("$repository/targets/*/*/*/*/*");
	die "$pattern matches " . scalar(@files) . " targets of $repository" if @files != 1;
	return $files[0];
}

# ---- a web server that misbehaves ----

# What each does with a file that it should send.
my %behaviours = (
	truncate => sub {
		my ($client, $body) = @_;
		print $client header('200 OK', length($body)), substr($body, 0, length($body) / 2);
	},
	# Ends in good order, only too early.
	short => sub {
		my ($client, $body) = @_;
		print $client header('200 OK', undef), substr($body, 0, length($body) / 2);
	},
	stall => sub {
		my ($client, $body) = @_;
		print $client header('200 OK', length($body)), substr($body, 0, 100);
		IO::Select->new($client)->can_read(60);
	},
	silent => sub { my ($client) = @_; IO::Select->new($client)->can_read(60); },
	drip => sub {
		my ($client, $body) = @_;
		print $client header('200 OK', length($body));
		my $waiting = IO::Select->new($client);
		foreach my $byte (split //, substr($body, 0, 100))
		{
			print $client $byte;
			last if $waiting->can_read(0.3);
		}
	},
	larger => sub {
		my ($client, $body) = @_;
		print $client header('200 OK', length($body) + 4096), $body, 'x' x 4096;
	},
	endless => sub {
		my ($client, $body) = @_;
		print $client header('200 OK', undef), $body;
		foreach (1 .. 1000) { print $client 'x' x 65536 or last }
	},
	redirect => sub { my ($client) = @_; redirect($client, 'http://127.0.0.1:1/'); },
	# To where a good file is, if anybody followed.
	redirect_file => sub { my ($client, $body, $file) = @_; redirect($client, "file://$file"); },
	redirect_host => sub { my ($client, $body, $file, $path) = @_; redirect($client, 'http://localhost:' . $client->sockport . "/$path"); },
	page => sub { my ($client) = @_; my $page = '<!DOCTYPE html><title>Welcome</title>'; print $client header('200 OK', length $page), $page; },
	# Ten megabytes of zeros, in ten kilobytes.
	bomb => sub {
		my ($client) = @_;
		my $zeros = "\0" x 10_000_000;
		gzip(\$zeros, \my $bomb) or return;
		print $client header("200 OK\r\nContent-Encoding: gzip", length $bomb), $bomb;
	},
	# A hundred megabytes of JSON, nested a hundred thousand deep.
	nested => sub {
		my ($client) = @_;
		print $client header('200 OK', undef);
		foreach (1 .. 500) { print $client '[' x 100_000, ']' x 100_000, ',' or last }
	},
	error => sub { my ($client) = @_; print $client header('500 Internal Server Error', 5), "oops\n"; },
	forbidden => sub { my ($client) = @_; print $client header('403 Forbidden', 5), "root:\n"; },
	gone => sub { my ($client) = @_; print $client header('404 Not Found', 0); },
	garbage => sub { my ($client) = @_; print $client "SSH-2.0-OpenSSH_9.2\r\n"; },
);

sub redirect
{
	my ($client, $location) = @_;
	print $client "HTTP/1.1 302 Found\r\nLocation: $location\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	return;
}

sub header
{
	my ($status, $length) = @_;
	return "HTTP/1.1 $status\r\n" . (defined $length ? "Content-Length: $length\r\n" : '') . "Connection: close\r\n\r\n";
}

# What the control file says: "<behaviour> <word>" spoils each file whose path has <word> in it.
sub read_control
{
	my ($control) = @_;
	return -f $control ? split(/ /, file_contents($control)) : ('', '');
}

sub answer
{
	my ($client, $directory, $control) = @_;
	my $request = '';
	while ($request !~ /\r\n\r\n/)
	{
		sysread($client, $request, 4096, length $request) or return;
	}
	my ($path) = $request =~ m{^GET /(\S+) } or return;
	my ($behaviour, $word) = read_control($control);
	if (!-f "$directory/$path")
	{
		print $client header('404 Not Found', 0);
		return;
	}
	my $body = file_contents("$directory/$path");
	if ($behaviour ne '' && index($path, $word) >= 0)
	{
		$behaviours{$behaviour}->($client, $body, "$directory/$path", $path);
	}
	else
	{
		print $client header('200 OK', length($body)), $body;
	}
	return;
}

# Serves a directory as its control file says at the moment; dead for as long as stop_serving was called.
sub serve_badly
{
	my ($directory, $port) = @_;
	my $listener = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1', LocalPort => $port // 0, Listen => 16, Proto => 'tcp', ReuseAddr => 1)
	  or die "no port: $!";
	my %server = (port => $listener->sockport, directory => $directory, control => "$directory.control");
	$server{url} = "http://127.0.0.1:$server{port}";
	$server{pid} = fork() // die "fork: $!";
	if ($server{pid} != 0)
	{
		push @servers, $server{pid};
		return \%server;
	}
	$SIG{$_} = 'IGNORE' foreach qw(CHLD PIPE);
	$SIG{TERM} = 'DEFAULT';
	for (;;)
	{
		my $client = $listener->accept or next;
		my $child = fork() // POSIX::_exit(1);
		if ($child == 0)
		{
			close($listener);
			binmode $client;
			$client->autoflush(1);
			eval { answer($client, $directory, $server{control}) };
			close($client);
			POSIX::_exit(0);
		}
		close($client);
	}
	return;
}

sub behave
{
	my ($server, $behaviour, $word) = @_;
	die "no such behaviour: $behaviour" if $behaviour ne '' && !exists $behaviours{$behaviour};
	write_file($server->{control}, "$behaviour $word");
	return;
}

sub behave_well
{
	my ($server) = @_;
	unlink $server->{control};
	return;
}

sub stop_serving
{
	my ($server) = @_;
	kill 'TERM', $server->{pid};
	waitpid $server->{pid}, 0;
	@servers = grep { $_ != $server->{pid} } @servers;
	return;
}

# ---- what must be ----

sub staging_entries
{
	my ($node) = @_;
	return glob($node->data_dir . '/pg_depot/var/pgsql_tmp_staging/*');
}

sub note_fact
{
	my ($label, $error) = @_;
	return if !defined $ENV{DEPOT_TEST_FACTS};
	open(my $file, '>>', $ENV{DEPOT_TEST_FACTS}) or die "$ENV{DEPOT_TEST_FACTS}: $!";
	print $file join("\t", $label, map { $error->{$_} // '' } qw(sqlstate message detail hint)), "\n";
	close($file);
	return;
}

sub matches
{
	my ($text, $expected) = @_;
	return 1 if !defined $expected;
	return ($text // '') =~ $expected if ref $expected;
	return ($text // '') eq $expected;
}

# Tests that a statement is refused so: {sqlstate, message, detail, hint}, each a string or pattern ('' for none, undef for any),
# and that rows, files and staging are as before.  Further: database, timeout.
sub refused_ok
{
	my ($node, $label, $sql, %expected) = @_;
	my $before = oracle_dump($node);
	my $error = psql_error($node, $expected{database} // 'postgres', $sql, timeout => $expected{timeout});
	my $after = oracle_dump($node);
	my @staged = staging_entries($node);
	my @wrong = grep { !matches($error->{$_}, $expected{$_}) } qw(sqlstate message detail hint);

	push @wrong, 'SQLSTATE XX000' if ($error->{sqlstate} // '') eq 'XX000';
	push @wrong, 'no error' if !defined $error->{sqlstate};
	push @wrong, "staging holds @staged" if @staged;
	ok(!@wrong, "$label: refused")
	  or diag('wrong: ' . join(', ', @wrong) . "\n" . join('', map { "  $_: " . ($error->{$_} // '(none)') . "\n" } qw(sqlstate message detail hint))
		  . "  all of it: $error->{stderr}$error->{stdout}");
	is($after, $before, "$label: rows and files are as before");
	note_fact($label, $error);
	return $error;
}

# The files below a repository's trusted metadata that were valid together last: what a refresh that failed has replaced
# counts as it was before.
sub whole_set
{
	my ($metadata) = @_;
	return join "\n",
	  map { $_ => DepotTest::file_contents(-e "$metadata/whole/$_" ? "$metadata/whole/$_" : "$metadata/$_") }
	  map { "$_.json" } qw(timestamp snapshot targets pg15-linux-amd64);
}

1;
