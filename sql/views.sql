-- views.sql: the views of the home database, from its tables; client_views.sql has the same ones for any other

CREATE VIEW depot.packages AS
    SELECT a.package, a.version, i.version IS NOT NULL AS installed, a.size_bytes, a.repository,
           coalesce('withdrawn: ' || w.reason, a.summary) AS summary, a.extensions
    FROM depot.available a
    LEFT JOIN depot.withdrawn w ON w.repository = a.repository AND w.sha256 = a.sha256
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
    SELECT d.name, d.version_constraint, 'declared'::text AS origin,
           CASE WHEN d.package IS NOT NULL THEN p.version WHEN d.state = 'ok' THEN d.version END AS installed_version,
           CASE
               WHEN d.state = 'ok' AND d.package IS NOT NULL AND p.state IS DISTINCT FROM 'active' THEN 'pending'
               ELSE d.state
           END AS state,
           date_trunc('second', d.since) AS since,
           CASE
               WHEN d.state <> 'ok' OR d.package IS NULL OR p.state = 'active' THEN d.reason
               WHEN p.package IS NULL THEN 'uninstalled since; installed again when the list is looked at again'
               ELSE 'recorded, not yet active on this server'
           END AS reason
    FROM depot.declared d
    LEFT JOIN depot.installed_packages p ON p.package = d.package AND p.state <> 'unclaimed'
    UNION ALL
    SELECT p.package, NULL, p.why, p.version, CASE p.state WHEN 'active' THEN 'ok' ELSE 'pending' END, p.installed_at,
           CASE
               WHEN p.state = 'pending' THEN 'recorded, not yet active on this server'
               WHEN p.why = 'declared' THEN 'no longer in depot.extensions'
           END
    FROM depot.installed_packages p
    WHERE p.state <> 'unclaimed' AND NOT EXISTS (SELECT FROM depot.declared d WHERE d.package = p.package);

CREATE VIEW depot.activity_log AS
    SELECT id, at, action, package, version, previous_version, repository, size_bytes, source,
           role_name, database_name, duration_ms
    FROM depot.history;

CREATE VIEW depot.repository_roles AS
    SELECT repository, role, version, date_trunc('second', seen_at) AS seen_at,
           date_trunc('second', expires_at) AS expires_at,
           CASE
               WHEN expires_at <= greatest(now(), seen_at) THEN 0
               ELSE floor(100 * extract(epoch FROM expires_at - now()) / extract(epoch FROM expires_at - seen_at))::integer
           END AS life
    FROM depot.repository_role;

CREATE VIEW depot.repositories AS
    SELECT r.name, r.url, r.priority, r.all_key_types,
           CASE
               WHEN r.refreshed_at IS NULL THEN 'never refreshed'
               WHEN r.expires_at <= now() THEN
                   format('expired: its metadata%s ran out on %s; what is installed keeps working; tell its publisher',
                          ' of role ' || o.role, to_char(r.expires_at, 'YYYY-MM-DD HH24:MI'))
               ELSE 'ok'
           END AS state,
           date_trunc('second', r.expires_at) AS expires_at, date_trunc('second', r.refreshed_at) AS last_success,
           date_trunc('second', r.failed_at) AS last_failure, r.error AS last_error
    FROM depot.repository r
    LEFT JOIN LATERAL (
        SELECT role FROM depot.repository_role WHERE repository = r.name ORDER BY expires_at, role LIMIT 1
    ) o ON true;

