-- Put a request back to wait for its next message. Returns nothing when the lease is not the caller's any more.
--
-- :id :token          the lease
-- :hops               what was tried since the claim, a JSON list, appended
-- :learned            facts it paid for, a JSON object, merged
-- :wait_s             seconds until the next message is due
update scrape_request_log
set status = 'PENDING',
    turn = turn + 1,
    hops = hops || cast(:hops as jsonb),
    learned = learned || cast(:learned as jsonb),
    lease_token = null,
    worker = null,
    next_at = now() + make_interval(secs => :wait_s)
where id = :id and lease_token = :token and status = 'PROCESSING'
returning turn
