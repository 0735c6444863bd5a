# DepotKill: what the kill test does to a server, and what must hold afterwards.
#
# The server has three databases: the home database, "second", in which
# extensions come and go, and "pinned", which uses an extension all the time.
#
# SPDX-License-Identifier: PostgreSQL

package DepotKill;

use strict;
use warnings;

use DepotTest;
use Exporter qw(import);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(desire free_ok kill_one random_of recovers_ok settles_ok use_at_once wait_until_quiet);

# By extension: a statement that needs its library or its script's function.
my %probe = (
	hll => 'hll_cardinality(hll_empty())',
	ip4r => q{'192.0.2.1'::ip4},
	pg_rational => q{'1/3'::rational},
	semver => q{'1.2.3'::semver},
	map { ($_ => "${_}_version()") } qw(depot_demo depot_needs depot_steps depot_wide));

# Titles of the processes that are looked for by name, as ps shows them.
my %title = (
	session => qr/^postgres: \S+: \S+ \S+ \[local\]/,
	worker => qr/^postgres: \S+: pg_depot (usage check|extension update)/);

sub random_of { return $_[ int rand @_ ] }

# ---- killing ----

sub postmaster_pid
{
	my ($node) = @_;
	my ($pid) = split /\n/, eval { file_contents($node->data_dir . '/postmaster.pid') } // '';
	return $pid // 0;
}

sub title_of
{
	my ($pid) = @_;
	return eval { file_contents("/proc/$pid/cmdline") } // '';
}

# Processes of the server whose title matches.
sub titled_pids
{
	my ($node, $kind) = @_;
	return grep { title_of($_) =~ $title{$kind} } DepotTest::children_of(postmaster_pid($node));
}

# Whoever shall die: a list of pids, or nothing when there is none for some seconds.
sub victims
{
	my ($node, $kind, $leader) = @_;
	my $postmaster = postmaster_pid($node);
	return ($postmaster) if $kind eq 'postmaster';
	return ($postmaster, DepotTest::children_of($postmaster), agent_pids($leader)) if $kind eq 'everything';
	return $leader ? ($leader) : () if $kind eq 'leader' || $kind eq 'leader by SIGTERM';
	my @pids;
	wait_until(sub { @pids = $kind eq 'agent' ? agent_pids($leader) : titled_pids($node, $kind) }, 3);
	return @pids ? random_of(sort { $a <=> $b } @pids) : ();
}

# Kills; returns whether there was somebody to kill.
sub kill_one
{
	my ($node, $kind, $leader) = @_;
	my @pids = victims($node, $kind, $leader) or return 0;
	return kill($kind eq 'leader by SIGTERM' ? 'TERM' : 'KILL', @pids) > 0;
}

# ---- what must hold ----

my $claimed = 0;

# Runs statements; a session that does not end is an error like others, told with what the server does.
sub ask
{
	my ($node, $database, $sql) = @_;
	my $answer = eval { psql_error($node, $database, $sql, timeout => 120) };
	return $answer if defined $answer;
	my $processes = join("\n", map { "$_ " . title_of($_) } DepotTest::children_of(postmaster_pid($node)));
	return { status => -1, stdout => '', sqlstate => '', stderr => "$sql: $@\n$processes\n" };
}

sub query
{
	my ($node, $database, $sql) = @_;
	my $answer = ask($node, $database, $sql);
	die "$sql: $answer->{stderr}" . substr(file_contents($node->logfile), -6000) if $answer->{status} != 0;
	return split /\n/, $answer->{stdout};
}

# Brings the server back if it has to be; its leader may still be on the way.
sub start_if_dead
{
	my ($node) = @_;
	my $postmaster = postmaster_pid($node);
	# A killed one that nobody has waited for yet still has its number, but no command line.
	return if $postmaster && title_of($postmaster) ne '';
	$node->{_pid} = undef;
	start_again($node);
	return;
}

# Has a session run statements as soon as the server takes any, perhaps before its leader does.
sub use_at_once
{
	my ($node, $database, $sql, $seconds) = @_;
	start_if_dead($node);
	wait_until(sub { psql_error($node, $database, 'SELECT 1')->{status} == 0 });
	my $session = start_psql($node, $database, $sql);
	sleep($seconds);
	stop_psql($session);
	return;
}

# Waits until no request runs; returns whether that came.
sub wait_until_quiet
{
	my ($node) = @_;
	return wait_until(
		sub {
			my $answer = ask($node, 'postgres', 'SELECT count(*) FROM depot.activity');
			return $answer->{status} != 0 || $answer->{stdout} eq '0';
		},
		30);
}

# Fails the test with what the server said last.
sub blame
{
	my ($node, $label, $what) = @_;
	fail($label);
	diag("$what\n" . substr(file_contents($node->logfile), -6000));
	return 0;
}

