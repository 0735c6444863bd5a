# DepotDocs: the code blocks of a page of documentation, and whether output is what the page says.
#
# Every block of code in a page is run or checked, in the page's order
# (DepotDocsPage.pm says on what); a block that is neither is a complaint.  What a
# block is, its language says:
#
#   ```sql        statements for psql, run; they must succeed
#   ```sh         commands for bash, run; they must succeed
#   ```console    a transcript: "$ " and "# " begin a command for bash, "NAME=# " and its
#                 like one for psql, and "> " goes on with a command; the rest is output
#   ```ini        lines for postgresql.conf: appended, then reload, or restart where needed
#   ```yaml ```json ```nginx    parsed
#   ```text       right after sql or sh, its output; elsewhere no code
#
# A comment before a block says what a reader need not see:
#
#   <!-- test: WORDS, WORDS -->
#     file NAME       the block is written to this file of the page's directory, not run
#     syntax only     bash -n, for what cannot be run here
#     fails           its last command must fail
#     database NAME   sql: in this database
#     user NAME       sql: as this role
#     signature       text: functions as the server has them
#     usage           text: command lines as "pg_depot ... --help" says
#     output          text: output of the last sql or sh block, though there are words between
#     no code         text: looks like a command and is none
#     playbook        yaml: checked by ansible-playbook too
#
#   <!-- test: sql
#   statements that are run and not shown; "sh" and "ini" likewise
#   -->
#
# Output is compared line by line.  Blank lines, widths of columns and amounts
# of blanks do not count.  Times, dates, durations, sizes, digests and minor
# versions of PostgreSQL may differ in value, not in form; so may numbers in
# columns that are named for bytes, milliseconds or process ids.  "..." stands
# for any part of a line, and as a line of its own for any lines.
#
# SPDX-License-Identifier: PostgreSQL

package DepotDocs;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(difference page_blocks transcript_steps);

my @directives = (
	qr/syntax only/, qr/fails/, qr/signature/, qr/usage/, qr/output/, qr/no code/, qr/playbook/,
	qr/(?:file|database|user) \S+/
);

# ---- reading a page ----

sub parse_directives
{
	my ($words, $line) = @_;
	my %found;

	foreach my $directive (split /\s*,\s*/, $words)
	{
		die "line $line: unknown directive \"$directive\"\n" if !grep { $directive =~ /^$_$/ } @directives;
		my ($name, $value) = $directive =~ /^(file|database|user) (\S+)$/ ? ($1, $2) : ($directive, 1);
		$found{$name} = $value;
	}
	return \%found;
}