-- A name belongs to the first repository by priority that lists it.  Of its newer builds that were not withdrawn, one
-- that runs here is shown before one that does not, and then the newest.  What is installed and was withdrawn has a
-- row in any case; an older build is then better than none.
CREATE VIEW depot.outdated AS
    WITH present AS (
        SELECT i.package, i.version, w.repository, w.reason AS withdrawn, w.advisory
        FROM depot.installed i
        LEFT JOIN LATERAL (
            SELECT w.repository, w.reason, w.advisory
            FROM depot.installed_build b
            JOIN depot.withdrawn w ON w.repository = b.repository AND w.sha256 = b.digest
            WHERE b.package = i.package AND b.version = i.version
            ORDER BY b.major, b.platform LIMIT 1
        ) w ON true
        WHERE i.state = 'installed'
    ), other AS (
        SELECT p.package, a.version, a.repository, depot.build_misfit(a.custom::text, a.target) AS misfit
        FROM present p
        CROSS JOIN LATERAL (
            SELECT r.name FROM depot.repository r
            WHERE EXISTS (SELECT FROM depot.available o WHERE o.repository = r.name AND o.names @> ARRAY[p.package])
            ORDER BY r.priority, r.name LIMIT 1
        ) owner
        JOIN depot.available a ON a.repository = owner.name AND a.package = p.package
        WHERE (depot.compare_versions(a.version, p.version) > 0
               OR (p.withdrawn IS NOT NULL AND depot.compare_versions(a.version, p.version) < 0))
          AND NOT EXISTS (SELECT FROM depot.withdrawn w WHERE w.repository = a.repository AND w.sha256 = a.sha256)
    ), best AS (
        SELECT n.package, n.version, n.repository, n.misfit
        FROM other n
        WHERE NOT EXISTS (
            SELECT FROM other m
            WHERE m.package = n.package
              AND ((m.misfit IS NULL AND n.misfit IS NOT NULL)
                   OR ((m.misfit IS NULL) = (n.misfit IS NULL)
                       AND depot.compare_versions(m.version, n.version) > 0)))
    )
    SELECT p.package, p.version, n.version AS available_version, coalesce(n.repository, p.repository) AS repository,
           coalesce(n.misfit,
                    (SELECT min(format('package "%s" needs version %s', b.package, d.need ->> 'constraint'))
                     FROM depot.installed_build b
                     JOIN depot.installed i ON i.package = b.package AND i.version = b.version AND i.state = 'installed'
                     CROSS JOIN LATERAL json_array_elements(
                         CASE json_typeof(b.custom -> 'depends') WHEN 'array' THEN b.custom -> 'depends' END) d (need)
                     WHERE d.need ->> 'package' = n.package
                       AND NOT depot.version_is_allowed(n.version, d.need ->> 'constraint')),
                    CASE
                        WHEN n.version IS NULL THEN 'there is no other version'
                        WHEN depot.compare_versions(n.version, p.version) < 0 THEN
                            'older; install_extension with this version goes back to it'
                    END) AS reason,
           p.withdrawn, p.advisory
    FROM present p
    LEFT JOIN best n ON n.package = p.package
    WHERE n.package IS NOT NULL OR p.withdrawn IS NOT NULL;

