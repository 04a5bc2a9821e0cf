-- Every statement of the pool, one a name. Values are always bound. The clock is Postgres' own: what leaves here is
-- seconds from now, so no other machine's clock matters.

-- name: credentials
-- All of them; cooling_s is null when nothing is cooling.
select id, provider, name, app, account, secret, weight, enabled, failures, reason,
       case when disabled_till > now() then extract(epoch from disabled_till - now())::float8 end as cooling_s
from credential
order by provider, name;

-- name: cooldowns
-- Also those that have ended: their count of failures lives until the next success.
select subject, failures, reason, greatest(extract(epoch from till - now()), 0)::float8 as cooling_s
from cooldown
order by subject;

-- name: charge_credential
-- Failures that come back while it is cooling (calls that were under way) are not counted: a hundred of them are one.
update credential
set failures = case when disabled_till > now() then failures else failures + 1 end,
    disabled_till = greatest(disabled_till, now() + make_interval(secs => coalesce(
        cast(:hint_s as float8),
        (cast(:steps_s as int[]))[least(
            greatest(case when disabled_till > now() then failures else failures + 1 end, 1),
            cardinality(cast(:steps_s as int[])))]))),
    reason = case when enabled then :reason else reason end,
    updated_at = now()
where id = :id
returning extract(epoch from disabled_till - now())::float8 as cooling_s;

-- name: charge_subject
insert into cooldown as known (subject, till, failures, reason, updated_at)
values (:subject,
        now() + make_interval(secs => coalesce(cast(:hint_s as float8), (cast(:steps_s as int[]))[1])),
        1, :reason, now())
on conflict (subject) do update
set failures = case when known.till > now() then known.failures else known.failures + 1 end,
    till = greatest(known.till, now() + make_interval(secs => coalesce(
        cast(:hint_s as float8),
        (cast(:steps_s as int[]))[least(
            greatest(case when known.till > now() then known.failures else known.failures + 1 end, 1),
            cardinality(cast(:steps_s as int[])))]))),
    reason = excluded.reason,
    updated_at = now()
returning extract(epoch from till - now())::float8 as cooling_s;

-- name: reset_credential
-- After a success. One that is cooling stays so: the success belongs to a call from before.
update credential
set failures = 0, disabled_till = null, reason = null, updated_at = now()
where id = :id and enabled and failures > 0 and (disabled_till is null or disabled_till <= now());

-- name: reset_subjects
delete from cooldown
where subject = any(:subjects) and till <= now();

-- name: reject_secret
-- The vendor refuses the secret. Only if it is still the one that was used: it may have been replaced meanwhile.
update credential
set enabled = false, reason = :reason, updated_at = now()
where id = :id and (cast(:secret as bytea) is null or secret = :secret)
returning id;

-- name: add
insert into credential (provider, name, app, account, secret, weight)
values (:provider, :name, :app, :account, :secret, :weight)
on conflict (provider, name) do nothing
returning id;

-- name: replace
-- A new secret starts with a clean slate.
insert into credential as known (provider, name, app, account, secret, weight)
values (:provider, :name, :app, :account, :secret, :weight)
on conflict (provider, name) do update
set app = excluded.app, account = excluded.account, secret = excluded.secret, weight = excluded.weight,
    enabled = true, disabled_till = null, failures = 0, reason = null, updated_at = now()
returning id;

-- name: enable
update credential
set enabled = true, disabled_till = null, failures = 0, reason = null, updated_at = now()
where provider = :provider and name = :name
returning id;

-- name: disable
update credential
set enabled = false, reason = :reason, updated_at = now()
where provider = :provider and name = :name
returning id;

-- name: reseal
update credential
set secret = :fresh, updated_at = now()
where id = :id and secret = :secret;
