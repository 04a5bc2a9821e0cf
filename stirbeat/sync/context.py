"""What a sync needs of its surroundings, as plain values, so that a task, the CLI and a test hand in their own."""

from __future__ import annotations

import dataclasses

import redis
import sqlalchemy as sa

from stirbeat import settings
from stirbeat.store import engine as store_engine
from stirbeat.sync import bucket, clickhouse, throttle

EXPORT_S = 3600  # the longest an export may run in ClickHouse


@dataclasses.dataclass(frozen=True)
class Context:
    """The engines a run works with.

    lease_s: seconds after which a run that says nothing is taken over. redis: only throttles; None does without.
    export_s: `max_execution_time` of the export, seconds.
    """

    engine: sa.Engine
    warehouse: clickhouse.Warehouse
    bucket: bucket.Bucket
    lease_s: int = 90
    redis: redis.Redis | None = None
    export_s: int = EXPORT_S


def build(configured: settings.Settings, *, throttled: bool = True, engine: sa.Engine | None = None) -> Context:
    """The context of these settings. Nothing is connected yet.

    throttled: whether a Redis lock keeps a second run from even asking Postgres, as workers want it; a person at the
    command line wants Postgres's own answer.
    """
    return Context(
        engine=engine or store_engine.create(configured, pool_size=3),
        warehouse=clickhouse.Warehouse(configured.clickhouse_url),
        bucket=bucket.connect(configured),
        lease_s=configured.lease_s,
        redis=throttle.connect(configured.redis_url.get_secret_value()) if throttled else None,
    )
