"""Celery's consumer, which keeps a message it cannot read instead of losing it."""

from __future__ import annotations

from typing import Any

from celery.utils.log import get_logger
from celery.worker import consumer

log = get_logger(__name__)


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Celery acknowledges a message whose body cannot be decoded, and so loses it. Rejected, it is dead-lettered."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Send an unreadable message to the dead-letter queue."""
        log.error("a message that cannot be decoded goes to the dead-letter queue: %s", type(exc).__name__)
        message.reject_log_error(log, self.connection_errors)
