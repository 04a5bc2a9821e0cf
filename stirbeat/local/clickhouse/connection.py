"""One client's connection: greeting, then packet after packet until it leaves."""

from __future__ import annotations

import hmac
import select
import socket
import time
import uuid
from dataclasses import dataclass, field
from typing import NoReturn

from stirbeat.local.clickhouse import answer, engine, log, packets, running, statement, wire

HELLO_SECONDS = 10.0
SEND_SECONDS = 300.0
"""How long a client may leave an answer unread; the same as ClickHouse's send_timeout."""
ENDED_SEND_SECONDS = 1.0
"""The same once its query was ended: long enough for a client that is merely slow to get the error."""

REQUIRED_PASSWORD = 516
UNEXPECTED_PACKET = 101
STD_EXCEPTION = 1001
MAX_ID_BYTES = 200


@dataclass(frozen=True)
class Login:
    user: str
    password: str = field(repr=False)

    def admits(self, hello: packets.Hello) -> bool:
        """Both are compared in full whatever the first says, so that timing tells nothing."""
        same_user = hmac.compare_digest(hello.user.encode(), self.user.encode())
        same_password = hmac.compare_digest(hello.password.encode(), self.password.encode())
        return same_user and same_password


class Connection:
    """Serves `sock` until the client leaves or breaks the protocol."""

    def __init__(self, sock: socket.socket, opened: engine.Engine, runs: running.Runs, login: Login) -> None:
        self._socket = sock
        self._engine = opened
        self._runs = runs
        self._login = login
        self._reader = wire.Reader(self._receive)
        self._run: running.Run | None = None

    def serve(self) -> None:
        session = None
        try:
            session = self._greet()
            if session is not None:
                self._socket.settimeout(None)
                while self._packet(session):
                    pass
        except wire.EndOfInput:
            pass
        except wire.ProtocolError as error:
            log.event("protocol_error", reason=str(error))
            self._last_words(engine.ServerError(UNEXPECTED_PACKET, f"{error} (UNEXPECTED_PACKET_FROM_CLIENT)"))
        except OSError as error:
            log.event("connection_lost", reason=type(error).__name__)
        except Exception as error:  # noqa: BLE001  a fault of this server ends one connection, is told and is logged
            log.event("internal_error", kind=type(error).__name__, where=log.place_of(error))
            self._last_words(engine.ServerError(STD_EXCEPTION, "the local server failed: see its log (STD_EXCEPTION)"))
        finally:
            if session is not None:
                session.close()

    def send(self, data: bytes) -> None:
        """All of `data`. Raises OSError: the client is gone, or has read nothing for too long."""
        left = memoryview(data)
        moved = time.monotonic()
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        while left:
            try:
                left = left[self._socket.send(left, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]
                moved = time.monotonic()
            except BlockingIOError:
                if time.monotonic() - moved > self._patience():
                    raise TimeoutError from None
                poll.poll(100)

    def _patience(self) -> float:
        ended = self._run.ended if self._run is not None else None
        return {None: SEND_SECONDS, running.Why.GONE: 0.0}.get(ended, ENDED_SEND_SECONDS)

    def _receive(self, count: int) -> bytes:
        return self._socket.recv(count)

    def _greet(self) -> engine.Session | None:
        """Answer the Hello. None: the client was refused, or has hung up."""
        self._socket.settimeout(HELLO_SECONDS)
        hello = packets.read_hello(self._reader)
        if not self._login.admits(hello):
            log.event("login_refused")
            refusal = f"{hello.user}: Authentication failed: password is incorrect, or there is no user with such name."
            self._last_words(engine.ServerError(REQUIRED_PASSWORD, f"{refusal} (AUTHENTICATION_FAILED)"))
            return None
        if hello.revision < packets.REVISION:
            raise wire.ProtocolError(f"revision {hello.revision} is too old: {packets.REVISION} is the least")
        session = self._engine.session()
        try:
            if hello.database:
                session.use(hello.database)
        except engine.ServerError as error:
            session.close()
            self._last_words(error)
            return None
        self.send(packets.hello(self._engine.version, self._engine.timezone))
        return session

    def _packet(self, session: engine.Session) -> bool:
        """Handle the next packet; False: close the connection."""
        kind = self._reader.varint()
        if kind == packets.Client.PING:
            self.send(packets.pong())
        elif kind == packets.Client.QUERY:
            return self._query(session, packets.read_query(self._reader))
        elif kind != packets.Client.CANCEL:  # a Cancel that came too late for its query
            raise wire.ProtocolError(f"packet {kind} was sent where Query, Ping or Cancel is due")
        return True

    def _query(self, session: engine.Session, query: packets.Query) -> bool:
        if query.compressed:
            self._last_words(
                engine.ServerError(
                    engine.NOT_IMPLEMENTED,
                    "the local server does not compress: connect with compression=False (NOT_IMPLEMENTED)",
                )
            )
            return False
        has_tables = self._external_tables() > 0
        run = running.Run((query.id or str(uuid.uuid4()))[:MAX_ID_BYTES], self._socket)
        started = time.monotonic()
        self._run = run
        reply = answer.Answer(session, self._reader, self.send, run, self._runs)
        code = 0
        try:
            if has_tables:
                _refuse_external_tables()
            with self._runs.running(run):
                session.tag(run.query_id, query.settings)
                reply.give(statement.read(query.sql), query.sql)
            self.send(packets.end_of_stream())
        except engine.ServerError as error:
            code = error.code
            if run.ended is running.Why.CLIENT:
                self.send(packets.end_of_stream())
            elif run.ended is not running.Why.GONE:
                self.send(packets.exception(error.code, error.message))
        finally:
            self._run = None
            log.event(
                "query",
                id=run.query_id,
                code=code,
                ended=run.ended.value if run.ended else None,
                seconds=round(time.monotonic() - started, 3),
                read_rows=reply.counts.read_rows,
                written_rows=reply.counts.written_rows,
            )
        return run.ended not in (running.Why.GONE, running.Why.SHUTDOWN)

    def _external_tables(self) -> int:
        """Pass over the blocks that follow a query up to the empty one; returns how many had columns."""
        tables = 0
        while True:
            if self._reader.varint() != packets.Client.DATA:
                raise wire.ProtocolError("a query was not followed by a Data packet")
            if not answer.skip_client_block(self._reader, None).columns:
                return tables
            tables += 1

    def _last_words(self, error: engine.ServerError) -> None:
        try:
            self._socket.settimeout(1.0)
            self._socket.sendall(packets.exception(error.code, error.message))
        except OSError:
            log.event("connection_lost", reason="closed before the error could be sent")


def _refuse_external_tables() -> NoReturn:
    raise engine.ServerError(
        engine.NOT_IMPLEMENTED, "the local server takes no external tables: use a table (NOT_IMPLEMENTED)"
    )
