# kill -9 of the postmaster, the leader, its agents and workers and of sessions, at random and at named
# points, while extensions are installed, updated, removed, declared, created and brought to a lock: each
# restart comes up, files equal rows, and nothing in use is gone.
#
# Holds promises 2 (never in place) and 3 (nothing half-done).
#
#   DEPOT_TEST_SEED    repeats the random part of a run, which prints its seed
#   DEPOT_TEST_KILLS   so many kills at random times
#   DEPOT_TEST_ACTION  one action at whose points to kill instead of all

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotKill;
use DepotTest;
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep time);

my $random_kills = $ENV{DEPOT_TEST_KILLS} // (is_long() ? 300 : 8);
my $point_rounds = is_long() ? 2 : 1;
my $seed = $ENV{DEPOT_TEST_SEED} // int(time) % 1_000_000;
diag("DEPOT_TEST_SEED=$seed");

# ---- the server ----

my $points = tempdir(CLEANUP => 1);
$ENV{PG_DEPOT_TEST_POINTS} = $points;
my $repository = depot_repository();
my $web = start_web($repository->{directory}, rate => '400k');
my $node = new_depot_node('kill', conf => <<'CONF');
wal_sync_method = fdatasync
log_statement = none
max_worker_processes = 16
max_prepared_transactions = 1
CONF
create_depot($node);
add_repository($node, $repository->{directory});
add_repository($node, $web->{slow}, name => 'slow');

# An extension that can be updated in a database, forth and back.
my $steps = tempdir(CLEANUP => 1);
foreach my $version ('1.0', '1.1')
{
	my $script = 'CREATE OR REPLACE FUNCTION depot_steps_version() RETURNS text LANGUAGE sql AS $$ SELECT \'%s\' $$;';
	make_tree_package($steps, 'depot_steps', $version,
		scripts => {
			map { ("depot_steps--$_.sql" => sprintf($script, /([0-9.]+)$/ ? $1 : '')) } ($version, '1.0--1.1', '1.1--1.0') });
}
my %keys = map { $_ => "$steps/$_" } qw(root targets snapshot timestamp);
my $program = DepotTest::depot_program();
run_ok($program, 'keygen', $_) foreach values %keys;
run_ok($program, 'repo', 'init', "$steps/repository", map { ("--$_-key" => $keys{$_}) } keys %keys);
run_ok($program, 'repo', 'add', "$steps/repository", glob("$steps/packages/*.tar.zst"));
run_ok($program, 'repo', 'publish', "$steps/repository", map { ('--key' => $_) } values %keys);
add_repository($node, "$steps/repository", name => 'steps', root => "$steps/repository/metadata/1.root.json");
my @oracle_options = ('--repository', "$steps/repository");

sub run_sql
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# Locks of states that later statements go back to; the first lacks what database "pinned" uses.
run_sql('CREATE DATABASE second');
run_sql('CREATE DATABASE pinned');
run_sql('CREATE TABLE saved_lock (id int PRIMARY KEY, lock jsonb)');
run_sql('INSERT INTO saved_lock SELECT 1, extension_lock()');
run_sql("SELECT install_extension('rational')");
run_sql('CREATE EXTENSION pg_rational', 'pinned');

sub save_lock
{
	my ($id) = @_;
	return "INSERT INTO saved_lock SELECT $id, extension_lock()"
	  . ' ON CONFLICT (id) DO UPDATE SET lock = excluded.lock';
}

run_sql(q{SELECT install_extension('hll'), install_extension('depot_demo', '1.0')});
run_sql(q{SELECT install_extension('depot_wide', '1.0'); } . save_lock(2));
run_sql(q{SELECT uninstall_extension('hll'), update_extension('depot_demo', '1.2')});
run_sql(q{SELECT update_extension('depot_wide', '1.1'), install_extension('depot_needs')});
run_sql(q{SELECT install_extension('semver'), install_extension('depot_steps', '1.0'); } . save_lock(3));
my %apply = map { ($_ => "SELECT apply_extension_lock(lock, prune => true) FROM saved_lock WHERE id = $_") } 1 .. 5;

# ---- at random times ----

