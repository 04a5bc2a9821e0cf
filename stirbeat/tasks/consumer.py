"""Celery's consumer, which keeps a message it cannot read instead of losing it, and has where to put it."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.utils.log import get_logger
from celery.worker import consumer

from stirbeat import client

log = get_logger(__name__)


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Celery acknowledges a message whose body cannot be decoded, and so loses it. Rejected, it is dead-lettered."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Send an unreadable message to the dead-letter queue."""
        log.error("a message that cannot be decoded goes to the dead-letter queue: %s", type(exc).__name__)
        message.reject_log_error(log, self.connection_errors)


class DeadLetters(bootsteps.StartStopStep):  # type: ignore[misc]
    """Declares the dead-letter exchange and queue before the first message is taken: RabbitMQ drops a rejected message
    whose exchange does not exist."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        """Declare both. Called again after each reconnect."""
        with parent.connection.channel() as channel:
            client.dead_letters()(channel).declare()
