"""Who may put rows before readers: the claim of a target, its fencing token, and the lease that a live run renews.

A claim is a short transaction under an advisory lock of the target: it refuses while another run's lease holds, marks
runs that are dead ABANDONED, opens a run row and raises the target's fence. Everything that readers would see is done
under the same advisory lock by whoever holds the newest fence (`verify`). All locks end with their transaction, so
PgBouncer in transaction mode fits between. A process that was paused and wakes after its lease finds a newer fence.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa

from stirbeat import errors
from stirbeat.store.models import run as run_model
from stirbeat.store.models import sync as sync_model
from stirbeat.sync import holder, job, postgres, throttle

KIND = "sync"
CLAIM_LOCK_MS = 5000
BEATS_A_LEASE = 4
STRAY_FOR = datetime.timedelta(days=1)  # longer than any export may run
_Run, _Target = run_model.Run, sync_model.SyncTarget
Held: TypeAlias = "sa.Row[int, int, uuid.UUID | None]"  # fence, generation, run_id
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """A run that holds its target. `live_generation` is 0 where none was put before readers by a sync yet.

    stray: the export queries, by their ids, that earlier runs may have left running.
    """

    job: job.Job
    run_id: uuid.UUID
    fence: int
    live_generation: int
    stray: tuple[str, ...] = ()


def claim(engine: sa.Engine, wanted: job.Job, lease_s: float) -> Claim:
    """Open a run of this job; raises errors.RunInProgress while a live run holds the job or its target."""
    run_id = uuid.uuid4()
    with postgres.transaction(engine) as connection:
        target = take(connection, wanted.relation.key)
        for row in _open_runs(connection, wanted.name, target.run_id):
            _abandon(connection, row, wanted.name)
        stray = _stray(connection, wanted.name)
        fence = raise_fence(connection, wanted.relation.key, run_id)
        identity = holder.this()
        connection.execute(
            sa.insert(_Run).values(
                id=run_id,
                kind=KIND,
                name=wanted.name,
                step="lock",
                worker=f"{socket.gethostname()}:{identity['pid']}",
                lease_until=_from_now(lease_s),
                details={"target": wanted.relation.key, "fence": fence, "holder": identity},
            )
        )
    return Claim(wanted, run_id, fence, target.generation, stray)


def take(connection: sa.Connection, target: str) -> Held:
    """Hold the target for this transaction: its row (fence, generation, run_id), made where there was none."""
    postgres.run(connection, f"SET LOCAL lock_timeout = {CLAIM_LOCK_MS}")
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('stirbeat sync ' || :target, 0))"), {"target": target}
    )
    # Where the row exists it is only locked below: an upsert would write it anew each time.
    connection.execute(
        sa.text("INSERT INTO sync_target (target) VALUES (:target) ON CONFLICT DO NOTHING"), {"target": target}
    )
    return connection.execute(
        sa.select(_Target.fence, _Target.generation, _Target.run_id).where(_Target.target == target).with_for_update()
    ).one()


def raise_fence(connection: sa.Connection, target: str, run_id: uuid.UUID | None) -> int:
    """Void every earlier claim of the target."""
    return connection.execute(
        sa.update(_Target)
        .where(_Target.target == target)
        .values(fence=_Target.fence + 1, run_id=run_id)
        .returning(_Target.fence)
    ).scalar_one()


def verify(connection: sa.Connection, held: Claim) -> Held:
    """Hold the target for this transaction; raises errors.LeaseLost unless this run's fence is still the newest."""
    target = take(connection, held.job.relation.key)
    if target.fence != held.fence:
        raise _lost(held)
    return target


def note(engine: sa.Engine, held: Claim, *, step: str, **details: object) -> None:
    """Record the step the run begins, and details; raises errors.LeaseLost when the run is no longer ours."""
    with postgres.transaction(engine) as connection:
        changed = connection.execute(
            sa.update(_Run)
            .where(_Run.id == held.run_id, _Run.status == "RUNNING")
            .values(step=step, details=_merged(details))
        )
        if changed.rowcount != 1:
            raise _lost(held)


def overtaken(engine: sa.Engine, held: Claim) -> errors.LeaseLost | None:
    """The error to raise instead of whatever else went wrong, when another run holds the target by now."""
    with postgres.transaction(engine) as connection:
        fence = connection.execute(sa.select(_Target.fence).where(_Target.target == held.job.relation.key)).scalar()
    return None if fence == held.fence else _lost(held)


