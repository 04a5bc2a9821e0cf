-- The database's clock, and its time before the demo's runs.
select clock_timestamp() as now
