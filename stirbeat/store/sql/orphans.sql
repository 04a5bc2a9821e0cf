-- Requests nobody works on: the lease of their execution is over, or their message was due long ago.
-- Takes up to :most of them for the caller, past rows that another janitor holds.
--
-- A PENDING request keeps its turn: the message may still stand in a deep queue, and whichever copy comes first works.
-- Each further copy is sent after twice the time, so that a deep queue is not filled with copies.
-- A PROCESSING one gets a new turn, so that its execution, should it wake up, finds its lease gone.
--
-- :lost_after_s   seconds past its due time at which a PENDING request's message counts as lost
-- :most           rows at the most
with orphan as (
    select id
    from scrape_request_log
    where (status = 'PROCESSING' and next_at < now())
       or (status = 'PENDING' and next_at < now() - make_interval(secs => :lost_after_s))
    order by status = 'PROCESSING' desc, next_at
    limit :most
    for update skip locked
)
update scrape_request_log r
set status = 'PENDING',
    turn = case when r.status = 'PROCESSING' then r.turn + 1 else r.turn end,
    abandoned = case when r.status = 'PROCESSING' then r.abandoned + 1 else r.abandoned end,
    lease_token = null,
    worker = null,
    next_at = case when r.status = 'PROCESSING' then now() else now() + least(now() - r.created_at, '6 hours') end
from orphan
where r.id = orphan.id
returning r.id, r.flow, r.params, r.high, r.turn, r.abandoned, r.expires_at < now() as expired
