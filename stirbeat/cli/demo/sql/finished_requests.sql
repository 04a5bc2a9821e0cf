-- Requests that reached their end through a worker: each has one scrape_log event. (What was refused unread has none.)
select id from scrape_request_log
where status in ('COMPLETE', 'FAILED', 'EXPIRED', 'CANCELLED') and not params ? 'refused'
