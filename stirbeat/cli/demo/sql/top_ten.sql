-- The top of the leaderboard, as an application reads it.
select followers_rank, handle, full_name, followers, posts_known, engagement_rate
from leaderboard
where platform = 'instagram'
order by followers_rank
limit 10
