-- views.sql: the views of the home database, from its tables; client_views.sql has the same ones for any other

CREATE VIEW depot.packages AS
    SELECT a.package, a.version, i.version IS NOT NULL AS installed, a.size_bytes, a.repository,
           a.summary, a.extensions
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
           i.why, b.repository, date_trunc('second', i.changed_at) AS installed_at, b.extensions
    FROM (SELECT * FROM depot.installed WHERE state = 'installed') i
    LEFT JOIN depot.installed_build b ON b.package = i.package AND b.version = i.version
    FULL JOIN depot.applied_packages() f ON f.package = i.package;

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
           date_trunc('second', d.since) AS since
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

-- A name belongs to the first repository by priority that lists it.  Of its newer builds, one that runs here is
-- shown before one that does not, and then the newest.
CREATE VIEW depot.outdated AS
    WITH newer AS (
        SELECT i.package, i.version, a.version AS available_version, a.repository,
               depot.build_misfit(a.custom::text, a.target) AS misfit
        FROM depot.installed i
        CROSS JOIN LATERAL (
            SELECT r.name FROM depot.repository r
            WHERE EXISTS (SELECT FROM depot.available o WHERE o.repository = r.name AND o.names @> ARRAY[i.package])
            ORDER BY r.priority, r.name LIMIT 1
        ) owner
        JOIN depot.available a ON a.repository = owner.name AND a.package = i.package
        WHERE i.state = 'installed' AND depot.compare_versions(a.version, i.version) > 0
    )
    SELECT n.package, n.version, n.available_version, n.repository,
           coalesce(n.misfit,
                    (SELECT min(format('package "%s" needs version %s', b.package, d.need ->> 'constraint'))
                     FROM depot.installed_build b
                     JOIN depot.installed i ON i.package = b.package AND i.version = b.version AND i.state = 'installed'
                     CROSS JOIN LATERAL json_array_elements(
                         CASE json_typeof(b.custom -> 'depends') WHEN 'array' THEN b.custom -> 'depends' END) d (need)
                     WHERE d.need ->> 'package' = n.package
                       AND NOT depot.version_is_allowed(n.available_version, d.need ->> 'constraint'))) AS reason
    FROM newer n
    WHERE NOT EXISTS (
        SELECT FROM newer m
        WHERE m.package = n.package
          AND ((m.misfit IS NULL AND n.misfit IS NOT NULL)
               OR ((m.misfit IS NULL) = (n.misfit IS NULL)
                   AND depot.compare_versions(m.available_version, n.available_version) > 0)));

CREATE VIEW depot.health AS
    SELECT check_name, state, value, what_to_do FROM depot.local_health()
    UNION ALL
    SELECT 'packages',
           CASE WHEN count(*) FILTER (WHERE state = 'pending') > 0 THEN 'critical' ELSE 'ok' END,
           coalesce('not served here: ' || string_agg(package, ', ' ORDER BY package) FILTER (WHERE state = 'pending'),
                    count(*) FILTER (WHERE state = 'active') || ' active'),
           CASE WHEN count(*) FILTER (WHERE state = 'pending') > 0 THEN
                    'see the server''s log; SELECT * FROM verify_extension_files(repair => true)'
           END
    FROM depot.installed_packages
    UNION ALL
    SELECT 'unclaimed packages',
           CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(package, ', ' ORDER BY package), 'none'),
           CASE WHEN count(*) > 0 THEN 'install_extension claims it, uninstall_extension removes it' END
    FROM depot.installed_packages WHERE state = 'unclaimed'
    UNION ALL
    SELECT 'repositories', 'ok', 'none', NULL
    WHERE NOT EXISTS (SELECT FROM depot.repository)
    UNION ALL
    SELECT 'repository ' || name,
           CASE
               WHEN expires_at <= now() THEN 'critical'
               WHEN refreshed_at IS NULL OR now() > expires_at - least((expires_at - refreshed_at) / 4, interval '2 days')
                   THEN 'warning'
               ELSE 'ok'
           END,
           CASE
               WHEN refreshed_at IS NULL THEN 'not refreshed yet'
               WHEN expires_at <= now() THEN 'expired ' || to_char(expires_at, 'YYYY-MM-DD HH24:MI')
               ELSE 'expires ' || to_char(expires_at, 'YYYY-MM-DD HH24:MI')
           END,
           CASE
               WHEN refreshed_at IS NULL OR now() > expires_at - least((expires_at - refreshed_at) / 4, interval '2 days')
                   THEN format('SELECT refresh_extension_repository(%L); its publisher renews what expires', name)
           END
    FROM depot.repository
    UNION ALL
    SELECT 'declared list',
           CASE WHEN count(*) FILTER (WHERE state IN ('refused', 'failed')) > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(name || ' ' || state, ', ' ORDER BY ordinal) FILTER (WHERE state IN ('refused', 'failed')),
                    count(*) || CASE count(*) WHEN 1 THEN ' entry' ELSE ' entries' END),
           CASE WHEN count(*) FILTER (WHERE state IN ('refused', 'failed')) > 0 THEN 'SELECT * FROM depot.desired' END
    FROM depot.declared
    UNION ALL
    SELECT 'publications',
           CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(pubname, ', ' ORDER BY pubname) || ': publishes pg_depot''s tables', 'none of pg_depot''s tables'),
           CASE WHEN count(*) > 0 THEN
                    'publish other schemas by name, FOR TABLES IN SCHEMA'
           END
    FROM (SELECT DISTINCT pubname::text COLLATE "default" AS pubname FROM pg_publication_tables WHERE schemaname = 'depot') p;
