-- view_comments.sql: what the views and their columns are

COMMENT ON VIEW depot.packages IS 'what can be installed on this server';
COMMENT ON COLUMN depot.packages.package IS 'package name';
COMMENT ON COLUMN depot.packages.version IS 'package version';
COMMENT ON COLUMN depot.packages.extensions IS 'extensions it provides';
COMMENT ON COLUMN depot.packages.size_bytes IS 'size of the download';
COMMENT ON COLUMN depot.packages.repository IS 'repository that offers it';
COMMENT ON COLUMN depot.packages.installed IS 'whether this version is installed';
COMMENT ON COLUMN depot.packages.summary IS 'one line about it, or why it was withdrawn';

COMMENT ON VIEW depot.installed_packages IS 'what is installed, and whether this server serves it';
COMMENT ON COLUMN depot.installed_packages.package IS 'package name';
COMMENT ON COLUMN depot.installed_packages.version IS 'package version';
COMMENT ON COLUMN depot.installed_packages.state IS
    'active, pending (recorded, not yet served here), unclaimed (served, but not recorded)';
COMMENT ON COLUMN depot.installed_packages.extensions IS 'extensions it provides';
COMMENT ON COLUMN depot.installed_packages.why IS 'requested, declared (in depot.extensions), or dependency';
COMMENT ON COLUMN depot.installed_packages.repository IS 'repository it came from';
COMMENT ON COLUMN depot.installed_packages.installed_at IS 'when it was recorded';

COMMENT ON VIEW depot.desired IS 'what shall be installed, and whether it is';
COMMENT ON COLUMN depot.desired.name IS 'extension or package';
COMMENT ON COLUMN depot.desired.version_constraint IS 'versions the entry allows; null: any';
COMMENT ON COLUMN depot.desired.origin IS 'declared (in depot.extensions), requested, or dependency';
COMMENT ON COLUMN depot.desired.installed_version IS 'version that is installed';
COMMENT ON COLUMN depot.desired.state IS
    'ok, pending, refused (cannot be carried out as it is), failed (will be tried again)';
COMMENT ON COLUMN depot.desired.reason IS 'why it is in this state, where there is something to say';
COMMENT ON COLUMN depot.desired.since IS 'since when it is in this state';

COMMENT ON VIEW depot.activity IS 'running requests';
COMMENT ON COLUMN depot.activity.id IS 'number of the request since the server started';
COMMENT ON COLUMN depot.activity.request IS 'function that was called';
COMMENT ON COLUMN depot.activity.subject IS 'extension or repository it is about';
COMMENT ON COLUMN depot.activity.phase IS 'what the leader is doing for it';
COMMENT ON COLUMN depot.activity.bytes_done IS 'bytes done in this phase';
COMMENT ON COLUMN depot.activity.bytes_total IS 'bytes to do in this phase, where known';
COMMENT ON COLUMN depot.activity.pid IS 'process that waits for the answer';
COMMENT ON COLUMN depot.activity.role_name IS 'who asked';
COMMENT ON COLUMN depot.activity.started_at IS 'when the request was made';

COMMENT ON VIEW depot.activity_log IS 'every change pg_depot made, with who asked for it';
COMMENT ON COLUMN depot.activity_log.id IS 'running number';
COMMENT ON COLUMN depot.activity_log.at IS 'when it was recorded';
COMMENT ON COLUMN depot.activity_log.action IS 'install, update, remove, add repository, drop repository';
COMMENT ON COLUMN depot.activity_log.package IS 'package name';
COMMENT ON COLUMN depot.activity_log.version IS 'its version after the change';
COMMENT ON COLUMN depot.activity_log.previous_version IS 'its version before the change';
COMMENT ON COLUMN depot.activity_log.repository IS 'repository name';
COMMENT ON COLUMN depot.activity_log.size_bytes IS 'size of the download';
COMMENT ON COLUMN depot.activity_log.source IS 'URL of the repository or mirror that delivered it';
COMMENT ON COLUMN depot.activity_log.role_name IS 'who asked: a role, or the setting depot.extensions';
COMMENT ON COLUMN depot.activity_log.database_name IS 'from which database';
COMMENT ON COLUMN depot.activity_log.duration_ms IS 'time from the request to the record';

