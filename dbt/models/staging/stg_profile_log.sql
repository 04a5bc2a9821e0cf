-- An event may have arrived more than once: one row an event_id is kept.
select
    event_id,
    event_timestamp,
    request_id,
    platform,
    profile_key,
    profile_id,
    handle,
    source,
    {{ text_of('dimensions', 'full_name') }} as full_name,
    {{ text_of('dimensions', 'biography') }} as biography,
    {{ text_of('dimensions', 'category') }} as category,
    {{ truth_of('dimensions', 'is_verified') }} as is_verified,
    {{ truth_of('dimensions', 'is_private') }} as is_private,
    {{ text_of('dimensions', 'profile_pic_url') }} as profile_pic_url,
    {{ text_of('dimensions', 'external_url') }} as external_url,
    {{ count_of('metrics', 'followers') }} as followers,
    {{ count_of('metrics', 'following') }} as following,
    {{ count_of('metrics', 'posts_count') }} as posts_count
from {{ source('events', 'profile_log') }}
limit 1 by event_id
