-- End a request: its terminal status, everything the answer told, and the events, in one statement, so all or nothing.
-- Returns one row, or none when the lease is not the caller's any more; then nothing at all is written.
--
-- :id :token                    the lease: the fence before every write
-- :status :error_kind :reason   the end; :hops a JSON list, appended
-- :source :observed_at          the provider that answered, and when
-- :profiles :posts              JSON lists of records without unknown values, one a key
-- :events                       JSON list of {event_id, name, payload}, in order
--
-- What is known is merged key by key: a newer answer wins, an older one only fills gaps, unknown overwrites nothing.
with fence as (
    update scrape_request_log
    set status = :status,
        error_kind = :error_kind,
        reason = :reason,
        hops = hops || cast(:hops as jsonb),
        lease_token = null,
        finished_at = now()
    where id = :id and lease_token = :token and status = 'PROCESSING'
    returning id, platform
),
profiles as (
    select f.id as request_id, f.platform, p.*
    from fence f, jsonb_to_recordset(cast(:profiles as jsonb)) as p (
        log_id uuid, key text, id text, handle text, dimensions jsonb, metrics jsonb
    )
),
posts as (
    select f.id as request_id, f.platform, p.*
    from fence f, jsonb_to_recordset(cast(:posts as jsonb)) as p (
        log_id uuid, key text, id text, profile_key text, published_at timestamptz, dimensions jsonb, metrics jsonb
    )
),
profile_upsert as (
    insert into profile as known (
        platform, profile_key, profile_id, handle, dimensions, metrics, source, observed_at
    )
    select platform, key, id, handle, dimensions, metrics, :source, cast(:observed_at as timestamptz)
    from profiles
    order by key
    on conflict (platform, profile_key) do update set
        profile_id = case when known.observed_at <= excluded.observed_at
            then coalesce(excluded.profile_id, known.profile_id)
            else coalesce(known.profile_id, excluded.profile_id) end,
        handle = case when known.observed_at <= excluded.observed_at
            then coalesce(excluded.handle, known.handle)
            else coalesce(known.handle, excluded.handle) end,
        dimensions = case when known.observed_at <= excluded.observed_at
            then known.dimensions || excluded.dimensions
            else excluded.dimensions || known.dimensions end,
        metrics = case when known.observed_at <= excluded.observed_at
            then known.metrics || excluded.metrics
            else excluded.metrics || known.metrics end,
        source = case when known.observed_at <= excluded.observed_at then excluded.source else known.source end,
        observed_at = greatest(known.observed_at, excluded.observed_at)
),
post_upsert as (
    insert into post as known (
        platform, post_key, post_id, profile_key, published_at, dimensions, metrics, source, observed_at
    )
    select platform, key, id, profile_key, published_at, dimensions, metrics, :source,
           cast(:observed_at as timestamptz)
    from posts
    order by key
    on conflict (platform, post_key) do update set
        post_id = case when known.observed_at <= excluded.observed_at
            then coalesce(excluded.post_id, known.post_id)
            else coalesce(known.post_id, excluded.post_id) end,
        profile_key = case when known.observed_at <= excluded.observed_at
            then coalesce(excluded.profile_key, known.profile_key)
            else coalesce(known.profile_key, excluded.profile_key) end,
        published_at = case when known.observed_at <= excluded.observed_at
            then coalesce(excluded.published_at, known.published_at)
            else coalesce(known.published_at, excluded.published_at) end,
        dimensions = case when known.observed_at <= excluded.observed_at
            then known.dimensions || excluded.dimensions
            else excluded.dimensions || known.dimensions end,
        metrics = case when known.observed_at <= excluded.observed_at
            then known.metrics || excluded.metrics
            else excluded.metrics || known.metrics end,
        source = case when known.observed_at <= excluded.observed_at then excluded.source else known.source end,
        observed_at = greatest(known.observed_at, excluded.observed_at)
),
profile_logged as (
    insert into profile_log (id, request_id, platform, profile_key, source, observed_at, dimensions, metrics)
    select log_id, request_id, platform, key, :source, cast(:observed_at as timestamptz), dimensions, metrics
    from profiles
),
post_logged as (
    insert into post_log (id, request_id, platform, post_key, source, observed_at, dimensions, metrics)
    select log_id, request_id, platform, key, :source, cast(:observed_at as timestamptz), dimensions, metrics
    from posts
),
announced as (
    insert into outbox (event_id, name, payload)
    select e.event_id, e.name, e.payload
    from fence, rows from (
        jsonb_to_recordset(cast(:events as jsonb)) as (event_id uuid, name text, payload jsonb)
    ) with ordinality as e (event_id, name, payload, position)
    order by e.position
)
select id from fence
