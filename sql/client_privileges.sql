-- client_privileges.sql: who may ask the home database; it decides by the role in force what that role may read

GRANT EXECUTE ON FUNCTION depot.home_rows(text) TO PUBLIC;
REVOKE ALL ON FUNCTION depot.home_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION depot.home_health() TO pg_monitor;
