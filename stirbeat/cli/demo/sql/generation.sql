-- What is before readers, and what is kept of before.
select g.generation, g.rows, g.relation, g.swapped_at, g.generation = t.generation as live
from sync_generation g join sync_target t using (target)
where target = 'public.leaderboard' or target = 'leaderboard'
order by g.generation desc
