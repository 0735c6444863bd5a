# Packages in depot.payload: written before what names them, taken from there, and removed when nothing names them.
#
# Holds promises 1 (verified first), 3 (nothing half-done) and 6 (no waiting inside).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotTest;
use File::Temp qw(tempdir);
use Test::More;

use constant CHUNK => 8000;

my $repository = depot_repository();
my $points = tempdir(CLEANUP => 1);
$ENV{PG_DEPOT_TEST_POINTS} = $points;
my $web = start_web($repository->{directory});
my $node = new_depot_node('payload', conf => <<'CONF');
wal_level = logical
log_statement = none
CONF
create_depot($node);
add_repository($node, $web->{http});

sub query
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub install { return query("SELECT action FROM install_extension('$_[0]')") }
sub uninstall { return query("SELECT action FROM uninstall_extension('$_[0]')") }

sub build
{
	my ($package) = @_;
	my ($digest, $size) = split /\|/,
	  query("SELECT digest, size_bytes FROM depot.installed_build WHERE package = '$package'");
	return { digest => $digest, size => $size };
}

# Pieces of a payload, or of all of them.
sub pieces
{
	my ($digest) = @_;
	return query('SELECT count(*) FROM depot.payload' . (defined $digest ? " WHERE encode(digest, 'hex') = '$digest'" : ''));
}

# Waits until nothing is left that no row names.
sub tidied_ok
{
	my ($label) = @_;
	return is(oracle_is_ok($node, 20, '--quiet-server', '--no-payload-left'), '', "$label: no payload is left, files equal rows");
}

sub log_since
{
	my ($offset) = @_;
	return substr(file_contents($node->logfile), $offset);
}

sub log_end { return -s $node->logfile }

# Waits until the server's log says something after offset.
sub logged_ok
{
	my ($offset, $pattern, $label) = @_;
	return ok(wait_until(sub { log_since($offset) =~ $pattern }, 30), $label) || diag(log_since($offset));
}

# ---- written ----

is(install('depot_big'), 'install', 'a package of several batches');
my $big = build('depot_big');
is(pieces($big->{digest}), int(($big->{size} + CHUNK - 1) / CHUNK), 'each piece but the last has 8000 bytes');
is(query('SELECT count(*) FROM depot.payload WHERE length(data) <> 8000'), 1, 'the last has the rest');
my $toast = "SELECT coalesce(sum(pg_relation_size(reltoastrelid)), 0) FROM pg_class WHERE oid = 'depot.payload'::regclass AND reltoastrelid <> 0";
is(query($toast), 0, 'nothing is moved out of line');
is(query(q{SELECT pg_relation_size('depot.payload') / 8192}), pieces(), 'and each piece has a page');
tidied_ok('after an installation');

# ---- taken from there, without the network ----

sub lose_files
{
	my (@which) = @_;
	$node->stop;
	run_ok('rm', '-rf', map { $node->data_dir . "/pg_depot$_" } @which ? @which : '');
	my $offset = log_end();
	$node->start;
	wait_for_leader($node);
	return $offset;
}

stop_web($web);
my $offset = lose_files();
is(oracle_is_ok($node, 30, '--quiet-server'), '', 'without a network files come from depot.payload');
logged_ok($offset, qr/took from depot\.payload and activated package "depot_big"/, 'which the log says');
query('CREATE EXTENSION depot_big; DROP EXTENSION depot_big');

# What was damaged by hand is named; the repository makes it whole again, in the table too.
start_web_again($web);
my %damage = (
	'a changed byte' => 'UPDATE depot.payload SET data = set_byte(data, 0, get_byte(data, 0) # 1) WHERE chunk = 1',
	'a missing first piece' => 'DELETE FROM depot.payload WHERE chunk = 0',
	'a missing piece' => 'DELETE FROM depot.payload WHERE chunk = 130',
	'a missing last piece' => 'DELETE FROM depot.payload WHERE chunk = (SELECT max(chunk) FROM depot.payload)',
	'a short piece' => 'UPDATE depot.payload SET data = substr(data, 2) WHERE chunk = 3',
	'a long piece' => q{UPDATE depot.payload SET data = data || '\x00' WHERE chunk = (SELECT max(chunk) FROM depot.payload)},
	'a piece out of order' => 'UPDATE depot.payload SET chunk = 100000 WHERE chunk = 2');
