"""A TCP gate in front of a service: closing it is what a service that goes away looks like to its clients."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Gate:
    """Forwards connections to `host:port` while open. `swallow_answers` lets requests through but no answer back."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = True
        self.swallow_answers = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._listener.close()

    def close(self) -> None:
        """Cut every connection and let no new one through."""
        self._open = False
        taken, self._sockets = self._sockets, []
        for each in taken:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def open(self) -> None:
        """Let connections through again."""
        self._open = True

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            if not self._open:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not (answers and self.swallow_answers):
                    target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def before(url: str) -> tuple[Gate, str]:
    """A gate in front of the service that `url` names, and the URL that goes through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    gate = Gate(parts.hostname, parts.port)
    netloc = parts.netloc.rpartition("@")[0] + f"@127.0.0.1:{gate.port}"
    return gate, parts._replace(netloc=netloc).geturl()
