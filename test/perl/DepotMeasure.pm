# DepotMeasure: what the leader's agents cost while something runs.
#
# SPDX-License-Identifier: PostgreSQL

package DepotMeasure;

use strict;
use warnings;

use DepotTest;
use Exporter qw(import);
use IO::Handle;
use POSIX ();
use Time::HiRes qw(sleep);

our @EXPORT = qw(start_measuring stop_measuring);

# Largest memory of the leader's agents at the moment, in kB, by their program's name.
sub agents_memory
{
	my ($leader) = @_;
	my %largest;
	foreach my $pid (agent_pids($leader))
	{
		my $status = eval { file_contents("/proc/$pid/status") } // '';
		next if $status !~ /^Name:\s+(pg_depot(?:_fetch)?)$/m;
		my $name = $1;
		$largest{$name} = $1 if $status =~ /^VmHWM:\s+(\d+) kB/m && $1 > ($largest{$name} // 0);
	}
	return %largest;
}

# Bytes in staging beside the download itself.
sub staged_bytes
{
	my ($directory) = @_;
	my $bytes = 0;
	opendir(my $handle, $directory) or return 0;
	foreach my $entry (grep { !/^\.\.?$/ && $_ ne 'package' } readdir $handle)
	{
		my $path = "$directory/$entry";
		$bytes += -d $path ? staged_bytes($path) : (-s $path) // 0;
	}
	closedir($handle);
	return $bytes;
}

# Looks at a server's agents a thousand times a second until stop_measuring.
sub start_measuring
{
	my ($node) = @_;
	my $leader = leader_pid($node);
	my $staging = $node->data_dir . '/pg_depot/var/pgsql_tmp_staging';
	pipe(my $reader, my $writer) or die "pipe: $!";
	my $pid = fork() // die "fork: $!";
	if ($pid != 0)
	{
		close($writer);
		readline $reader;
		return { pid => $pid, reader => $reader };
	}
	close($reader);
	$writer->autoflush(1);
	my %max = (memory_kb => 0, fetch_memory_kb => 0, staged_bytes => 0, samples => 0);
	my $is_over = 0;
	local $SIG{TERM} = sub { $is_over = 1 };
	print $writer "ready\n";
	while (!$is_over)
	{
		my %kb = agents_memory($leader);
		my $bytes = staged_bytes($staging);
		$max{samples}++ if %kb;
		$max{memory_kb} = $kb{pg_depot} if ($kb{pg_depot} // 0) > $max{memory_kb};
		$max{fetch_memory_kb} = $kb{pg_depot_fetch} if ($kb{pg_depot_fetch} // 0) > $max{fetch_memory_kb};
		$max{staged_bytes} = $bytes if $bytes > $max{staged_bytes};
		sleep 0.001;
	}
	print $writer join(' ', map { "$_ $max{$_}" } sort keys %max);
	close($writer);
	POSIX::_exit(0);
}

# {memory_kb: of check, fetch_memory_kb, staged_bytes, samples}: the largest seen, and how often there were agents.
sub stop_measuring
{
	my ($measure) = @_;
	kill 'TERM', $measure->{pid};
	my $text = readline $measure->{reader};
	waitpid $measure->{pid}, 0;
	return split / /, $text;
}

1;
