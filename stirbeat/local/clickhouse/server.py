"""Accepts clients, one thread each, until it is told to stop."""

from __future__ import annotations

import selectors
import socket
import threading

from stirbeat.local.clickhouse import connection, engine, log, packets, running

MAX_CONNECTIONS = 100
BACKLOG = 64
TOO_MANY = 202
FINISH_SECONDS = 3.0


class Server:
    """Listens from its making on; raises OSError if the port is taken."""

    def __init__(self, opened: engine.Engine, login: connection.Login, host: str, port: int) -> None:
        self._engine = opened
        self._login = login
        self._runs = running.Runs(opened)
        self._socket = socket.create_server((host, port), backlog=BACKLOG)
        self._socket.setblocking(False)
        self._woken, self._waker = socket.socketpair()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def stop(self) -> None:
        """Make `serve` return; may be called from a signal handler."""
        self._waker.send(b"\0")

    def serve(self) -> None:
        """Accept until `stop`; then end what runs and let go of the clients."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not any(key.fileobj is self._woken for key, _ in selector.select()):
                self._accept()
        self._socket.close()
        ended = self._runs.close(FINISH_SECONDS)
        log.event("stopping", all_queries_ended=ended)
        with self._lock:
            left = list(self._open)
        for client in left:
            _shut(client)

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError as error:  # the client left at once, or this process is out of descriptors
            log.event("accept_failed", reason=type(error).__name__)
            return
        with self._lock:
            full = len(self._open) >= MAX_CONNECTIONS
            if not full:
                self._open.add(client)
        if full:
            client.settimeout(0.2)
            _refuse(client)
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._serve_one, args=(client,), name="client", daemon=True).start()

    def _serve_one(self, client: socket.socket) -> None:
        try:
            connection.Connection(client, self._engine, self._runs, self._login).serve()
        finally:
            with self._lock:
                self._open.discard(client)
            _shut(client)
            client.close()


def _refuse(client: socket.socket) -> None:
    try:
        client.sendall(
            packets.exception(TOO_MANY, "DB::Exception: Too many connections (TOO_MANY_SIMULTANEOUS_QUERIES)")
        )
    except OSError as error:
        log.event("connection_lost", reason=type(error).__name__)
    finally:
        client.close()


def _shut(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client has closed it already