my @kinds = ('postmaster', 'leader', 'agent', 'leader by SIGTERM', 'worker', 'everything', 'session');
my @names = qw(hll semver ip4r depot_demo depot_needs depot_wide depot_steps pgtap rational);
my @created = qw(hll semver ip4r depot_demo depot_needs depot_steps);
my %versions = (depot_demo => [qw(1.0 1.1 1.2 2.0)], depot_wide => [qw(1.0 1.1)], depot_steps => [qw(1.0 1.1)]);
my @lists = ('', 'hll, depot_demo 1.1', 'depot_needs, depot_demo 1.*', 'depot_wide 1.0, semver, depot_steps 1.0',
	'ip4r, depot_unknown, depot_steps', 'depot_steps 1.1, depot_wide, depot_needs, hll');
my %kills;

# Statements of a session that changes what is installed; there are two.
sub random_changes
{
	my @statements;
	foreach (1 .. 150)
	{
		my $name = random_of(@names);
		my $moved = random_of(sort keys %versions);
		my $version = random_of(@{ $versions{$moved} });
		my $from = $name eq 'depot_steps' ? 'steps' : random_of('main', 'main', 'slow');
		push @statements, random_of(
			"SELECT install_extension('$name', repository => '$from')",
			"SELECT install_extension('$name', repository => '$from')",
			"SELECT uninstall_extension('$name')",
			"SELECT uninstall_extension('$name')",
			"SELECT update_extension('$moved', '$version')",
			"SELECT install_extension('$moved', '$version')",
			"SELECT update_extension('$moved')",
			$apply{ 1 + int rand 5 } =~ s/true/random_of('true', 'false')/er,
			save_lock(4 + int rand 2),
			"SELECT refresh_extension_repository('$from')",
			"CALL update_extension_everywhere('depot_steps', '$version')");
	}
	return join(";\n", @statements) . ';';
}