foreach my $label (sort keys %damage)
{
	query($damage{$label});
	$offset = lose_files();
	logged_ok($offset, qr/WARNING:  payload \Q$big->{digest}\E of package "depot_big" cannot be used: .*\n.*\n?.*HINT:  Repository "main" is asked/,
		"$label: a WARNING names the digest");
	is(oracle_is_ok($node, 60, '--quiet-server', '--no-payload-left'), '', "$label: the repository makes files and payload whole");
	is(pieces($big->{digest}), int(($big->{size} + CHUNK - 1) / CHUNK), "$label: all of it is stored again");
}
uninstall('depot_big');
tidied_ok('after a removal');
is(pieces(), 0, 'nothing is left of it');

# ---- updated, kept, off ----

query(q{SELECT pg_create_logical_replication_slot('watch', 'test_decoding')});
install('depot_big');
uninstall('depot_big');
tidied_ok('installed and removed');

# Evidence stays while a package is on its way, and goes when that has come to nothing.
add_repository($node, $web->{slow}, name => 'slow');
my $fetching = start_psql($node, 'postgres', q{SELECT install_extension('depot_big', repository => 'slow')});
wait_until(sub { query(q{SELECT count(*) FROM depot.activity WHERE subject = 'depot_big' AND phase = 'fetching' AND bytes_done > 0}) })
  or die 'nothing is fetched';
query(q{SELECT install_extension('hll', repository => 'main')});
uninstall('hll');
ok(wait_until(sub { pieces() == 0 }, 20), 'while one package is fetched, the payload of another that was removed goes');
sleep 1;
is(query(q{SELECT count(*) > 0 FROM depot.evidence WHERE role <> 'root'}), 't', 'what proved it stays');
query(q{SELECT pg_cancel_backend(pid) FROM depot.activity WHERE subject = 'depot_big'});
is(finish_psql($fetching)->{sqlstate}, '57014', 'the installation is canceled');
tidied_ok('when nothing is fetched any more');
query(q{SELECT drop_extension_repository('slow')});

query(q{SELECT install_extension('depot_demo', '1.0')});
my $old = build('depot_demo');
query(q{SELECT update_extension('depot_demo', '1.1')});
tidied_ok('after an update');
is(pieces($old->{digest}), 0, 'the payload of the version before is gone');
is(pieces(build('depot_demo')->{digest}), 1, 'that of the present one is there');
is(query(q{SELECT action FROM install_extension('depot_demo', '1.1')}), 'keep', 'what is there is kept');

# Whoever cannot read which documents a package needs removes none.
my $evidence = $node->data_dir . '/pg_depot/var/evidence';
my $list = "$evidence/" . build('depot_demo')->{digest};
my @documents = glob("$evidence/*.json");
query(q{DELETE FROM depot.installed_build WHERE package <> 'depot_demo'});
chmod 0, $list or die "chmod: $!";
$offset = log_end();
$node->reload;
logged_ok($offset, qr/WARNING:  could not open "[^"]*": Permission denied/, 'a list of evidence that cannot be read');
is_deeply([ glob("$evidence/*.json") ], \@documents, 'no document is removed');
chmod 0600, $list or die "chmod: $!";
tidied_ok('a list that can be read again');

