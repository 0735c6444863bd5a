-- triggers.sql: what keeps rows of another cluster out of the tables

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
