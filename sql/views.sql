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

CREATE VIEW depot.activity_log AS
    SELECT id, at, action, package, version, previous_version, repository, size_bytes, source,
           role_name, database_name, duration_ms
    FROM depot.history;
