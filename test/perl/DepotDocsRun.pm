# DepotDocsRun: runs the code blocks of a page of documentation.
#
# DepotDocs.pm reads them, and says how they are written; DepotDocsPage.pm says
# on what they run.  Commands and statements of a page run one after the other.
# The program's notes and what it says of its progress are not compared.
#
# SPDX-License-Identifier: PostgreSQL

package DepotDocsRun;

use strict;
use warnings;

use DepotDocs qw(difference page_blocks transcript_steps);
use DepotDocsPage qw(end_page make_repository need_server new_page to_documented to_real);
use DepotTest;
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use IPC::Run ();
use JSON::PP ();

our @EXPORT_OK = qw(run_page);

my $seconds = 120;

# What the program says of its progress where there is no terminal, and its notes.
my $progress = qr/pg_depot: (?:note: .*|compressing|(?:checking|writing)[\w ]*)/;

# ---- bash ----

# Runs commands where and with what the ones before have left; returns their output and exit code.
sub run_shell
{
	my ($page, $commands) = @_;
	my $directory = $page->{directory};
	my $script = <<"SH" . to_real($page, $commands);
cd "\$(cat '$directory/cwd' 2>/dev/null || echo '$directory/here')"
[ ! -e '$directory/env' ] || . '$directory/env'
trap 'export -p >"$directory/env"; pwd >"$directory/cwd"' EXIT
set -e -o pipefail
SH
	my $output = '';
	local %ENV = (%ENV, %{ $page->{environment} });
	IPC::Run::run([ 'bash', '-c', $script ], '<', '/dev/null', '>&', \$output, IPC::Run::timeout($seconds));
	my $status = $? >> 8;
	$page->{node}->_update_pid(1) if $page->{node};
	return (to_documented($page, $output), $status);
}

sub shell_complaint
{
	my ($page, $commands, $expected, $must_fail) = @_;
	my ($output, $status) = run_shell($page, $commands);
	$output =~ s/^$progress\n//mg;
	return "exit code $status\n$output" if $must_fail ? $status == 0 : $status != 0;
	return defined $expected ? difference($expected, $output) : '';
}

# ---- psql ----