-- This server tells of itself; others report to the primary.  What streams from here without a report is a server of which
-- nothing is known, and so are several that share a name.
CREATE VIEW depot.nodes AS
    WITH streaming AS (
        SELECT s.name, count(*) AS servers FROM depot.streaming_servers() s (name) GROUP BY s.name
    ), told AS (
        SELECT name, k.is_this IS TRUE AS is_this, k.is_current IS TRUE AS is_current, k.applied_generation, k.last_seen,
               k.problem, k.restart_required, coalesce(k.version, n.version) IS NOT NULL AS has_reported
        FROM depot.known_nodes() k
        FULL JOIN depot.node n USING (name)
    ), known AS (
        SELECT coalesce(t.name, s.name) AS name, coalesce(t.is_this, false) AS is_this,
               t.is_current IS TRUE AND coalesce(s.servers, 1) = 1 AS is_current,
               t.applied_generation, t.last_seen, t.problem, t.restart_required, t.has_reported, s.servers,
               t.name IS NOT NULL AS may_report
        FROM told t
        FULL JOIN streaming s ON s.name = CASE WHEN NOT t.is_this THEN t.name END
    )
    SELECT k.name,
           CASE WHEN pg_is_in_recovery() = k.is_this THEN 'standby' WHEN k.is_this THEN 'primary' END AS role,
           CASE
               WHEN NOT k.is_current THEN 'unknown'
               WHEN k.problem IS NOT NULL THEN 'failed'
               WHEN k.applied_generation < g.generation THEN 'behind'
               ELSE 'ok'
           END AS state,
           k.applied_generation AS generation,
           CASE WHEN k.is_current THEN greatest(g.generation - k.applied_generation, 0) END AS behind,
           CASE WHEN k.is_current THEN k.restart_required END AS restart,
           date_trunc('second', k.last_seen) AS last_seen,
           CASE
               WHEN k.servers > 1 THEN format('%s servers have this name: see depot.node_name', k.servers)
               WHEN k.is_current THEN k.problem
               WHEN k.is_this THEN 'its leader has not looked at the files yet'
               WHEN pg_is_in_recovery() THEN 'only the primary knows'
               WHEN k.last_seen IS NOT NULL THEN 'it reports no more'
               WHEN k.has_reported THEN 'it has not reported since this server started'
               WHEN k.may_report THEN 'it has never reported: its log and depot.health say why'
               ELSE 'it has never reported: add_extension_node lets it'
           END AS problem
    FROM known k
    CROSS JOIN (SELECT coalesce(max(generation), 0) AS generation FROM depot.generation) g;

CREATE VIEW depot.node_versions AS
    SELECT name, coalesce(k.version, n.version) AS pg_depot, coalesce(k.server_version, n.server_version) AS postgresql,
           coalesce(k.libc_version, n.libc_version) AS libc, coalesce(k.platform, n.platform) AS platform
    FROM depot.known_nodes() k
    FULL JOIN depot.node n USING (name);

