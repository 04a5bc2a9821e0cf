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


def scrape_queues(flow_keys: Iterable[str], *, high: bool) -> tuple[str, ...]:
    """One queue of every flow: that of what customers wait for (high), or that of the batches."""
    return tuple(scrape_queue(key, high=high) for key in flow_keys)


def groups(flow_keys: Iterable[str]) -> tuple[Group, ...]:
    """Every worker group: two a platform on threads, one for long runs on prefork, one for housekeeping.

    What customers wait for has workers of its own: in one that also takes batches, it would stand behind all that this
    worker has fetched in advance (prefetch defeats priorities).
    """
    by_platform: dict[str, list[str]] = {}
    for key in flow_keys:
        by_platform.setdefault(key.partition(".")[0], []).append(key)
    scrape = tuple(
        Group(f"scrape_{platform}{suffix}", scrape_queues(keys, high=bool(suffix)), pool="threads", concurrency=0)
        for platform, keys in by_platform.items()
        for suffix in ("", HIGH_SUFFIX)
    )
    return (
        *scrape,
        Group("runs", (SYNC_QUEUE, TRANSFORM_QUEUE), pool="prefork", concurrency=2),
        Group("maintenance", (MAINTENANCE_QUEUE,), pool="threads", concurrency=4),
    )


def work_queues(flow_keys: Iterable[str]) -> tuple[str, ...]:
    """Every queue that a worker consumes."""
    keys = tuple(flow_keys)
    scrape = (*scrape_queues(keys, high=True), *scrape_queues(keys, high=False))
    return (*scrape, SYNC_QUEUE, TRANSFORM_QUEUE, MAINTENANCE_QUEUE)
