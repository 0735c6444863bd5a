# Whether a server has the files that its rows ask for: extension_files_ready() and "pg_depot ready".
#
# Holds promises 5 (one path) and 12 (clear refusals).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;

my $program = DepotTest::depot_program();
my ($primary, $standby) = depot_cluster(primary_conf => "log_statement = none\n");
my $asked = 'SELECT ready, reason, missing, what_to_do FROM extension_files_ready()';

# Exit code and output of the program.
sub probe
{
	my ($node, @options) = @_;
	my ($output, $errors) = ('', '');
	IPC::Run::run([ $program, 'ready', '--datadir', $node->data_dir, @options ], '<', '/dev/null', '>', \$output, '2>', \$errors);
	return ($? >> 8, $output . $errors);
}

sub becomes_ready_ok
{
	my ($node, $label) = @_;
	my ($answer, @said);
	ok( DepotTest::wait_until(
			sub { ($answer = $node->safe_psql('postgres', $asked)) eq 't||{}|' && (@said = probe($node))[0] == 0 }, 60),
		"$label: ready, both ways") or diag($answer, @said);
	return $said[1];
}

like(becomes_ready_ok($primary, 'a primary'), qr/^ready: 0 packages, generation \d+$/, 'and says so in a line');
becomes_ready_ok($standby, 'a standby');
$primary->safe_psql('postgres', 'CREATE DATABASE app');
$primary->safe_psql('app', 'CREATE EXTENSION pg_depot_client; CREATE ROLE nobody');
replayed($standby, $primary);
is($_->safe_psql('app', "SET ROLE nobody; $asked"), 't||{}|', $_->name . ': anybody may ask in any database') foreach $primary, $standby;

# ---- files follow rows ----

install($primary, 'hll');
replayed($standby, $primary);
like(becomes_ready_ok($standby, 'after an installation'), qr/^ready: 1 package, /, 'with the package');

# The rows are there before the files: the leader is kept from working.
my $leader = leader_pid($standby);
kill 'STOP', $leader;
install($primary, 'semver');
my $generation = generation($primary);
replayed($standby, $primary);
like($standby->safe_psql('postgres', $asked), qr/^f\|generation $generation of the rows is not applied yet, but \d+\|\{\}\|see the server's log, if this lasts$/,
	'rows that were replayed and not applied are not ready');
kill 'CONT', $leader;
becomes_ready_ok($standby, 'when the leader goes on');

# ---- what cannot be had ----

my $installed = $standby->data_dir . '/pg_depot';
$primary->safe_psql('postgres', "INSERT INTO depot.installed (package, version, why, state) VALUES ('lost', '1.0', 'requested', 'installed');"
	  . 'UPDATE depot.generation SET generation = generation + 1');
replayed($standby, $primary);
$standby->restart;
ok(DepotTest::wait_until(sub { $standby->safe_psql('postgres', $asked) eq 'f|1 package is lacking|{lost}|SELECT problem FROM depot.nodes; it is tried again after a pause' }, 60),
	'what lacks is named, and where to look')
  or diag($standby->safe_psql('postgres', $asked));
is($standby->safe_psql('postgres', "SELECT h.what_to_do = r.what_to_do FROM depot.health h, extension_files_ready() r WHERE h.check_name = 'packages'"),
	't', 'depot.health says the same is to be done');
my ($code, $said) = probe($standby);
is($code, 1, 'the program exits with 1');
like($said, qr/^not ready: 1 package is lacking\n  lost 1\.0: no build for \S+ is recorded\nhint: see the server's log; it is tried again after a pause$/,
	'and says why, and what to do');
like((probe($standby, '--json'))[1], qr/"missing": \[\s+\{\s+"package": "lost".*"ready": false.*"what_to_do": "see the server's log; [^"]*"\s+\}$/s, 'in JSON, too');
is((probe($standby, '-q'))[1], '', 'or nothing');
$primary->safe_psql('postgres', "DELETE FROM depot.installed WHERE package = 'lost'; UPDATE depot.generation SET generation = generation + 1");
replayed($standby, $primary);
$standby->restart;
becomes_ready_ok($standby, 'without it');

# ---- damage, and what an earlier run has left ----

my ($library) = glob("$installed/usr/lib/postgresql/15/lib/hll.so");
rename($library, "$library.away") or die "rename: $!";
is_deeply(
	[ probe($standby) ],
	[ 1, "not ready: files of package \"hll\" are missing or damaged\n"
		  . "hint: restart the server, or on a primary SELECT * FROM verify_extension_files(repair => true)\n" ],
	'a missing file is seen');
my $health = "SELECT value, what_to_do FROM depot.health WHERE check_name = 'served files'";
is($standby->safe_psql('postgres', $health), 'damaged in 1 of 2 packages|restart the server, which brings them back', 'by depot.health, too');
$standby->restart;
becomes_ready_ok($standby, 'after what both say');
unlink "$library.away";

$standby->stop;
is((probe($standby))[0], 0, 'a server that is down is ready if it was');
my $applied = file_contents("$installed/var/applied.json");
DepotTest::write_file("$installed/var/applied.json", '{');
($code, $said) = probe($standby);
is($code, 1, 'a file that is cut off');
like($said, qr/^pg_depot: error: var\/applied\.json: .*\nhint: The server's leader writes it soon after each start/, 'is an error that names it');
write_file("$installed/var/applied.json", $applied =~ s/"ready":true(.*)"error":""/"ready":false$1"error":"no\\nroom"/r);
is((probe($standby))[1], "not ready: no?room\nhint: see the server's log; it is tried again after a pause\n", 'an error of the leader is the reason');
write_file("$installed/var/applied.json", $applied =~ s/"generation_seen":\d+(.*)"ready":true/"generation_seen":999$1"ready":false/r =~ s/,"error":""//r);
like((probe($standby))[1], qr/^not ready: generation 999 of the rows is not applied yet, but \d+\nhint: see the server's log, if this lasts$/,
	'or how far it is, where an older library has written no error');
write_file("$installed/var/applied.json", $applied =~ s/"incarnation":"\d+/"incarnation":"1/r);
open(my $pid_file, '>', $standby->data_dir . '/postmaster.pid') or die $!;
print $pid_file "1\n" . $standby->data_dir . "\n" . time . "\n";
close($pid_file);
is_deeply([ probe($standby) ], [ 1, "not ready: the server has been started, and has not looked yet\nhint: see the server's log, if this lasts\n" ],
	'what an earlier run has left does not count while the server runs');
unlink $standby->data_dir . '/postmaster.pid';
$standby->start;
becomes_ready_ok($standby, 'after its next start');

# ---- wrong use ----

is((probe($standby, 'more'))[0], 2, 'an argument too many');
($code, $said) = probe($standby, '--directory', 'nowhere');
is($code, 1, 'a directory that is not there');
like($said, qr/could not open depot directory "nowhere".*--directory/s, 'with a hint');
is(run_code('ready', '--datadir', '/nonexistent'), 1, 'nor is the data directory');
{
	local $ENV{PGDATA} = '';
	is(run_code('ready'), 2, 'no data directory');
	local $ENV{PGDATA} = $standby->data_dir;
	is(run_code('ready', '-q'), 0, 'the one of the environment');
}

sub run_code
{
	my (@arguments) = @_;
	IPC::Run::run([ $program, @arguments ], '<', '/dev/null', '>', \my $output, '2>', \my $errors);
	return $? >> 8;
}

done_testing();
