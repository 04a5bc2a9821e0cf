-- Say that the run is alive.
--
-- :id :lease_s
update run
set heartbeat_at = now(), lease_until = now() + make_interval(secs => :lease_s)
where id = :id and status = 'RUNNING'
