-- Requests by status. :ids the requests looked at
select status, count(*) as requests from scrape_request_log where id = any(:ids) group by status
