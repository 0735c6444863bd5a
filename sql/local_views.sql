-- local_views.sql: the views that every database answers by itself

CREATE VIEW depot.activity AS
    SELECT id, request, subject, phase, bytes_done, bytes_total, pid, role_name, started_at
    FROM depot.running_requests();
