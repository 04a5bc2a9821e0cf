"""The sink: events from the durable queue into ClickHouse, at least once, in batches.

A message is acknowledged only after ClickHouse accepted its batch. While ClickHouse is away the batch is held and tried
again; the broker keeps everything else. Killed anywhere, the broker hands the unacknowledged messages to the next sink,
and ClickHouse's tables drop what they had already.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
import time
from collections.abc import Callable

import amqp

from stirbeat import errors, settings
from stirbeat.warehouse import batch, broker, client, lifetime, schema, topology

logger = logging.getLogger(__name__)

# How long one wait for a message lasts at most: how late a signal, a heartbeat or a due batch can be seen.
TICK_S = 0.25
# A batch that ClickHouse does not take for so long goes back to the broker, well before the broker's consumer_timeout
# (30 minutes) would close the channel; the sink then waits for ClickHouse with empty hands.
HOLD_S = 600.0
LOG_EVERY_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """size: messages a batch; age_s: seconds after which a smaller one goes; until_idle_s: end after so long without a
    message (None: never)."""

    size: int = 5000
    age_s: float = 1.0
    until_idle_s: float | None = None


def run(configured: settings.Settings, stop: threading.Event, options: Options | None = None) -> batch.Tally:
    """Consume until `stop` is set (then what is at hand is stored first) or the queue stays idle.

    Services that are away are waited for. Raises errors.Fatal when ClickHouse's tables cannot be what they must be.
    """
    options = options or Options()
    tally = batch.Tally()
    backoff = lifetime.Backoff()
    while not stop.is_set():
        try:
            schema.migrate(configured)
            with client.Client(configured) as warehouse:
                session = _Session(configured, warehouse, options, tally, on_stored=backoff.reset)
                with session:
                    session.serve(stop)
            break
        except errors.ServiceUnavailable as error:
            wait_s = backoff.next_s()
            logger.warning("%s; trying again in %.1f s", error, wait_s)
            stop.wait(wait_s)
    logger.info("sink ends: %d stored, %d doubles, %d poison", tally.stored, tally.doubles, tally.poison)
    return tally


class _Session:
    """One connection to the broker, and the messages that it handed out and that are not acknowledged yet."""

    def __init__(
        self,
        configured: settings.Settings,
        warehouse: client.Client,
        options: Options,
        tally: batch.Tally,
        on_stored: Callable[[], None],
    ) -> None:
        self._warehouse = warehouse
        self._on_stored = on_stored
        self._options = options
        self._tally = tally
        self._held: collections.deque[amqp.Message] = collections.deque()
        self._oldest_at = 0.0
        self._last_at = self._logged_at = time.monotonic()
        self._backoff = lifetime.Backoff()
        self._failing_since: float | None = None
        self._not_before = 0.0
        self._broker = broker.Broker(configured)
        try:
            with broker.translated():
                # Two batches: one is stored while the next arrives.
                self._broker.channel.basic_qos(0, 2 * options.size, False)
                self._tag = self._broker.channel.basic_consume(topology.WAREHOUSE_QUEUE.name, callback=self._received)
        except BaseException:
            self._broker.close()
            raise

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._broker.close()

    def _received(self, message: amqp.Message) -> None:
        self._last_at = time.monotonic()
        if not self._held:
            self._oldest_at = self._last_at
        self._held.append(message)

    def serve(self, stop: threading.Event) -> None:
        """Consume until told to stop or idle, then store what is held."""
        while not stop.is_set() and not self._idle():
            self._wait()
            self._flush_if_due()
        with broker.translated():
            self._broker.channel.basic_cancel(self._tag)
        while self._held and self._flush():
            pass

    def _idle(self) -> bool:
        limit = self._options.until_idle_s
        return limit is not None and not self._held and time.monotonic() - self._last_at >= limit

    def _wait(self) -> None:
        """Take what the broker sends, for at most a tick; a full batch at hand is not waited for."""
        ends = time.monotonic() + TICK_S
        while len(self._held) < self._options.size or self._failing_since is not None:
            left = ends - time.monotonic()
            if left <= 0 or not self._broker.wait(left):
                break
        self._broker.beat()

    def _flush_if_due(self) -> None:
        now = time.monotonic()
        full = len(self._held) >= self._options.size
        old = bool(self._held) and now - self._oldest_at >= self._options.age_s
        if (full or old) and now >= self._not_before:
            self._flush()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            logger.info("%d stored, %d doubles, %d poison", self._tally.stored, self._tally.doubles, self._tally.poison)

    def _flush(self) -> bool:
        """Store the oldest batch and acknowledge it; whether that worked.

        Raises errors.ServiceUnavailable when ClickHouse has been failing for HOLD_S.
        """
        taken = [self._held[index] for index in range(min(len(self._held), self._options.size))]
        # py-amqp gives an empty body as text.
        messages = [batch.Message(message.delivery_info["routing_key"], message.body or b"") for message in taken]
        try:
            stored = batch.store(self._warehouse, messages)
        except (errors.ServiceUnavailable, client.QueryRefused) as error:
            # Rows are judged before they are sent, so a refusal is about the server (rights, tables, settings): a
            # person mends it and the events wait.
            self._failed(error)
            return False
        with broker.translated():
            self._broker.channel.basic_ack(taken[-1].delivery_tag, multiple=True)
        for _ in taken:
            self._held.popleft()
        self._oldest_at = self._last_at = time.monotonic()
        self._failing_since = None
        self._backoff.reset()
        self._on_stored()
        self._tally.add(stored)
        if stored.poison:
            logger.warning("%d messages are no events: see the table %s", stored.poison, schema.POISON)
        return True

    def _failed(self, error: errors.StirbeatError) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= HOLD_S:
            raise errors.ServiceUnavailable(
                f"ClickHouse took nothing for {HOLD_S:.0f} s: {error}", service="clickhouse"
            ) from error
        wait_s = self._backoff.next_s()
        self._not_before = now + wait_s
        logger.warning("%s; holding %d events, trying again in %.1f s", error, len(self._held), wait_s)
