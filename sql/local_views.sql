-- local_views.sql: the views that every database answers by itself

CREATE VIEW depot.activity AS
    SELECT id, request, subject, phase, bytes_done, bytes_total, pid, role_name,
           date_trunc('second', started_at) AS started_at
    FROM depot.running_requests();

CREATE VIEW depot.conflicts AS
    SELECT package, kind, path, 'remove one of them'::text AS what_to_do
    FROM depot.local_conflicts();
