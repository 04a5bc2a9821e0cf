-- Record how the run ended, unless it was taken for dead before.
--
-- :id :status :reason :details
update run
set status = :status, reason = :reason, finished_at = now(), details = details || cast(:details as jsonb)
where id = :id and status = 'RUNNING'
