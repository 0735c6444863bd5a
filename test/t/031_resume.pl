# A connection that breaks in the middle of a package: the download goes on where it was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use constant CUT_BYTES => 300_000;

my $repository = depot_repository();
my $web = start_web($repository->{directory}, rate => '200k');
my $mark = "$ENV{DEPOT_TEST_WORK}/cut";
my $relay = start_relay($web->{slow} =~ /:(\d+)$/);
my $node = new_depot_node('resume', conf => "log_statement = none\n");
create_depot($node);
add_repository($node, $relay->{url});

# Joins a client to the web server; the first package that comes this way breaks off after CUT_BYTES.
sub relay_connection
{
	my ($client, $port) = @_;
	my $server = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Proto => 'tcp') or return;
	my $ends = IO::Select->new($client, $server);
	my $left = -1;
	for (;;)
	{
		foreach my $end ($ends->can_read)
		{
			my $bytes;
			sysread($end, $bytes, 65536) or return;
			$left = CUT_BYTES if $end == $client && $bytes =~ m{^GET /targets/} && !-e $mark;
			$bytes = substr($bytes, 0, $left) if $end == $server && $left >= 0;
			my $other = $end == $client ? $server : $client;
			print $other $bytes or return;
			next if $end == $client || $left < 0;
			$left -= length $bytes;
			next if $left > 0;
			DepotTest::write_file($mark, 'cut');
			return;
		}
	}
	return;
}

sub start_relay
{
	my ($port) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16, Proto => 'tcp') or die "no port: $!";
	my %relay = (url => 'http://127.0.0.1:' . $listener->sockport, pid => fork() // die "fork: $!");
	return \%relay if $relay{pid} != 0;
	$SIG{$_} = 'IGNORE' foreach qw(CHLD PIPE);
	$SIG{TERM} = 'DEFAULT';
	for (;;)
	{
		my $client = $listener->accept or next;
		if ((fork() // POSIX::_exit(1)) == 0)
		{
			close($listener);
			$client->autoflush(1);
			eval { relay_connection($client, $port) };
			POSIX::_exit(0);
		}
		close($client);
	}
	return;
}

sub bytes_done
{
	return $node->safe_psql('postgres', "SELECT bytes_done FROM depot.activity WHERE phase = 'fetching'") || 0;
}

my $install = start_psql($node, 'postgres', "SELECT install_extension('depot_big')");
ok(DepotTest::wait_until(sub { -e $mark }), 'the connection was broken');
my @seen;
DepotTest::wait_until(
	sub {
		my $bytes = bytes_done();
		push @seen, $bytes if $bytes > 0;
		return @seen > 0 && $bytes == 0;
	});
cmp_ok(scalar @seen, '>', 2, 'depot.activity shows the download after that');
# progress is told a few times a second, so the last word before the break may be older
cmp_ok((sort { $a <=> $b } @seen)[0], '>', CUT_BYTES / 2, 'and it did not start again');
is(join(' ', @seen), join(' ', sort { $a <=> $b } @seen), 'and never went back');

my $result = finish_psql($install);
is($result->{status}, 0, 'the installation succeeds') or diag($result->{stderr});
is($node->safe_psql('postgres', 'CREATE EXTENSION depot_big; SELECT depot_big_version()'), '1.0', 'with the right bytes');

my ($size) = $node->safe_psql('postgres', "SELECT size_bytes FROM depot.available WHERE package = 'depot_big'");
my @lines;
# nginx writes the line after it has answered
DepotTest::wait_until(
	sub {
		@lines = grep { m{"GET /targets/\S*\.depot_big-} } split /\n/, DepotTest::file_contents($web->{access_log});
		return @lines > 1;
	});
is(scalar @lines, 2, 'two requests for the package');
my ($status, $sent) = $lines[1] =~ /" (\d+) (\d+) /;
is($status, 206, 'the second for the rest of it');
cmp_ok($sent, '<', $size - CUT_BYTES / 2, 'which is all that it brought');

kill 'TERM', $relay->{pid};
waitpid $relay->{pid}, 0;
$node->stop;
done_testing();
