-- privileges.sql: who may read what

-- Whoever writes these tables decides whom this server trusts, so ALTER DEFAULT PRIVILEGES must not reach them.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT 'SCHEMA depot' AS object, a.grantee
            FROM pg_namespace n, aclexplode(n.nspacl) a
            WHERE n.nspname = 'depot' AND a.grantee <> n.nspowner
        UNION
        SELECT 'TABLE ' || c.oid::regclass, a.grantee
            FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.relnamespace = 'depot'::regnamespace AND a.grantee <> c.relowner
        UNION
        SELECT 'FUNCTION ' || p.oid::regprocedure, a.grantee
            FROM pg_proc p, aclexplode(p.proacl) a
            WHERE p.pronamespace = 'depot'::regnamespace AND a.grantee <> p.proowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', granted.object,
            CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END);
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA depot TO PUBLIC;
GRANT SELECT ON depot.packages, depot.installed_packages, depot.desired, depot.outdated,
    depot.conflicts, depot.repository_roles TO PUBLIC;
GRANT EXECUTE ON FUNCTION depot.applied_packages(), depot.local_conflicts(), depot.local_files_ready(bigint),
    depot.current_generation() TO PUBLIC;
GRANT SELECT ON depot.activity, depot.activity_log, depot.health, depot.repositories, depot.nodes, depot.node_versions
    TO pg_monitor;
REVOKE ALL ON FUNCTION depot.running_requests(), depot.local_health(), depot.known_nodes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION depot.running_requests(), depot.local_health(), depot.known_nodes() TO pg_monitor;
