# Names and versions that are none, for every argument of every function, in home
# databases of three encodings: a clear error, and nothing has changed.
#
# Holds promises 7 (one gate for names) and 12 (clear refusals).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $repository = "$work/repository";
make_repository($repository, "$work/keys", make_tree_package($work, 'depot_demo', '1.0'));
my $root = file_contents("$repository/metadata/1.root.json");

# SQL literals by what is wrong with them.
my %bad_names = (
	'empty' => q{''},
	'single quote' => q{'o''reilly'},
	'double quote' => q{'a"b'},
	'slash' => q{'a/b'},
	'parent directory' => q{'../depot_demo'},
	'absolute path' => q{'/etc/passwd'},
	'dollar' => q{'$libdir/x'},
	'two dashes' => q{'a--b'},
	'two dots' => q{'a..b'},
	'leading dash' => q{'-a'},
	'trailing dash' => q{'a-'},
	'newline' => q{E'depot_demo\n'},
	'tab' => q{E'a\tb'},
	'control character' => q{E'a\x01b'},
	'space' => q{'depot demo'},
	'semicolon' => q{'x; DROP TABLE depot.installed'},
	'format' => q{'%s%n%s%n'},
	'backslash' => q{'a\b'},
	'64 KiB' => q{repeat('a', 65536)},
	'64 bytes' => q{repeat('a', 64)},
);
my %bad_versions = (
	'single quote' => q{'1''0'},
	'double quote' => q{'1"0'},
	'slash' => q{'1/0'},
	'two dashes' => q{'1.0--2.0'},
	'leading dash' => q{'-1'},
	'newline' => q{E'1.0\n2.0'},
	'space' => q{'1.0 beta'},
	'no version' => q{'>='},
	'unknown operator' => q{'<> 1'},
	'star in the middle' => q{'1.*.2'},
	'comma' => q{'>= 1,'},
	'format' => q{'%s%n'},
	'64 KiB' => q{repeat('1', 65536)},
);

# What a database of an encoding can hold, and UTF-8 or ASCII cannot.
my %foreign = (
	UTF8 => { 'letters of other scripts' => q{U&'d\00E9p\00F4t'}, 'emoji' => q{U&'\+01F418'} },
	LATIN1 => { 'a byte of LATIN1' => q{E'd\xe9p\xf4t'}, 'bytes of LATIN1 that would be UTF-8' => q{E'\xc3\xa9'} },
	SQL_ASCII => { 'a byte that is no UTF-8' => q{E'd\xe9p'}, 'half a character' => q{E'abc\xc3'}, 'a byte 255' => q{E'\xff'} },
);

# The argument in question is ?; SQLSTATE and message of its refusal, and the values.
my $name_message = qr/^invalid (?:extension|repository) name: "[ -~]*"$/;
my @arguments = (
	[ 'extension to install', 'SELECT install_extension(?)', '42602', $name_message, \%bad_names ],
	[ 'extension to try', 'SELECT install_extension(?, dry_run => true)', '42602', $name_message, \%bad_names ],
	[ 'repository to install from', q{SELECT install_extension('depot_demo', repository => ?)}, '42602', $name_message, \%bad_names ],
	[ 'version to install', q{SELECT install_extension('depot_demo', ?)}, '22023', qr/^invalid (?:version|version constraint|constraint)\b.*"[ -~]*"/, \%bad_versions ],
	[ 'extension to uninstall', 'SELECT uninstall_extension(?)', '42602', $name_message, \%bad_names ],
	[ 'repository to refresh', 'SELECT refresh_extension_repository(?)', '42602', $name_message, \%bad_names ],
	[ 'repository to drop', 'SELECT drop_extension_repository(?)', '42602', $name_message, \%bad_names ],
	[ 'repository to add', "SELECT add_extension_repository(?, 'file://$repository', trusted_root => '{}')", '42602', $name_message, \%bad_names ],
	[ 'URL', "SELECT add_extension_repository('new', ?, trusted_root => '{}')", '22023', qr/^invalid repository URL "[ -~]*": [ -~]+$/, \%bad_names ],
	[ 'mirror', "SELECT add_extension_repository('new', 'file://$repository', trusted_root => '{}', mirrors => ARRAY[?])", '22023',
		qr/^invalid repository URL "[ -~]*": [ -~]+$/, \%bad_names ],
	[ 'root_sha256', "SELECT add_extension_repository('new', 'file://$repository', root_sha256 => ?)", '22023',
		qr/^root_sha256 must be 64 lower-case hexadecimal digits$/, { map { $_ => $bad_names{$_} } grep { $_ ne '64 bytes' } keys %bad_names } ],
	[ 'trusted_root', "SELECT add_extension_repository('new', 'file://$repository', trusted_root => ?)", 'PD006',
		qr/^repository "new": (?:the given root is not valid: root metadata: [ -~]+|there is no trusted root of this repository)$/, \%bad_names ],
);

