-- What dbt's mart_leaderboard must hold, reckoned in Postgres from the stored profiles and posts. Read-only; the demo
-- and a test compare the two row by row. Same columns, same order, same digits: averages and rates are reckoned in
-- whole ten-thousandths, half away from zero, and shown as float8.
--
-- No parameters.
with
profiles as (
    select
        platform,
        profile_key,
        handle,
        profile_id,
        case when jsonb_typeof(dimensions -> 'full_name') = 'string' then dimensions ->> 'full_name' end as full_name,
        case when jsonb_typeof(dimensions -> 'category') = 'string' then dimensions ->> 'category' end as category,
        case when jsonb_typeof(dimensions -> 'is_verified') = 'boolean'
            then (dimensions ->> 'is_verified')::boolean end as is_verified,
        case when jsonb_typeof(dimensions -> 'profile_pic_url') = 'string'
            then dimensions ->> 'profile_pic_url' end as profile_pic_url,
        case when jsonb_typeof(metrics -> 'followers') = 'number'
            then trunc((metrics ->> 'followers')::numeric)::bigint end as followers,
        case when jsonb_typeof(metrics -> 'following') = 'number'
            then trunc((metrics ->> 'following')::numeric)::bigint end as following,
        case when jsonb_typeof(metrics -> 'posts_count') = 'number'
            then trunc((metrics ->> 'posts_count')::numeric)::bigint end as posts_count,
        observed_at
    from profile
),
posts as (
    select
        platform,
        profile_key,
        case when jsonb_typeof(metrics -> 'likes') = 'number' then trunc((metrics ->> 'likes')::numeric) end as likes,
        case when jsonb_typeof(metrics -> 'comments') = 'number'
            then trunc((metrics ->> 'comments')::numeric) end as comments
    from post
    where profile_key is not null
),
sums as (
    select
        platform,
        profile_key,
        count(*) as posts_known,
        sum(likes) * 10000 as likes_e4,
        nullif(count(likes), 0) as likes_known,
        sum(comments) * 10000 as comments_e4,
        nullif(count(comments), 0) as comments_known
    from posts
    group by platform, profile_key
),
averages as (
    select
        platform,
        profile_key,
        posts_known,
        sign(likes_e4) * div(2 * abs(likes_e4) + likes_known, 2 * likes_known) as avg_likes_e4,
        sign(comments_e4) * div(2 * abs(comments_e4) + comments_known, 2 * comments_known) as avg_comments_e4
    from sums
),
rated as (
    select
        profiles.*,
        coalesce(posts_known, 0) as posts_known,
        avg_likes_e4,
        avg_comments_e4,
        case when followers > 0 then
            sign(avg_likes_e4 + avg_comments_e4)
            * div(2 * abs(100 * (avg_likes_e4 + avg_comments_e4)) + followers, 2 * followers::numeric)
        end as engagement_rate_e4
    from profiles
    left join averages using (platform, profile_key)
    where followers is not null
)
select
    platform,
    profile_key,
    handle,
    profile_id,
    full_name,
    category,
    is_verified,
    profile_pic_url,
    followers,
    following,
    posts_count,
    posts_known,
    avg_likes_e4::float8 / 10000 as avg_likes,
    avg_comments_e4::float8 / 10000 as avg_comments,
    engagement_rate_e4::float8 / 10000 as engagement_rate,
    row_number() over (
        partition by platform order by followers desc, profile_key collate "C"
    ) as followers_rank,
    case when engagement_rate_e4 is not null then
        row_number() over (
            partition by platform order by engagement_rate_e4 desc nulls last, profile_key collate "C"
        )
    end as engagement_rank,
    observed_at
from rated
order by platform collate "C", profile_key collate "C"
