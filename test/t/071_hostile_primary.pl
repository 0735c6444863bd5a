# Promise 1 on a standby: rows that a superuser of the primary writes by hand decide nothing.
#
# An attacker has a repository, keys and packages of his own.  What his server recorded, all of it consistent, is
# planted into the primary's tables in various ways.  Each time the standby serves no byte of it, before and after a
# restart, says why, also to an honest operator of the primary, and goes on with other packages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Digest::SHA qw(sha256_hex);
use DepotCluster;
use DepotTest;
use File::Temp qw(tempdir);
use JSON::PP ();
use Test::More;

my $marker = 'bytes of the attacker';
my $work = tempdir(CLEANUP => 1);
my $role = 'pg15-linux-amd64';
my $sql_of_generation = 'UPDATE depot.generation SET generation = generation + 1;'
  . 'ALTER TABLE depot.generation SET (fillfactor = 90); ALTER TABLE depot.generation RESET (fillfactor);';

# ---- the attacker ----

sub make_repository
{
	my $program = DepotTest::depot_program();
	my %keys = map { $_ => "$work/keys/$_" } qw(root targets snapshot timestamp);
	mkdir "$work/keys";
	run_ok($program, 'keygen', $_) foreach values %keys;
	run_ok($program, 'repo', 'init', "$work/repository", map { ("--$_-key" => $keys{$_}) } keys %keys);
	foreach (['evil', '1.0'], ['depot_demo', '2.0'])
	{
		my ($name, $version) = @$_;
		make_tree_package($work, $name, $version, scripts => {
			"$name--$version.sql" => "CREATE FUNCTION ${name}_version() RETURNS text LANGUAGE sql AS \$\$ SELECT '$marker' \$\$;\n" });
	}
	run_ok($program, 'repo', 'add', "$work/repository", glob("$work/packages/*.tar.zst"));
	run_ok($program, 'repo', 'publish', "$work/repository", map { ('--key' => $_) } values %keys);
	return;
}

my @tables = qw(installed installed_build payload evidence repository repository_metadata);

sub export_rows
{
	my ($node) = @_;
	$node->safe_psql('postgres', "COPY depot.$_ TO '$work/$_.rows'") foreach @tables;
	return;
}

make_repository();
my $attacker = new_primary('attacker', repository => 0);
add_repository($attacker, "$work/repository", name => 'evil', root => "$work/repository/metadata/1.root.json");
install($attacker, $_) foreach qw(evil depot_demo);
export_rows($attacker);
$attacker->stop;

# ---- the cluster ----

my $primary = new_primary('primary', conf => "depot.report_interval = 1\n");
$primary->safe_psql('postgres', "CREATE ROLE report_standby LOGIN; SELECT add_extension_node('standby', 'report_standby')");
my $standby = create_standby('standby', $primary, conf => "depot.report_conninfo = 'host=" . $primary->host . ' port=' . $primary->port . " user=report_standby'\n");
my $root_sha256 = sha256_hex(file_contents(depot_repository()->{root}));
my $depot = $standby->data_dir . '/pg_depot';
my $is_extra = 0;

sub run_sql
{
	my ($sql) = @_;
	$primary->safe_psql('postgres', $sql);
	return;
}

# Statements that bring what the attacker recorded of a package into the tables of schema depot as new_<table>, altered by more.
sub stolen
{
	my ($package, $more) = @_;
	my $sql = "SET client_min_messages = error;\n";
	$sql .= "CREATE TEMP TABLE new_$_ (LIKE depot.$_); COPY new_$_ FROM '$work/$_.rows';\n" foreach @tables;
	$sql .= "DELETE FROM new_$_ WHERE package <> '$package';\n" foreach qw(installed installed_build);
	$sql .= "DELETE FROM new_payload WHERE digest <> (SELECT decode(digest, 'hex') FROM new_installed_build);\n";
	return "BEGIN; $sql; $more; $sql_of_generation; COMMIT";
}

my $plant = join(' ', map { "INSERT INTO depot.$_ SELECT * FROM new_$_ ON CONFLICT DO NOTHING;" } @tables);