sub session_of
{
	my ($page, $database, $user) = @_;
	need_server($page);
	my $key = "$database " . ($user // '');
	my $session = $page->{sessions}{$key};
	return $session if $session && $session->{harness}->pumpable;
	local %ENV = (%ENV, %{ $page->{environment} });
	chdir "$page->{directory}/here";
	my $made = { in => '', out => '', number => 0 };
	my @user = defined $user ? ('-U', $user) : ();
	$made->{harness} = IPC::Run::start([ 'psql', '-X', '-P', 'pager=off', @user, '-d', $database ],
		'<', \$made->{in}, '>&', \$made->{out}, $made->{timer} = IPC::Run::timeout($seconds));
	chdir $ENV{DEPOT_TEST_WORK};
	return $page->{sessions}{$key} = $made;
}

# Has a session run statements; returns what psql printed, and sets the name of its database.
sub run_psql
{
	my ($page, $session, $statements) = @_;
	my $end = 'end of what was asked ' . ++$session->{number};
	$session->{out} = '';
	$session->{timer}->start($seconds);
	$session->{in} .= to_real($page, $statements) . "\\echo '$end' :DBNAME\n";
	my $is_done = eval {
		$session->{harness}->pump until $session->{out} =~ /^\Q$end\E (\S+)\n/m;
		1;
	};
	die "psql ended or hangs: $@\n$session->{out}\n" if !$is_done;
	$session->{out} =~ /^\Q$end\E (\S+)\n/m;
	($session->{database}, my $output) = ($1, $session->{out} =~ s/^\Q$end\E.*//msr);
	return to_documented($page, $output);
}

sub close_sessions
{
	my ($page) = @_;
	foreach my $session (values %{ $page->{sessions} })
	{
		$session->{in} .= "\\q\n";
		eval { $session->{harness}->finish; 1 } or $session->{harness}->kill_kill;
	}
	$page->{sessions} = {};
	return;
}

sub sql_complaint
{
	my ($page, $block) = @_;
	my $words = $block->{directives};
	return 'the last statement does not end' if $block->{text} !~ /;[ \t]*(?:--[^\n]*)?\n\s*\z|^\\[^\n]*\n\s*\z/m;
	my $session = session_of($page, $words->{database} // 'postgres', $words->{user});
	my $output = run_psql($page, $session, $block->{text});
	return difference($block->{output}, $output) if defined $block->{output};
	my $has_failed = $output =~ /^(?:ERROR|FATAL|invalid|unrecognized|.*: error): /m;
	return ($has_failed xor $words->{fails}) ? "the statements did not do what was expected:\n$output" : '';
}

sub transcript_complaint
{
	my ($page, $block) = @_;
	my @steps = transcript_steps($block);
	my $first = (grep { $_->{kind} eq 'sql' } @steps)[0];
	my $session = $first ? session_of($page, $first->{database}, $block->{directives}{user}) : undef;

	foreach my $step (@steps)
	{
		my $is_last = $step == $steps[-1];
		my $complaint = '';
		if ($step->{kind} eq 'sh')
		{
			my $must_fail = $is_last && $block->{directives}{fails};
			$complaint = shell_complaint($page, $step->{input}, $step->{output}, $must_fail);
		}
		else
		{
			my $here = $session->{database} // $first->{database};
			$complaint = $step->{database} ne $here
			  ? "the prompt says \"$step->{database}\" in database \"$here\""
			  : difference($step->{output}, run_psql($page, $session, $step->{input}));
		}
		return "at: $step->{input}$complaint" if $complaint ne '';
	}
	return '';
}

# ---- postgresql.conf ----

sub settings_complaint
{
	my ($page, $block) = @_;
	need_server($page);
	my $node = $page->{node};
	my $file = $node->data_dir . '/conf.d/00-page.conf';
	write_file($file, (-e $file ? file_contents($file) : '') . to_real($page, $block->{text}));
	my $loaded = $node->safe_psql('postgres', 'SELECT pg_conf_load_time()');
	$node->reload;
	wait_until(sub { $node->safe_psql('postgres', 'SELECT pg_conf_load_time()') ne $loaded })
	  or return 'the server does not reload';
	if ($node->safe_psql('postgres', 'SELECT count(*) FROM pg_settings WHERE pending_restart') ne '0')
	{
		close_sessions($page);
		$node->restart;
	}
	my $wrong = $node->safe_psql('postgres',
		'SELECT name, setting, error FROM pg_file_settings WHERE error IS NOT NULL');
	return $wrong eq '' ? '' : "not applied: $wrong";
}

# ---- what is parsed, not run ----

sub parse_complaint
{
	my ($page, $block, @command) = @_;
	my $file = "$page->{directory}/block";
	write_file($file, to_real($page, $block->{text}));
	my $output = '';
	local %ENV = (%ENV, %{ $page->{environment} });
	IPC::Run::run([ @command, $file ], '<', '/dev/null', '>&', \$output, IPC::Run::timeout($seconds));
	return $? == 0 ? '' : $output;
}

sub yaml_complaint
{
	my ($page, $block) = @_;
	my $complaint = parse_complaint($page, $block, 'python3', '-c',
		'import sys, yaml; assert all(isinstance(d, (dict, list)) for d in yaml.safe_load_all(open(sys.argv[1])))');
	return $complaint if $complaint ne '' || !$block->{directives}{playbook};
	return parse_complaint($page, $block, 'ansible-playbook', '-i', 'localhost,', '--syntax-check');
}

sub json_complaint
{
	my ($page, $block) = @_;
	return eval { JSON::PP->new->decode($block->{text}); 1 } ? '' : $@;
}

sub nginx_complaint
{
	my ($page, $block) = @_;
	my $work = $page->{directory};
	my $temporary = join(' ', map { "${_}_temp_path $work/$_;" } qw(client_body proxy fastcgi uwsgi scgi));
	my $server = $block->{text} =~ /^server/m ? $block->{text} : "server { $block->{text} }";
	my $text = "pid $work/nginx.pid; error_log stderr; events {} http { $temporary access_log off; $server }\n";
	return parse_complaint($page, { text => $text }, 'nginx', '-e', 'stderr', '-t', '-c');
}

# ---- what is compared with the server and the program ----

sub without_blanks
{
	my ($text) = @_;
	$text =~ s/\s+/ /g;
	$text =~ s/ ?([(),]) ?/$1/g;
	$text =~ s/^ | $//g;
	return $text;
}

# A function as a page writes it, from what the server says of it.
sub signature_of
{
	my ($name, $arguments, $result) = @_;
	my (@in, @out);

	$arguments =~ s/::[a-z ]+(?:\[\])?//g;
	foreach my $argument (split /, /, $arguments)
	{
		if ($argument =~ s/^OUT //) { push @out, $argument; }
		else { push @in, $argument; }
	}
	my $signature = "$name(" . join(', ', @in) . ')';
	$signature .= " RETURNS $result" if $result ne '';
	$signature .= ' (' . join(', ', @out) . ')' if @out;
	return without_blanks($signature =~ s/timestamp with time zone/timestamptz/gr);
}

sub signature_complaint
{
	my ($page, $block) = @_;
	need_server($page);
	my @functions = split /\n/, $page->{node}->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS pg_depot;
SELECT proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid JOIN pg_extension e ON e.oid = d.refobjid
WHERE extname = 'pg_depot' AND d.deptype = 'e'
SQL
	my %known;
	foreach my $function (map { signature_of(split /\|/, $_, -1) } @functions)
	{
		push @{ $known{ $function =~ s/\(.*//r } }, $function;
	}
	foreach my $signature (map { without_blanks($_) } split /\n(?=\S)/, $block->{text})
	{
		$signature =~ s/^CALL //;
		my $same = $known{ $signature =~ s/\(.*//r } // [];
		return "the server has no such function: $signature\nbut: @$same" if !grep { $_ eq $signature } @$same;
	}
	return '';
}

sub usage_complaint
{
	my ($page, $block) = @_;
	my @lines = split /\n(?=pg_depot )/, $block->{text} =~ s/\n\z//r;
	foreach my $line (@lines)
	{
		my @command = $line =~ /^pg_depot ((?:repo )?[a-z]+)/ ? split(/ /, $1) : ();
		my ($help) = run_shell($page, join(' ', 'pg_depot', @command, '--help', '</dev/null'));
		my $wanted = without_blanks($line);
		return "\"pg_depot @command --help\" does not say: $wanted" if index(without_blanks($help), $wanted) < 0;
	}
	return '';
}

# ---- one block after the other ----

my $looks_like_code =
  qr/^(?:\$ |\w+[=*-]+[#>] |(?:SELECT|CREATE|CALL|ALTER|DROP|BEGIN|SET|pg_depot|psql|apt-get|sudo|make|sqitch|curl) )/m;

my %checks = (
	sql => \&sql_complaint,
	console => \&transcript_complaint,
	sh => sub {
		my ($page, $block) = @_;
		return shell_complaint($page, $block->{text}, $block->{output}, $block->{directives}{fails});
	},
	ini => \&settings_complaint,
	yaml => \&yaml_complaint,
	json => \&json_complaint,
	nginx => \&nginx_complaint,
	text => sub { $_[1]{text} =~ $looks_like_code ? 'a command or statement in a block that is not run' : '' },
);

# What is wrong with a block, '' when nothing is.
sub block_complaint
{
	my ($page, $block) = @_;
	my $words = $block->{directives};

	return signature_complaint($page, $block) if $words->{signature};
	return usage_complaint($page, $block) if $words->{usage};
	return '' if $words->{'no code'};
	if ($words->{'syntax only'})
	{
		my $commands = $block->{text};
		$commands = join('', map { $_->{input} } transcript_steps($block)) if $block->{language} eq 'console';
		return parse_complaint($page, { text => $commands }, 'bash', '-n');
	}
	my $complaint = '';
	if (defined $words->{file})
	{
		my $file = to_real($page, $words->{file});
		$file = "$page->{directory}/here/$file" if $file !~ m{^/};
		make_path(dirname($file));
		write_file($file, to_real($page, $block->{text}));
		return '' if $block->{language} !~ /^(?:yaml|json|nginx)$/;
	}
	my $check = $checks{ $block->{language} };
	return "nobody knows how to check a block of language \"$block->{language}\"" if !$check;
	return $check->($page, $block);
}

# Runs the blocks of a page; returns {line, label, complaint} for each, complaint '' when all is well.
sub run_page
{
	my ($name, $text) = @_;
	my @blocks = eval { page_blocks($text) };
	return { line => 0, label => 'can be read', complaint => $@ } if $@;
	my $page = new_page($name);
	my @results;

	make_repository($page) if grep { $_->{text} =~ m{depot\.example\.org|/srv/depot} } @blocks;
	need_server($page) if grep { $_->{language} =~ /^(?:sql|ini)$/ } @blocks;
	foreach my $block (@blocks)
	{
		my $complaint = eval { block_complaint($page, $block) } // "died: $@";
		push @results, { line => $block->{line}, label => $block->{language}, complaint => $complaint };
	}
	close_sessions($page);
	end_page($page);
	return @results;
}

1;
