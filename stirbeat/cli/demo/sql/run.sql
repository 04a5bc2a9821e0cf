-- The newest run of a name begun since a moment. :kind :name :since
select id, status, step, reason, details, extract(epoch from coalesce(finished_at, now()) - started_at)::float8 as seconds
from run
where kind = :kind and name = :name and started_at >= :since
order by started_at desc
limit 1