# Blocks of a page in their order: {line, language, text, directives, output, hidden}.  Output is what
# the page says of it, or undef.  Dies when the page cannot be read so.
sub page_blocks
{
	my ($text) = @_;
	my @lines = split /\n/, $text;
	my (@blocks, $directives);
	my $last = '';       # the line before, were it not blank
	my $was_blank = 1;
	my $is_near = 0;     # only blank lines and comments since the block before

	for (my $i = 0; $i < @lines; $i++)
	{
		my $line = $lines[$i];
		my $number = $i + 1;
		if ($line =~ /^\s*$/)
		{
			$was_blank = 1;
			next;
		}
		if ($line =~ /^<!-- test: (sql|sh|ini)$/)
		{
			my $language = $1;
			my $start = ++$i;
			$i++ while $i < @lines && $lines[$i] ne '-->';
			die "line $number: the comment does not end\n" if $i == @lines;
			push @blocks, { line => $number, language => $language, hidden => 1, directives => {},
				text => join('', map { "$_\n" } @lines[ $start .. $i - 1 ]) };
		}
		elsif ($line =~ /^<!-- test: (.*\S) *-->$/)
		{
			$directives = parse_directives($1, $number);
			next;
		}
		elsif ($line =~ /^<!-- test/)
		{
			die "line $number: a comment for the test that cannot be read\n";
		}
		elsif ($line =~ /^( *)```/)
		{
			my ($indent, $language) = $line =~ /^( *)```(\w*)$/;
			die "line $number: a fence with more than the name of a language\n" if !defined $language;
			die "line $number: a block that does not name its language\n" if $language eq '';
			my $start = ++$i;
			$i++ while $i < @lines && $lines[$i] !~ /^ *```$/;
			die "line $number: the block does not end\n" if $i == @lines;
			my @inside = map { s/^$indent//r . "\n" } @lines[ $start .. $i - 1 ];
			my $block = { line => $number, language => $language, text => join('', @inside),
				directives => $directives // {} };
			my $before = $blocks[-1];
			my $is_output = $is_near && $before->{language} =~ /^(?:sql|sh)$/ || $block->{directives}{output};
			if ($language eq 'text' && $is_output)
			{
				die "line $number: output of nothing\n" if !$before || defined $before->{output};
				$before->{output} = $block->{text};
			}
			else
			{
				push @blocks, $block;
			}
		}
		else
		{
			die "line $number: code by indentation; put it between fences that name its language\n"
			  if $line =~ /^(?: {4}|\t)/ && $was_blank && $last !~ /^(?: *(?:[-*]|\d+\.) | {2})/;
			die "line $number: a comment for the test and no block after it\n" if $directives;
			($last, $was_blank, $is_near) = ($line, 0, 0);
			next;
		}
		($directives, $last, $was_blank, $is_near) = (undef, '', 0, 1);
	}
	die "a comment for the test at the end, and no block after it\n" if $directives;
	return @blocks;
}

# Steps of a transcript: {kind => sh or sql, input, output, database}.
sub transcript_steps
{
	my ($block) = @_;
	my @steps;

	foreach my $line (split /\n/, $block->{text})
	{
		if ($line =~ /^[\$#] (.*)$/)
		{
			push @steps, { kind => 'sh', input => "$1\n", output => '' };
		}
		elsif ($line =~ /^> (.*)$/ && @steps && $steps[-1]{output} eq '')
		{
			$steps[-1]{input} .= "$1\n";
		}
		elsif ($line =~ /^(\w+)=[*!]?[#>] (.*)$/)
		{
			push @steps, { kind => 'sql', input => "$2\n", output => '', database => $1 };
		}
		elsif ($line =~ /^(\w+)[-('"][*!]?[#>] (.*)$/ && @steps && $steps[-1]{kind} eq 'sql')
		{
			$steps[-1]{input} .= "$2\n";
		}
		else
		{
			die "line $block->{line}: the transcript does not begin with a prompt\n" if !@steps;
			$steps[-1]{output} .= "$line\n";
		}
	}
	die "line $block->{line}: a transcript without a command\n" if !@steps;
	return @steps;
}

# ---- comparing ----

# What may differ in value, and what stands for it.
my @forms = (
	[ qr/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::\d\d)?)/ => '<time with zone>' ],
	[ qr/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?/ => '<time>' ],
	[ qr/\b\d{4}-\d\d-\d\d\b/ => '<date>' ],
	[ qr/\b[0-9a-f]{64}\b/ => '<digest>' ],
	[ qr/(?<![\w.])\d+(?:\.\d+)? (?:ms|s|min|hours?|days?)\b/ => '<duration>' ],
	[ qr/(?<![\w.])\d+(?:\.\d+)? (?:bytes|B|kB|MB|GB)\b/ => '<size>' ],
	[ qr/\b15\.\d+\b(?: \(Debian [^)]*\))?/ => '<version of PostgreSQL>' ],
);

my $variable_column = qr/(?:^|_)(?:bytes|ms|pid)(?:_|$)/;

# Replaces numbers in the columns of tables that psql printed whose names say what may differ.
sub mask_tables
{
	my (@lines) = @_;
	my @variable;

	for my $i (0 .. $#lines)
	{
		if ($i > 0 && $lines[$i] =~ /^-+(?:\+-+)*$/)
		{
			my @names = map { s/^\s+|\s+$//gr } split /\|/, $lines[ $i - 1 ];
			@variable = grep { $names[$_] =~ $variable_column } 0 .. $#names;
		}
		elsif ($lines[$i] =~ /^\(\d+ rows?\)$/)
		{
			@variable = ();
		}
		elsif (@variable)
		{
			my @cells = split /\|/, $lines[$i], -1;
			foreach my $column (grep { $_ <= $#cells } @variable)
			{
				$cells[$column] =~ s/^\s*\d+\s*$/ <number> /;
			}
			$lines[$i] = join('|', @cells);
		}
		elsif ($lines[$i] =~ /^(\w+) +\| *\d+$/ && $1 =~ $variable_column)
		{
			$lines[$i] =~ s/\d+$/<number>/;
		}
	}
	return @lines;
}

sub normal_lines
{
	my ($text) = @_;
	my @lines = mask_tables(grep { /\S/ } split /\n/, $text);

	foreach my $line (@lines)
	{
		foreach my $form (@forms)
		{
			$line =~ s/$form->[0]/$form->[1]/g;
		}
		$line =~ s/\s+/ /g;
		$line =~ s/^ | $//g;
		$line =~ s/^-[-+]+$/----/;
	}
	return @lines;
}

sub line_pattern
{
	my ($line) = @_;
	return '(?:[^\n]*\n)*?' if $line eq '...';
	return join('[^\n]*', map { quotemeta } split /\.\.\./, $line, -1) . '\n';
}

# How the output differs from what a page says: '' when it does not.
sub difference
{
	my ($expected, $actual) = @_;
	my @expected = normal_lines($expected);
	my $text = join('', map { "$_\n" } normal_lines($actual));
	my @patterns = map { line_pattern($_) } @expected;
	my $matched = 0;

	return '' if $text =~ ('\A' . join('', @patterns) . '\z');
	$matched++ while $matched < @expected && $text =~ ('\A' . join('', @patterns[ 0 .. $matched ]));
	my $where = $matched == @expected ? 'more output than the page says' : "no line like: $expected[$matched]";
	return "$where\n---- the output was\n$actual";
}

1;