# What does not work of that which is in use or installed, or ''.
sub trouble_with_extensions
{
	my ($node) = @_;
	my %is_active = map { ($_ => 1) }
	  query($node, 'postgres', q{SELECT unnest(extensions) FROM depot.installed_packages WHERE state = 'active'});
	my @used;
	foreach my $database ('pinned', 'second')
	{
		@used = grep { exists $probe{$_} } query($node, $database, 'SELECT extname FROM pg_extension');
		my @gone = grep { !$is_active{$_} } @used;
		return "in use in database $database, and removed: @gone" if @gone;
		my $answer = ask($node, $database, join(";\n", map { "SELECT $probe{$_}" } @used) . ';');
		return "in use in database $database: $answer->{stderr}" if $answer->{status} != 0;
	}
	delete @is_active{@used};
	my @creatable = grep { exists $probe{$_} } sort keys %is_active;
	my $answer =
	  ask($node, 'second', join("\n", map { "BEGIN; CREATE EXTENSION $_ CASCADE; ROLLBACK;" } @creatable));
	return $answer->{status} == 0 ? '' : "what is installed cannot be created: $answer->{stderr}";
}

# What is in use works, what is installed can be created; not at once, as the declared list may still be carried out.
sub is_usable
{
	my ($node, $label) = @_;
	my $trouble;
	return 1 if wait_until(sub { ($trouble = trouble_with_extensions($node)) eq '' });
	return blame($node, $label, $trouble);
}

# A removal was recorded, and before its files went somebody used them: they stay, and are claimed as the WARNING says.
sub claim_kept
{
	my ($node) = @_;
	my %is_unclaimed = map { ($_ => 1) }
	  query($node, 'postgres', q{SELECT package FROM depot.installed_packages WHERE state = 'unclaimed'});
	my @kept = grep { $is_unclaimed{$_} } query($node, 'second', 'SELECT extname FROM pg_extension');
	query($node, 'postgres', join('; ', map { "SELECT install_extension('$_')" } @kept)) if @kept;
	$claimed += @kept;
	return;
}

sub claimed_count { return $claimed }

# After a kill: the server is back, files equal rows, nothing is left over, and what was in use is.
sub recovers_ok
{
	my ($node, $label, @oracle_options) = @_;
	start_if_dead($node);
	wait_for_leader($node);
	my @oracle = ('--quiet-server', '--no-payload-left', @oracle_options);
	my $answer = oracle_is_ok($node, 10, @oracle);
	if ($answer ne '')
	{
		claim_kept($node);
		$answer = oracle_is_ok($node, 120, @oracle);
	}
	return blame($node, $label, $answer) if $answer ne '';
	my $leader;
	my $is_alone = wait_until(
		sub {
			$leader = leader_pid($node);
			return $leader && !agent_pids($leader) && !titled_pids($node, 'worker');
		},
		10);
	return blame($node, $label, 'agents or workers are left') if !$is_alone;
	my ($locks) = query($node, 'postgres',
		q{SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_extension'::regclass AND database = 0});
	return blame($node, $label, "$locks locks on extensions are left") if $locks != 0;
	return is_usable($node, $label) && pass($label);
}

# A change of a package is made, or refused for a good reason: nobody holds it.
sub free_ok
{
	my ($node, $label, $sql) = @_;
	my $answer = ask($node, 'postgres', "SET statement_timeout = '100s'; $sql");
	return 1 if $answer->{status} == 0 || $answer->{sqlstate} =~ /^(2BP01|55006|42704|42P07|55000)$/;
	return blame($node, $label, "$sql: $answer->{stderr}");
}

# ---- the declared list ----

my $list_number = 0;

# SQL that declares a list; spaces at its end make each one new, so that it is looked at again.
sub desire
{
	my ($list, $prune) = @_;
	my $spaces = ' ' x (++$list_number % 50);
	return ("ALTER SYSTEM SET depot.extensions_prune = $prune", "ALTER SYSTEM SET depot.extensions = '$list$spaces'",
		'SELECT pg_reload_conf()');
}

# The list is carried out: every entry is ok, except one that nobody offers.
sub settles_ok
{
	my ($node, $label, $list, $prune) = @_;
	my @names = map { /^(\w+)/ } split /, /, $list;
	my $wanted = join(' ', map { $_ . ($_ eq 'depot_unknown' ? ':refused' : ':ok') } @names);
	my $is_settled;
	my $found = '';
	query($node, 'postgres', join('; ', desire($list, $prune)));
	$is_settled = wait_until(
		sub {
			my $answer = ask($node, 'postgres', <<'SQL');
SELECT string_agg(d.name || ':' || d.state, ' ' ORDER BY t.ordinal)
FROM depot.declared t
LEFT JOIN depot.desired d
	ON d.name = t.name AND d.version_constraint IS NOT DISTINCT FROM t.version_constraint
WHERE d.origin = 'declared'
SQL
			return $answer->{status} == 0 && ($found = $answer->{stdout}) eq $wanted;
		},
		40);
	return 1 if $is_settled;
	return blame($node, $label, "depot.desired is \"$found\" rather than \"$wanted\"");
}

1;
