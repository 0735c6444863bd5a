-- client_views.sql: the views of any other database, which ask the home database for its rows
--
-- Each has the columns of its namesake in views.sql; test/check-style and the test "client_database" compare them.

CREATE VIEW depot.packages AS
    SELECT package, version, installed, size_bytes, repository, summary, extensions
    FROM json_to_recordset(depot.home_rows('packages'))
        AS r(package text, version text, installed boolean, size_bytes bigint, repository text, summary text,
             extensions text[]);

CREATE VIEW depot.installed_packages AS
    SELECT package, version, state, why, repository, installed_at, extensions
    FROM json_to_recordset(depot.home_rows('installed_packages'))
        AS r(package text, version text, state text, why text, repository text, installed_at timestamptz,
             extensions text[]);

CREATE VIEW depot.desired AS
    SELECT name, version_constraint, origin, installed_version, state, since, reason
    FROM json_to_recordset(depot.home_rows('desired'))
        AS r(name text, version_constraint text, origin text, installed_version text, state text,
             since timestamptz, reason text);

CREATE VIEW depot.activity_log AS
    SELECT id, at, action, package, version, previous_version, repository, size_bytes, source,
           role_name, database_name, duration_ms
    FROM json_to_recordset(depot.home_rows('activity_log'))
        AS r(id bigint, at timestamptz, action text, package text, version text, previous_version text,
             repository text, size_bytes bigint, source text, role_name text, database_name text,
             duration_ms integer);

CREATE VIEW depot.repository_roles AS
    SELECT repository, role, version, seen_at, expires_at, life
    FROM json_to_recordset(depot.home_rows('repository_roles'))
        AS r(repository text, role text, version bigint, seen_at timestamptz, expires_at timestamptz,
             life integer);

CREATE VIEW depot.repositories AS
    SELECT name, url, priority, all_key_types, state, expires_at, last_success, last_failure, last_error
    FROM json_to_recordset(depot.home_rows('repositories'))
        AS r(name text, url text, priority integer, all_key_types boolean, state text, expires_at timestamptz,
             last_success timestamptz, last_failure timestamptz, last_error text);

CREATE VIEW depot.outdated AS
    SELECT package, version, available_version, repository, reason, withdrawn, advisory
    FROM json_to_recordset(depot.home_rows('outdated'))
        AS r(package text, version text, available_version text, repository text, reason text, withdrawn text,
             advisory text);

CREATE VIEW depot.nodes AS
    SELECT name, role, state, generation, behind, restart, last_seen, problem
    FROM json_to_recordset(depot.home_rows('nodes'))
        AS r(name text, role text, state text, generation bigint, behind bigint, restart boolean,
             last_seen timestamptz, problem text);

CREATE VIEW depot.node_versions AS
    SELECT name, pg_depot, postgresql, libc, platform
    FROM json_to_recordset(depot.home_rows('node_versions'))
        AS r(name text, pg_depot text, postgresql text, libc text, platform text);

-- What this database can tell by itself is there when the home database cannot be asked, too.
CREATE VIEW depot.health AS
    SELECT check_name, state, value, what_to_do FROM depot.local_health()
    UNION ALL
    SELECT check_name, state, value, what_to_do
    FROM json_to_recordset(depot.home_health())
        AS r(check_name text, state text, value text, what_to_do text)
    WHERE check_name NOT IN (SELECT l.check_name FROM depot.local_health() l);
