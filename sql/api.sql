-- api.sql: the API.  In pg_catalog, so that it is found whatever the search path says.

CREATE FUNCTION pg_catalog.add_extension_repository(name text, url text, trusted_root text DEFAULT NULL,
    root_sha256 text DEFAULT NULL, priority integer DEFAULT 100, mirrors text[] DEFAULT NULL,
    all_key_types boolean DEFAULT false,
    OUT repository text, OUT packages integer, OUT expires_at timestamptz)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_add_extension_repository';
COMMENT ON FUNCTION pg_catalog.add_extension_repository(text, text, text, text, integer, text[], boolean) IS
    'adds a repository of signed packages; trust starts at trusted_root, or at the root whose digest is root_sha256';

CREATE FUNCTION pg_catalog.drop_extension_repository(name text)
    RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_drop_extension_repository';
COMMENT ON FUNCTION pg_catalog.drop_extension_repository(text) IS
    'forgets a repository; what was installed from it stays';

CREATE FUNCTION pg_catalog.refresh_extension_repository(name text DEFAULT NULL,
    OUT repository text, OUT changed boolean, OUT packages integer, OUT expires_at timestamptz)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_refresh_extension_repository';
COMMENT ON FUNCTION pg_catalog.refresh_extension_repository(text) IS
    'fetches and checks the metadata of one repository, or of all';

CREATE FUNCTION pg_catalog.install_extension(extension text, version text DEFAULT NULL, repository text DEFAULT NULL,
    dry_run boolean DEFAULT false, wait_for text DEFAULT NULL,
    OUT package text, OUT version text, OUT action text, OUT size_bytes bigint, OUT restart_required boolean,
    OUT repository text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_install_extension';
COMMENT ON FUNCTION pg_catalog.install_extension(text, text, text, boolean, text) IS
    'installs the files of an extension or package and what it needs; dry_run only tells what would be done';

CREATE FUNCTION pg_catalog.update_extension(extension text, version text DEFAULT NULL, dry_run boolean DEFAULT false,
    wait_for text DEFAULT NULL,
    OUT package text, OUT version text, OUT action text, OUT size_bytes bigint, OUT restart_required boolean,
    OUT repository text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_update_extension';
COMMENT ON FUNCTION pg_catalog.update_extension(text, text, boolean, text) IS
    'installs newer files of an installed extension; ALTER EXTENSION ... UPDATE in each database then uses them';

CREATE PROCEDURE pg_catalog.update_extension_everywhere(extension text, version text DEFAULT NULL,
    INOUT database text DEFAULT NULL, INOUT from_version text DEFAULT NULL, INOUT to_version text DEFAULT NULL,
    INOUT result text DEFAULT NULL, INOUT message text DEFAULT NULL)
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'depot_update_extension_everywhere';
COMMENT ON PROCEDURE pg_catalog.update_extension_everywhere(text, text, text, text, text, text, text) IS
    'runs ALTER EXTENSION ... UPDATE in every database that has the extension; a row per database';

CREATE FUNCTION pg_catalog.uninstall_extension(extension text, dry_run boolean DEFAULT false,
    force boolean DEFAULT false,
    OUT package text, OUT version text, OUT action text, OUT size_bytes bigint)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_uninstall_extension';
COMMENT ON FUNCTION pg_catalog.uninstall_extension(text, boolean, boolean) IS
    'removes the files of an extension, unless something uses it; with force, unless another package needs it';

CREATE FUNCTION pg_catalog.verify_extension_files(repair boolean DEFAULT false, OUT package text, OUT path text, OUT problem text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_verify_extension_files';
COMMENT ON FUNCTION pg_catalog.verify_extension_files(boolean) IS
    'compares installed files with their signed digests; a row per problem; repair fetches again what is damaged';

CREATE FUNCTION pg_catalog.check_extension_list(list text,
    OUT "position" integer, OUT name text, OUT version_constraint text, OUT action text, OUT version text, OUT reason text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_check_extension_list';
COMMENT ON FUNCTION pg_catalog.check_extension_list(text) IS
    'tells what depot.extensions with this value would do, and what is wrong with it; changes nothing';

CREATE FUNCTION pg_catalog.extension_lock() RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'depot_extension_lock';
COMMENT ON FUNCTION pg_catalog.extension_lock() IS
    'exactly what is installed, by digest, for apply_extension_lock here or on another server';

CREATE FUNCTION pg_catalog.apply_extension_lock(lock jsonb, prune boolean DEFAULT false, dry_run boolean DEFAULT false,
    OUT package text, OUT version text, OUT action text, OUT size_bytes bigint, OUT restart_required boolean,
    OUT repository text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_apply_extension_lock';
COMMENT ON FUNCTION pg_catalog.apply_extension_lock(jsonb, boolean, boolean) IS
    'brings the server to exactly what a lock names, all of it or nothing; prune removes what it does not name';

CREATE FUNCTION pg_catalog.extension_files_ready(OUT ready boolean, OUT reason text, OUT missing text[], OUT what_to_do text)
    RETURNS record LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    AS $$
    SELECT r.ready, r.reason, ARRAY(SELECT pg_catalog.json_extract_path_text(m, 'package')
                                    FROM pg_catalog.json_array_elements(r.missing::pg_catalog.json) m), r.what_to_do
    FROM depot.local_files_ready(depot.current_generation()) r
    $$;
COMMENT ON FUNCTION pg_catalog.extension_files_ready() IS
    'whether this server has the files that its rows ask for, on a standby the rows replayed so far; if not, why, and what to do';

CREATE FUNCTION pg_catalog.add_extension_node(node text, role text)
    RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_add_extension_node';
COMMENT ON FUNCTION pg_catalog.add_extension_node(text, text) IS
    'lets a server of the cluster report as a role, which needs no other right and gets none';

CREATE FUNCTION pg_catalog.drop_extension_node(node text)
    RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_drop_extension_node';
COMMENT ON FUNCTION pg_catalog.drop_extension_node(text) IS
    'takes from a server the right to report, and forgets what it said';
