"""The relay: events from the outbox to the topic exchange, in order within a request, at least once.

A batch is read, published, confirmed and deleted inside one transaction. Killed between publishing and deleting, the
rows are still there and are published again; the warehouse drops the doubles by event_id.

It polls, because LISTEN needs a session and PgBouncer in transaction mode gives none.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time

import sqlalchemy as sa
from sqlalchemy import exc

from stirbeat import errors, settings
from stirbeat.store import engine
from stirbeat.warehouse import lifetime, publisher, sql

logger = logging.getLogger(__name__)

# First half of the advisory locks' names; any number that nothing else in the database uses.
LOCK_CLASS = 0x57B0

# As many relays as this can publish at a time; more stand by. A shard more is a query more when idle.
SHARDS = 2

LOG_EVERY_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """size: events a batch; poll_s: pause when there was nothing; until_idle_s: end after so long without an event
    (None: never)."""

    size: int = 500
    poll_s: float = 0.25
    until_idle_s: float | None = None


def run(configured: settings.Settings, stop: threading.Event, options: Options | None = None) -> int:
    """Publish until `stop` is set (the batch at hand is finished) or nothing is left; the number of events published.

    Services that are away are waited for. Raises errors.Fatal when the outbox cannot be read at all.
    """
    relay = _Relay(engine.create(configured, pool_size=1), options or Options())
    backoff = lifetime.Backoff()
    try:
        while not stop.is_set():
            try:
                with publisher.Publisher(configured) as publish:
                    relay.serve(publish, stop, backoff)
                break
            except errors.ServiceUnavailable as error:
                wait_s = backoff.next_s()
                logger.warning("%s; trying again in %.1f s", error, wait_s)
                stop.wait(wait_s)
    finally:
        relay.database.dispose()
    logger.info("relay ends: %d events published", relay.published)
    return relay.published


@dataclasses.dataclass(slots=True)
class _Relay:
    database: sa.Engine
    options: Options
    published: int = 0

    def serve(self, publish: publisher.Publisher, stop: threading.Event, backoff: lifetime.Backoff) -> None:
        """Go round the shards until told to stop; rest when a whole round brought nothing."""
        last_at = logged_at = time.monotonic()
        while not stop.is_set():
            moved = 0
            for shard in range(SHARDS):
                moved += self._move(publish, shard)
                publish.beat()
                if stop.is_set():
                    return
            backoff.reset()
            now = time.monotonic()
            if moved:
                last_at = now
            elif self.options.until_idle_s is not None and now - last_at >= self.options.until_idle_s:
                return
            else:
                publish.idle(self.options.poll_s)
            if now - logged_at >= LOG_EVERY_S:
                logged_at = now
                logger.info("%d events published", self.published)

    def _move(self, publish: publisher.Publisher, shard: int) -> int:
        """One batch of one shard: read, publish, confirm, delete; how many events it was."""
        try:
            with engine.transaction(self.database) as connection:
                if not connection.scalar(sql.load("outbox_lock"), {"class": LOCK_CLASS, "shard": shard}):
                    return 0  # another relay has it
                taken = connection.execute(
                    sql.load("outbox_take"), {"shards": SHARDS, "shard": shard, "batch": self.options.size}
                ).all()
                if not taken:
                    return 0
                publish.publish([publisher.Event(str(row.event_id), row.name, row.body) for row in taken])
                connection.execute(sql.load("outbox_delete"), {"ids": [row.id for row in taken]})
        except exc.ProgrammingError as error:
            raise errors.Fatal(
                f"the outbox cannot be read ({type(error.orig).__name__}): run the migrations, and let the relay's "
                "user select, update and delete on the table outbox"
            ) from error
        except exc.InterfaceError as error:
            raise errors.ServiceUnavailable("Postgres closed the connection", service="postgres") from error
        self.published += len(taken)
        return len(taken)
