"""Queries that run now, and the one thread that ends those whose client cancelled or went away.

A cancelled query is ended by chDB's own KILL QUERY, sent again every while until it is gone, because a query that
has only just been sent is not yet among chDB's processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import select
import socket
import threading
import time
from collections.abc import Iterator

from stirbeat.local.clickhouse import engine, packets

POLL_SECONDS = 0.05
KILL_AGAIN_SECONDS = 0.2
SAME_ID_RUNS = 216


class Why(enum.Enum):
    """Who ended the query."""

    CLIENT = "cancelled by its client"
    GONE = "its client went away"
    KILLED = "killed"
    SHUTDOWN = "server shutdown"


@dataclasses.dataclass
class Run:
    """One query from its start to its end."""

    query_id: str
    socket: socket.socket
    ended: Why | None = None
    watched: bool = False
    """Whether bytes from the client are looked at: not while it sends the rows of an INSERT."""
    killed_at: float = 0.0
    looking: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    """Held while the client's bytes are looked at, so that none is taken after the run, when its connection reads."""

    def end(self, why: Why) -> None:
        """Say that the query must end; the first reason stands."""
        self.ended = self.ended or why


class Runs:
    """All runs of the server, by query id."""

    def __init__(self, opened: engine.Engine) -> None:
        self._session = opened.session()
        self._session_lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def running(self, run: Run) -> Iterator[Run]:
        """Count `run` among the running ones. Raises ServerError 216: another with its id is running."""
        with self._changed:
            if run.query_id in self._runs:
                raise engine.ServerError(
                    SAME_ID_RUNS,
                    f"Query with id = {run.query_id} is already running. (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)",
                )
            if self._closing:
                run.end(Why.SHUTDOWN)
            self._runs[run.query_id] = run
            self._changed.notify()
        try:
            yield run
        finally:
            with run.looking:
                run.watched = False
            with self._changed:
                del self._runs[run.query_id]
                self._changed.notify_all()

    def mark_killed(self, query_id: str) -> None:
        """Let a run that waits for its client, and so does not ask chDB, know that it was killed."""
        with self._changed:
            if run := self._runs.get(query_id):
                run.end(Why.KILLED)

    def close(self, seconds: float) -> bool:
        """End all runs; returns whether they ended within `seconds`."""
        with self._changed:
            self._closing = True
            for run in self._runs.values():
                run.end(Why.SHUTDOWN)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._runs, seconds)

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._runs)
                runs = list(self._runs.values())
            _notice([run for run in runs if run.watched and run.ended is None])
            for run in runs:
                if run.ended is not None and time.monotonic() - run.killed_at > KILL_AGAIN_SECONDS:
                    run.killed_at = time.monotonic()
                    self._kill(run.query_id)

    def _kill(self, query_id: str) -> None:
        quoted = query_id.replace("\\", "\\\\").replace("'", "\\'")
        with self._session_lock, contextlib.suppress(engine.ServerError):  # it is tried again while the query runs
            self._session.run(f"KILL QUERY WHERE Settings['log_comment'] = '{quoted}' ASYNC")


def _notice(runs: list[Run]) -> None:
    """Wait a moment for bytes from the clients of `runs`, and end the run of one that cancels or hangs up."""
    poll = select.poll()
    by_descriptor = {run.socket.fileno(): run for run in runs}
    for descriptor in by_descriptor:
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
    for descriptor, _ in poll.poll(POLL_SECONDS * 1000):
        run = by_descriptor[descriptor]
        with run.looking:
            if run.watched:
                _look(run)


def _look(run: Run) -> None:
    try:
        seen = run.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        if seen == bytes([packets.Client.CANCEL]):
            run.socket.recv(1)
            run.end(Why.CLIENT)
        elif not seen:
            run.end(Why.GONE)
        else:
            run.watched = False  # the next packet, sent ahead: it waits its turn
    except BlockingIOError:
        return  # polled in error
    except OSError:
        run.end(Why.GONE)
