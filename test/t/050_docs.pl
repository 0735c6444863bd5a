# Every block of code in README.md and docs/, run or checked, its output compared with what the page says.
#
# How blocks are written is said in DepotDocs.pm, on what they run in DepotDocsPage.pm.  Pages
# given as arguments (prove test/t/050_docs.pl :: docs/sql.md) are run alone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use DepotDocs qw(difference);
use DepotDocsRun qw(run_page);
use Test::More;

my $top = $DepotTest::top;

sub complaints_of
{
	my ($text) = @_;
	return grep { $_->{complaint} ne '' } run_page('self', $text);
}

# ---- the test of the test: what is wrong is found ----

sub is_found
{
	my ($label, $text, $complaint) = @_;
	my @found = complaints_of($text);
	return ok(@found == 1 && $found[0]{complaint} =~ $complaint, "found: $label") || diag(explain(\@found));
}

sub test_comparison
{
	is(difference("a 12 ms... z\n", "a  9 ms, and more z\n\n"), '', 'same form, other value');
	isnt(difference("a 12 ms\n", "a 12 s or so\n"), '', 'more on a line than the page says');
	isnt(difference("a\n", "a\nb\n"), '', 'more lines than the page says');
	isnt(difference("a\nb\n", "a\n"), '', 'fewer lines');
	isnt(difference("at 2026-01-02\n", "at once\n"), '', 'no date where there should be one');
	is(difference("a\n...\nz\n", "a\nb\nc\nz\n"), '', 'any lines');
	isnt(difference("a\n...\nz\n", "a\nb\nc\n"), '', 'any lines, but not any end');
	my $table = " size_bytes | n\n------------+---\n %s | %s\n(1 row)\n";
	is(difference(sprintf($table, 12, 1), sprintf($table, 3456, 1)), '', 'another number of bytes');
	isnt(difference(sprintf($table, 12, 1), sprintf($table, 12, 2)), '', 'another number of something else');
	isnt(difference(sprintf($table, 12, 1), sprintf($table, '', 1)), '', 'no number where there should be one');
	return;
}

sub test_pages
{
	is_found('a block without a language', "```\nSELECT 1;\n```\n", qr/name its language/);
	is_found('a block by indentation', "Words:\n\n    SELECT 1;\n", qr/indentation/);
	is_found('a language nobody knows', "```cobol\nSTOP RUN.\n```\n", qr/nobody knows/);
	is_found('an unknown directive', "<!-- test: ignore -->\n```sh\nfalse\n```\n", qr/unknown directive/);
	is_found('a command in plain text', "```text\npg_depot verify x\n```\n", qr/not run/);
	is_found('a command that fails', "```sh\nfalse\n```\n", qr/exit code 1/);
	is_found('a command with other output', "```sh\necho a\n```\n\n```text\nb\n```\n", qr/no line like: b/);
	is_found('a syntax error', "<!-- test: syntax only -->\n```sh\nif\n```\n", qr/syntax error/);
	is_found('a transcript with other output', "```console\n\$ echo a\nb\n```\n", qr/no line like: b/);
	is_found('yaml that is none', "```yaml\na: [\n```\n", qr/yaml/);
	is_found('an nginx directive that is none', "```nginx\nlocation / { alia /x; }\n```\n", qr/alia/);
	my $output = "```text\n a\n---\n 1\n(1 row)\n```\n";
	my $statements = "```sql\nSELECT 1 AS a;\n```\n\n$output";
	is_found('statements with other output', "$statements\n```sql\nSELECT 2 AS a;\n```\n$output", qr/no line like: 1/);
	is_found('a statement that fails', "$statements\n```sql\nSELECT 1/0;\n```\n", qr/division by zero/);
	is_found('a wrong setting', "```ini\ndepot.no_such_page = 1\nwork_mem = 'much'\n```\n", qr/work_mem/);
	is_found('a signature of no function', "<!-- test: signature -->\n```text\ninstall_extension(x text)\n```\n",
		qr/no such function/);
	is_found('a usage line of no command', "<!-- test: usage -->\n```text\npg_depot verify --fast FILE\n```\n",
		qr/does not say/);
	return;
}

my @pages = @ARGV;
if (!@pages)
{
	test_comparison();
	test_pages();
	@pages = map { substr($_, length("$top/")) } "$top/README.md", sort glob("$top/docs/*.md");
}

foreach my $name (@pages)
{
	my @results = run_page($name, file_contents("$top/$name"));
	ok($_->{complaint} eq '', "$name:$_->{line} $_->{label}") || diag($_->{complaint}) foreach @results;
	pass("$name: no block") if !@results;
}

done_testing();