def finish(connection: sa.Connection, held: Claim, status: str, reason: str | None = None, **details: object) -> None:
    """Close the run row; one that was abandoned meanwhile stays so."""
    connection.execute(
        sa.update(_Run)
        .where(_Run.id == held.run_id, _Run.status.in_(("RUNNING", status)))
        .values(
            status=status,
            reason=reason,
            finished_at=sa.func.coalesce(_Run.finished_at, sa.func.clock_timestamp()),
            details=_merged(details),
        )
    )


@contextlib.contextmanager
def renewed(
    engine: sa.Engine, held: Claim, lease_s: float, renew_throttle: Callable[[], None]
) -> Iterator[Callable[[], None]]:
    """Renew the lease and the throttle from a thread; gives what raises errors.LeaseLost once the run is not ours."""
    stop, lost = threading.Event(), threading.Event()

    def beat() -> None:
        while not stop.wait(min(lease_s, throttle.TTL_S) / BEATS_A_LEASE):
            renew_throttle()
            try:
                with postgres.transaction(engine) as connection:
                    ours = connection.execute(
                        sa.update(_Run)
                        .where(_Run.id == held.run_id, _Run.status == "RUNNING")
                        .values(heartbeat_at=sa.func.now(), lease_until=_from_now(lease_s))
                    ).rowcount
            except errors.StirbeatError as error:
                _log.warning("the lease of sync run %s could not be renewed: %s", held.run_id, error)
                continue
            if not ours:
                lost.set()
                return

    def check() -> None:
        if lost.is_set():
            raise _lost(held)

    thread = threading.Thread(target=beat, name=f"sync-lease-{held.job.name}", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        stop.set()
        thread.join(timeout=5)


def _open_runs(connection: sa.Connection, name: str, target_run: uuid.UUID | None) -> list[sa.Row[Any]]:
    """Open runs of this job, and the one that holds the target for another job."""
    return list(
        connection.execute(
            sa.select(
                _Run.id,
                _Run.worker,
                _Run.started_at,
                _Run.details,
                (_Run.lease_until - sa.func.now()).label("lease_left"),
            ).where(_Run.kind == KIND, _Run.status == "RUNNING", sa.or_(_Run.name == name, _Run.id == target_run))
        )
    )


def _abandon(connection: sa.Connection, row: sa.Row[Any], name: str) -> None:
    left: datetime.timedelta = row.lease_left
    identity = row.details.get("holder", {})
    dead = isinstance(identity, Mapping) and holder.surely_dead(identity)
    if left > datetime.timedelta(0) and not dead:
        raise errors.RunInProgress(
            f"sync {name} is already running in {row.worker} since {row.started_at:%H:%M:%S} UTC (run {row.id})",
            retry_after_s=left.total_seconds(),
        )
    reason = "its process died" if dead else "its lease ran out without a word"
    connection.execute(
        sa.update(_Run).where(_Run.id == row.id).values(status="ABANDONED", reason=reason, finished_at=sa.func.now())
    )


def _stray(connection: sa.Connection, name: str) -> tuple[str, ...]:
    """Exports of recent runs that did not end well: their queries may not have been ended."""
    attempt = _Run.details["attempt"].astext
    rows: sa.ScalarResult[str] = connection.execute(
        sa.select(attempt)
        .where(
            _Run.kind == KIND,
            _Run.name == name,
            _Run.status.in_(("FAILED", "ABANDONED")),
            _Run.started_at > sa.func.now() - STRAY_FOR,
            attempt.is_not(None),
        )
        .order_by(_Run.started_at.desc())
    ).scalars()
    return tuple(rows)


def _merged(details: Mapping[str, object]) -> sa.ColumnElement[Any]:
    return _Run.details.op("||")(sa.cast(dict(details), _Run.details.type))


def _from_now(seconds: float) -> sa.ColumnElement[datetime.datetime]:
    return sa.func.clock_timestamp() + datetime.timedelta(seconds=seconds)


def _lost(held: Claim) -> errors.LeaseLost:
    return errors.LeaseLost(
        f"run {held.run_id} of sync {held.job.name} no longer holds {held.job.relation.key}; it changed nothing"
    )
