-- The events of every answer: their ids are the ids of the log rows.
select 'profile_log' as name, id as event_id from profile_log
union all
select 'post_log', id from post_log