sub start_node
{
	my ($encoding) = @_;
	my $node = PostgreSQL::Test::Cluster->new("names_$encoding");
	$node->init(extra => [ '--encoding', $encoding, '--locale', 'C' ]);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_depot'\n");
	create_depot($node);
	add_repository($node, $repository, root => "$repository/metadata/1.root.json");
	is($node->safe_psql('postgres', 'SHOW server_encoding'), $encoding, "home database in $encoding");
	return $node;
}

sub refuse_value
{
	my ($node, $label, $statement, $value, $sqlstate, $message) = @_;
	$statement =~ s/\?/$value/;
	my $error = psql_error($node, 'postgres', $statement);
	my $is_right = ($error->{sqlstate} // '') =~ /^(?:$sqlstate)$/ && ($error->{message} // '') =~ $message;
	ok($is_right, "$label: " . ($error->{sqlstate} // 'accepted')) or diag(substr($statement, 0, 200) . "\n" . substr("$error->{stderr}$error->{stdout}", 0, 1000));
	cmp_ok(length($error->{stderr}), '<', 4096, "$label: the message is not the value again") if $value =~ /repeat/;
	return;
}

foreach my $encoding (qw(UTF8 LATIN1 SQL_ASCII))
{
	my $node = start_node($encoding);
	unchanged_ok($node, $encoding, sub {
		foreach my $argument (@arguments)
		{
			my ($what, $statement, $sqlstate, $message, $values) = @$argument;
			my %values = $encoding eq 'UTF8' ? %$values : ();
			refuse_value($node, "$encoding: $what: $_", $statement, $values{$_}, $sqlstate, $message) foreach sort keys %values;

			# In SQL_ASCII nobody knows what the bytes mean.
			my $foreign = $foreign{$encoding};
			my @expected = $encoding eq 'SQL_ASCII' ? ('22021', qr/^invalid byte sequence for encoding "UTF8": 0x/) : ($sqlstate, $message);
			refuse_value($node, "$encoding: $what: $_", $statement, $foreign->{$_}, @expected) foreach sort keys %$foreign;
		}
	});
	is(join(',', staging_entries($node)), '', "$encoding: nothing is left in staging");
	is($node->safe_psql('postgres', "SELECT action FROM install_extension('depot_demo', '1.0', 'main')"), 'install', "$encoding: a good name is installed");
	is($node->safe_psql('postgres', 'CREATE EXTENSION depot_demo; SELECT depot_demo_version()'), '1.0', "$encoding: and works");
	oracle_ok($node, $encoding, '--repository', $repository);
	next if $encoding ne 'UTF8';

	# What must be there, and what is too much.
	foreach my $call ('install_extension(NULL)', 'uninstall_extension(NULL)', 'drop_extension_repository(NULL)',
		"add_extension_repository(NULL, 'file:///x', trusted_root => '{}')", "add_extension_repository('new', NULL, trusted_root => '{}')",
		"add_extension_repository('new', 'file:///x', trusted_root => '{}', mirrors => ARRAY[NULL])")
	{
		refused_ok($node, "NULL: $call", "SELECT $call", sqlstate => '22004', message => qr/^(?:extension|name|url|a mirror) must not be null$/);
	}
	refused_ok($node, 'trusted_root of 3 MB', "SELECT add_extension_repository('new', 'file:///x', trusted_root => repeat('x', 3000000))",
		sqlstate => '54000', message => 'the arguments of add_extension_repository are too large');
	refused_ok($node, 'mirrors of two dimensions', "SELECT add_extension_repository('new', 'file://$repository', trusted_root => '{}',"
		  . " mirrors => ARRAY[ARRAY['x'],ARRAY['y']])", sqlstate => '22023', message => qr/^invalid repository URL "x"/);
	refused_ok($node, 'a name too long for base backups', "SELECT add_extension_repository(repeat('a', 60), 'file://$repository', trusted_root => '{}')",
		sqlstate => '42622', message => qr/^repository name "a{60}" is too long here$/, detail => qr/base backup/, hint => qr/^Choose a name of at most \d+ characters\.$/);
	refused_ok($node, 'a repository that does not exist', "SELECT $_", sqlstate => '42704', message => 'repository "nowhere" does not exist')
	  foreach "drop_extension_repository('nowhere')", "refresh_extension_repository('nowhere')", "install_extension('depot_demo', repository => 'nowhere')";
	refused_ok($node, 'a repository that exists otherwise', "SELECT add_extension_repository('main', 'file:///elsewhere', trusted_root => '{}')",
		sqlstate => '42710', message => 'repository "main" already exists with another URL, trust anchor, priority, mirrors or key types',
		hint => 'Drop it with drop_extension_repository first, or choose another name.');
	refused_ok($node, 'an extension that does not exist', "SELECT install_extension('depot_dema')", sqlstate => '42704',
		message => 'extension "depot_dema" is not available', hint => 'Available by a name like it: "depot_demo".');
	refused_ok($node, 'a version that does not exist', "SELECT install_extension('depot_demo', '>= 7')", sqlstate => '42704',
		message => 'no build of "depot_demo" satisfies ">= 7"', detail => 'Repository "main" has 1.0.');
}

done_testing();
