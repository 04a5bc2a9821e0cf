-- The oldest events of one shard, in the order of writing. All events of a request fall in one shard, so whoever holds
-- the shard's lock publishes them in order. Skip locked: should the locks ever differ (two versions with another
-- number of shards, during a deploy), no event is published twice for it.
--
-- :shards :shard   number of shards, and which
-- :batch           most rows
select id, event_id, name, payload::text as body
from outbox
where abs(hashtext(coalesce(payload ->> 'request_id', ''))::bigint) % :shards = :shard
order by id
limit :batch
for update skip locked
