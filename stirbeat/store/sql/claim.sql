-- Take a request for one execution; write it down first where a foreign producer queued it without us.
-- Returns one row when the caller may work, none when the message is stale or another execution is at work.
--
-- A message may be taken when
--   * the request waits for exactly this message (PENDING, same turn), or
--   * it was redelivered and the request waits for the next turn: its consumer died between writing the next turn
--     down and publishing its message. The turn is raised once more, so that message is stale if it exists after all, or
--   * it is being worked on by an execution whose lease is over, or which lost this very message (redelivered).
--
-- :id :flow :platform :target :params :high   the request as the message tells it
-- :expires_after_s                            seconds a request of this flow stays wanted
-- :turn :redelivered                          of the message
-- :token :lease_s :worker                     the lease to write down
with claimed as (
    insert into scrape_request_log as r (
        id, flow, platform, target, params, high, status, turn, attempts, lease_token, worker,
        expires_at, next_at, picked_at, heartbeat_at
    )
    values (
        :id, :flow, :platform, :target, cast(:params as jsonb), :high, 'PROCESSING', :turn, 1, :token, :worker,
        now() + make_interval(secs => :expires_after_s), now() + make_interval(secs => :lease_s), now(), now()
    )
    on conflict (id) do update set
        status = 'PROCESSING',
        turn = case when r.turn = :turn then r.turn else r.turn + 1 end,
        attempts = r.attempts + 1,
        abandoned = r.abandoned + case when r.status = 'PROCESSING' then 1 else 0 end,
        lease_token = :token,
        worker = :worker,
        next_at = now() + make_interval(secs => :lease_s),
        picked_at = coalesce(r.picked_at, now()),
        heartbeat_at = now()
    where r.flow = :flow
      and (
          (r.status = 'PENDING' and (r.turn = :turn or (:redelivered and r.turn = :turn + 1)))
          or (r.status = 'PROCESSING' and r.turn = :turn and (:redelivered or r.next_at < now()))
      )
    returning r.*
)
select c.turn, c.abandoned, c.hops, c.created_at, c.expires_at, now() as now,
       p.profile_id, p.dimensions as known, c.learned
from claimed c
left join profile p on p.platform = c.platform and p.profile_key = c.target