sub forget_evil
{
	run_sql("BEGIN; DELETE FROM depot.installed WHERE package = 'evil'; DELETE FROM depot.installed_build WHERE package = 'evil';"
		  . "DELETE FROM depot.repository WHERE name = 'evil'; DELETE FROM depot.evidence WHERE repository = 'evil';"
		  . "DELETE FROM depot.repository_metadata WHERE repository = 'evil'; $sql_of_generation; COMMIT");
	return;
}

# ---- what is expected ----

# What the standby says is missing: reasons by package.
sub missing
{
	my $text = eval { file_contents("$depot/var/applied.json") } // '{}';
	my $report = eval { JSON::PP->new->decode($text) } // {};
	return { map { $_->{package} => $_->{reason} // '' } @{ $report->{missing} // [] } };
}

# Tests what depot.nodes on the primary shows of the standby: its state and its problem.
sub reports
{
	my ($expected, $label) = @_;
	my $answer;
	my $is_so = wait_until(
		sub {
			$answer = $primary->safe_psql('postgres', "SELECT state, problem FROM depot.nodes WHERE name = 'standby'");
			$answer =~ $expected;
		});
	return ok($is_so, "$label: depot.nodes on the primary says so") || diag("$answer is not like $expected");
}

sub has_marker
{
	return system('grep', '-rqs', $marker, $depot) == 0;
}

# Another package comes, or goes, all the same.
sub others_go_on_ok
{
	my ($label) = @_;
	$is_extra ? uninstall($primary, 'semver') : install($primary, 'semver');
	$is_extra = !$is_extra;
	replayed($standby, $primary);
	my $is_there = $is_extra ? 0 : 1;
	my $control = "$depot" . DepotTest::pg_config_value('sharedir') . '/extension/semver.control';
	ok(wait_until(sub { (-e $control ? 1 : 0) == $is_extra }, 90), "$label: another package goes on");
	return;
}

sub refused_ok
{
	my ($label, $package, $reason) = @_;
	foreach my $when ('before', 'after')
	{
		my $said = wait_until(sub { (missing()->{$package} // '') =~ $reason }, 90);
		ok($said, "$label: refused $when a restart") || diag(JSON::PP->new->encode(missing()) . substr(log_of($standby), -4000));
		reports(qr/^failed\|[^|]*\b$package \S+: [^|]*$reason/, "$label: $when a restart");
		ok(!has_marker(), "$label: no byte of it is there");
		if ($when eq 'before')
		{
			others_go_on_ok($label);
			like(log_of($standby), qr/WARNING:  [^\n]*$reason/, "$label: the log says why");
			unlink "$depot/var/applied.json";
			$standby->restart;
		}
	}
	return;
}

sub nothing_missing_ok
{
	my ($label) = @_;
	replayed($standby, $primary);
	ok(wait_until(sub { !%{ missing() } && -e "$depot/var/applied.json" }, 90), "$label: nothing is missing any more")
	  || diag(JSON::PP->new->encode(missing()));
	reports(qr/^ok\|$/, "$label: nothing is missing any more");
	return;
}

install($primary, 'depot_demo', '2.0');
follows($standby, $primary, 'at first');
$primary->safe_psql('postgres', 'CREATE TABLE kept AS SELECT * FROM depot.installed_build');
$primary->safe_psql('postgres', 'CREATE TABLE kept_repository AS SELECT * FROM depot.repository');
$primary->safe_psql('postgres', 'CREATE TABLE kept_metadata AS SELECT * FROM depot.repository_metadata');
my $restore_build = 'UPDATE depot.installed_build b SET digest = k.digest, manifest_sha256 = k.manifest_sha256, size_bytes = k.size_bytes,'
  . ' unpacked_bytes = k.unpacked_bytes, target = k.target, custom = k.custom, evidence = k.evidence, evidence_root = k.evidence_root'
  . " FROM kept k WHERE k.package = b.package; $sql_of_generation";

# ---- a digest that fits other bytes ----

run_sql(stolen('depot_demo', 'INSERT INTO depot.payload SELECT * FROM new_payload;'
	  . 'UPDATE depot.installed_build b SET digest = n.digest, manifest_sha256 = n.manifest_sha256, size_bytes = n.size_bytes,'
	  . ' unpacked_bytes = n.unpacked_bytes, custom = n.custom FROM new_installed_build n WHERE n.package = b.package'));
refused_ok('a digest that fits', 'depot_demo', qr/lists? another build|are about another build/);
run_sql($restore_build);
nothing_missing_ok('a digest that fits');

# ---- the name of a repository with another root ----

run_sql(stolen('evil', 'UPDATE depot.repository r SET trusted_root = n.trusted_root FROM new_repository n;'
	  . "UPDATE new_installed_build SET repository = 'main'; UPDATE new_evidence SET repository = 'main'; DELETE FROM new_repository;"
	  . " DELETE FROM new_repository_metadata; $plant"));
refused_ok('another root', 'evil', qr/targets metadata|signatures?/);
ok(-e "$depot/var/metadata/main/root_history/1.root.json"
	  && file_contents("$depot/var/metadata/main/root_history/1.root.json") eq file_contents(depot_repository()->{root}),
	'another root: the first one stays');
forget_evil();
run_sql('UPDATE depot.repository r SET trusted_root = k.trusted_root FROM kept_repository k;'
	  . "DELETE FROM depot.evidence WHERE repository = 'main' AND sha256 NOT IN (SELECT unnest(evidence) FROM kept) AND role <> 'root';"
	  . $sql_of_generation);
nothing_missing_ok('another root');

# ---- metadata of a higher version, signed by nobody ----

sub forge
{
	my ($change) = @_;
	my $json = JSON::PP->new;
	my $known = $json->decode($primary->safe_psql('postgres',
		"SELECT convert_from(content, 'UTF8') FROM kept_metadata WHERE repository = 'main' AND role = '$role'"));
	my ($path) = glob("$work/repository/metadata/*.$role.json");
	my $own = $json->decode(file_contents($path))->{signed}{targets};
	$known->{signed}{targets}{$_} = $own->{$_} foreach keys %$own;
	$known->{signed}{version} += 1000;
	return $json->canonical->encode($known);
}

my $forged = forge();
my $forged_sha256 = sha256_hex($forged);
write_file("$work/forged", $forged);
my $forged_content = "pg_read_binary_file('$work/forged')";
run_sql(stolen('evil', "UPDATE new_installed_build n SET repository = 'main', evidence = ARRAY[k.evidence[1], '$forged_sha256'],"
	  . " evidence_root = k.evidence_root FROM kept k WHERE k.package = 'depot_demo';"
	  . 'DELETE FROM new_evidence; DELETE FROM new_repository; DELETE FROM new_repository_metadata;'
	  . "INSERT INTO new_evidence SELECT 'main', '$role', 1001, '$forged_sha256', $forged_content;"
	  . "UPDATE depot.repository_metadata SET version = version + 1000, content = $forged_content WHERE role = '$role'; $plant"));
refused_ok('metadata signed by nobody', 'evil', qr/metadata of role "$role"/);
forget_evil();
run_sql("DELETE FROM depot.evidence WHERE sha256 = '$forged_sha256'; TRUNCATE depot.repository_metadata;"
	  . "INSERT INTO depot.repository_metadata TABLE kept_metadata; $sql_of_generation");
nothing_missing_ok('metadata signed by nobody');

# ---- evidence that is damaged; the standby has nothing else to go by ----

$standby->stop;
run_sql('TRUNCATE kept; TRUNCATE depot.repository_metadata');
unlink glob("$depot/var/metadata/main/*.json");
run_ok('rm', '-rf', "$depot/var/metadata/main/whole");
install($primary, 'depot_wide', '1.1');
run_sql("INSERT INTO kept SELECT * FROM depot.installed_build; CREATE TABLE kept_evidence AS SELECT * FROM depot.evidence");
my $restore_evidence = "TRUNCATE depot.evidence; INSERT INTO depot.evidence TABLE kept_evidence; $restore_build";
my $doc = "sha256 = (SELECT evidence[2] FROM depot.installed_build WHERE package = 'depot_wide')";

my @damages = (
	[ 'a changed byte', "UPDATE depot.evidence SET content = set_byte(content, 40, 1) WHERE $doc", qr/evidence is damaged/ ],
	[ 'cut', "UPDATE depot.evidence SET content = substring(content, 1, 100) WHERE $doc", qr/evidence is damaged/ ],
	[ 'empty', "UPDATE depot.evidence SET content = '' WHERE $doc", qr/evidence is damaged/ ],
	[ 'huge', "UPDATE depot.evidence SET content = convert_to(repeat('x', 100000000), 'UTF8') WHERE $doc", qr/not among the evidence/ ],
	[ 'gone', "DELETE FROM depot.evidence WHERE $doc", qr/not among the evidence/ ],
	[ 'a huge list', 'UPDATE depot.installed_build SET evidence = array_fill(repeat(\'0\', 64), ARRAY[1000000])', qr/\S/ ],
	[ 'a root far away', 'UPDATE depot.installed_build SET evidence_root = 1000000000', qr/more than \d+ versions of root/ ],
	[ 'a list of other documents', "UPDATE depot.installed_build SET evidence = ARRAY['x', NULL]", qr/\S/ ],
);
my $is_first = 1;
foreach my $damage (@damages)
{
	my ($what, $sql, $reason) = @$damage;
	run_sql("BEGIN; $restore_evidence; $sql; $sql_of_generation; COMMIT");
	$standby->start if $is_first;
	$is_first = 0;
	replayed($standby, $primary);
	my $said = wait_until(sub { (missing()->{depot_wide} // '') =~ $reason }, 60);
	ok($said, "evidence: $what: refused") || diag(JSON::PP->new->encode(missing()) . substr(log_of($standby), -3000));
	ok(!-e "$depot/var/evidence/" . $primary->safe_psql('postgres', "SELECT digest FROM kept WHERE package = 'depot_wide'"),
		"evidence: $what: nothing is kept of it");
}
others_go_on_ok('damaged evidence');

# More rows than anybody reads: those that are named are found among them.
my $many = is_long() ? 1_000_000 : 50_000;
run_sql("BEGIN; $restore_evidence; INSERT INTO depot.evidence SELECT 'main', CASE WHEN i % 2 = 0 THEN 'root' ELSE 'targets' END,"
	  . " 5 + i, encode(sha256(i::text::bytea), 'hex'), 'x' FROM generate_series(1, $many) i; COMMIT");
nothing_missing_ok('evidence: many rows');
run_sql($restore_evidence);

# ---- a payload with other bytes, and no repository to ask ----

# Without a repository, a package can only go.
others_go_on_ok('many rows') if !$is_extra;
$standby->stop;
install($primary, 'hll');
my $digest = $primary->safe_psql('postgres', "SELECT digest FROM depot.installed_build WHERE package = 'hll'");
run_sql(stolen('depot_demo', "DELETE FROM depot.payload WHERE digest = decode('$digest', 'hex');"
	  . "INSERT INTO depot.payload SELECT decode('$digest', 'hex'), chunk, data FROM new_payload;"
	  . "UPDATE depot.repository SET url = 'file:///nonexistent/depot'"));
$standby->start;
refused_ok('a payload with other bytes', 'hll', qr/\S/);
like(log_of($standby), qr/payload $digest of package "hll" cannot be used/, 'a payload with other bytes: the log says which');
run_sql("UPDATE depot.repository r SET url = k.url FROM kept_repository k; $sql_of_generation");
nothing_missing_ok('a payload with other bytes');

# ---- something else in the place of a table ----

# Reading it on the standby would run the attacker's function there.
run_sql(<<"SQL");
CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS \$spy\$
BEGIN
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'touch $work/run-by-' || current_setting('cluster_name'));
    RETURN true;
END \$spy\$;
BEGIN;
ALTER TABLE depot.repository RENAME TO away;
CREATE VIEW depot.repository AS SELECT * FROM depot.away WHERE spy();
$sql_of_generation
COMMIT
SQL
foreach my $when ('before', 'after')
{
	my $reason = qr/table "depot\.repository" is not as extension pg_depot makes it/;
	replayed($standby, $primary);
	my $asked = 'SELECT reason FROM extension_files_ready()';
	ok(wait_until(sub { $standby->safe_psql('postgres', $asked) =~ $reason }, 90), "a view in the place of a table: refused $when a restart")
	  || diag($standby->safe_psql('postgres', $asked));
	reports(qr/^failed\|.*\b55000: .*$reason/, "a view in the place of a table: $when a restart");
	$standby->restart if $when eq 'before';
}
ok(!-e "$work/run-by-standby", 'a view in the place of a table: nothing ran on the standby');
$primary->safe_psql('postgres', 'SELECT count(*) FROM depot.repository');
ok(-e "$work/run-by-primary", 'a view in the place of a table: where it is read, it runs');
run_sql("BEGIN; DROP VIEW depot.repository; ALTER TABLE depot.away RENAME TO repository; $sql_of_generation COMMIT; DROP FUNCTION spy()");
nothing_missing_ok('a view in the place of a table');

foreach my $case ([ 'a rule', 'CREATE RULE mine AS ON UPDATE TO depot.installed DO ALSO NOTHING', 'DROP RULE mine ON depot.installed', 'installed' ],
	[ 'an index on an expression', 'CREATE INDEX mine ON depot.payload (length(data))', 'DROP INDEX depot.mine', 'payload' ],
	[ 'a child', 'CREATE TABLE mine () INHERITS (depot.evidence)', 'DROP TABLE mine', 'evidence' ],
	[ 'a view in the place of what is offered', 'ALTER TABLE depot.available RENAME TO away; CREATE VIEW depot.available AS SELECT * FROM depot.away',
		'DROP VIEW depot.available; ALTER TABLE depot.away RENAME TO available', 'available' ])
{
	my ($label, $do, $undo, $table) = @$case;
	run_sql("BEGIN; $do; $sql_of_generation COMMIT");
	ok(wait_until(sub { $standby->safe_psql('postgres', 'SELECT reason FROM extension_files_ready()') =~ /table "depot\.$table" is not/ }, 90),
		"$label: refused");
	run_sql("BEGIN; $undo; $sql_of_generation COMMIT");
	nothing_missing_ok($label);
}

# ---- more than a leader can hold ----

my $restore_root = 'UPDATE depot.repository r SET trusted_root = k.trusted_root FROM kept_repository k WHERE r.name = k.name';
foreach my $case ([ 'rows without end', 'installed', "INSERT INTO depot.installed SELECT 'many' || i, '1.0', 'requested', 'removed' FROM generate_series(1, 10001) i",
		"DELETE FROM depot.installed WHERE package LIKE 'many%'" ],
	[ 'a row without end', 'installed', q(UPDATE depot.installed_build SET custom = to_json(repeat('x', 40000000)) WHERE package = 'hll'),
		"UPDATE depot.installed_build b SET custom = k.custom FROM all_builds k WHERE k.package = b.package" ],
	[ 'repositories without end', 'repository', "INSERT INTO depot.repository (name, url, root_sha256, added_by) SELECT 'many' || i, 'file:///none', '$root_sha256', '' FROM generate_series(1, 1001) i",
		"DELETE FROM depot.repository WHERE name LIKE 'many%'" ],
	[ 'a repository without end', 'repository', "UPDATE depot.repository SET trusted_root = repeat('x', 40000000)", $restore_root ],
	[ 'mirrors without end', 'repository', "UPDATE depot.repository SET mirrors = array_fill('x'::text, ARRAY[1000000])", 'UPDATE depot.repository SET mirrors = DEFAULT',
		qr/a row of depot\.repository has more than 15 mirrors/ ])
{
	my ($label, $table, $do, $undo, $own_reason) = @$case;
	my $reason = $own_reason // qr/table depot\.$table is too large to be read/;
	my $before = run_ok('find', "$depot/usr", '-type', 'f');
	run_sql("CREATE TABLE IF NOT EXISTS all_builds AS SELECT * FROM depot.installed_build; BEGIN; $do; $sql_of_generation COMMIT");
	reports(qr/^failed\|.*\b54000: .*$reason/, $label);
	is(run_ok('find', "$depot/usr", '-type', 'f'), $before, "$label: its files stay");
	is_error($primary, 'postgres', "SELECT install_extension('ip4r')", '54000', qr/^$reason$/, "$label: the primary");
	run_sql("BEGIN; $undo; $sql_of_generation COMMIT");
	nothing_missing_ok($label);
}

run_sql("INSERT INTO depot.repository_metadata (repository, role, version, content) SELECT 'main', 'many' || i, 1, '' FROM generate_series(1, 10001) i");
is_error($primary, 'postgres', "SELECT install_extension('ip4r')", '54000', qr/^table depot\.repository_metadata is too large to be read$/, 'metadata without end');
run_sql("DELETE FROM depot.repository_metadata WHERE role LIKE 'many%'");
run_sql('BEGIN; INSERT INTO depot.installed_build SELECT package || i, major, platform, version, digest, manifest_sha256, repository, target, size_bytes,'
	  . " unpacked_bytes, extensions, '{}' FROM depot.installed_build, generate_series(1, 100001) i WHERE package = 'hll'; $sql_of_generation COMMIT");
reports(qr/^failed\|.*\b54000: .*table depot\.installed_build is too large to be read/, 'builds without end');
run_sql("BEGIN; DELETE FROM depot.installed_build WHERE package ~ '^hll[0-9]'; $sql_of_generation COMMIT");
nothing_missing_ok('builds without end');

# As many rows as can be read stay readable.
run_sql("INSERT INTO depot.installed SELECT 'many' || i, '1.0', 'requested', 'removed' FROM generate_series((SELECT count(*) FROM depot.installed) + 1, 10000) i");
my $state_of_rows = 'SELECT (SELECT count(*) FROM depot.installed), (SELECT generation FROM depot.generation),'
  . "(SELECT count(*) FROM depot.installed_build WHERE package = 'ip4r'), (SELECT count(*) FROM depot.history)";
my $state_before = $primary->safe_psql('postgres', $state_of_rows);
like($state_before, qr/^10000\|/, 'as many rows as there may be');
is_error($primary, 'postgres', "SELECT install_extension('ip4r')", '54000', qr/^table depot\.installed has no room for more$/, 'one more is refused');
is($primary->safe_psql('postgres', $state_of_rows), $state_before, 'one more is refused: nothing is recorded');
ok(!-e $primary->data_dir . '/pg_depot' . DepotTest::pg_config_value('sharedir') . '/extension/ip4r.control', 'one more is refused: no file is there');
is(install($primary, 'hll'), 'keep', 'one more is refused: others can be read');
run_sql("DELETE FROM depot.installed WHERE package LIKE 'many%'");
run_sql("INSERT INTO depot.repository (name, url, root_sha256, added_by) SELECT 'many' || i, 'file:///none', '$root_sha256', '' FROM generate_series((SELECT count(*) FROM depot.repository) + 1, 1000) i");
is_error($primary, 'postgres', "SELECT add_extension_repository('more', 'file://$work/repository', trusted_root => pg_read_file('$work/repository/metadata/1.root.json'))",
	'54000', qr/^table depot\.repository has no room for more$/, 'one more repository is refused');
is($primary->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE name = 'more') FROM depot.repository"), '1000|0', 'one more repository is refused: nothing is recorded');
run_sql("DELETE FROM depot.repository WHERE name LIKE 'many%'");
is(install($primary, 'ip4r'), 'install', 'the primary installs again');
ok(wait_until(sub { -e $depot . DepotTest::pg_config_value('sharedir') . '/extension/ip4r.control' }), 'and the standby follows');

# ---- a repository with a root of his own ----

$standby->append_conf('postgresql.conf', "depot.trusted_roots = 'main = $root_sha256'");
$standby->reload;
run_sql(stolen('evil', $plant));
refused_ok('a new repository, roots are pinned', 'evil', qr/repository "evil" is not among "depot\.trusted_roots"/);
ok(!-e "$depot/var/metadata/evil", 'a new repository, roots are pinned: nothing of it is remembered');
forget_evil();
nothing_missing_ok('a new repository, roots are pinned');

# Where no roots are pinned, who may add repositories on the primary adds them for its standbys: docs say so.
$standby->append_conf('postgresql.conf', "depot.trusted_roots = ''");
$standby->reload;
run_sql(stolen('evil', $plant));
ok(wait_until(sub { has_marker() }, 90), 'a new repository, no roots are pinned: its packages come');

done_testing();
