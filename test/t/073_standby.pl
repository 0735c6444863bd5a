# Promise 5: a standby brings its own files into line with the rows it replays.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DepotCluster;
use DepotTest;
use Test::More;

my ($primary, $standby) = depot_cluster();

install($primary, 'semver');
follows($standby, $primary, 'an installation');
$primary->safe_psql('postgres', 'CREATE EXTENSION semver');
replayed($standby, $primary);
is($standby->safe_psql('postgres', "SELECT '1.2.3'::semver > '1.2.0'"), 't', 'the standby calls into the library');

done_testing();
