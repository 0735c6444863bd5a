# Requests that wait for what others have: nobody waits for ever, and nobody is passed over.
#
# Two repositories, each as slow as its packages need to meet on the way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

# Makes and serves a repository of extensions, each {name, requires}; adds it to the server.
sub add_slow_repository
{
	my ($node, $repository, @extensions) = @_;
	my $work = "$ENV{DEPOT_TEST_WORK}/$repository";
	my $program = $ENV{PG_DEPOT} // (pg_config_value('bindir') . '/pg_depot');
	my %keys = map { $_ => "$work/keys/$_" } qw(root targets snapshot timestamp);
	mkdir $work;
	mkdir "$work/keys";
	run_ok($program, 'keygen', $_) foreach values %keys;
	run_ok($program, 'repo', 'init', "$work/repository", '--timestamp-days', '9', '--snapshot-days', '9',
		map { ("--$_-key" => $keys{$_}) } keys %keys);
	foreach my $extension (@extensions)
	{
		my $name = $extension->{name};
		my $script = "CREATE FUNCTION ${name}() RETURNS int LANGUAGE sql AS 'SELECT 1';\n" . DepotTest::dull_text(800);
		make_tree_package($work, $name, '1.0', requires => $extension->{requires}, scripts => { "$name--1.0.sql" => $script });
	}
	run_ok($program, 'repo', 'add', "$work/repository", glob("$work/packages/*.tar.zst"));
	run_ok($program, 'repo', 'publish', "$work/repository", map { ('--key' => $_) } values %keys);

	my $web = start_web("$work/repository", rate => '20k');
	my $root = DepotTest::file_contents("$work/repository/metadata/1.root.json");
	my $add = "SELECT count(*) FROM add_extension_repository('$repository', '$web->{slow}', trusted_root => \$root\$$root\$root\$)";
	$node->safe_psql('postgres', $add);
	return ($add, $web->{access_log});
}

my $node = new_depot_node('waiting', conf => "log_statement = none\ndepot.request_timeout = 30\n");
create_depot($node);

sub is_running
{
	my ($subject, $phase) = @_;
	return wait_until(
		sub { $node->safe_psql('postgres', "SELECT phase FROM depot.activity WHERE subject = '$subject'") eq $phase }, 20);
}

sub start_install
{
	my ($extension) = @_;
	return start_psql($node, 'postgres', "SELECT string_agg(package, ' ') FROM install_extension('$extension')");
}

sub installs_ok
{
	my ($session, $packages, $label) = @_;
	my $answer = finish_psql($session);
	is($answer->{stdout}, $packages, $label) or diag($answer->{stderr});
	return;
}

my ($add_left, $log) = add_slow_repository($node, 'left', (map { { name => "left_$_" } } 1 .. 7), { name => 'left_last', requires => 'right_first' });
add_slow_repository($node, 'right', { name => 'right_first' }, { name => 'right_1' }, { name => 'right_last', requires => 'left_1' });

# ---- two requests, each of which needs both repositories, in opposite order ----

my @sessions = (start_install('left_last'), start_install('right_last'));
installs_ok($sessions[0], 'right_first left_last', 'right, then left');
installs_ok($sessions[1], 'left_1 right_last', 'beside left, then right');

# ---- a repository that is added again while something is fetched from it ----

my $install = start_install('left_2');
ok(is_running('left_2', 'fetching'), 'a package is being fetched');
my $answer = finish_psql(start_psql($node, 'postgres', $add_left));
is($answer->{stdout}, '1', 'the same repository is added again meanwhile') or diag($answer->{stderr});
installs_ok($install, 'left_2', 'and the package is installed');

# Who waits sleeps: a leader that is always awake reads no agent's answer.
$install = start_install('left_6');
ok(is_running('left_6', 'fetching'), 'another one is being fetched');
my $refresh = start_psql($node, 'postgres', "SELECT count(*) FROM refresh_extension_repository('left')");
installs_ok($install, 'left_6', 'a refresh that waits for it');
is(finish_psql($refresh)->{stdout}, '1', 'has its turn');

# ---- rows that change while a package is on its way ----

$install = start_install('left_7');
ok(is_running('left_7', 'fetching'), 'one more is being fetched');
is($node->safe_psql('postgres', q{SELECT action FROM uninstall_extension('left_6')}), 'remove', 'something else is removed meanwhile');
installs_ok($install, 'left_7', 'the package is installed');
is(scalar(() = DepotTest::file_contents($log) =~ /GET .*left_7/g), 1, 'and was fetched once');

# ---- who asked first ----

my $ended = start_install('right_1');
ok(is_running('right_1', 'fetching'), 'a request that will end early');
my $ahead = start_install('left_3');
ok(is_running('left_3', 'fetching'), 'one that has what the next two wait for');
my $first = start_install('left_4');
ok(is_running('left_4', 'waiting'), 'the first of them');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM depot.activity WHERE subject = 'right_1'});
is(finish_psql($ended)->{sqlstate}, '57014', 'the first request of all has ended');
my $second = start_install('left_5');
ok(is_running('left_5', 'waiting'), 'and the second of them has its place');
installs_ok($ahead, 'left_3', 'the one ahead is done');
installs_ok($first, 'left_4', 'the first is');
installs_ok($second, 'left_5', 'so is the second');
is($node->safe_psql('postgres', q{SELECT string_agg(package, ' ' ORDER BY id) FROM depot.activity_log WHERE package ~ '^left_[345]$'}),
	'left_3 left_4 left_5', 'in this order');

done_testing();