query('ALTER SYSTEM SET depot.replicate_payloads = off');
$node->reload;
wait_until(sub { query('SHOW depot.replicate_payloads') eq 'off' });
is(install('hll'), 'install', 'with depot.replicate_payloads off a package is installed');
is(pieces(build('hll')->{digest}), 0, 'and nothing is written');
is(pieces(build('depot_demo')->{digest}), 1, 'what was written stays');
tidied_ok('without payloads');
my $health = q{SELECT state, value FROM depot.health WHERE check_name = 'payloads'};
like(query($health), qr/^ok\|1 of 2, \d+ [kM]B$/, 'nor missed by depot.health');
stop_web($web);
$offset = log_end();
query('ALTER SYSTEM RESET depot.replicate_payloads');
$node->reload;
logged_ok($offset, qr/WARNING:  package "hll" \S+ could not be stored in depot\.payload/, 'on again it is, but the repository is gone');
is(query($health), 'warning|none of hll', 'which depot.health says');
start_web_again($web);
$node->reload;
ok(wait_until(sub { query($health) =~ /^ok\|2 of 2, / }, 30), 'at a reload it is fetched again');
tidied_ok('fetched again');
uninstall($_) foreach qw(hll depot_demo);
tidied_ok('without anything');

# A publication of everything does not keep them from being removed, and logical decoding saw none of it.
query('CREATE PUBLICATION everything FOR ALL TABLES');
install('semver');
uninstall('semver');
tidied_ok('with a publication');
is(pieces(), 0, 'with a publication of all tables payloads come and go');
my $changes = q{FROM pg_logical_slot_peek_changes('watch', NULL, NULL, 'include-xids', 'off') WHERE data LIKE 'table depot.%s: %%'};
cmp_ok(query('SELECT count(*) ' . sprintf($changes, 'history')), '>', 5, 'logical decoding sees what is recorded');
is(query('SELECT count(*) ' . sprintf($changes, 'payload') . q{ AND data NOT LIKE '%: DELETE: (no-tuple-data)'}), 0, 'and nothing of payloads');
query(q{DROP PUBLICATION everything; SELECT pg_drop_replication_slot('watch')});

# ---- killed between batches ----

foreach my $point (qw(payload_begin payload_batch record_begin record_before_commit))
{
	write_file("$points/$point", '');
	my $error = DepotTest::psql_error($node, 'postgres', "SELECT install_extension('depot_big')");
	isnt($error->{status}, 0, "killed at $point");
	ok(!-e "$points/$point", "$point was reached");
	wait_for_leader($node);
	tidied_ok("killed at $point");
	is(pieces(), 0, "killed at $point: what was written is removed");
}
write_file("$points/payload_batch", '');
DepotTest::psql_error($node, 'postgres', "SELECT install_extension('depot_big')");
wait_for_leader($node);
is(install('depot_big'), 'install', 'what was begun before a kill is not in the way');
tidied_ok('installed after a kill');

# The leader is killed while it reads, and while it removes.
write_file("$points/payload_read", '');
lose_files();
ok(wait_until(sub { !-e "$points/payload_read" }, 20), 'killed while it reads');
tidied_ok('killed while it reads');
write_file("$points/payload_removed", '');
DepotTest::psql_error($node, 'postgres', "SELECT uninstall_extension('depot_big')");
ok(wait_until(sub { !-e "$points/payload_removed" }, 20), 'killed while it removes');
wait_for_leader($node);
tidied_ok('killed while it removes');
is(pieces(), 0, 'all of it is removed');

# A failed installation leaves nothing either: somebody holds a lock on what is recorded.
my $session = start_psql($node, 'postgres', 'BEGIN; LOCK TABLE depot.history; SELECT pg_sleep(60)');
ok(wait_until(sub { query(q{SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'depot.history'::regclass}) }),
	'a table is locked');
my $waiting = start_psql($node, 'postgres', "SET statement_timeout = '4s'; SELECT install_extension('depot_big')");
ok(wait_until(sub { pieces() > 100 }, 20), 'the payload is written before that');
is(finish_psql($waiting)->{sqlstate}, '57014', 'its caller gives up');
stop_psql($session);
query(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()});
ok(wait_until(sub { pieces() == 0 }, 20), 'and nothing is left of it');
tidied_ok('given up');

# While its payload cannot be written, other requests are answered.
$session = start_psql($node, 'postgres', 'BEGIN; LOCK TABLE depot.payload; SELECT pg_sleep(60)');
ok(wait_until(sub { query(q{SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'depot.payload'::regclass}) }),
	'the table of payloads is locked');
