# Withdrawn builds: marked by their role or listed for all roles, they are passed over and refused, and named where
# they are installed, which goes on working.
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
my $program = DepotTest::depot_program();
mkdir "$work/web" or die "$work/web: $!";

make_repository($repository, $keys, map { make_tree_package($work, 'depot_demo', $_) } qw(1.0 1.1 1.2));
publish($repository, $keys, make_tree_package($work, 'depot_needs', '1.0', requires => 'depot_demo'));
my $web = start_web("$work/web");
my $node = new_depot_node('withdrawn');
create_depot($node);
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', 'CREATE EXTENSION pg_depot_client');
add_repository($node, "$web->{http}/repository", root => "$repository/metadata/1.root.json");

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# What the publisher does; then the server hears of it.
sub yank
{
	my (@arguments) = @_;
	run_ok($program, 'repo', 'yank', $repository, @arguments);
	publish($repository, $keys);
	return query('SELECT changed FROM refresh_extension_repository()');
}

my $refresh = q{SELECT refresh_extension_repository('main')};
my $versions = "SELECT string_agg(version || ': ' || summary, ', ' ORDER BY version) FROM depot.packages WHERE package = 'depot_demo'";
my $outdated = 'SELECT * FROM depot.outdated';
my $health = "SELECT state, value FROM depot.health WHERE check_name = 'withdrawn packages'";
my $summary = 'made for a test';

# ---- a mark ----

query("SELECT install_extension('depot_demo')");
query("CREATE EXTENSION depot_demo", 'app');
my $lock = query('SELECT extension_lock()');
is(query($outdated), '', 'nothing is outdated');
is(query($health), 'ok|none installed', 'nothing is withdrawn');

is(yank('depot_demo', '1.2', '--reason', 'loses rows', '--advisory', 'CVE-2026-1234'), 't', 'a refresh brings the mark');
foreach my $database (qw(postgres app))
{
	is(query($versions, $database), "1.0: $summary, 1.1: $summary, 1.2: withdrawn: loses rows", "$database: depot.packages says so");
	is(query($outdated, $database),
		'depot_demo|1.2|1.1|main|older; install_extension with this version goes back to it|loses rows|CVE-2026-1234',
		"$database: depot.outdated names it, with the newest version that is good");
	is(query($health, $database), 'warning|depot_demo 1.2', "$database: so does depot.health");
	is(query("BEGIN READ ONLY; $outdated; COMMIT", $database), query($outdated, $database), "$database: in a read-only transaction as well");
}

is(query('SELECT depot_demo_version()', 'app'), '1.2', 'what is installed goes on working');
is(query('SELECT count(*) FROM verify_extension_files()'), 0, 'its files stay');
is(query("SELECT action FROM install_extension('depot_demo')"), 'keep', 'installing it again keeps it');
is(query("SELECT action FROM update_extension('depot_demo')"), 'keep', 'an update has nothing to offer');
like(join("\n", psql_notices($node, $_->[0], "SELECT $_->[1]_extension('depot_demo')")),
	qr/NOTICE:  package "depot_demo" 1\.2 is already installed, but its publisher has withdrawn it: loses rows$/, "$_->[1] says so")
  foreach [ 'postgres', 'install' ], [ 'app', 'update' ];
is(query("SELECT action FROM apply_extension_lock(\$\$$lock\$\$)"), 'keep', 'a lock that names it keeps it');
query('CREATE DATABASE later');
query('CREATE EXTENSION depot_demo', 'later');
is(query('SELECT depot_demo_version()', 'later'), '1.2', 'other databases can still create it');

# ---- refusals ----

is(query("SELECT version, action FROM install_extension('depot_demo', '1.1')"), '1.1|update', 'going back is possible');
is(query($outdated), '', 'and then nothing is outdated: what was withdrawn is not offered');
is(query("SELECT action FROM update_extension('depot_demo')"), 'keep', 'an update passes over it');
my @refusal = (sqlstate => 'PD015', message => 'package "depot_demo" 1.2 was withdrawn by its publisher',
	detail => 'Reason: loses rows. Advisory: CVE-2026-1234.');
