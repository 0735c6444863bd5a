# A repository that expires: every error and view says so in plain words, what is installed goes on working, and a
# renewed one is taken without further ado.
#
# Holds promise 12 (clear refusals).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotAttack;
use DepotTest;
use Test::More;

my $work = $ENV{DEPOT_TEST_WORK};
my $keys = "$work/keys";
my $repository = "$work/web/repository";
mkdir "$work/web" or die "$work/web: $!";
make_repository($repository, $keys, map { make_tree_package($work, 'depot_demo', $_) } qw(1.0 1.1));
publish($repository, $keys, make_tree_package($work, 'depot_other', '1.0'));
my $web = start_web("$work/web");
my $node = new_depot_node('expired');
create_depot($node);
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', 'CREATE EXTENSION pg_depot_client');
add_repository($node, "$web->{http}/repository", root => "$repository/metadata/1.root.json");

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

my $refresh = "SELECT refresh_extension_repository('main')";
my $state = 'SELECT state FROM depot.repositories';
my $health = "SELECT state, value, what_to_do FROM depot.health WHERE check_name = 'repository main'";
my $role_seen = "SELECT version, seen_at FROM depot.repository_role WHERE role = 'timestamp'";

# ---- roles ----

is(query('SELECT string_agg(role, \' \' ORDER BY role) FROM depot.repository_roles', 'app'),
	'pg15-linux-amd64 root snapshot targets timestamp', 'every role has a row');
is(query($state, 'app'), 'ok', 'the repository is in order');
my $seen = query($role_seen);
query($refresh);
is(query($role_seen), $seen, 'a version that was seen before keeps its time');
publish($repository, $keys);
query($refresh);
isnt(query($role_seen), $seen, 'a new one has its own');

query("SELECT install_extension('depot_demo', '1.0')");
query('CREATE EXTENSION depot_demo');

# Signs a role anew for a few seconds, within which the server must have asked for it: more on a busy machine.
sub expire_soon
{
	my ($role) = @_;
	foreach my $seconds (6, 12, 24, 48, 96)
	{
		sign('role', $repository, $keys, $role, '--expires-in', $seconds);
		last if psql_error($node, 'postgres', $refresh)->{status} == 0;
	}
	return;
}

# ---- each role in turn ----

my $number = 0;
foreach my $role (qw(timestamp snapshot targets pg15-linux-amd64))
{
	my $database = 'later' . ++$number;
	my $what = $role =~ /-/ ? "metadata of role \"$role\"" : "$role metadata";
	expire_soon($role);
	is(query("SELECT role FROM depot.repository_roles ORDER BY expires_at LIMIT 1"), $role, "$role: its last seconds are seen");
	wait_until(sub { query('SELECT bool_and(expires_at < now()) FROM depot.repositories') eq 't' });

	my %refusal = (
		sqlstate => 'PD003',
		message => qr/^repository "main": \Q$what\E of the repository expired on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(.* ago\)$/,
		detail => qr/^It is version \d+; the clock of this server says .* UTC\.$/,
		hint => 'What is installed keeps working. If the clock is right, tell the publisher of the repository, who must renew it '
		  . 'with "pg_depot repo publish".');
	refused_ok($node, "$role: refresh", $refresh, %refusal);
	refused_ok($node, "$role: install", "SELECT install_extension('depot_other')", %refusal, database => 'app');
	refused_ok($node, "$role: update", "SELECT update_extension('depot_demo')", %refusal);
	refused_ok($node, "$role: install of another version", "SELECT install_extension('depot_demo', '1.1')", %refusal);

	like(query($state, $_), qr/^expired: its metadata of role \Q$role\E ran out on \S+ \S+; what is installed keeps working; tell its publisher$/,
		"$role: depot.repositories in $_")
	  foreach qw(postgres app);
	like(query('SELECT last_error FROM depot.repositories'), $refusal{message}, "$role: with the error");
	like(query($health, $_), qr/^critical\|\Q$role\E expired \S+ \S+; what is installed keeps working\|SELECT refresh_.*'main'\).* tell its publisher$/,
		"$role: depot.health in $_")
	  foreach qw(postgres app);

	# What is there needs no repository.
	is(query('SELECT depot_demo_version()'), '1.0', "$role: what is installed works");
	query("CREATE DATABASE $database");
	is(query('CREATE EXTENSION depot_demo; SELECT depot_demo_version()', $database), '1.0', "$role: it can be created in another database");
	is(query("SELECT action FROM install_extension('depot_demo')"), 'keep', "$role: installing it again finds it");
	is(query('SELECT action FROM apply_extension_lock(extension_lock())'), 'keep', "$role: so does the lock of the present state");
	is(query('SELECT count(*) FROM verify_extension_files()'), 0, "$role: its files are in order");
	query("DROP DATABASE $database");

	sign('role', $repository, $keys, $role, '--expires-in', '8640000');
	query($refresh);
	is(query($state, 'app'), 'ok', "$role: renewed, it is in order again");
	like(query($health), qr/^ok\|/, "$role: and healthy");
}

# A damaged file is fetched again from an expired repository: nothing new comes from there.
expire_soon('timestamp');
wait_until(sub { query('SELECT bool_and(expires_at < now()) FROM depot.repositories') eq 't' });
my ($script) = split /\n/, run_ok('find', $node->data_dir . '/pg_depot', '-name', 'depot_demo--1.0.sql');
unlink $script or die "$script: $!";
is(query('SELECT count(*) FROM verify_extension_files()'), 1, 'a damaged file is found');
query('SELECT verify_extension_files(repair => true)');
is(query('SELECT count(*) FROM verify_extension_files()'), 0, 'and repaired');
query("DROP EXTENSION depot_demo; SELECT uninstall_extension('depot_demo')");
is(query('SELECT count(*) FROM depot.installed_packages'), 0, 'and what is installed can be removed');
oracle_ok($node, 'at the end');

$node->stop;
done_testing();
