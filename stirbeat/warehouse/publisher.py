"""Publishing with confirms, a batch at a time: all are sent, then all answers are awaited."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import amqp

from stirbeat import errors, routing, settings
from stirbeat.warehouse import broker

# RabbitMQ confirms a persistent message once a majority has it on disk; tens of milliseconds, unless in trouble.
CONFIRM_TIMEOUT_S = 30.0

# AMQP 0-9-1: a routing key is a short string.
_KEY_BYTES = 255
_PERSISTENT = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event to publish. `body` is its payload as JSON text."""

    event_id: str
    name: str
    body: str


class Publisher:
    """A channel in confirm mode. After an error it is of no more use: close it and make another.

    Everything raises errors.ServiceUnavailable when the broker does not answer or does not take a message.
    """

    def __init__(self, configured: settings.Settings) -> None:
        self._sent = 0
        self._waiting: set[int] = set()
        self._refused = ""
        self._broker = broker.Broker(configured)
        channel = self._broker.channel
        channel.events["basic_ack"].add(self._acked)
        channel.events["basic_nack"].add(self._nacked)
        channel.events["basic_return"].add(self._returned)
        try:
            with broker.translated():
                channel.confirm_select()
        except BaseException:
            self._broker.close()
            raise

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self._broker.close()

    def publish(self, batch: Sequence[Event]) -> None:
        """Publish all and return when the broker has confirmed all: each is in every bound queue, on disk.

        After an error any of them may have been published; the caller publishes all again.
        """
        with broker.translated():
            for event in batch:
                self._send(event)
        deadline = time.monotonic() + CONFIRM_TIMEOUT_S
        while self._waiting and not self._refused:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.ServiceUnavailable(
                    f"RabbitMQ did not confirm {len(self._waiting)} messages in {CONFIRM_TIMEOUT_S:.0f} s",
                    service="rabbitmq",
                )
            self._broker.wait(left)
        if self._refused:
            raise errors.ServiceUnavailable(f"RabbitMQ {self._refused}", service="rabbitmq")

    def idle(self, seconds: float) -> None:
        """Wait, keeping the connection alive meanwhile."""
        self._broker.wait(seconds)
        self._broker.beat()

    def beat(self) -> None:
        """Keep the connection alive between batches."""
        self._broker.beat()

    def _send(self, event: Event) -> None:
        message = amqp.Message(
            event.body.encode(),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=_PERSISTENT,
            message_id=event.event_id,
        )
        self._sent += 1
        self._waiting.add(self._sent)
        self._broker.channel.basic_publish(
            message,
            exchange=routing.EVENTS_EXCHANGE,
            routing_key=event.name.encode()[:_KEY_BYTES].decode(errors="ignore"),
            mandatory=True,
            timeout=CONFIRM_TIMEOUT_S,
        )

    def _acked(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._waiting = {waiting for waiting in self._waiting if waiting > tag}
        else:
            self._waiting.discard(tag)

    def _nacked(self, tag: int, multiple: bool) -> None:
        self._refused = "refused a message"

    def _returned(self, error: Exception, exchange: str, routing_key: str, message: amqp.Message) -> None:
        self._refused = "has no queue bound to the events exchange"
