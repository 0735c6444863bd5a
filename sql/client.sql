-- client.sql: what only the other databases have, their way to the home database

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_depot_client" to load this file. \quit

-- Checked before the schema is made, which an extension that is in the wrong place may have made already.
CREATE FUNCTION @extschema@.check_client_database() RETURNS void
    LANGUAGE c STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'depot_check_client_database';
SELECT @extschema@.check_client_database();
CREATE SCHEMA depot;
ALTER FUNCTION @extschema@.check_client_database() SET SCHEMA depot;
COMMENT ON FUNCTION depot.check_client_database() IS
    'raises an error if the library is not preloaded, or if this is the database that depot.database names';
REVOKE ALL ON FUNCTION depot.check_client_database() FROM PUBLIC;

CREATE FUNCTION depot.current_generation() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS 'SELECT NULL::bigint';
COMMENT ON FUNCTION depot.current_generation() IS 'generation of the rows; null where they are in another database';

CREATE FUNCTION depot.home_rows(view text) RETURNS json
    LANGUAGE c STRICT STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'depot_home_rows';
COMMENT ON FUNCTION depot.home_rows(text) IS
    'rows of a view of schema depot in the home database, as the role in force may read it there';

CREATE FUNCTION depot.home_health() RETURNS json
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'depot_home_health';
COMMENT ON FUNCTION depot.home_health() IS
    'rows of depot.health in the home database; where it cannot be asked, one row that says why';
