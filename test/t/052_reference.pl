# The pages name what there is: functions, columns of views, settings with their defaults, Debian packages.
#
# That signatures are right is test/t/050_docs.pl's to check.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $node = new_depot_node('reference');
my $sql_page = file_contents("$DepotTest::top/docs/sql.md");
my $settings_page = file_contents("$DepotTest::top/docs/settings.md");

sub query
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# What stands in the first column of a table, from its head to its end.
sub first_cells
{
	my ($section, $head) = @_;
	my ($table) = $section =~ /^\| \Q$head\E \|[^\n]*\n\|[-|]+\|\n((?:\|[^\n]*\n)+)/m or return ();
	my @cells = map { (split /\|/)[1] } split /\n/, $table;
	return map { /`([^`]+)`/g } @cells;
}

# Names of functions with a signature under a heading of their own.
sub documented_functions
{
	my @names;
	while ($sql_page =~ /^### (\w+)\n\n<!-- test: signature -->\n```\w+\n(?:CALL )?(\w+)\(/mg)
	{
		push @names, $1 if $1 eq $2;
	}
	return @names;
}

# ---- Debian packages ----

sub sorted
{
	return join(' ', sort split ' ', $_[0]);
}

my ($wanted) = file_contents("$DepotTest::top/test/tools/debian.sh") =~ /^BUILD_PACKAGES=\(\n(.*?)^\)/ms;
$wanted =~ s/"//g;
$wanted =~ s/\$PG_MAJOR/15/g;
foreach my $page ('README.md', 'docs/install.md')
{
	my ($command) = file_contents("$DepotTest::top/$page") =~ /^sudo apt install ((?:[^\n]*\\\n)*[^\n]*)$/m;
	is(sorted($command =~ s/\\\n//gr), sorted($wanted), "$page has the packages to build with");
}

# The packages of the libraries that the programs and the server's library are linked with, and of the one
# that is loaded when it is needed.
sub linked_packages
{
	my %packages;
	foreach my $file (glob(DepotTest::depot_program() . '*'), glob(pg_config_value('pkglibdir') . '/pg_depot*.so'))
	{
		foreach my $library (run_ok('readelf', '-d', $file) =~ /\(NEEDED\).*\[(.*)\]/g,
			file_contents($file) =~ /\0(libcrypto\.so\.[0-9]+)\0/)
		{
			my ($package) = run_ok('dpkg', '-S', "*/$library") =~ /^([^:,]+)/;
			$packages{$package} = 1;
		}
	}
	delete $packages{libc6};
	return sorted(join(' ', keys %packages));
}

my ($needed) = file_contents("$DepotTest::top/docs/install.md") =~ /no `-dev` package: (.*?) are enough/s;
is(sorted(join(' ', $needed =~ /`([^`]+)`/g)), linked_packages(), 'docs/install.md has the packages that a server needs');

# ---- functions, views, settings ----

create_depot($node);

my $members = "FROM pg_extension e JOIN pg_depend d ON e.extname = 'pg_depot' AND e.oid = d.refobjid AND d.deptype = 'e'";
my $functions = query(<<"SQL");
SELECT DISTINCT proname $members JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE pronamespace = 'pg_catalog'::regnamespace ORDER BY 1
SQL
is(join("\n", sort(documented_functions())), $functions, 'docs/sql.md has the signature of each function');

my @views = split /\n/, query(<<"SQL");
SELECT c.oid::regclass,
	(SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)
$members JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND relkind = 'v' ORDER BY 1
SQL
cmp_ok(scalar @views, '>', 3, 'there are views');
foreach (@views)
{
	my ($view, $columns) = split /\|/;
	my ($section) = $sql_page =~ /^### \Q$view\E\n(.*?)(?=^##|\z)/ms;
	is(join(' ', first_cells($section // '', 'column')), $columns, "docs/sql.md has the columns of $view, in their order");
}

my %effect = (postmaster => 'restart', sighup => 'reload');
my @settings = split /\n/,
  query(q{SELECT name, current_setting(name), context FROM pg_settings WHERE name LIKE 'depot.%'});
foreach (@settings)
{
	my ($name, $value, $context) = split /\|/;
	my ($row) = $settings_page =~ /^(\| `\Q$name\E` \|[^\n]*)/m;
	my (undef, undef, $default, $when) = map { s/^\s+|\s+$//gr } split /\|/, $row // '';
	my $documented = defined $default ? $default =~ s/^`(.*)`$/$1/r : 'nothing';
	$value = $documented if $value eq '' && $documented =~ /^(?:none|the system's)$/;
	is("$documented, " . ($when // ''), "$value, $effect{$context}", "docs/settings.md has the default of $name and when it takes effect");
}

$node->stop;
done_testing();