COMMENT ON VIEW depot.repositories IS 'the repositories, and how refreshing them went';
COMMENT ON COLUMN depot.repositories.name IS 'name of the repository';
COMMENT ON COLUMN depot.repositories.url IS 'where metadata/ and targets/ are found';
COMMENT ON COLUMN depot.repositories.priority IS 'a lower number is asked first';
COMMENT ON COLUMN depot.repositories.all_key_types IS 'whether ECDSA and RSA keys count besides ed25519';
COMMENT ON COLUMN depot.repositories.state IS 'ok, never refreshed, or expired, and what that means';
COMMENT ON COLUMN depot.repositories.expires_at IS 'when the first of its roles expires';
COMMENT ON COLUMN depot.repositories.last_success IS 'when its metadata was last fetched and found valid';
COMMENT ON COLUMN depot.repositories.last_failure IS 'when it could last not be refreshed; null: the last refresh succeeded';
COMMENT ON COLUMN depot.repositories.last_error IS 'why';

COMMENT ON VIEW depot.repository_roles IS 'the TUF roles of every repository, as accepted last';
COMMENT ON COLUMN depot.repository_roles.repository IS 'name of the repository';
COMMENT ON COLUMN depot.repository_roles.role IS 'root, timestamp, snapshot, targets, or a delegated role';
COMMENT ON COLUMN depot.repository_roles.version IS 'version of its metadata';
COMMENT ON COLUMN depot.repository_roles.seen_at IS 'when this cluster accepted this version';
COMMENT ON COLUMN depot.repository_roles.expires_at IS 'when it expires';
COMMENT ON COLUMN depot.repository_roles.life IS 'percent of the time from seen_at to expires_at that is left';

COMMENT ON VIEW depot.outdated IS
    'installed packages of which their repository has a newer version, or whose version was withdrawn';
COMMENT ON COLUMN depot.outdated.package IS 'package name';
COMMENT ON COLUMN depot.outdated.version IS 'version that is installed';
COMMENT ON COLUMN depot.outdated.available_version IS 'newest version that runs on this server, or the newest if none does; null: none';
COMMENT ON COLUMN depot.outdated.repository IS 'repository that offers it';
COMMENT ON COLUMN depot.outdated.reason IS 'why update_extension would not install it; null: it would';
COMMENT ON COLUMN depot.outdated.withdrawn IS 'why its publisher has withdrawn the installed version; null: it was not';
COMMENT ON COLUMN depot.outdated.advisory IS 'security advisory about that, where there is one';

COMMENT ON VIEW depot.conflicts IS 'what both an installed package and the server installation have';
COMMENT ON COLUMN depot.conflicts.package IS 'package name';
COMMENT ON COLUMN depot.conflicts.kind IS 'extension (its control file), library or file';
COMMENT ON COLUMN depot.conflicts.path IS 'the file of the server installation';
COMMENT ON COLUMN depot.conflicts.what_to_do IS 'how to end the conflict';

COMMENT ON VIEW depot.health IS 'checks of pg_depot on this server, and what to do';
COMMENT ON COLUMN depot.health.check_name IS 'what was looked at';
COMMENT ON COLUMN depot.health.state IS 'ok, warning or critical';
COMMENT ON COLUMN depot.health.value IS 'what was found';
COMMENT ON COLUMN depot.health.what_to_do IS 'the remedy, where one is needed';

COMMENT ON VIEW depot.nodes IS 'the servers of the cluster, and how far each is';
COMMENT ON COLUMN depot.nodes.name IS 'name of the server: its depot.node_name, cluster_name or host name';
COMMENT ON COLUMN depot.nodes.role IS 'primary or standby, where that is known';
COMMENT ON COLUMN depot.nodes.state IS
    'ok, behind, failed (something is missing or went wrong), unknown (no connection, or it has never reported)';
COMMENT ON COLUMN depot.nodes.generation IS 'change of what is installed that its files have reached';
COMMENT ON COLUMN depot.nodes.behind IS 'changes that its files have not reached yet';
COMMENT ON COLUMN depot.nodes.restart IS 'whether a package there is waiting for a restart of the server';
COMMENT ON COLUMN depot.nodes.last_seen IS 'when it last reported; null: not since this server started';
COMMENT ON COLUMN depot.nodes.problem IS
    'packages that it does not serve as it should, and why; its last error; or why nothing is known of it';

COMMENT ON VIEW depot.node_versions IS 'what the servers of the cluster run, as each told last';
COMMENT ON COLUMN depot.node_versions.name IS 'name of the server, as in depot.nodes';
COMMENT ON COLUMN depot.node_versions.pg_depot IS 'version of pg_depot''s library there; null: it has never reported';
COMMENT ON COLUMN depot.node_versions.postgresql IS 'version of PostgreSQL there';
COMMENT ON COLUMN depot.node_versions.libc IS 'version of the C library there';
COMMENT ON COLUMN depot.node_versions.platform IS 'operating system and architecture there, as linux-amd64';
