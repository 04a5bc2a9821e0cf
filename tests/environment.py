"""Settings that are valid and lead nowhere, for tests of what needs settings but no service."""

from __future__ import annotations

NOWHERE = {
    "STIRBEAT_DATABASE_URL": "postgresql+psycopg2://nobody:nothing@127.0.0.1:1/none",
    "STIRBEAT_BROKER_URL": "amqp://nobody:nothing@127.0.0.1:1/none",
    "STIRBEAT_REDIS_URL": "redis://:nothing@127.0.0.1:1/0",
    "STIRBEAT_CLICKHOUSE_URL": "clickhouse://nobody:nothing@127.0.0.1:1/none",
    "STIRBEAT_S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "STIRBEAT_S3_ACCESS_KEY_ID": "nobody",
    "STIRBEAT_S3_SECRET_ACCESS_KEY": "nothing",
    "STIRBEAT_SECRET_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}
