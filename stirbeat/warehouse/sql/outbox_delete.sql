-- Forget events that the broker has confirmed.
--
-- :ids   their ids
delete from outbox where id = any(:ids)
