-- The leaderboard as applications read it, in the order and with the columns of leaderboard_expected.sql. Read-only.
--
-- No parameters.
select
    platform, profile_key, handle, profile_id, full_name, category, is_verified, profile_pic_url, followers, following,
    posts_count, posts_known, avg_likes, avg_comments, engagement_rate, followers_rank, engagement_rank, observed_at
from leaderboard
order by platform collate "C", profile_key collate "C"
