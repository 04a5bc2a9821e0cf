"""The run row of a long job: opened with a lease, renewed by a thread, closed with its end.

A run whose worker was killed stops renewing; the next one of the same name marks it ABANDONED and goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from stirbeat import errors
from stirbeat.store import engine, sql

# The lease is renewed this often within its length: three renewals may fail before the run counts as dead.
BEATS_A_LEASE = 4


@dataclasses.dataclass
class Run:
    """An open run. `details` is written when it is closed; `lost` is set when another run took its place."""

    id: uuid.UUID
    kind: str
    name: str
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    lost: threading.Event = dataclasses.field(default_factory=threading.Event)


@contextlib.contextmanager
def opened(
    database: sa.Engine, kind: str, name: str, *, lease_s: float, run_id: uuid.UUID | None = None
) -> Iterator[Run]:
    """Hold the only open run of (kind, name) while the block runs; close it as COMPLETE, or as FAILED with the error.

    run_id: identity of the order to run (the task's id). An order that comes twice runs once.
    Raises errors.RunInProgress while a live run holds it or when this very run was there before,
    errors.ServiceUnavailable.
    """
    run = Run(run_id or uuid.uuid4(), kind, name)
    _open(database, run, lease_s)
    stop = threading.Event()
    beat = threading.Thread(target=_renew, args=(database, run, lease_s, stop), name=f"lease-{name}", daemon=True)
    beat.start()
    try:
        yield run
    except BaseException as error:
        _close(database, run, "FAILED", str(error) or type(error).__name__)
        raise
    else:
        _close(database, run, "COMPLETE", None)
    finally:
        stop.set()
        beat.join()


def done_since(database: sa.Engine, kind: str, name: str, since: datetime.datetime) -> bool:
    """Whether what was ordered at that moment was carried out by a later run. Raises errors.ServiceUnavailable."""
    with engine.transaction(database) as connection:
        bound = {"kind": kind, "name": name, "since": since}
        return bool(connection.execute(sql.load("run_since"), bound).scalar_one())


def _open(database: sa.Engine, run: Run, lease_s: float) -> None:
    bound = {
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        "lease_s": lease_s,
    }
    with engine.transaction(database) as connection:
        # Two statements: the row that the first one closes is seen by the second one's unique index.
        connection.execute(sql.load("run_abandon"), {"kind": run.kind, "name": run.name})
        opened_id = connection.execute(sql.load("run_open"), bound).scalar_one_or_none()
    if opened_id is None:
        raise errors.RunInProgress(
            f"{run.kind} {run.name} is running already, or this order of it was carried out before",
            retry_after_s=lease_s,
        )


def _renew(database: sa.Engine, run: Run, lease_s: float, stop: threading.Event) -> None:
    while not stop.wait(lease_s / BEATS_A_LEASE):
        with contextlib.suppress(errors.ServiceUnavailable), engine.transaction(database) as connection:
            if connection.execute(sql.load("run_renew"), {"id": run.id, "lease_s": lease_s}).rowcount != 1:
                run.lost.set()
                return


def _close(database: sa.Engine, run: Run, status: str, reason: str | None) -> None:
    bound: Mapping[str, Any] = {
        "id": run.id,
        "status": status,
        "reason": reason,
        "details": json.dumps(run.details, default=str),
    }
    with engine.transaction(database) as connection:
        connection.execute(sql.load("run_close"), bound)
