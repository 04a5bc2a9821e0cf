"""Takes away what no run needs any more: staging tables, exports and generations beyond those a job keeps.

It runs before and after every sync, so what a crash left is gone with the next run. Never CASCADE, never a table that
does not bear our mark or is not written down as a generation; what is in use stays for the next time.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import uuid

import sqlalchemy as sa

from stirbeat import errors
from stirbeat.store.models import run as run_model
from stirbeat.store.models import sync as sync_model
from stirbeat.sync import bucket, context, job, load, lock, postgres, relation, swap

_Run, _Generation, _Target = run_model.Run, sync_model.SyncGeneration, sync_model.SyncTarget
UNKNOWN_FOR = datetime.timedelta(days=1)  # longer than any run of any installation
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Cleaned:
    """What was taken away: staging tables and generations by name, and the number of S3 objects."""

    staging: tuple[str, ...] = ()
    generations: tuple[str, ...] = ()
    objects: int = 0


def cleanup(surroundings: context.Context, wanted: job.Job) -> Cleaned:
    """Take away what is left of this job's runs that are over. What cannot be taken now is logged and left."""
    return Cleaned(
        tuple(name for name in _staging(surroundings.engine, wanted) if _drop(surroundings.engine, wanted, name)),
        tuple(_generations(surroundings.engine, wanted)),
        _objects(surroundings, wanted),
    )


def after_crash(surroundings: context.Context, held: lock.Claim) -> None:
    """Before a run begins: end the queries that earlier runs left, then clean."""
    for query_id in surroundings.warehouse.running(held.stray):
        if not surroundings.warehouse.kill(query_id):
            _log.warning("export %s of an earlier run may still be running in ClickHouse", query_id)
    cleanup(surroundings, held.job)


def _staging(engine: sa.Engine, wanted: job.Job) -> list[str]:
    """Staging tables of the target whose runs are over: ours by name and by mark."""
    query = sa.text(
        "SELECT c.relname, substr(obj_description(c.oid, 'pg_class'), length(:mark) + 1) AS run_id"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = :schema AND c.relkind = 'r' AND starts_with(c.relname, :stem)"
        " AND substr(c.relname, length(:stem) + 1) ~ '^[0-9]+$'"
        " AND starts_with(obj_description(c.oid, 'pg_class'), :mark)"
    )
    stem = relation.stem(wanted.relation.table) + "__s"
    with postgres.transaction(engine) as connection:
        found = connection.execute(query, {"mark": load.MARK, "schema": wanted.relation.schema, "stem": stem}).all()
        running = _running(connection)
    return [row.relname for row in found if row.run_id not in running]


def _generations(engine: sa.Engine, wanted: job.Job) -> list[str]:
    target = wanted.relation.key
    live = sa.select(_Target.generation).where(_Target.target == target).scalar_subquery()
    with postgres.transaction(engine) as connection:
        spare = connection.execute(
            sa.select(_Generation.generation, _Generation.relation)
            .where(_Generation.target == target, _Generation.relation.is_not(None), _Generation.generation != live)
            .order_by(_Generation.generation.desc())
            .offset(wanted.kept_generations)
        ).all()
    return [row.relation for row in spare if _drop(engine, wanted, row.relation, row.generation)]


def _drop(engine: sa.Engine, wanted: job.Job, table: str, generation: int | None = None) -> bool:
    """Drop it unless it is in use, or something depends on it, or it became the live one meanwhile."""
    target = wanted.relation.key
    try:
        with postgres.transaction(engine) as connection:
            if lock.take(connection, target).generation == generation:
                return False
            postgres.run(connection, f"SET LOCAL lock_timeout = {swap.PATIENCE_MS}")
            postgres.run(connection, f"DROP TABLE IF EXISTS {wanted.relation.sibling(table)} RESTRICT")
            connection.execute(
                sa.update(_Generation)
                .where(_Generation.target == target, _Generation.relation == table)
                .values(relation=None, dropped_at=sa.func.now())
            )
    except errors.ServiceUnavailable:
        raise
    except errors.StirbeatError as error:
        _log.warning("%s stays for the next clean-up: %s", table, error)
        return False
    return True


def _objects(surroundings: context.Context, wanted: job.Job) -> int:
    """Exports of runs that are over. S3 away is no reason to stop here: whoever needs it says so.

    Runs that this database does not know may be another installation's in the same bucket: only old ones are taken.
    """
    try:
        folders = surroundings.bucket.folders(f"{bucket.PREFIX}/{wanted.name}")
        with postgres.transaction(surroundings.engine) as connection:
            rows = connection.execute(
                sa.select(_Run.id, _Run.status).where(_Run.kind == lock.KIND, _Run.name == wanted.name)
            ).all()
        status = {str(row.id): row.status for row in rows}
        old = datetime.datetime.now(datetime.UTC) - UNKNOWN_FOR
        return sum(
            surroundings.bucket.delete(bucket.run_prefix(wanted.name, folder))
            for folder, written in folders.items()
            if status.get(folder, "RUNNING" if written > old else "ABANDONED") != "RUNNING"
        )
    except (errors.SettingsError, errors.RetryLater) as error:
        _log.warning("exports of %s stay for the next clean-up: %s", wanted.name, error)
        return 0


def _running(connection: sa.Connection) -> set[str]:
    rows = connection.execute(sa.select(_Run.id).where(_Run.kind == lock.KIND, _Run.status == "RUNNING"))
    return {str(uuid.UUID(str(row.id))) for row in rows}
