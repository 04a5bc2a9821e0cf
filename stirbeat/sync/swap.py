"""The one moment readers could notice: another table takes the target's name, in one short transaction.

Locks are taken with 300 ms of patience in all, below Postgres's deadlock_timeout: a waiting exclusive lock stops every
reader behind it. When they cannot be had everything is let go and tried again, with jitter, until the budget is spent.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import sqlalchemy as sa
import tenacity

from stirbeat import errors
from stirbeat.store.models import sync as sync_model
from stirbeat.sync import catalog, job, lock, postgres, relation, suitable

PATIENCE_MS = 300
BUDGET_S = 60.0
PAUSE_S = (0.05, 0.5)
STAGING_LOCK_MS = 5000  # above deadlock_timeout: an autovacuum of the staging table gives way then
_Target, _Generation = sync_model.SyncTarget, sync_model.SyncGeneration


def swap(
    engine: sa.Engine,
    held: lock.Claim,
    staging: relation.Name,
    rows: int,
    *,
    budget_s: float = BUDGET_S,
    check: Callable[[], None] = lambda: None,
) -> int:
    """Put the staging table before readers, and keep the old one; the new generation's number.

    Raises errors.LeaseLost when another run claimed the target meanwhile, errors.RetryLater when readers' transactions
    left no gap within `budget_s` seconds; nothing has changed then.
    """

    def once(connection: sa.Connection) -> int:
        check()
        target = lock.verify(connection, held)
        number = _next_generation(connection, held.job.relation.key)
        parked = exchange(connection, held.job, staging, target.generation)
        for column in held.job.columns:
            if column.description:
                postgres.run(
                    connection,
                    f"COMMENT ON COLUMN {held.job.relation}.{relation.quoted(column.name)}"
                    f" IS {relation.literal(column.description)}",
                )
        park(connection, held.job.relation, target.generation, parked, held.run_id)
        connection.execute(
            sa.insert(_Generation).values(
                target=held.job.relation.key,
                generation=number,
                run_id=held.run_id,
                relation=held.job.relation.table,
                rows=rows,
            )
        )
        show(connection, held.job.relation.key, number)
        lock.finish(connection, held, "COMPLETE", generation=number, rows=rows)
        return number

    return patiently(engine, once, held.job.relation.key, budget_s)


def patiently(engine: sa.Engine, once: Callable[[sa.Connection], int], target: str, budget_s: float = BUDGET_S) -> int:
    """Run `once` in a transaction, again and again while a lock cannot be had in time."""

    def attempt() -> int:
        with postgres.transaction(engine) as connection:
            return once(connection)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(postgres.Busy),
        stop=tenacity.stop_after_delay(budget_s),
        wait=tenacity.wait_random(*PAUSE_S),
        reraise=True,
    )
    try:
        return retrying(attempt)
    except postgres.Busy as error:
        raise errors.RetryLater(
            f"{target} was never free within {budget_s:.0f} s: long transactions hold it; its rows stay as they were",
            retry_after_s=300,
        ) from error


def exchange(
    connection: sa.Connection, wanted: job.Job, incoming: relation.Name, generation: int
) -> relation.Name | None:
    """`incoming` becomes the target; the table that was, if any, is kept under its generation's name, which is given.

    The views follow, and the new table takes over comments, grants and owner. Raises errors.Fatal naming what could not
    be taken along.
    """
    live = wanted.relation
    postgres.run(connection, f"SET LOCAL lock_timeout = {STAGING_LOCK_MS}")
    postgres.run(connection, f"LOCK TABLE {incoming} IN ACCESS EXCLUSIVE MODE")
    postgres.run(connection, f"COMMENT ON TABLE {incoming} IS NULL")
    if not catalog.exists(connection, live):
        _rename(connection, incoming, live)
        return None
    views = _lock(connection, live)
    suitable.require(wanted, suitable.target_problems(connection, wanted))
    for statement in catalog.carried(connection, live, incoming):
        postgres.run(connection, statement)
    parked = live.kept(generation)
    _rename(connection, live, parked, f"__g{generation}")
    _rename(connection, incoming, live)
    for view in reversed(views):
        postgres.run(connection, view.rebind())
    return parked


def park(
    connection: sa.Connection,
    live: relation.Name,
    generation: int,
    parked: relation.Name | None,
    run_id: uuid.UUID,
) -> None:
    """Write down what became of the generation that was live; a table that no sync made is generation 0."""
    if parked is None:
        connection.execute(
            sa.update(_Generation)
            .where(_Generation.target == live.key, _Generation.generation == generation)
            .values(relation=None, dropped_at=sa.func.now())
        )
        return
    changed = connection.execute(
        sa.update(_Generation)
        .where(_Generation.target == live.key, _Generation.generation == generation)
        .values(relation=parked.table)
    )
    if changed.rowcount == 0:
        estimate = sa.text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(:name)")
        rows = int(connection.execute(estimate, {"name": str(parked)}).scalar_one())
        connection.execute(
            sa.insert(_Generation).values(
                target=live.key, generation=generation, run_id=run_id, relation=parked.table, rows=rows
            )
        )


def show(connection: sa.Connection, target: str, generation: int) -> None:
    """Write down which generation readers see."""
    connection.execute(
        sa.update(_Target)
        .where(_Target.target == target)
        .values(generation=generation, swapped_at=sa.func.clock_timestamp())
    )


def _next_generation(connection: sa.Connection, target: str) -> int:
    highest = connection.execute(
        sa.select(sa.func.max(_Generation.generation)).where(_Generation.target == target)
    ).scalar()
    return int(highest or 0) + 1


def _lock(connection: sa.Connection, live: relation.Name) -> list[catalog.View]:
    """Lock the views, then the table, as its readers do, all within PATIENCE_MS; the views."""
    before = catalog.views(connection, live)
    deadline = time.monotonic() + PATIENCE_MS / 1000
    for statement in [*(view.lock() for view in before), f"LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE"]:
        left = max(1, int((deadline - time.monotonic()) * 1000))
        postgres.run(connection, f"SET LOCAL lock_timeout = {left}")
        postgres.run(connection, statement)
    views = catalog.views(connection, live)
    if views != before:
        raise postgres.Busy("a view was made or changed in the meantime")
    return views


def _rename(connection: sa.Connection, table: relation.Name, to: relation.Name, suffix: str = "") -> None:
    """Rename a table and its indexes; these lose the suffix of what they were and get this one."""
    for name in catalog.indexes(connection, table):
        new = relation.generated(relation.plain(name), suffix) if suffix else relation.plain(name)
        if name != new:
            postgres.run(connection, f"ALTER INDEX {table.sibling(name)} RENAME TO {relation.quoted(new)}")
    postgres.run(connection, f"ALTER TABLE {table} RENAME TO {relation.quoted(to.table)}")
