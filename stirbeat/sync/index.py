"""The primary key, the indexes and the planner's statistics, all made on the staging table, before readers see it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import sqlalchemy as sa
from psycopg2 import errorcodes
from sqlalchemy import exc

from stirbeat import errors
from stirbeat.sync import job, lock, postgres, relation
from stirbeat.sync import progress as progress_model

MAINTENANCE_MEMORY = "256MB"
MARK = "made by a stirbeat sync"  # an index with this comment may go when its job no longer declares it


def index(
    engine: sa.Engine,
    held: lock.Claim,
    staging: relation.Name,
    check: Callable[[], None],
    report: progress_model.Report,
) -> None:
    """Index and analyze the staging table.

    Raises errors.GuardRefused when the key, or a unique index, has duplicates.
    """
    statements = _statements(held.job, staging, f"__s{held.fence}")
    with postgres.transaction(engine) as connection:
        postgres.run(connection, f"SET LOCAL maintenance_work_mem = '{MAINTENANCE_MEMORY}'")
        for done, statement in enumerate(statements):
            check()
            report(progress_model.Progress("index", rows=done, total_rows=len(statements)))
            try:
                postgres.run(connection, statement)
            except exc.IntegrityError as error:
                raise _duplicate(held.job, error) from error


def _statements(wanted: job.Job, staging: relation.Name, suffix: str) -> list[str]:
    """Each index under its name of now, marked as ours, then the statistics."""

    def named(name: str) -> str:
        return relation.quoted(relation.generated(name, suffix))

    def listed(columns: tuple[str, ...]) -> str:
        return ", ".join(relation.quoted(column) for column in columns)

    def marked(name: str) -> str:
        return f"COMMENT ON INDEX {staging.sibling(relation.generated(name, suffix))} IS {relation.literal(MARK)}"

    key = f"ALTER TABLE {staging} ADD CONSTRAINT {named(wanted.key_name)} PRIMARY KEY ({listed(wanted.key)})"
    statements = [key, marked(wanted.key_name)]
    for wish in wanted.indexes:
        name = wanted.index_name(wish)
        unique = "UNIQUE " if wish.unique else ""
        statements += [f"CREATE {unique}INDEX {named(name)} ON {staging} ({listed(wish.columns)})", marked(name)]
    return [*statements, f"ANALYZE {staging}"]


def _duplicate(wanted: job.Job, error: exc.IntegrityError) -> errors.StirbeatError:
    cause = error.orig
    if not isinstance(cause, psycopg2.Error) or cause.pgcode != errorcodes.UNIQUE_VIOLATION:
        return postgres.translated(cause if isinstance(cause, psycopg2.Error) else None)
    detail = (cause.diag.message_detail or "a unique index has duplicates").rstrip(".")
    return errors.GuardRefused(f"{wanted.name}: {detail}; readers keep the rows they have")
