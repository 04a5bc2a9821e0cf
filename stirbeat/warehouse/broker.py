"""One connection to RabbitMQ that its owner drives: nothing reconnects behind the owner's back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import amqp
import kombu

from stirbeat import errors, settings
from stirbeat.warehouse import topology

HEARTBEAT_S = 30
CONNECT_TIMEOUT_S = 5

# What py-amqp raises when a connection or channel is gone, or refuses.
_LOST = (*amqp.Connection.connection_errors, *amqp.Connection.channel_errors)


class Broker:
    """An open connection and one channel; the exchanges and queues of `topology` exist.

    Raises errors.ServiceUnavailable from everything when the broker is away.
    """

    def __init__(self, configured: settings.Settings) -> None:
        self._kombu = kombu.Connection(
            configured.broker_url.get_secret_value(), heartbeat=HEARTBEAT_S, connect_timeout=CONNECT_TIMEOUT_S
        )
        with translated():
            try:
                # The py-amqp connection itself: kombu's would connect anew, with a new channel, when it is used again.
                self.connection: amqp.Connection = self._kombu.connect()
                topology.declare(self._kombu)
                self.channel: amqp.Channel = self._kombu.channel()
                self.channel.auto_decode = False  # bodies stay the bytes they are, whatever encoding they claim
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the connection; what is not acknowledged goes back to its queue."""
        self._kombu.release()

    def wait(self, seconds: float) -> bool:
        """Handle what the broker sends next, waiting at most `seconds` for it; whether anything came."""
        with translated():
            try:
                self.connection.drain_events(timeout=max(seconds, 0.001))
            except TimeoutError:
                return False
            return True

    def beat(self) -> None:
        """Send and check heartbeats; to be called about once a second or more often."""
        with translated():
            self.connection.heartbeat_tick()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what py-amqp raises into errors.ServiceUnavailable."""
    try:
        yield
    except _LOST as error:
        raise errors.ServiceUnavailable(
            f"RabbitMQ does not answer: {type(error).__name__} {getattr(error, 'reply_text', '')}".rstrip(),
            service="rabbitmq",
        ) from error
