# A full disk: whatever the moment, the answer is 53100 and nothing has changed.
#
# The depot directory is a small tmpfs, that of a standby at last.  Root mounts it; anybody else does so in
# a user namespace of its own, as one who is nobody special in it.
#
# Holds promise 3 (nothing half-done).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use constant SIZE_BYTES => 16 * 1024 * 1024;

BEGIN
{
	require File::Temp;
	if (!defined $ENV{DEPOT_TEST_SMALL})
	{
		my $directory = File::Temp::tempdir('depot-small-XXXXXX', TMPDIR => 1);
		my $mount = 'mount -t tmpfs -o size=' . SIZE_BYTES . ',mode=777 depot "$1"';
		my @again = ($^X, "-I$FindBin::RealBin/../perl", "$FindBin::RealBin/$FindBin::RealScript", @ARGV);
		# In a plain chroot the root is no mount whose propagation could be changed.
		my @propagation = system('unshare -m true 2>/dev/null') == 0 ? () : ('--propagation', 'unchanged');
		my @unshare = $> == 0
		  ? ('unshare', '-m', @propagation, 'sh', '-c',
			"$mount || exit; directory=\$1; shift; \"\$@\"; status=\$?; umount \"\$directory\"; exit \$status",
			'sh', $directory)
		  : ('unshare', '-Ur', '-m', 'sh', '-c', "$mount && shift && exec unshare -U --map-user=$> --map-group=" . ($) + 0) . ' "$@"',
			'sh', $directory);
		if (system(@unshare, 'true') != 0)
		{
			rmdir $directory;
			print "1..0 # SKIP cannot mount a tmpfs: no namespaces here\n";
			exit 0;
		}
		$ENV{DEPOT_TEST_SMALL} = $directory;
		my $status = system(@unshare, @again);
		rmdir $directory;
		exit($status & 127 ? 255 : $status >> 8);
	}
}

use DepotAttack;
use DepotCluster;
use DepotTest;
use Test::More;

my $small = $ENV{DEPOT_TEST_SMALL};
my $filler = "$small/filler";
my $repository = depot_repository();
my $node = new_depot_node('full', conf => "depot.directory = '$small/depot'\ndepot.min_free_space = 0\nlog_statement = none\n");
create_depot($node);
add_repository($node, $repository->{directory});
$node->safe_psql('postgres', "SELECT install_extension('hll')");

sub free_bytes
{
	my ($size, $free) = split ' ', run_ok('stat', '-f', '-c', '%S %a', $small);
	return $size * $free;
}

# Leaves this many bytes free.
sub leave_free
{
	my ($bytes) = @_;
	unlink $filler;
	my $fill = int(free_bytes() - $bytes);
	run_ok('sh', '-c', 'head -c "$1" /dev/zero >"$2"', 'sh', $fill, $filler) if $fill > 0;
	return;
}

my %row;
@row{qw(packed unpacked)} = split /\|/,
  $node->safe_psql('postgres', "SELECT size_bytes, unpacked_bytes FROM depot.available WHERE package = 'depot_big'");
cmp_ok($row{unpacked} + $row{packed}, '<', SIZE_BYTES, 'the package fits an empty disk');

