# Publishers with their own keys: paths and names that they were given, and a stolen key.
#
# Holds promise 1 (verified first), and the runbook "A publisher's key is stolen".

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $program = $ENV{PG_DEPOT} // (pg_config_value('bindir') . '/pg_depot');
my $repository = "$work/publishers";
my @owner = map { ('--key' => "$work/$_") } qw(targets snapshot timestamp);
my @online = map { ('--key' => "$work/$_") } qw(snapshot timestamp);

sub pg_depot
{
	return run_ok($program, @_);
}

# Gives paths of packages and names to a publisher with this key.
sub delegate
{
	my ($publisher, $key, $packages, $names) = @_;
	return pg_depot('repo', 'delegate', $repository, $publisher, '--add', "$work/$key.pub",
		(map { ('--path' => "*/*/$_/*/*") } @$packages), (map { ('--provides' => $_) } @$names), @owner);
}

sub publish
{
	my ($key, @files) = @_;
	pg_depot('repo', 'add', $repository, @files);
	return pg_depot('repo', 'publish', $repository, '--key' => "$work/$key", @online);
}

sub offered
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "SELECT string_agg(package || ' ' || version, ', ' ORDER BY package, version)"
		  . " FROM depot.available");
}

sub refresh
{
	my ($node) = @_;
	return join "\n", psql_notices($node, 'postgres', 'SELECT refresh_extension_repository()');
}

# ---- a repository with two publishers ----

pg_depot('keygen', "$work/$_") foreach qw(root targets snapshot timestamp alice alice-2 bob);
pg_depot('repo', 'init', $repository, map { ("--$_-key" => "$work/$_") } qw(root targets snapshot timestamp));
my %package = (
	(map { ("demo $_" => make_tree_package($work, 'pub_demo', $_)) } qw(1.0 1.1 2.0)),
	extra => make_tree_package($work, 'pub_extra', '1.0'),
	free => make_tree_package($work, 'pub_free', '1.0'),
	evil => make_tree_package($work, 'pub_evil', '1.0', package => 'pub_alice'));
publish('targets', $package{'demo 1.0'}, $package{free});

my $node = new_depot_node('publishers');
create_depot($node);
add_repository($node, $repository, root => "$repository/metadata/1.root.json");
is(offered($node), 'pub_demo 1.0, pub_free 1.0', 'without publishers the platform offers all');

# Bob had pub_demo before; what he has signed of it is still there when it is alice's.
delegate('bob', 'bob', [qw(pub_demo pub_extra)], [qw(pub_demo pub_extra)]);
publish('bob', $package{'demo 1.1'}, $package{extra});
is(refresh($node), '', 'a publisher with names that he was given is nothing to warn of');
is(offered($node), 'pub_demo 1.1, pub_extra 1.0, pub_free 1.0',
	"what is delegated to a publisher is never taken from the platform's role");

delegate('bob', 'bob', ['pub_extra'], [qw(pub_demo pub_extra)]);
delegate('alice', 'alice', [qw(pub_demo pub_alice)], [qw(pub_demo pub_alice pub_evil)]);
is(refresh($node), '', 'a publisher who has not published is nothing to warn of');
is(offered($node), 'pub_extra 1.0, pub_free 1.0', "nobody else's pub_demo is offered in the meantime");
publish('alice', $package{'demo 2.0'}, $package{evil});

# ---- names ----

delegate('alice', 'alice', [qw(pub_demo pub_alice)], [qw(pub_demo pub_alice)]);
like(
	refresh($node),
	qr{WARNING:  repository "main": target "[^"]*/pub_alice-1\.0\.tar\.zst" of role "pub-alice" is ignored: it provides extension "pub_evil", which role "pub-alice" was not given},
	'a name that was not given: a WARNING names role, target and name');
is(offered($node), 'pub_demo 2.0, pub_extra 1.0, pub_free 1.0', "and the path that bob had is alice's");
is_error($node, 'postgres', "SELECT install_extension('$_')", '42704', qr/is not available/, "$_ cannot be installed")
  foreach qw(pub_evil pub_alice);
is_error($node, 'postgres', "SELECT install_extension('pub_demo', '$_')", '42704',
	qr/no build of "pub_demo" satisfies "\Q$_\E"/,
	"nor can pub_demo $_, which others have signed")
  foreach qw(1.0 1.1);
is($node->safe_psql('postgres', 'SELECT count(*) FROM depot.installed_packages'), 0, 'nothing was installed');
is($node->safe_psql('postgres', "SELECT string_agg(package || ' ' || version, ',') FROM install_extension('pub_demo')"),
	'pub_demo 2.0', "alice's own can be");
$node->safe_psql('postgres', "SELECT install_extension('pub_extra'); CREATE EXTENSION pub_demo");

my $add = run_status($program, 'repo', 'add', $repository,
	make_tree_package($work, 'pub_evil', '1.1', package => 'pub_alice'));
like($add, qr/^1 .*it provides extension "pub_evil", which role "pub-alice" was not given/s, 'repo add refuses it');

# Exit code, and what it printed.
sub run_status
{
	my (@command) = @_;
	my ($output, $errors) = ('', '');
	IPC::Run::run(\@command, '<', '/dev/null', '>', \$output, '2>', \$errors);
	return ($? >> 8) . " $output$errors";
}

# ---- a stolen key ----

delegate('alice', 'alice-2', [qw(pub_demo pub_alice)], [qw(pub_demo pub_alice)]);
like(
	refresh($node),
	qr/WARNING:  repository "main": no package of role "pub-alice" is taken: /,
	'what the old key has signed is left out');
is(offered($node), 'pub_extra 1.0, pub_free 1.0', 'nothing of hers is offered, all of the others');
is($node->safe_psql('postgres', 'SELECT pub_demo_version()'), '2.0', 'what is installed works');
like(run_status($program, 'repo', 'status', $repository), qr/^3 .*role "pub-alice" is not signed by its new keys yet/s,
	'repo status says so');
my $thief = run_status($program, 'repo', 'publish', $repository, '--key', "$work/alice", @online);
like($thief, qr/is not a key of this repository/, 'the old key is no key of the repository');
refresh($node);
is(offered($node), 'pub_extra 1.0, pub_free 1.0', 'and changes nothing');

publish('alice-2', $package{'demo 2.0'});
is(refresh($node), '', 'signed with the new key');
is(offered($node), 'pub_demo 2.0, pub_extra 1.0, pub_free 1.0', 'her package is offered again');
is($node->safe_psql('postgres', "SELECT action FROM install_extension('pub_demo')"), 'keep', 'and is the one installed');

# ---- paths that are taken back ----

pg_depot('repo', 'delegate', $repository, 'alice', '--remove', @owner);
is(refresh($node), '', 'a delegation that is removed is nothing to warn of');
is(offered($node), 'pub_demo 1.0, pub_extra 1.0, pub_free 1.0', "the path is the platform's again");

$node->stop;
done_testing();
