-- Whether a run of this name that was begun at a moment or later is complete, or is being carried out.
--
-- :kind :name :since
select exists (
    select from run
    where kind = :kind and name = :name and started_at >= :since and status in ('RUNNING', 'COMPLETE')
)
