-- Write a request down before its message is sent.
--
-- :id :flow :platform :target :params :high :expires_after_s
insert into scrape_request_log (id, flow, platform, target, params, high, expires_at)
values (:id, :flow, :platform, :target, cast(:params as jsonb), :high, now() + make_interval(secs => :expires_after_s))
