-- Requests by flow, status and reason. :ids the requests looked at
select flow, status, coalesce(error_kind, '') as error_kind, count(*) as requests,
       round(avg(jsonb_array_length(hops)), 2)::float8 as mean_hops,
       max(jsonb_array_length(hops)) as most_hops
from scrape_request_log
where id = any(:ids)
group by 1, 2, 3
order by 1, 4 desc
