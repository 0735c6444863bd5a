-- views.sql: the views of the home database, from its tables; client_views.sql has the same ones for any other

CREATE VIEW depot.packages AS
    SELECT a.package, a.version, a.extensions, a.size_bytes, a.repository,
           i.version IS NOT NULL AS installed, a.summary
    FROM depot.available a
    LEFT JOIN depot.installed i
        ON i.package = a.package AND i.version = a.version AND i.state = 'installed';

CREATE VIEW depot.installed_packages AS
    SELECT coalesce(i.package, f.package) AS package,
           coalesce(i.version, f.version) AS version,
           CASE
               WHEN i.package IS NULL THEN 'unclaimed'
               WHEN f.digest = b.digest THEN 'active'
               ELSE 'pending'
           END AS state,
           b.extensions, i.why, b.repository, b.unpacked_bytes, i.changed_at AS installed_at
    FROM (SELECT * FROM depot.installed WHERE state = 'installed') i
    LEFT JOIN depot.installed_build b ON b.package = i.package AND b.version = i.version
    FULL JOIN depot.applied_packages() f ON f.package = i.package
    WHERE i.package IS NOT NULL
       OR NOT EXISTS (SELECT FROM depot.installed r WHERE r.package = f.package);

CREATE VIEW depot.desired AS
    SELECT d.name, d.version_constraint, 'depot.extensions'::text AS origin,
           CASE WHEN d.package IS NOT NULL THEN p.version WHEN d.state = 'ok' THEN d.version END AS installed_version,
           CASE
               WHEN d.state = 'ok' AND d.package IS NOT NULL AND p.state IS DISTINCT FROM 'active' THEN 'pending'
               ELSE d.state
           END AS state,
           CASE
               WHEN d.state <> 'ok' OR d.package IS NULL OR p.state = 'active' THEN d.reason
               WHEN p.package IS NULL THEN 'uninstalled since; installed again when the list is looked at again'
               ELSE 'recorded, not yet active on this server'
           END AS reason,
           d.since
    FROM depot.declared d
    LEFT JOIN depot.installed_packages p ON p.package = d.package AND p.state <> 'unclaimed'
    UNION ALL
    SELECT p.package, NULL,
           CASE p.why
               WHEN 'declared' THEN 'depot.extensions'
               WHEN 'dependency' THEN 'dependency'
               ELSE 'install_extension'
           END,
           p.version,
           CASE p.state WHEN 'active' THEN 'ok' ELSE 'pending' END,
           CASE
               WHEN p.state = 'pending' THEN 'recorded, not yet active on this server'
               WHEN p.why = 'declared' THEN 'no longer in depot.extensions'
           END,
           p.installed_at
    FROM depot.installed_packages p
    WHERE p.state <> 'unclaimed' AND NOT EXISTS (SELECT FROM depot.declared d WHERE d.package = p.package);

CREATE VIEW depot.activity_log AS
    SELECT id, at, action, package, version, previous_version, repository, size_bytes, source,
           role_name, database_name, duration_ms
    FROM depot.history;
