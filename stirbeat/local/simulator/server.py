"""The simulator's server: one process, one thread; answers are rendered once and kept."""

from __future__ import annotations

import asyncio
import itertools
import pathlib
from collections.abc import Coroutine
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets

from stirbeat.local.simulator import (
    accounts,
    arraybobo,
    calls,
    control,
    credentials,
    face,
    graphapi,
    invention,
    lama,
    plan,
)

# How long a silent answer stays silent, in seconds: longer than any deadline.
_SILENT_S = 600.0

_MALFORMED = (
    b"<!DOCTYPE html><html><body>We'll be right back.</body></html>",
    b'{"status":"ok"}',
    b"[]",
)


class Simulator:
    """Faces, credentials, faults and counts behind one HTTP server."""

    def __init__(self, folder: pathlib.Path | None = None, epoch: int = invention.EPOCH) -> None:
        known = accounts.Accounts(folder, epoch)
        made: tuple[face.Face, ...] = (
            graphapi.GraphApi(known),
            arraybobo.ArrayBobo(known),
            lama.Lama(known),
        )
        self._faces = {one.name: one for one in made}
        self.book = credentials.Book()
        self.plan = plan.Plan()
        self.calls = calls.Calls()
        self._control = control.Control(self.book, self.plan, self.calls, frozenset(self._faces))
        self._server = HTTPServer(self._take, max_body_size=8 * 1024 * 1024)
        self._held: set[asyncio.Task[None]] = set()

    def listen(self, host: str, port: int) -> int:
        """Begin to answer; gives the port (a free one for 0). Raises OSError where it is taken."""
        sockets = bind_sockets(port, host)
        self._server.add_sockets(sockets)
        return int(sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop, and cut what is held open."""
        self._server.stop()
        for task in self._held:
            task.cancel()
        await self._server.close_all_connections()

    def _take(self, request: HTTPServerRequest) -> None:
        if request.path.startswith("/_sim/"):
            _send(request, *self._control.answer(request))
            return
        name, _, path = request.path[1:].partition("/")
        vendor = self._faces.get(name)
        if vendor is None:
            _send(request, 404, face.dump({"error": "no such provider here"}))
            return
        asked = vendor.read(request, f"/{path}")
        handle = vendor.handle(asked)
        fault, number = self.plan.find(name, asked.function, handle)
        if fault is not None and fault.kind in {"down", "silent"}:
            self.calls.count(name, asked.function, asked.secret, f"fault:{fault.kind}")
            if fault.kind == "down":
                _stream(request).close()
            else:
                self._hold(asyncio.sleep(_SILENT_S))
            return
        refused, spent = self.book.spend(name, asked.secret)
        outcome = ""
        if refused:
            reply = vendor.refuse(refused, asked, spent, {})
        elif fault is not None and fault.kind in plan.REFUSALS:
            reply = vendor.refuse(fault.kind, asked, spent, fault.model_dump())
            outcome = f"fault:{fault.kind}"
        else:
            reply = vendor.answer(asked)
        body = reply.body
        if fault is not None and not refused and fault.kind in {"malformed", "slow", "drip"}:
            outcome = f"fault:{fault.kind}"
            if fault.kind == "malformed":
                # Every fourth is the true body, cut in its middle.
                body = (*_MALFORMED, body[: len(body) // 2])[number % 4]
        self.calls.count(name, asked.function, asked.secret, outcome or reply.outcome)
        headers = {**vendor.headers(asked, spent), **reply.headers}
        if fault is not None and fault.kind == "slow" and not refused:
            self._hold(_slow(request, fault.delay_s, reply.status, body, headers))
        elif fault is not None and fault.kind == "drip" and not refused:
            self._hold(_drip(request, fault.delay_s, reply.status, body, headers))
        else:
            _send(request, reply.status, body, headers)

    def _hold(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._held.add(task)
        task.add_done_callback(self._held.discard)


def _connection(request: HTTPServerRequest) -> HTTP1Connection:
    connection = request.connection
    assert isinstance(connection, HTTP1Connection)
    return connection


def _stream(request: HTTPServerRequest) -> IOStream:
    stream = _connection(request).stream
    assert isinstance(stream, IOStream)
    return stream


def _head(status: int, length: int, headers: dict[str, str] | None) -> tuple[ResponseStartLine, HTTPHeaders]:
    lines = HTTPHeaders()
    lines["Content-Type"] = face.JSON
    lines["Content-Length"] = str(length)
    for name, value in (headers or {}).items():
        lines[name] = value
    return ResponseStartLine("HTTP/1.1", status, "-"), lines


def _send(request: HTTPServerRequest, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    connection = _connection(request)
    connection.write_headers(*_head(status, len(body), headers), b"" if request.method == "HEAD" else body)
    connection.finish()


async def _slow(request: HTTPServerRequest, delay_s: float, status: int, body: bytes, headers: dict[str, str]) -> None:
    await asyncio.sleep(delay_s)
    if not _stream(request).closed():
        _send(request, status, body, headers)


async def _drip(request: HTTPServerRequest, delay_s: float, status: int, body: bytes, headers: dict[str, str]) -> None:
    connection = _connection(request)
    try:
        await connection.write_headers(*_head(status, len(body), headers))
        for position in itertools.count():
            if position >= len(body):
                break
            await connection.write(body[position : position + 1])
            await asyncio.sleep(delay_s)
        connection.finish()
    except StreamClosedError:
        return
