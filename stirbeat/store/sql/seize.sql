-- Take a waiting request in order to end it (expired, or too many attempts), as an execution would.
--
-- :id :turn :token
update scrape_request_log
set status = 'PROCESSING', lease_token = :token, next_at = now() + interval '60 seconds'
where id = :id and turn = :turn and status = 'PENDING'
returning platform, target, hops, created_at, expires_at, now() as now
