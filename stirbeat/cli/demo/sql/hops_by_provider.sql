-- Exchanges by provider so far. :ids the requests looked at
select hop ->> 'provider' as provider, count(*) as hops
from scrape_request_log, jsonb_array_elements(hops) as hop
where id = any(:ids) and hop ->> 'kind' <> 'no_credential'
group by 1
order by 1
