"""ClickHouse -> S3 -> Postgres: lock, export, load, guard, index, swap, record."""
