-- Events waiting to be published.
select count(*) as events from outbox