$waiting = start_psql($node, 'postgres', "SELECT action FROM install_extension('depot_big')");
ok(wait_until(sub { query(q{SELECT count(*) FROM depot.activity WHERE phase = 'recording' AND bytes_total > 0}) }, 30),
	'an installation waits for it, which depot.activity shows with its bytes');
is(query(q{SELECT count(*) FROM verify_extension_files(); SELECT action FROM install_extension('semver', dry_run => true)}), "0\ninstall", 'others do not');
query(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()});
stop_psql($session);
is(finish_psql($waiting)->{stdout}, 'install', 'it goes on when the lock is gone');
uninstall('depot_big');
tidied_ok('after a lock');

# ---- space ----

my ($block, $free) = split ' ', run_ok('stat', '-f', '-c', '%S %a', $node->data_dir . '/pg_wal');
my $free_mb = int($block * $free / 1048576);
query("ALTER SYSTEM SET depot.min_free_space = '${\($free_mb + 100000)}MB'");
$node->reload;
wait_until(sub { query('SHOW depot.min_free_space') ne '128MB' });
unchanged_ok($node, 'too little space',
	sub { is_error($node, 'postgres', "SELECT install_extension('semver')", '53100', qr/not enough free space/, 'too little space') });
query('ALTER SYSTEM RESET depot.min_free_space');
$node->reload;
wait_until(sub { query('SHOW depot.min_free_space') eq '128MB' });

# ---- sizes around a piece ----

my $work = tempdir(CLEANUP => 1);
my %keys = map { $_ => "$work/$_" } qw(root targets snapshot timestamp);
my $program = DepotTest::depot_program();
my %size_of;

# A package of exactly this many bytes: random letters fill it.
sub make_sized
{
	my ($name, $size) = @_;
	my $length = $size - 1200;
	srand(7);
	foreach (1 .. 40)
	{
		my $text = join('', map { sprintf('%02x', int rand 256) } 1 .. 2 * CHUNK);
		my $script = "CREATE FUNCTION ${name}_version() RETURNS int LANGUAGE sql AS 'SELECT 1';\n-- " . substr($text, 0, $length) . "\n";
		my $path = make_tree_package($work, $name, '1.0', scripts => { "$name--1.0.sql" => $script });
		return 1 if -s $path == $size;
		$length += int(($size - -s $path) * 2) || ($size <=> -s $path);
	}
	return 0;
}

foreach my $size (CHUNK - 1, CHUNK, CHUNK + 1)
{
	my $name = "depot_sized$size";
	# Compression makes some sizes hard to hit: then the nearest does.
	$size_of{$name} = make_sized($name, $size) ? $size : -s "$work/packages/$name-1.0.tar.zst";
}
run_ok($program, 'keygen', $_) foreach values %keys;
run_ok($program, 'repo', 'init', "$work/repository", map { ("--$_-key" => $keys{$_}) } keys %keys);
run_ok($program, 'repo', 'add', "$work/repository", glob("$work/packages/*.tar.zst"));
run_ok($program, 'repo', 'publish', "$work/repository", map { ('--key' => $_) } values %keys);
add_repository($node, "$work/repository", name => 'sized', root => "$work/repository/metadata/1.root.json");
foreach my $name (sort keys %size_of)
{
	is(install($name), 'install', "$name has $size_of{$name} bytes");
	is(pieces(build($name)->{digest}), int(($size_of{$name} + CHUNK - 1) / CHUNK), "$name: pieces");
}
ok((grep { $_ % CHUNK == 0 } values %size_of), 'one of them is a multiple of 8000 bytes');
run_ok('cp', '-r', "$work/repository", "$work/kept");
run_ok('rm', '-r', "$work/repository");
lose_files();
is(oracle_is_ok($node, 60, '--quiet-server', '--repository', "$work/kept"), '', 'all of them are taken from there');

# What proves them is kept, and so is the root that this server trusts.
query("SELECT drop_extension_repository('sized')");
lose_files(qw(/usr /var/state.json /var/pgsql_tmp_seal));
is(oracle_is_ok($node, 60, '--quiet-server', '--repository', "$work/kept"), '', 'also when the repository was dropped');
$node->stop;
done_testing();
