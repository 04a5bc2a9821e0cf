"""How each target stands, and what its runs did."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Iterable

import sqlalchemy as sa

from stirbeat.store.models import run as run_model
from stirbeat.store.models import sync as sync_model
from stirbeat.sync import job, lock, postgres

_Run, _Target, _Generation = run_model.Run, sync_model.SyncTarget, sync_model.SyncGeneration


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """One run. `reason` says why it did not end well; `generation` and `rows` are there when it swapped."""

    run_id: uuid.UUID
    status: str
    step: str | None
    started_at: datetime.datetime
    seconds: float | None
    reason: str | None
    generation: int | None
    rows: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """One target: what readers see since when (0 and None before the first sync), and its newest run."""

    job: str
    target: str
    generation: int
    rows: int | None
    swapped_at: datetime.datetime | None
    age_s: float | None
    kept: tuple[int, ...]
    last: Past | None


def status(engine: sa.Engine, jobs: Iterable[job.Job]) -> list[Status]:
    """How each job's target stands now."""
    return [_status(engine, wanted) for wanted in jobs]


def history(engine: sa.Engine, wanted: job.Job, limit: int = 20) -> list[Past]:
    """The newest runs of the job, the newest first."""
    query = (
        sa.select(
            _Run.id,
            _Run.status,
            _Run.step,
            _Run.started_at,
            sa.func.extract("epoch", _Run.finished_at - _Run.started_at).label("seconds"),
            _Run.reason,
            _Run.details,
        )
        .where(_Run.kind == lock.KIND, _Run.name == wanted.name)
        .order_by(_Run.started_at.desc())
        .limit(limit)
    )
    with postgres.transaction(engine) as connection:
        rows = connection.execute(query).all()
    return [
        Past(
            run_id=row.id,
            status=row.status,
            step=row.step,
            started_at=row.started_at,
            seconds=None if row.seconds is None else round(float(row.seconds), 1),
            reason=row.reason,
            generation=row.details.get("generation"),
            rows=row.details.get("rows"),
        )
        for row in rows
    ]


def _status(engine: sa.Engine, wanted: job.Job) -> Status:
    key = wanted.relation.key
    with postgres.transaction(engine) as connection:
        live = connection.execute(
            sa.select(
                _Target.generation,
                _Target.swapped_at,
                sa.func.extract("epoch", sa.func.now() - _Target.swapped_at).label("age_s"),
                _Generation.rows,
            )
            .outerjoin(
                _Generation,
                sa.and_(_Generation.target == _Target.target, _Generation.generation == _Target.generation),
            )
            .where(_Target.target == key)
        ).first()
        generation = live.generation if live else 0
        kept = connection.execute(
            sa.select(_Generation.generation)
            .where(_Generation.target == key, _Generation.relation.is_not(None), _Generation.generation != generation)
            .order_by(_Generation.generation.desc())
        ).scalars()
        older = tuple(kept)
    past = history(engine, wanted, limit=1)
    return Status(
        job=wanted.name,
        target=key,
        generation=generation,
        rows=live.rows if live else None,
        swapped_at=live.swapped_at if live else None,
        age_s=round(float(live.age_s), 1) if live and live.age_s is not None else None,
        kept=older,
        last=past[0] if past else None,
    )