my $hint = 'Install another version: repository "main" has 1.1.';
refused_ok($node, 'install by version', "SELECT install_extension('depot_demo', '1.2')", @refusal, hint => $hint);
refused_ok($node, 'install by a constraint that means it only', "SELECT install_extension('depot_demo', '> 1.1')", @refusal, hint => $hint);
refused_ok($node, 'update to it', "SELECT update_extension('depot_demo', '1.2')", @refusal, hint => $hint, database => 'app');
refused_ok($node, 'dry run', "SELECT install_extension('depot_demo', '1.2', dry_run => true)", @refusal, hint => $hint);
refused_ok($node, 'a lock with it', "SELECT apply_extension_lock(\$\$$lock\$\$)", @refusal,
	hint => 'Update the package where the lock was made, and make a new lock.');
is(query("SELECT action, reason FROM check_extension_list('depot_demo 1.2')"), 'refused|package "depot_demo" 1.2 was withdrawn by its publisher. Reason: loses rows. Advisory: CVE-2026-1234.',
	'a list with it is told so');
query('DROP EXTENSION depot_demo', $_) foreach qw(app later);
query("SELECT uninstall_extension('depot_demo')");
is(query("SELECT version FROM install_extension('depot_needs') WHERE package = 'depot_demo'"), '1.1', 'as a dependency it is passed over');
query("SELECT uninstall_extension('depot_needs'), uninstall_extension('depot_demo')");

# The rows are not all that stands in the way: the check agent knows the mark itself.
query('DELETE FROM depot.withdrawn');
refused_ok($node, 'with the rows gone', "SELECT install_extension('depot_demo', '1.2')", sqlstate => 'PD015',
	message => qr/depot_demo-1\.2\.tar\.zst": its publisher has withdrawn it$/, detail => 'Reason: loses rows. Advisory: CVE-2026-1234.',
	hint => 'Install another version.');

# ---- all of them, and back ----

yank('depot_demo', $_, '--reason', 'all bad') foreach qw(1.0 1.1);
refused_ok($node, 'nothing is left', "SELECT install_extension('depot_demo')", @refusal,
	hint => 'Repository "main" has no other version; ask its publisher for one.');
refused_ok($node, 'what needs it', "SELECT install_extension('depot_needs')", sqlstate => 'PD015',
	message => 'package "depot_needs" needs what cannot be had: package "depot_demo" 1.2 was withdrawn by its publisher',
	detail => 'Reason: loses rows. Advisory: CVE-2026-1234.',
	hint => 'Ask the publisher of package "depot_needs" for a version that does without it.');
yank('depot_demo', $_, '--undo') foreach qw(1.0 1.1 1.2);
is(query($versions), "1.0: $summary, 1.1: $summary, 1.2: $summary", 'taken back, all are offered again');
is(query("SELECT version FROM install_extension('depot_demo')"), '1.2', 'and installed');

# ---- the list, for every role ----

my $digest = query("SELECT sha256 FROM depot.available WHERE package = 'depot_demo' AND version = '1.2'");
my $kept = $node->data_dir . '/pg_depot/var/metadata/main/withdrawn.list';
yank('--all-roles', $digest, '0' x 64, '--reason', 'its publisher does not answer');
is(query('SELECT withdrawn, advisory FROM depot.outdated'), 'its publisher does not answer|', 'the list counts as a mark does');
ok(-e $kept, 'it is kept beside the metadata');
is(query('CREATE EXTENSION depot_demo; SELECT depot_demo_version()'), '1.2', 'what is installed goes on working');

# A server that has nothing but the rows, as a promoted standby, and not even those that say what is withdrawn.
my $list_of_file = file_contents($kept);
query("DROP EXTENSION depot_demo; SELECT uninstall_extension('depot_demo')");
my $is_row = "SELECT content = pg_read_binary_file('$kept') FROM depot.repository_metadata WHERE role = 'withdrawn.list'";
is(query($is_row), 't', 'the list is a row');
$node->stop;
rename("$repository/metadata", "$work/metadata") or die "$repository/metadata: $!";
run_ok('rm', '-rf', $node->data_dir . '/pg_depot/var/metadata/main');
$node->start;
wait_for_leader($node);
query('DELETE FROM depot.withdrawn');
refused_ok($node, 'the list is known from a row', "SELECT install_extension('depot_demo', '1.2')", sqlstate => 'PD015',
	message => qr/depot_demo-1\.2\.tar\.zst": its publisher has withdrawn it$/, detail => 'Reason: its publisher does not answer.',
	hint => 'Install another version.');
