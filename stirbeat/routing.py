"""Flow -> queue -> worker group: the one registry that feeds queues, routes, worker commands and the timetable.

Pure. Names are free of dots on purpose: RabbitMQ's delayed delivery binds `#.<routing key>`, so a key that is a dotted
suffix of another would receive the other's countdowns too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

EXCHANGE = "stirbeat"
DEAD_EXCHANGE = "stirbeat_dead"
DEAD_QUEUE = "stirbeat_dead"
EVENTS_EXCHANGE = "stirbeat_events"
WAREHOUSE_QUEUE = "stirbeat_warehouse"

SYNC_QUEUE = "sync"
TRANSFORM_QUEUE = "transform"
MAINTENANCE_QUEUE = "maintenance"

HIGH_SUFFIX = "_high"

# A message that kills its consumer this often is dead-lettered by RabbitMQ (quorum queues count deliveries).
DELIVERY_LIMIT = 20

# RabbitMQ redelivers an unacknowledged message after this; its own default, in seconds.
CONSUMER_TIMEOUT_S = 30 * 60


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Workers of one kind: which queues they consume, on which pool, how many tasks at a time.

    `concurrency` 0 means the setting `scrape_concurrency`.
    """

    name: str
    queues: tuple[str, ...]
    pool: str
    concurrency: int


def scrape_queue(flow_key: str, *, high: bool = False) -> str:
    """The queue of a flow: "instagram.refresh_profile" -> "instagram_refresh_profile" (or "..._high")."""
    return flow_key.replace(".", "_") + (HIGH_SUFFIX if high else "")


def scrape_queues(flow_keys: Iterable[str]) -> tuple[str, ...]:
    """Both queues of every flow: what customers wait for never stands behind a batch (prefetch defeats priorities)."""
    return tuple(scrape_queue(key, high=high) for key in flow_keys for high in (True, False))


def groups(flow_keys: Iterable[str]) -> tuple[Group, ...]:
    """Every worker group: one a platform on threads, one for long runs on prefork, one for housekeeping."""
    by_platform: dict[str, list[str]] = {}
    for key in flow_keys:
        by_platform.setdefault(key.partition(".")[0], []).append(key)
    scrape = tuple(
        Group(f"scrape_{platform}", scrape_queues(keys), pool="threads", concurrency=0)
        for platform, keys in by_platform.items()
    )
    return (
        *scrape,
        Group("runs", (SYNC_QUEUE, TRANSFORM_QUEUE), pool="prefork", concurrency=2),
        Group("maintenance", (MAINTENANCE_QUEUE,), pool="threads", concurrency=4),
    )


def work_queues(flow_keys: Iterable[str]) -> tuple[str, ...]:
    """Every queue that a worker consumes."""
    return (*scrape_queues(flow_keys), SYNC_QUEUE, TRANSFORM_QUEUE, MAINTENANCE_QUEUE)
