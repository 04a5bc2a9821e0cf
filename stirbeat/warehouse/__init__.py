"""ClickHouse: the client, the event sink, and dbt."""