# Statements of the session that uses extensions in the second database.
sub random_uses
{
	my @statements;
	foreach (1 .. 150)
	{
		my $name = random_of(@created);
		my $end = random_of('COMMIT', 'ROLLBACK');
		push @statements, random_of(
			"CREATE EXTENSION IF NOT EXISTS $name CASCADE",
			"BEGIN; CREATE EXTENSION $name; SELECT pg_sleep(0.02); $end",
			"CREATE EXTENSION depot_steps VERSION '1." . int(rand 2) . q{'},
			"DROP EXTENSION IF EXISTS $name CASCADE",
			"DROP EXTENSION IF EXISTS $name CASCADE",
			"ALTER EXTENSION depot_steps UPDATE TO '1." . int(rand 2) . q{'});
	}
	return join(";\n", @statements) . ';';
}

# Statements of the session that declares lists.
sub random_lists
{
	my @statements;
	foreach (1 .. 50)
	{
		push @statements, desire(random_of(@lists), random_of('on', 'off')), 'SELECT pg_sleep(' . rand(0.3) . ')',
		  'ALTER SYSTEM SET depot.auto_install = ' . random_of('on', 'off');
	}
	return join(";\n", @statements) . ';';
}

# All that chance decides of one kill, by its number and the seed.
sub plan_kill
{
	my ($number) = @_;
	srand($seed * 10_000 + $number);
	return {
		kind => $kinds[ ($seed + $number) % @kinds ],
		after => 0.02 + rand 0.6,
		sessions => [
			[ 'postgres', random_changes() ],
			[ 'postgres', random_changes() ],
			[ 'second', random_uses() ],
			[ 'postgres', random_lists() ] ],
		used_at_once => rand() < 0.5 ? random_uses() : undef,
		free => random_of(map { my $name = $_; map { "SELECT ${_}_extension('$name')" } qw(install uninstall) } @names),
		list => random_of(@lists),
		prune => random_of('on', 'off')
	};
}

sub total_of
{
	my (%counts) = @_;
	my $sum = 0;
	$sum += $_ foreach values %counts;
	return $sum;
}

my $start = time;
for (my $number = 1; total_of(%kills) < $random_kills && $number <= 3 * $random_kills; $number++)
{
	my $plan = plan_kill($number);
	my $label = "kill $number of $plan->{kind}";
	my $leader = leader_pid($node);
	my @sessions = map { start_psql($node, @$_) } @{ $plan->{sessions} };
	sleep($plan->{after});
	my $postmaster = DepotKill::postmaster_pid($node);
	$kills{ $plan->{kind} }++ if kill_one($node, $plan->{kind}, $leader);
	DepotTest::processes_gone(30, $postmaster) if $plan->{kind} =~ /^(postmaster|everything)$/;
	stop_psql($_) foreach @sessions;
	use_at_once($node, 'second', $plan->{used_at_once}, 0.3) if defined $plan->{used_at_once};
	wait_until_quiet($node);
	recovers_ok($node, "$label: files equal rows, and what is used works", @oracle_options)
	  && free_ok($node, "$label: no package is held", $plan->{free})
	  && settles_ok($node, "$label: the list is carried out", $plan->{list}, $plan->{prune});
}
my $text = join(', ', map { "$_ $kills{$_}" } sort keys %kills);
ok(total_of(%kills) >= $random_kills, total_of(%kills) . ' kills at random times');
ok(!(grep { !$kills{$_} } @kinds), "each kind of process was killed: $text") if $random_kills > @kinds;
my %changes = map { split /\|/, $_, 2 } split /\n/, run_sql('SELECT action, count(*) FROM depot.history GROUP BY 1');
cmp_ok($changes{install} + $changes{update} + $changes{remove}, '>', $random_kills, 'changes were made meanwhile');
is(run_sql(q{SELECT count(*) FROM depot.history WHERE action = 'remove' AND package = 'rational'}),
	0, 'what database "pinned" uses was never removed');
diag(sprintf('%d kills at random times (%s), %s, %d kept because used, %.0f s',
		total_of(%kills), $text, join(', ', map { "$changes{$_} x $_" } sort keys %changes),
		DepotKill::claimed_count(), time - $start));

# ---- at named points ----

# An action: what prepares it, and what is killed.  is_quiet: its caller does not hear of the kill.  states: what
# must be so before its commit and after it.
my $digests = q{jsonb_path_query_array(%s, '$.packages[*].builds[*].sha256')};
my $lock_state = "SELECT string_agg(id::text, ',') FROM saved_lock WHERE id < 4 AND "
  . join(' = ', map { sprintf($digests, $_) } qw(lock extension_lock()));
my $wide =
  q{SELECT coalesce(string_agg(version, ''), 'none') FROM depot.installed_packages WHERE package = 'depot_wide'};
my %action = (
	install => {
		prepare => "SELECT uninstall_extension('depot_wide')",
		run => "SELECT install_extension('depot_wide', '1.0')",
		state => [ $wide, 'none', '1.0' ]
	},
	update => {
		prepare => "SELECT install_extension('depot_wide', '1.0')",
		run => "SELECT update_extension('depot_wide', '1.1')",
		state => [ $wide, '1.0', '1.1' ]
	},
	uninstall => {
		prepare => "SELECT install_extension('depot_wide', '1.0')",
		run => "SELECT uninstall_extension('depot_wide')",
		state => [ $wide, '1.0', 'none' ]
	},
	lock => { prepare => $apply{2}, run => $apply{3}, state => [ $lock_state, 2, 3 ] },
	declare => {
		prepare => "SELECT uninstall_extension('depot_wide')",
		list => 'depot_wide 1.0, depot_unknown',
		state => [ $wide, '1.0', '1.0' ]
	},
	undeclare => {
		prepare => "SELECT uninstall_extension('depot_wide')",
		prepare_list => 'depot_wide 1.0, hll',
		list => 'hll',
		state => [ $wide, 'none', 'none' ]
	},
	everywhere => {
		prepare => "SELECT install_extension('depot_steps', '1.1')",
		prepare_second => "CREATE EXTENSION depot_steps VERSION '1.0'",
		run => "CALL update_extension_everywhere('depot_steps', '1.1')",
		state_second => [ 'SELECT depot_steps_version()', '1.0', '1.1' ]
	},
	auto_install => {
		prepare => "SELECT uninstall_extension('hll')",
		database => 'second',
		run => 'CREATE EXTENSION hll',
		state_second => [ q{SELECT count(*) FROM pg_extension WHERE extname = 'hll'}, 0, 0 ]
	},
	repair => {
		prepare => "SELECT install_extension('depot_wide', '1.0')",
		damage => 'depot_wide.control',
		run => 'SELECT verify_extension_files(repair => true)',
		state => [ $wide, '1.0', '1.0' ]
	},
	refresh => { run => "SELECT refresh_extension_repository('steps')" });

my @before_commit = qw(install_fetch fetch_begin fetch_end check_verified check_unpacked install_fetched payload_begin
  payload_batch record_begin record_before_commit);
my @activate = qw(activate_begin activate_libraries activate_scripts activate_control activate_state install_activated);
my @remove = qw(deactivate_begin deactivate_control deactivate_libraries deactivate_state);
my %is_after_commit = map { ($_ => 1) }
  ('record_after_commit', 'remove_after_commit', 'install_pruned', 'everywhere_after_commit', @activate, @remove);
my %points_of = (
	install => [
		@before_commit, 'record_after_commit', @activate, 'record_after_commit reconcile_activate',
		'activate_scripts reconcile_activate' ],
	update => [ 'payload_batch', 'record_before_commit', 'record_after_commit', @activate, 'activate_control reconcile_activate' ],
	uninstall => [
		qw(usage_look usage_looked remove_before_commit remove_after_commit), @remove,
		'remove_after_commit reconcile_remove' ],
	lock => [
		@before_commit, qw(usage_look usage_looked record_after_commit), @remove, 'install_pruned', @activate,
		'record_after_commit reconcile_remove', 'install_pruned reconcile_activate' ],
	declare => [
		qw(declared_noted declared_task install_fetched record_before_commit record_after_commit activate_control
		  declared_done declared_outcome), 'record_after_commit reconcile_activate declared_noted' ],
	undeclare => [
		qw(declared_noted declared_task usage_looked remove_before_commit remove_after_commit deactivate_control
		  payload_removed declared_done) ],
	everywhere => [qw(everywhere_before_commit everywhere_after_commit)],
	auto_install => [qw(install_fetched record_before_commit record_after_commit activate_scripts auto_install_fetched)],
	repair => [qw(payload_read activate_begin activate_scripts activate_control activate_state)],
	refresh => [qw(refresh_before_commit refresh_after_commit)]);
my @actions = $ENV{DEPOT_TEST_ACTION} // sort keys %points_of;
my %reached;
my $is_declared = 1;

# Brings about what an action starts from; nothing is declared and the second database uses nothing.
sub prepare_action
{
	my ($action, $label) = @_;
	my @used = split /\n/, run_sql(q{SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'}, 'second');
	run_sql('DROP EXTENSION ' . join(', ', @used), 'second') if @used;
	!$is_declared || settles_ok($node, "$label: nothing is declared", '', 'off') or return 0;
	$is_declared = defined $action->{list};
	my $answer = psql_error($node, 'postgres', $action->{prepare} // 'SELECT 1');
	$answer = psql_error($node, 'second', $action->{prepare_second} // 'SELECT 1') if $answer->{status} == 0;
	return !defined $action->{prepare_list} || settles_ok($node, "$label: prepared", $action->{prepare_list}, 'off')
	  if $answer->{status} == 0 || $answer->{stderr} =~ /was not installed by pg_depot/;
	return fail("preparing $label: $answer->{stderr}");
}

# Runs it with its points set; returns whether they were reached.
sub run_action
{
	my ($action, $label, @names_of_points) = @_;
	my $depot = $node->data_dir . '/pg_depot';
	unlink map { glob("$depot/$_/extension/$action->{damage}") } qw(share usr/share/postgresql/*)
	  if defined $action->{damage};
	write_file("$points/$_", '') foreach @names_of_points;
	my $sql = defined $action->{list} ? join('; ', desire($action->{list}, 'on')) : $action->{run};
	my $answer = psql_error($node, $action->{database} // 'postgres', $sql);
	my $is_reached = wait_until(sub { !grep { -e "$points/$_" } @names_of_points });
	ok($is_reached, "$label: reached") or diag($answer->{stderr});
	unlink map { "$points/$_" } @names_of_points;
	# A worker that was killed takes the session of its caller with it; one that has had its answer does not.
	isnt($answer->{status}, 0, "$label: the call fails") if $is_reached && defined $action->{run};
	return $is_reached;
}

sub state_is
{
	my ($label, $database, $state, $is_after) = @_;
	return if !defined $state;
	my ($sql, $before, $after) = @$state;
	my $wanted = $is_after ? $after : $before;
	my $found = '';
	wait_until(sub { ($found = psql_error($node, $database, $sql)->{stdout}) eq $wanted });
	is($found, $wanted, "$label: as " . ($is_after ? 'it was to be' : 'it was'));
	return;
}

sub kill_at
{
	my ($name, $text_of_points) = @_;
	my $action = $action{$name};
	my @names_of_points = split / /, $text_of_points;
	my $label = "$name, " . join(' then ', @names_of_points);
	prepare_action($action, $label) or return;
	run_action($action, $label, @names_of_points) or return;
	$reached{$_}++ foreach @names_of_points;
	recovers_ok($node, "$label: files equal rows, and what is used works", @oracle_options) or return;
	my $is_after = $is_after_commit{ $names_of_points[0] };
	state_is($label, 'postgres', $action->{state}, $is_after);
	state_is($label, 'second', $action->{state_second}, $is_after);
	return if !$is_declared;
	is(oracle_is_ok($node, 120, '--quiet-server', @oracle_options),
		'', "$label: files equal rows when the list is carried out");
	return;
}

$start = time;
run_sql('ALTER SYSTEM SET depot.auto_install = on');
srand($seed);
foreach my $round (1 .. $point_rounds)
{
	my @all = map { my $name = $_; map { [ $name, $_ ] } @{ $points_of{$name} } } @actions;
	foreach my $pair (sort { $a->[2] <=> $b->[2] } map { [ @$_, rand ] } @all)
	{
		my ($name, $text_of_points) = @$pair;
		# The short form comes to each point once, by an action that chance chooses.
		kill_at($name, $text_of_points) if is_long() || grep { !$reached{$_} } split / /, $text_of_points;
	}
}
diag(sprintf('%d kills at %d named points, %.0f s', total_of(%reached), scalar(keys %reached), time - $start));
my %all_points = map { ($_ => 1) } map { split / /, $_ } map { @$_ } @points_of{@actions};
is(join(' ', grep { !$reached{$_} } sort keys %all_points), '', 'each named point was reached');

# A prepared transaction survives as one that uses what it created.
settles_ok($node, 'nothing is declared in the end', '', 'off');
run_sql("SELECT install_extension('depot_demo')");
run_sql('DROP EXTENSION IF EXISTS depot_demo CASCADE', 'second');
run_sql(q{BEGIN; CREATE EXTENSION depot_demo; PREPARE TRANSACTION 'kill'}, 'second');
my $uninstall = "SELECT uninstall_extension('depot_demo')";
my $postmaster = DepotKill::postmaster_pid($node);
kill 'KILL', $postmaster;
DepotTest::processes_gone(30, $postmaster);
DepotKill::start_if_dead($node);
wait_for_leader($node);
is_error($node, 'postgres', $uninstall, '55006', qr/by an open transaction/,
	'a transaction prepared before a kill is in the way');
run_sql(q{COMMIT PREPARED 'kill'}, 'second');
is_error($node, 'postgres', $uninstall, '2BP01', qr/depot_demo/, 'so is what it created');
ok(run_sql('SELECT depot_demo_version()', 'second'), 'which works');

# After all of it a plain installation works.
run_sql("SELECT install_extension('$_'); CREATE EXTENSION IF NOT EXISTS $_") foreach qw(hll depot_wide);
is(run_sql('SELECT hll_cardinality(hll_empty())'), 0, 'a function works after all of it');
oracle_ok($node, 'in the end', @oracle_options);
$node->stop;
done_testing();
