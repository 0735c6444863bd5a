# DepotDocsPage: what a page of documentation has while its blocks run (DepotDocsRun.pm runs them).
#
# Each page has a directory, and, once a block asks for it, a server with the
# library loaded and a signed repository of the five packages that quickstart
# makes, served by nginx with https.  What a page writes is replaced by what
# there is, and in outputs back again:
#
#   https://depot.example.org   the repository by https
#   /srv/depot                  the same as a directory
#   /etc/pg_depot               its keys
#   /srv/repository             a directory that is not there yet
#   /etc/postgresql/15/main     the directory of postgresql.conf, which reads conf.d/*.conf
#   <64 hexadecimal digits>     SHA-256 of the repository's first root
#
# Commands run one after the other in the page's directory, with PGHOST and the
# like set.  Some need root or a Debian system of one's own; what stands for them:
#
#   sudo          runs the command as it is
#   apt, apt-get  install: simulated (-s), so each package must exist; download: from the test's cache
#   make          a dry run (-n) in the source directory, which run-tests has built and installed
#   systemctl     restart and reload: of the page's server
#
# SPDX-License-Identifier: PostgreSQL

package DepotDocsPage;

use strict;
use warnings;

use DepotTest;
use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);

our @EXPORT_OK = qw(end_page make_repository need_server new_page to_documented to_real);

my $servers = 0;
my @debs;

sub new_page
{
	my ($name) = @_;
	my $directory = tempdir("docs-XXXXXX", DIR => $ENV{DEPOT_TEST_WORK}, CLEANUP => 1);
	my $page = { name => $name, directory => $directory, sessions => {}, places => {} };

	make_path("$directory/bin", "$directory/here", "$directory/srv");
	write_commands($page);
	$page->{places}{'/srv/repository'} = "$directory/srv/repository";
	$page->{environment} = {
		PATH => "$directory/bin:$ENV{PATH}",
		HOME => "$directory/here",
		PGTZ => 'UTC',
		PGDATABASE => 'postgres',
		DOCS_SOURCE => $DepotTest::top,
		LC_ALL => 'C.UTF-8',
		PAGER => 'cat',
	};
	return $page;
}

sub write_command
{
	my ($page, $name, $script) = @_;
	write_file("$page->{directory}/bin/$name", "#!/bin/sh\n$script");
	chmod 0755, "$page->{directory}/bin/$name";
	return;
}

sub write_commands
{
	my ($page) = @_;
	@debs = DepotTest::debian_packages($ENV{DEPOT_TEST_WORK}) if !@debs;
	my $apt = <<"SH";
[ "\$1" != -qq ] || shift
command=\$1
shift
case \$command in
	install) exec /usr/bin/apt-get -s -q install "\$@" ;;
	download) for name; do cp ${\dirname($debs[0])}/"\${name}"_*.deb . || exit; done ;;
	*) echo "apt \$command: not known here" >&2; exit 1 ;;
esac
SH
	write_command($page, $_, $apt) foreach qw(apt apt-get);
	my $sudo = 'while :; do case $1 in -u) shift 2 ;; -*) shift ;; *) break ;; esac; done';
	write_command($page, 'sudo', "$sudo\nexec \"\$@\"\n");
	write_command($page, 'make', "exec /usr/bin/make -n -C '$DepotTest::top' \"\$@\" >/dev/null\n");
	write_command($page, 'systemctl', <<"SH");
case \$1 in
	restart) exec pg_ctl -s -w -m fast -D "\$DOCS_DATA" -l "\$DOCS_LOG" restart >/dev/null ;;
	reload) exec pg_ctl -s -D "\$DOCS_DATA" reload ;;
	*) echo "systemctl \$1: not known here" >&2; exit 1 ;;
esac
SH
	return;
}

# A repository of Debian's packages only, as quickstart makes it.
sub make_repository
{
	my ($page) = @_;
	my $directory = "$page->{directory}/srv/depot";
	my $program = DepotTest::depot_program();
	my %keys = map { $_ => "$page->{directory}/keys/$_" } qw(root targets snapshot timestamp);
	my @names = map { basename($_) =~ /^postgresql-\d+-([a-z0-9]+)_/ } @debs;

	make_path("$page->{directory}/keys");
	run_ok($program, 'keygen', $_) foreach values %keys;
	run_ok($program, 'repo', 'init', $directory, map { ("--$_-key" => $keys{$_}) } keys %keys);
	run_ok($program, 'repo', 'add', $directory, map { glob(depot_repository()->{packages} . "/$_-*.tar.zst") } @names);
	run_ok($program, 'repo', 'publish', $directory, map { ('--key' => $_) } values %keys);
	$page->{web} = start_web($directory);
	$page->{places}{'https://depot.example.org'} = $page->{web}{https};
	$page->{places}{'/srv/depot'} = $directory;
	$page->{places}{'/etc/pg_depot'} = "$page->{directory}/keys";
	my $digest = run_ok('sha256sum', "$directory/metadata/1.root.json");
	$page->{places}{'<64 hexadecimal digits>'} = substr($digest, 0, 64);
	return;
}

sub need_server
{
	my ($page) = @_;
	return if $page->{node};
	my $node = new_depot_node($page->{name} =~ s/\W/_/gr . '_' . $servers++, conf => "include_dir = 'conf.d'\n");
	my $data = $node->data_dir;
	make_path("$data/conf.d");
	$node->append_conf('postgresql.conf', "depot.ca_file = '$page->{web}{ca_file}'") if $page->{web};
	$node->start;
	$page->{node} = $node;
	$page->{places}{'/etc/postgresql/15/main'} = $data;
	my %environment = (
		PGHOST => $node->host,
		PGPORT => $node->port,
		DOCS_HOST => $node->host,
		DOCS_PORT => $node->port,
		DOCS_DATA => $data,
		DOCS_LOG => $node->logfile,
		DOCS_CA_FILE => $page->{web} ? $page->{web}{ca_file} : '',
	);
	$page->{environment}{$_} = $environment{$_} foreach keys %environment;
	return;
}

# What the page writes, with what there is in its place.
sub to_real
{
	my ($page, $text) = @_;
	foreach my $place (sort { length $b <=> length $a } keys %{ $page->{places} })
	{
		$text =~ s/\Q$place\E/$page->{places}{$place}/g;
	}
	return $text;
}

sub to_documented
{
	my ($page, $text) = @_;
	my %documented = reverse %{ $page->{places} };
	foreach my $real (sort { length $b <=> length $a } keys %documented)
	{
		next if $documented{$real} =~ /^</;
		$text =~ s/\Q$real\E/$documented{$real}/g;
	}
	return $text;
}

# Ends what the page started, also where a block that should have ended it failed.
sub end_page
{
	my ($page) = @_;
	foreach my $file (glob("$page->{directory}/here/*/*.pid"))
	{
		kill 'TERM', file_contents($file) =~ /^(\d+)$/;
	}
	$page->{node}->stop if $page->{node};
	DepotTest::stop_web($page->{web}) if $page->{web};
	return;
}

1;
