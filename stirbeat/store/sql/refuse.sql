-- Write down a message that can never be worked on, once, so that its failure is seen in the ledger.
--
-- :id :flow :platform :target :params :reason
insert into scrape_request_log (
    id, flow, platform, target, params, status, error_kind, reason, expires_at, picked_at, finished_at
)
values (
    :id, :flow, :platform, :target, cast(:params as jsonb), 'FAILED', 'bad_request', :reason, now(), now(), now()
)
on conflict (id) do nothing
