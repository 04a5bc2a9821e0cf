"""What a query is answered with: rows, counts, or the rows of an INSERT taken in."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator

from stirbeat.local.clickhouse import engine, native, packets, running, statement, wire

PROGRESS_SECONDS = 0.1
CANCELLED = 394


def skip_client_block(reader: wire.Reader, expected: tuple[native.Column, ...] | None) -> native.Shape:
    """Walk over table name, block info and block of a Data packet whose type was read."""
    reader.text(packets.MAX_NAME_BYTES)
    packets.read_block_info(reader)
    try:
        return native.skip_block(reader, expected)
    except native.UnknownType as error:
        raise wire.ProtocolError(str(error)) from error


def _blocks(data: bytes) -> list[tuple[native.Shape, bytes]]:
    """The blocks of an answer that chDB gave whole. Raises ServerError: it is in another format than Native."""
    try:
        return native.split(data)
    except (native.UnknownType, wire.ProtocolError, wire.EndOfInput) as error:
        refusal = "the answer is not in the native protocol's own format: leave FORMAT out (NOT_IMPLEMENTED)"
        raise engine.ServerError(engine.NOT_IMPLEMENTED, refusal) from error


class Answer:
    """Runs one statement in `session` and sends what it gives through `send`."""

    def __init__(
        self,
        session: engine.Session,
        reader: wire.Reader,
        send: Callable[[bytes], None],
        run: running.Run,
        runs: running.Runs,
    ) -> None:
        self._session = session
        self._reader = reader
        self._send = send
        self._run = run
        self._runs = runs
        self._reported_at = time.monotonic()
        self._reported = packets.Counts()
        self._broken: OSError | None = None
        self.counts = packets.Counts()

    def give(self, asked: statement.Statement, sql: str) -> None:
        """Raises ServerError: the statement failed or was ended. OSError, EndOfInput: the client is gone."""
        if self._session.count_statements(sql) > 1:
            raise engine.ServerError(
                engine.SYNTAX_ERROR, "Syntax error: multi-statements are not allowed: send one at a time (SYNTAX_ERROR)"
            )
        if asked.kind is statement.Kind.EMPTY:
            raise engine.ServerError(engine.SYNTAX_ERROR, "Syntax error: Empty query (SYNTAX_ERROR)")
        if asked.kind is statement.Kind.REFUSED:
            raise engine.ServerError(engine.NOT_IMPLEMENTED, f"{asked.reason} (NOT_IMPLEMENTED)")
        if asked.kind is statement.Kind.INSERT_BLOCKS:
            self._insert(asked)
            return
        self._watch()
        with self._progress():
            if asked.kind is statement.Kind.SELECT:
                self._select(asked.sql)
            elif asked.kind is statement.Kind.READ:
                self._read(asked.sql)
            elif asked.kind is statement.Kind.KILL:
                self._kill(asked.sql)
            elif asked.kind is statement.Kind.SET:
                self._session.untag()
                self._run_to_end(asked.sql)
                self._session.own(asked.names)
            else:
                self._run_to_end(asked.sql)

    def _select(self, sql: str) -> None:
        columns = self._session.columns(f"(\n{sql}\n)")
        self._send(packets.data(native.header(columns)))
        rows = blocks = size = 0
        stream = self._session.stream(sql)
        try:
            for count, block in stream:
                self._check()
                self._send(packets.data(block))
                rows, blocks, size = rows + count, blocks + 1, size + len(block)
        finally:
            stream.close()  # type: ignore[attr-defined]  # a generator
        self._send(packets.profile_info(rows, blocks, size))
        self._report(self.counts)

    def _read(self, sql: str) -> None:
        data, counts = self._session.run(sql)
        blocks = _blocks(data)
        columns = blocks[0][0].columns if blocks else self._session.names_and_types(sql)
        self._send(packets.data(native.header(columns)))
        for _, block in blocks:
            self._send(packets.data(block))
        self._report(counts)

    def _run_to_end(self, sql: str) -> None:
        data, counts = self._session.run(sql)
        for index, (shape, block) in enumerate(_blocks(data)):
            if not index:
                self._send(packets.data(native.header(shape.columns)))
            self._send(packets.data(block))
        self._report(counts)

    def _kill(self, sql: str) -> None:
        """KILL QUERY, with the clients' ids in its answer, and runs told that wait for their client."""
        ids = {
            str(own): str(tagged)
            for own, tagged in self._session.rows(
                f"SELECT query_id, {statement.TAGGED_ID} FROM system.processes"  # noqa: S608  constants only
            )
        }
        trial, mode = statement.trial_of_kill(sql)
        rows = self._session.rows(trial)
        if mode != "TEST":
            for row in rows:
                if (query_id := ids.get(row[1])) is not None and query_id != self._run.query_id:
                    self._runs.mark_killed(query_id)
            rows = self._session.rows(sql)
        names = ("kill_status", "query_id", "user", "query")
        answered = [(row[0], ids.get(row[1], row[1]), row[2], row[3]) for row in rows]
        self._send(packets.data(native.header([(name, "String") for name in names])))
        if answered:
            self._send(packets.data(native.strings(names, answered)))

    def _insert(self, asked: statement.Statement) -> None:
        """Take all blocks in before the engine sees the first, so that a client that dies leaves nothing behind."""
        columns = self._session.insertable(asked.target, asked.columns)
        for _, kind in columns:
            try:
                native.layout_of(kind)
            except native.UnknownType as error:
                raise engine.ServerError(engine.NOT_IMPLEMENTED, f"{error} (NOT_IMPLEMENTED)") from error
        self._send(packets.data(native.header(columns)))
        with tempfile.NamedTemporaryFile(dir=self._session.spool, suffix=".native") as spool:
            whole = 0
            while self._take_block(columns, spool.write):
                whole = spool.tell()
            spool.truncate(whole)
            spool.flush()
            self._watch()
            if whole:
                source = f"FROM INFILE '{spool.name}' {asked.clause} FORMAT Native"
                with self._progress():
                    self._run_to_end(f"{asked.sql}\n{source}")
            else:
                self._report(packets.Counts())

    def _take_block(self, columns: tuple[native.Column, ...], keep: Callable[[bytes], object]) -> bool:
        kind = self._reader.varint()
        if kind == packets.Client.CANCEL:
            self._run.end(running.Why.CLIENT)
            self._check()
        if kind != packets.Client.DATA:
            raise wire.ProtocolError(f"packet {kind} was sent where a block of rows is due")
        self._reader.text(packets.MAX_NAME_BYTES)
        packets.read_block_info(self._reader)
        self._reader.record(keep)
        shape = native.skip_block(self._reader, columns)
        self._reader.stop_recording()
        return bool(shape.rows)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[None]:
        self._session.watch(self._progressed)
        try:
            yield
        finally:
            self._session.watch(None)

    def _watch(self) -> None:
        """From here on the client may only cancel or hang up; it may have done so already."""
        if self._reader.peek() == packets.Client.CANCEL:
            self._reader.byte()
            self._run.end(running.Why.CLIENT)
        self._run.watched = True
        self._check()

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._run.ended is not None:
            raise engine.ServerError(CANCELLED, f"Query was cancelled: {self._run.ended.value}. (QUERY_WAS_CANCELLED)")

    def _progressed(self, counts: packets.Counts) -> None:
        """Called by chDB from within a query, so it must not raise."""
        self.counts = counts
        if time.monotonic() - self._reported_at < PROGRESS_SECONDS or self._run.ended is not None:
            return
        try:
            self._report(counts)
        except OSError as error:
            self._broken = error
            self._run.end(running.Why.GONE)

    def _report(self, counts: packets.Counts) -> None:
        """Send how much each count has grown since the last report; a count that lags behind counts as unchanged."""
        before = dataclasses.asdict(self._reported)
        now = {name: max(value, before[name]) for name, value in dataclasses.asdict(counts).items()}
        self.counts = self._reported = packets.Counts(**now)
        self._reported_at = time.monotonic()
        self._send(packets.progress(packets.Counts(**{name: now[name] - before[name] for name in now})))