CREATE VIEW depot.health AS
    SELECT check_name, state, value, what_to_do FROM depot.local_health()
    UNION ALL
    SELECT 'packages',
           CASE WHEN count(*) FILTER (WHERE state = 'pending') > 0 THEN 'critical' ELSE 'ok' END,
           coalesce('not served here: ' || string_agg(package, ', ' ORDER BY package) FILTER (WHERE state = 'pending'),
                    count(*) FILTER (WHERE state = 'active') || ' active'),
           CASE
               WHEN count(*) FILTER (WHERE state = 'pending') = 0 THEN NULL
               WHEN pg_is_in_recovery() THEN 'SELECT problem FROM depot.nodes; it is tried again after a pause'
               ELSE 'see the server''s log; SELECT * FROM verify_extension_files(repair => true)'
           END
    FROM depot.installed_packages
    UNION ALL
    SELECT 'unclaimed packages',
           CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(package, ', ' ORDER BY package), 'none'),
           CASE WHEN count(*) > 0 THEN 'install_extension claims it, uninstall_extension removes it' END
    FROM depot.installed_packages WHERE state = 'unclaimed'
    UNION ALL
    SELECT 'payloads',
           CASE WHEN lacking IS NULL OR is_off THEN 'ok' ELSE 'warning' END,
           CASE
               WHEN lacking IS NULL OR is_off THEN
                   format('%s of %s, %s', stored, total, pg_size_pretty(pg_total_relation_size('depot.payload')))
               ELSE 'none of ' || lacking
           END,
           CASE WHEN lacking IS NOT NULL AND NOT is_off THEN 'see the server''s log; standbys ask the repository' END
    FROM (
        SELECT count(*) AS total, count(*) FILTER (WHERE b.is_stored) AS stored,
               string_agg(b.package, ', ' ORDER BY b.package) FILTER (WHERE NOT b.is_stored) AS lacking,
               NOT current_setting('depot.replicate_payloads')::boolean AS is_off
        FROM (
            SELECT i.package,
                   (SELECT count(*) FROM depot.payload p
                    WHERE p.digest = CASE WHEN b.digest ~ '^[0-9a-f]{64}$' THEN decode(b.digest, 'hex') END)
                   = (b.size_bytes + 7999) / 8000 AS is_stored
            FROM depot.installed i
            JOIN depot.installed_build b USING (package, version)
            WHERE i.state = 'installed'
        ) b
    ) p
    UNION ALL
    SELECT 'repositories', 'ok', 'none', NULL
    WHERE NOT EXISTS (SELECT FROM depot.repository)
    UNION ALL
    SELECT 'repository ' || r.name,
           CASE
               WHEN r.expires_at <= now() OR d.life < 5 THEN 'critical'
               WHEN r.refreshed_at IS NULL OR d.life < 20 THEN 'warning'
               ELSE 'ok'
           END,
           CASE
               WHEN r.refreshed_at IS NULL THEN 'not refreshed yet'
               WHEN r.expires_at <= now() THEN
                   format('%sexpired %s; what is installed keeps working', d.role || ' ',
                          to_char(coalesce(d.expires_at, r.expires_at), 'YYYY-MM-DD HH24:MI'))
               WHEN d.life < 20 THEN
                   format('%s expires %s, %s %% of its lifetime left', d.role,
                          to_char(d.expires_at, 'YYYY-MM-DD HH24:MI'), d.life)
               ELSE format('%sexpires %s', d.role || ' ', to_char(coalesce(d.expires_at, r.expires_at), 'YYYY-MM-DD'))
           END,
           CASE
               WHEN r.refreshed_at IS NULL OR r.expires_at <= now() OR d.life < 20 THEN
                   format('SELECT refresh_extension_repository(%L); if that does not help, tell its publisher', r.name)
           END
    FROM depot.repository r
    LEFT JOIN LATERAL (
        SELECT o.role, o.expires_at, o.life FROM depot.repository_roles o
        WHERE o.repository = r.name ORDER BY o.life, o.expires_at, o.role LIMIT 1
    ) d ON true
    UNION ALL
    SELECT 'withdrawn packages',
           CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(package || ' ' || version, ', ' ORDER BY package), 'none installed'),
           CASE WHEN count(*) > 0 THEN 'SELECT * FROM depot.outdated' END
    FROM depot.outdated WHERE withdrawn IS NOT NULL
    UNION ALL
    SELECT 'declared list',
           CASE WHEN count(*) FILTER (WHERE state IN ('refused', 'failed')) > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(name || ' ' || state, ', ' ORDER BY ordinal) FILTER (WHERE state IN ('refused', 'failed')),
                    count(*) || CASE count(*) WHEN 1 THEN ' entry' ELSE ' entries' END),
           CASE WHEN count(*) FILTER (WHERE state IN ('refused', 'failed')) > 0 THEN 'SELECT * FROM depot.desired' END
    FROM depot.declared
    UNION ALL
    SELECT 'nodes',
           CASE WHEN count(*) FILTER (WHERE state <> 'ok') > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(name || ' ' || state, ', ' ORDER BY name) FILTER (WHERE state <> 'ok'), count(*) || ' ok'),
           CASE WHEN count(*) FILTER (WHERE state <> 'ok') > 0 THEN 'SELECT * FROM depot.nodes' END
    FROM depot.nodes WHERE role IS NOT NULL
    UNION ALL
    SELECT 'publications',
           CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
           coalesce(string_agg(pubname, ', ' ORDER BY pubname) || ': publishes pg_depot''s tables', 'none of pg_depot''s tables'),
           CASE WHEN count(*) > 0 THEN
                    'publish other schemas by name, FOR TABLES IN SCHEMA'
           END
    FROM (SELECT DISTINCT pubname::text COLLATE "default" AS pubname FROM pg_publication_tables WHERE schemaname = 'depot') p;
