{{ config(engine='MergeTree()', order_by='(platform, profile_key)') }}

-- The same in Postgres, over its own tables: stirbeat/warehouse/sql/leaderboard_expected.sql. The two change together.
-- Averages and rates are reckoned in whole ten-thousandths and only shown as fractions, so both get the same digits.
with
profiles as (
    select
        log.platform as platform,
        log.profile_key as profile_key,
        {{ latest('profile_id') }} as profile_id,
        {{ latest('handle') }} as handle,
        {{ latest('full_name') }} as full_name,
        {{ latest('category') }} as category,
        {{ latest('is_verified') }} as is_verified,
        {{ latest('profile_pic_url') }} as profile_pic_url,
        {{ latest('followers') }} as followers,
        {{ latest('following') }} as following,
        {{ latest('posts_count') }} as posts_count,
        max(log.event_timestamp) as observed_at
    from {{ ref('stg_profile_log') }} as log
    group by log.platform, log.profile_key
),

posts as (
    select
        log.platform as platform,
        log.post_key as post_key,
        {{ latest('profile_key') }} as profile_key,
        {{ latest('likes') }} as likes,
        {{ latest('comments') }} as comments
    from {{ ref('stg_post_log') }} as log
    group by log.platform, log.post_key
),

sums as (
    select
        platform,
        assumeNotNull(profile_key) as profile_key,
        toInt64(count()) as posts_known,
        toInt64(count(likes)) as likes_known,
        toInt64(count(comments)) as comments_known,
        sum(toInt128(coalesce(likes, 0))) as likes_sum,
        sum(toInt128(coalesce(comments, 0))) as comments_sum
    from posts
    where profile_key is not null
    group by platform, profile_key
),

averages as (
    select
        platform,
        profile_key,
        posts_known,
        if(
            likes_known = 0, null, {{ divide_rounded('likes_sum * 10000', 'greatest(likes_known, 1)') }}
        ) as avg_likes_e4,
        if(
            comments_known = 0, null, {{ divide_rounded('comments_sum * 10000', 'greatest(comments_known, 1)') }}
        ) as avg_comments_e4
    from sums
),

rated as (
    select
        profiles.*,
        coalesce(averages.posts_known, 0) as posts_known,
        averages.avg_likes_e4 as avg_likes_e4,
        averages.avg_comments_e4 as avg_comments_e4,
        if(
            profiles.followers > 0 and averages.avg_likes_e4 is not null and averages.avg_comments_e4 is not null,
            {{ divide_rounded(
                '(100 * (coalesce(averages.avg_likes_e4, 0) + coalesce(averages.avg_comments_e4, 0)))',
                'greatest(coalesce(profiles.followers, 1), 1)'
            ) }},
            null
        ) as engagement_rate_e4
    from profiles
    left join averages on averages.platform = profiles.platform and averages.profile_key = profiles.profile_key
    where profiles.followers is not null
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
    assumeNotNull(followers) as followers,
    following,
    posts_count,
    toInt64(posts_known) as posts_known,
    toFloat64(avg_likes_e4) / 10000 as avg_likes,
    toFloat64(avg_comments_e4) / 10000 as avg_comments,
    toFloat64(engagement_rate_e4) / 10000 as engagement_rate,
    toInt64(row_number() over (partition by platform order by followers desc, profile_key)) as followers_rank,
    if(
        engagement_rate_e4 is null,
        null,
        toInt64(row_number() over (partition by platform order by engagement_rate_e4 desc nulls last, profile_key))
    ) as engagement_rank,
    observed_at
from rated
