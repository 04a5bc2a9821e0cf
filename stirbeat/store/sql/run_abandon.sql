-- Close an open run whose lease is over: its worker is dead, or was cut off for too long.
--
-- :kind :name
update run
set status = 'ABANDONED', finished_at = now(), reason = 'its lease ended without a word from its worker'
where kind = :kind and name = :name and status = 'RUNNING' and lease_until < now()
