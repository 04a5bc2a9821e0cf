"""urllib3 connections whose every phase (name, TCP, TLS, head, body) stands under the exchange's deadline."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from typing import Any

import urllib3
from urllib3 import connection, connectionpool
from urllib3.util import connection as tcp

from stirbeat.providers import deadline

# A refused connection is tried once more; nothing is ever sent twice.
CONNECT_ATTEMPTS = 2

_thread = threading.local()


def enter(guard: deadline.Guard | None) -> None:
    """Say which guard the exchange of this thread stands under (None: it is over)."""
    _thread.guard = guard


def _guard() -> deadline.Guard | None:
    return getattr(_thread, "guard", None)


class _Plain(connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _take(self)
        super().request(*args, **kwargs)


class _Secure(connection.HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _take(self)
        super().request(*args, **kwargs)


class Pool(connectionpool.HTTPConnectionPool):
    """Connections of one host. One that comes back is let go by its guard first, so a late watchdog cannot cut it."""

    ConnectionCls = _Plain

    def _put_conn(self, conn: Any) -> None:
        _release()
        super()._put_conn(conn)


class SecurePool(connectionpool.HTTPSConnectionPool):
    """The same with TLS."""

    ConnectionCls = _Secure

    def _put_conn(self, conn: Any) -> None:
        _release()
        super()._put_conn(conn)


def _release() -> None:
    guard = _guard()
    if guard is not None:
        guard.let_go()


def _take(conn: connection.HTTPConnection) -> None:
    guard = _guard()
    if guard is not None and conn.sock is not None:
        guard.hold(conn.sock.fileno())


def _connect(conn: connection.HTTPConnection, unguarded: Any) -> socket.socket:
    """A TCP connection to the first address that takes it; all addresses together stay within the deadline."""
    guard = _guard()
    if guard is None:
        made: socket.socket = unguarded()
        return made
    host, port = conn.host, int(conn.port or conn.default_port)
    refusal: OSError | None = None
    try:
        for address in _addresses(host, port, guard) * CONNECT_ATTEMPTS:
            try:
                made = tcp.create_connection(
                    (address, port), timeout=guard.remaining_s(), socket_options=conn.socket_options
                )
            except TimeoutError:
                raise
            except OSError as error:
                refusal = error
                continue
            # The TLS handshake that may follow happens on this descriptor too.
            guard.hold(made.fileno())
            return made
    except TimeoutError as error:
        raise urllib3.exceptions.ConnectTimeoutError(conn, "no connection before the deadline") from error
    raise urllib3.exceptions.NewConnectionError(conn, str(refusal or "the name has no address")) from refusal


def _addresses(host: str, port: int, guard: deadline.Guard) -> list[str]:
    """The host's addresses. The look-up cannot be interrupted, so it runs beside and is abandoned when late."""
    try:
        return [str(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        pass
    found: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, tcp.allowed_gai_family(), socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except (OSError, UnicodeError) as error:
            found.put(error if isinstance(error, OSError) else OSError("no host name"))

    threading.Thread(target=look_up, name="http-name", daemon=True).start()
    try:
        answer = found.get(timeout=guard.remaining_s())
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(answer, OSError):
        return []
    return answer