sub is_full_error
{
	my ($label, $sql) = @_;
	unchanged_ok(
		$node, $label,
		sub {
			my $error = is_error($node, 'postgres', $sql, '53100', qr/./, $label);
			like(join(' ', map { $error->{$_} // '' } qw(message detail hint)), qr/space/i, "$label: says that space is missing");
		});
	oracle_ok($node, $label);
	return;
}

leave_free($row{packed} / 2);
is_full_error('full while fetching', "SELECT install_extension('depot_big')");
leave_free($row{packed} + $row{unpacked} / 2);
is_full_error('full while unpacking', "SELECT install_extension('depot_big')");
leave_free(0);
is_full_error('full before anything', "SELECT install_extension('depot_big')");
is_full_error('full, a refresh', "SELECT refresh_extension_repository('main')");
is_full_error('full, another repository',
	"SELECT add_extension_repository('other', 'file://$repository->{directory}', trusted_root => \$r\$"
	  . DepotTest::file_contents($repository->{root}) . '$r$)');
is($node->safe_psql('postgres', "SELECT action FROM install_extension('hll')"), 'keep', 'full: what is there is kept');
is($node->safe_psql('postgres', 'SELECT count(*) FROM verify_extension_files()'), 0, 'full: verify works');
is($node->safe_psql('postgres', 'CREATE EXTENSION hll; SELECT hll_cardinality(hll_empty()); DROP EXTENSION hll'), 0, 'full: hll works');

# A refresh with something new, from nothing to enough: what was trusted as a whole stays until all of the new is there.
{
	my $copy = copy_repository($repository->{directory}, "$ENV{DEPOT_TEST_WORK}/copy");
	unlink $filler;
	add_repository($node, $copy, name => 'copy');
	sign('role', $copy, $repository->{keys}, 'pg15-linux-amd64');
	my $metadata = "$small/depot/var/metadata/copy";
	my $before = whole_set($metadata);
	my $full = 0;
	foreach my $step (0 .. 200)
	{
		leave_free($step * 4096);
		my $answer = DepotTest::psql_error($node, 'postgres', "SELECT changed FROM refresh_extension_repository('copy')");
		if ($answer->{status} == 0)
		{
			is($answer->{stdout}, 't', "a refresh with something new: $step pages are enough");
			isnt(whole_set($metadata), $before, 'and it is trusted as a whole');
			last;
		}
		$full++;
		next if $answer->{sqlstate} eq '53100' && whole_set($metadata) eq $before;
		fail("a refresh with $step pages free: $answer->{stderr}");
	}
	cmp_ok($full, '>', 3, "which it was not $full times");
	unlink $filler;
	is($node->safe_psql('postgres', "SELECT action FROM install_extension('ip4r', repository => 'copy')"), 'install', 'and can be installed from');
	$node->safe_psql('postgres', "SELECT uninstall_extension('ip4r'); SELECT drop_extension_repository('copy')");
}

# From nearly nothing to enough: each installation is done or leaves everything as it was.
my %outcomes;
my $enough = 0;
foreach my $step (0 .. 400)
{
	leave_free($step * 4096);
	my $before = oracle_dump($node);
	my $answer = DepotTest::psql_error($node, 'postgres', "SELECT action FROM install_extension('semver')");
	$outcomes{ $answer->{sqlstate} }++;
	if ($answer->{status} == 0)
	{
		$enough++;
		oracle_ok($node, sprintf('%d pages are enough', $step));
		unlink $filler;
		$node->safe_psql('postgres', "SELECT uninstall_extension('semver')");
		last if $enough == 3;
	}
	elsif ($answer->{sqlstate} ne '53100' || oracle_dump($node) ne $before || DepotTest::oracle_says($node, '--quiet-server') ne '')
	{
		fail("with $step pages free: $answer->{stderr}" . DepotTest::oracle_says($node, '--quiet-server'));
	}
}
is($enough, 3, 'in the end there is enough: ' . join(', ', map { "$outcomes{$_} times '$_'" } sort keys %outcomes));

# A removal needs little space, and a restart of a full depot comes up.
unlink $filler;
$node->safe_psql('postgres', "SELECT install_extension('semver')");
leave_free(0);
$node->restart;
wait_for_leader($node);
oracle_ok($node, 'full: after a restart');
my $removal = DepotTest::psql_error($node, 'postgres', "SELECT uninstall_extension('semver')");
is($removal->{sqlstate}, '53100', 'full: a removal') or diag($removal->{stderr});
oracle_ok($node, 'full: after a removal');
foreach my $step (1 .. 60)
{
	leave_free($step * 4096);
	$removal = DepotTest::psql_error($node, 'postgres', "SELECT uninstall_extension('semver')");
	oracle_ok($node, "a removal with $step pages: '$removal->{sqlstate}'");
	last if $removal->{sqlstate} ne '53100';
}
is($removal->{status}, 0, 'a removal with little space') or diag($removal->{stderr});
unlink $filler;
is(oracle_is_ok($node, 120, '--quiet-server'), '', 'with space again files equal rows');
is($node->safe_psql('postgres', "SELECT action FROM install_extension('depot_big')"), 'install', 'with space again it installs');
oracle_ok($node, 'in the end');
$node->stop;

# ---- a standby's disk ----

run_ok('rm', '-rf', "$small/depot");
my $primary = new_primary('primary', conf => "log_statement = none\ndepot.report_interval = 1\n");
$primary->safe_psql('postgres', "CREATE ROLE report_standby LOGIN; SELECT add_extension_node('standby', 'report_standby')");
my $conninfo = 'host=' . $primary->host . ' port=' . $primary->port . ' user=report_standby';
my $standby = create_standby('standby', $primary, depot => 0,
	conf => "depot.directory = '$small/standby'\ndepot.min_free_space = 0\ndepot.report_conninfo = '$conninfo'\n");

# Waits until depot.nodes on the primary shows the standby so.
sub shows
{
	my ($expected, $label) = @_;
	my $answer;
	my $sql = "SELECT state, problem FROM depot.nodes WHERE name = 'standby'";
	my $is_so = wait_until(sub { ($answer = $primary->safe_psql('postgres', $sql)) =~ $expected });
	return ok($is_so, "a standby: $label") || diag("$answer; " . substr(log_of($standby), -2000));
}

install($primary, 'hll');
shows(qr/^ok\|$/, 'follows');
my $leader = leader_pid($standby);
foreach my $case ([ 'full', 0 ], [ 'too full to unpack', $row{unpacked} / 2 ])
{
	my ($label, $free_bytes) = @$case;
	leave_free($free_bytes);
	install($primary, 'depot_big');
	shows(qr/^failed\|53100: depot_big 1\.0: [^|]*space/i, "$label: depot.nodes on the primary says 53100");
	ok($standby->poll_query_until('postgres', "SELECT state = 'warning' AND value ~ '^failed' FROM depot.health WHERE check_name = 'reconcile'"),
		"a standby: $label: its own depot.health tells as well");
	ok(-e "$small/standby" . DepotTest::pg_config_value('sharedir') . '/extension/hll.control', "a standby: $label: what it had stays");
	unlink $filler;
	shows(qr/^ok\|$/, "$label, with space again: nobody has to call");
	follows($standby, $primary, "$label, with space again");
	uninstall($primary, 'depot_big');
	shows(qr/^ok\|$/, "$label: removed again");
}
is(leader_pid($standby), $leader, 'a standby: the leader lives');
$_->stop foreach $standby, $primary;
done_testing();
