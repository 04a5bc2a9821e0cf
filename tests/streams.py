"""What the tests of relay and sink share: events, the queue between them, and the two as processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import kombu
import sqlalchemy as sa

from stirbeat import routing, settings
from stirbeat.store.models.outbox import Outbox
from stirbeat.warehouse import topology

ROOT = Path(__file__).resolve().parents[1]


def event(name: str = "post_log", **fields: Any) -> dict[str, Any]:
    """A payload as the writer makes it."""
    payload: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "event_timestamp": "2025-11-21T20:00:00.123456+00:00",
        "request_id": str(uuid.uuid4()),
        "platform": "instagram",
    }
    if name == "post_log":
        payload |= {
            "post_key": "Cxyz",
            "post_id": None,
            "profile_key": "natgeo",
            "published_at": "2025-11-20T10:00:00.000001+00:00",
            "source": "graphapi",
            "dimensions": {"caption": 'Zoë "quoted" 🐈\n', "type": "image"},
            "metrics": {"likes": 12, "comments": 3},
        }
    elif name == "scrape_log":
        payload |= {
            "flow": "instagram.refresh_profile",
            "target": "natgeo",
            "status": "COMPLETE",
            "reason": None,
            "created_at": "2025-11-21T19:59:59.000000+00:00",
            "hops": [{"provider": "lama", "function": "profile", "kind": "ok", "reason": "", "ms": 12}],
        }
    return payload | fields


def write(database: sa.Engine, payloads: Sequence[dict[str, Any]], name: str = "post_log") -> None:
    """Put events into the outbox."""
    rows = [{"event_id": uuid.UUID(each["event_id"]), "name": name, "payload": each} for each in payloads]
    with database.begin() as connection:
        connection.execute(sa.insert(Outbox), rows)


@contextlib.contextmanager
def queue(configured: settings.Settings) -> Iterator[Queue]:
    """The warehouse queue, empty at first and afterwards."""
    with kombu.Connection(configured.broker_url.get_secret_value()) as connection:
        topology.declare(connection)
        with connection.channel() as channel:
            bound = topology.WAREHOUSE_QUEUE(channel)
            bound.purge()
            yield Queue(channel, bound)
            bound.purge()


class Queue:
    """What is in the warehouse queue."""

    def __init__(self, channel: Any, bound: kombu.Queue) -> None:
        self._channel = channel
        self._bound = bound

    def ready(self) -> int:
        """Messages that nobody holds."""
        return int(self._bound.queue_declare(passive=True).message_count)

    def take(self, wanted: int, timeout_s: float = 20) -> list[Any]:
        """That many messages, taken out."""
        taken: list[Any] = []
        deadline = time.monotonic() + timeout_s
        while len(taken) < wanted:
            message = self._bound.get(no_ack=True)
            if message is None:
                assert time.monotonic() < deadline, f"{len(taken)} of {wanted} messages came"
                time.sleep(0.05)
            else:
                taken.append(message)
        return taken

    def publish(self, body: bytes | dict[str, Any], name: str = "post_log") -> None:
        """Put a message in, as the relay or anyone else would."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        producer = kombu.Producer(self._channel, exchange=topology.EVENTS, serializer=None)
        producer.publish(
            raw, routing_key=name, content_type="application/json", content_encoding="utf-8", delivery_mode=2
        )

    def unbind(self) -> None:
        """Let the exchange lose its queue."""
        self._channel.queue_unbind(self._bound.name, routing.EVENTS_EXCHANGE, "#")


@contextlib.contextmanager
def process(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`stirbeat ARGUMENTS` as a process of its own; killed at the end if it is still there."""
    child = subprocess.Popen(
        [sys.executable, "-c", "from stirbeat.cli.main import main; main()", *arguments],
        env=environment | {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def until(holds: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
