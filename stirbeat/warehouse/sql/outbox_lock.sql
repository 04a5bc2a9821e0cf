-- Become the only relay of one shard until the transaction ends (transaction-level, so PgBouncer may sit between).
-- A statement of its own: the batch must be read with a snapshot taken after the lock, or rows that the last holder
-- has just deleted are seen again.
--
-- :class :shard   two 32-bit numbers that name the lock
select pg_try_advisory_xact_lock(:class, :shard)
