# DepotReconnect: a client that installs and removes packages, whatever happens to the servers.
#
# It is a process of its own with one session at whoever is primary.  A lost
# connection, or an error that a failover explains, has it connect again and
# begin the change at hand from its first statement; another error ends it.
# Every error goes to a file, with its time, for the test to judge.
#
# SPDX-License-Identifier: PostgreSQL

package DepotReconnect;

use strict;
use warnings;

use DBI;
use DepotTest;
use IO::Select;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

# What a client must expect of a failover: administrator's shutdown and its like, lost connections, a session that
# finds itself on a standby, and a change that met another one.
my $tolerated = qr/^(?:57P0[123]|08...|25006|40001)$/;

# By extension: a statement that needs its library or its script's function.
my %probe = (
	hll => 'SELECT hll_cardinality(hll_empty())',
	ip4r => q{SELECT '192.0.2.1'::ip4},
	pg_rational => q{SELECT '1/3'::rational},
	pgtap => 'SELECT pgtap_version()',
	semver => q{SELECT '1.2.3'::semver});

sub extensions { return sort keys %probe }
sub probe { my ($extension) = @_; return $probe{$extension} }

# Starts the client; it waits until it is told to go on.  pace is the pause after each change, in seconds.
sub start
{
	my ($class, $connstr, %options) = @_;
	my $file = "$ENV{DEPOT_TEST_WORK}/reconnecting-client";

	write_file($file, '');
	pipe(my $from_test, my $to_client) or die "pipe: $!";
	pipe(my $from_client, my $to_test) or die "pipe: $!";
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		close($_) foreach $to_client, $from_client;
		my $state = { connstr => $connstr, pace => $options{pace} // 0, test => getppid() };
		@$state{ 'orders', 'answers', 'is_waiting' } = ($from_test, $to_test, 1);
		open($state->{file}, '>>', $file) or POSIX::_exit(1);
		$state->{file}->autoflush(1);
		$to_test->autoflush(1);
		eval { run($state); 1 } or note_event($state, { died => "$@" });
		POSIX::_exit(0);
	}
	close($_) foreach $from_test, $to_test;
	$to_client->autoflush(1);
	return bless { pid => $pid, file => $file, orders => $to_client, answers => $from_client }, $class;
}

# ---- in the client ----

sub note_event
{
	my ($state, $event) = @_;
	print { $state->{file} } JSON::PP->new->canonical->encode({ at => time, %$event }), "\n";
	return;
}

# Between two changes: goes on until told to wait, and waits until told to go on; returns 0 at the end of orders.
sub obey
{
	my ($state) = @_;
	my $select = IO::Select->new($state->{orders});
	while ($state->{is_waiting} || $select->can_read(0))
	{
		sysread($state->{orders}, my $order, 1) or return 0;
		$state->{is_waiting} = $order eq 'w';
		print { $state->{answers} } "waiting\n" if $state->{is_waiting};
	}
	return 1;
}

# SQLSTATE of what just failed; one that only the client's library knows about is a lost connection.
sub sqlstate_of
{
	my ($session) = @_;
	my $sqlstate = $session ? $session->state : $DBI::state;
	return $sqlstate if $sqlstate =~ $tolerated || $session && $session->ping > 0;
	return '08006';
}

# Runs statements, connecting first where there is no session; returns whether all succeeded.
sub attempt
{
	my ($state, @statements) = @_;
	my $now = 'connecting';

	return 1 if eval {
		$state->{session} //= DBI->connect("dbi:Pg:$state->{connstr}", '', '',
			{ RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_server_prepare => 0 });
		foreach my $statement (@statements)
		{
			$now = $statement;
			$state->{session}->do($statement);
		}
		1;
	};
	my $message = $@;
	my $sqlstate = sqlstate_of($state->{session});
	note_event($state, { sqlstate => $sqlstate, statement => $now, message => $message });
	die "an error that no failover explains\n" if $sqlstate !~ $tolerated;
	eval { $state->{session}->disconnect if $state->{session} };
	$state->{session} = undef;
	POSIX::_exit(0) if getppid() != $state->{test};
	sleep(0.1);
	return 0;
}

# What installs an extension's package and takes it into use, or removes both.
sub statements_of
{
	my ($extension, $is_there) = @_;

	return ("SELECT * FROM install_extension('$extension')", "CREATE EXTENSION IF NOT EXISTS $extension", $probe{$extension})
	  if !$is_there;
	# An answer that was lost may have been that it is removed, which a second call refuses.
	return ("DROP EXTENSION IF EXISTS $extension",
		"SELECT uninstall_extension(e) FROM depot.installed_packages, unnest(extensions) e WHERE e = '$extension'");
}

sub run
{
	my ($state) = @_;
	my @extensions = extensions();
	my %is_there;

	local $SIG{__WARN__} = sub { };    # notices
	while (obey($state))
	{
		my $extension = $extensions[ int rand @extensions ];
		my @statements = statements_of($extension, $is_there{$extension});
		my $tries = 1;
		$tries++ while !attempt($state, @statements);
		$is_there{$extension} = !$is_there{$extension};
		note_event($state, { extension => $extension, is_there => $is_there{$extension} ? 1 : 0, tries => $tries });
		sleep($state->{pace});
	}
	return;
}

# ---- in the test ----

sub go_on { my ($self) = @_; return print { $self->{orders} } 'g' }

# Returns once the client is between two changes, where it stays.
sub wait_for_pause
{
	my ($self) = @_;
	print { $self->{orders} } 'w';
	sysread($self->{answers}, my $answer, 100) or die "the client has ended\n" . file_contents($self->{file});
	return;
}

# Whether an error has ended it.
sub has_ended { my ($self) = @_; return grep { exists $_->{died} } $self->events }

sub end
{
	my ($self) = @_;
	close($self->{orders});
	waitpid $self->{pid}, 0;
	return;
}

sub events
{
	my ($self) = @_;
	return map { JSON::PP->new->decode($_) } split /\n/, file_contents($self->{file});
}

# Changes that were made so far.
sub changes { my ($self) = @_; return grep { exists $_->{extension} } $self->events }

# Errors that no event of a list of times, at most seconds before, explains.
sub unexplained
{
	my ($self, $seconds, @times) = @_;
	return grep {
		my $event = $_;
		exists $event->{died} || exists $event->{sqlstate}
		  && !($event->{sqlstate} =~ $tolerated && grep { $event->{at} >= $_ && $event->{at} <= $_ + $seconds } @times)
	} $self->events;
}

1;
