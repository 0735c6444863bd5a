-- home_privileges.sql: who may call what only the home database has

GRANT EXECUTE ON FUNCTION depot.compare_versions(text, text), depot.version_is_allowed(text, text),
    depot.build_misfit(text, text) TO PUBLIC;
REVOKE ALL ON FUNCTION depot.report_node(text), depot.streaming_servers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION depot.streaming_servers() TO pg_monitor;