is(file_contents($kept), $list_of_file, 'and is kept beside the metadata again');
rename("$work/metadata", "$repository/metadata") or die "$repository/metadata: $!";

# A row that is not the list counts for nothing, and the refresh that says so writes it anew.
query("UPDATE depot.repository_metadata SET content = '\\x7b7d' WHERE role = 'withdrawn.list'");
unlink $kept or die "$kept: $!";
my @warnings = psql_notices($node, 'postgres', $refresh);
like("@warnings", qr/row of depot\.repository_metadata for role "withdrawn\.list", version \d+, counts for nothing: it is not the file that was signed/,
	'a row that somebody changed counts for nothing');
is(file_contents($kept), $list_of_file, 'the list is fetched');
is(query($is_row), 't', 'and the row is right again');
is(query('SELECT count(*) FROM depot.withdrawn'), '2', 'so are the others');
query("SELECT install_extension('depot_demo', '1.0')");
is(query("SELECT count(*) FROM depot.repository_metadata WHERE role = 'withdrawn.list'"), '1', 'of the list there is one row');
query("SELECT uninstall_extension('depot_demo')");
yank('--all-roles', $digest, '--undo');
query("SELECT install_extension('depot_demo', '1.2')");
yank('--all-roles', $digest, '--reason', 'its publisher does not answer');

# A mark and the list: the list counts.
yank('depot_demo', '1.2', '--reason', 'of the mark');
is(query('SELECT withdrawn FROM depot.outdated'), 'its publisher does not answer', 'the list overrides the role');
my $before = file_contents($web->{access_log});
query($refresh);
unlike(substr(file_contents($web->{access_log}), length $before), qr/withdrawn\.json/, 'it is fetched once');

# A mirror that hides or alters it: the refresh fails, what was known stays known, and nothing else is forgotten.
my $number = 1;
foreach my $case ([ 'hidden', sub { unlink $_[0] }, '58P01', qr/^repository "main": repository lacks the withdrawn\.json that its targets metadata lists$/ ],
	[ 'altered', sub { my $text = file_contents($_[0]); $text =~ s/reason/season/; write_file($_[0], $text) }, 'PD008', qr/it is not the file that was signed$/ ],
	[ 'longer', sub { write_file($_[0], file_contents($_[0]) . ' ') }, '54000', qr/it is larger than \d+ bytes$/ ],
	[ 'shorter', sub { write_file($_[0], '{}') }, '08006', qr/truncated: got 2 of \d+ bytes$/ ])
{
	my ($label, $spoil, $sqlstate, $message) = @$case;
	run_ok($program, 'repo', 'yank', $repository, '--all-roles', sprintf('%064x', ++$number), '--reason', $label);
	publish($repository, $keys);
	my ($newest) = sort { -M $a <=> -M $b || -C $a <=> -C $b } grep { file_contents($_) =~ /$label/ } glob("$repository/targets/*.withdrawn.json");
	my $text = file_contents($newest);
	$spoil->($newest);
	refused_ok($node, "list $label", $refresh, sqlstate => $sqlstate, message => $message);
	is(query('SELECT withdrawn FROM depot.outdated'), 'its publisher does not answer', "list $label: what was known stays known");
	like(query('SELECT last_error FROM depot.repositories', 'app'), $message, "list $label: depot.repositories has the error");
	write_file($newest, $text);
	is(query('SELECT count(*) FROM refresh_extension_repository(); SELECT reason FROM depot.withdrawn WHERE sha256 = ' . sprintf("'%064x'", $number)),
		"1\n$label", "list $label: once it is right, it is read");
	is(query('SELECT last_error IS NULL AND last_failure IS NULL FROM depot.repositories'), 't', "list $label: and the error is gone");
}

yank('--all-roles', $digest, '--undo');
is(query('SELECT withdrawn FROM depot.outdated'), 'of the mark', 'off the list, the mark counts');
yank('depot_demo', '1.2', '--undo');
is(query($outdated), '', 'nothing is withdrawn any more');
query("SELECT drop_extension_repository('main')");
is(query('SELECT count(*) FROM depot.withdrawn') . query('SELECT count(*) FROM depot.repository_roles'), '00', 'a dropped repository leaves no rows');
oracle_ok($node, 'at the end');

$node->stop;
done_testing();
