-- Hops by provider, kind and reason. :ids the requests looked at
select hop ->> 'provider' as provider, hop ->> 'kind' as kind,
       coalesce(min(hop ->> 'reason'), '') as reason, count(*) as hops,
       round(avg((hop ->> 'ms')::numeric)) as mean_ms
from scrape_request_log, jsonb_array_elements(hops) as hop
where id = any(:ids)
group by 1, 2
order by 1, 4 desc
