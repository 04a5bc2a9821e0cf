"""The way into the warehouse: relay and sink carry events from the outbox to ClickHouse, dbt makes marts of them."""
