-- An event may have arrived more than once: one row an event_id is kept.
select
    event_id,
    event_timestamp,
    request_id,
    platform,
    post_key,
    post_id,
    profile_key,
    published_at,
    source,
    {{ text_of('dimensions', 'type') }} as type,
    {{ text_of('dimensions', 'caption') }} as caption,
    {{ text_of('dimensions', 'permalink') }} as permalink,
    {{ count_of('metrics', 'likes') }} as likes,
    {{ count_of('metrics', 'comments') }} as comments,
    {{ count_of('metrics', 'views') }} as views
from {{ source('events', 'post_log') }}
limit 1 by event_id
