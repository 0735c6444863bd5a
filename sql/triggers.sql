-- triggers.sql: what keeps rows of another cluster out of the tables, and what pg_dump carries

CREATE FUNCTION depot.refuse_replicated() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'depot_refuse_replicated';
COMMENT ON FUNCTION depot.refuse_replicated() IS
    'leaves out rows that logical replication brings from another cluster';

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'depot'::regnamespace AND relkind = 'r'
    LOOP
        EXECUTE format('CREATE TRIGGER refuse_replicated BEFORE INSERT OR UPDATE OR DELETE ON %s'
            ' FOR EACH ROW EXECUTE FUNCTION depot.refuse_replicated()', name);
        EXECUTE format('CREATE TRIGGER refuse_replicated_truncate BEFORE TRUNCATE ON %s'
            ' FOR EACH STATEMENT EXECUTE FUNCTION depot.refuse_replicated()', name);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_replicated,'
            ' ENABLE ALWAYS TRIGGER refuse_replicated_truncate', name);
    END LOOP;
END
$$;

-- Builds are not carried: another server may be of another version or platform, and asks the repositories.
SELECT pg_catalog.pg_extension_config_dump('depot.repository', '');
SELECT pg_catalog.pg_extension_config_dump('depot.installed', 'WHERE state = ''installed''');

CREATE FUNCTION depot.note_restored() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'depot_note_restored';
COMMENT ON FUNCTION depot.note_restored() IS
    'has the leader look for builds of what COPY has restored';

CREATE TRIGGER note_restored AFTER INSERT ON depot.repository
    FOR EACH STATEMENT EXECUTE FUNCTION depot.note_restored();
CREATE TRIGGER note_restored AFTER INSERT ON depot.installed
    FOR EACH STATEMENT EXECUTE FUNCTION depot.note_restored();
