"""The S3 object into a new table beside the target, through constant memory.

CREATE TABLE and COPY (FREEZE) share one transaction: every page comes out visible to all snapshots, also to one that is
older than the load, and needs no VACUUM after the swap.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2 import errorcodes

from stirbeat import errors
from stirbeat.sync import context, export, job, lock, postgres, relation
from stirbeat.sync import progress as progress_model

READ_BYTES = 1 << 20
REPORT_EVERY_S = 0.2
MARK = "stirbeat staging of run "  # only a table whose comment begins so is ever dropped as staging
_CONTEXT = re.compile(r"COPY .*?, line (\d+)(?:, column (.+?))?(?::|$)", re.DOTALL)
_DATA_CLASSES = ("22", "23")  # data exceptions and integrity violations
_log = logging.getLogger(__name__)


def load(
    surroundings: context.Context,
    held: lock.Claim,
    exported: export.Exported,
    check: Callable[[], None],
    report: progress_model.Report,
) -> relation.Name:
    """Create the run's staging table and fill it; its name.

    Raises errors.GuardRefused when a value does not fit its column or the number of rows is not what ClickHouse wrote.
    """
    staging = held.job.relation.staging(held.fence)
    with postgres.transaction(surroundings.engine) as connection:
        postgres.run(connection, _create(connection, held.job, staging))
        postgres.run(connection, f"COMMENT ON TABLE {staging} IS {relation.literal(f'{MARK}{held.run_id}')}")
        rows = _copy(connection, surroundings, held, exported, staging, check, report)
        if rows != exported.rows:
            raise errors.GuardRefused(
                f"{held.job.name}: ClickHouse wrote {exported.rows} rows, Postgres received {rows}; nothing was changed"
            )
    return staging


def _create(connection: sa.Connection, wanted: job.Job, staging: relation.Name) -> str:
    columns = ", ".join(
        f"{relation.quoted(column.name)} {column.type}{' NOT NULL' if wanted.required(column) else ''}"
        for column in wanted.columns
    )
    options = connection.execute(
        sa.text("SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = to_regclass(:name)"),
        {"name": str(wanted.relation)},
    ).scalar()
    return f"CREATE TABLE {staging} ({columns})" + (f" WITH ({options})" if options else "")


def _copy(
    connection: sa.Connection,
    surroundings: context.Context,
    held: lock.Claim,
    exported: export.Exported,
    staging: relation.Name,
    check: Callable[[], None],
    report: progress_model.Report,
) -> int:
    names = ", ".join(relation.quoted(column.name) for column in held.job.columns)
    statement = f"COPY {staging} ({names}) FROM STDIN (FORMAT text, FREEZE, ENCODING 'UTF8')"
    with surroundings.bucket.stream(exported.object) as body:
        source = _Source(body, exported, check, report)
        cursor = connection.connection.cursor()
        try:
            cursor.copy_expert(statement, source, size=READ_BYTES)
        except psycopg2.Error as error:
            if source.failure is not None:  # psycopg2 wraps what read() raises into an error of its own
                raise source.failure from error
            if (error.pgcode or "").startswith(_DATA_CLASSES):
                raise errors.GuardRefused(f"{held.job.name}: {_where(error)}; nothing was changed") from error
            raise
        return int(cursor.rowcount)


class _Source:
    """The object's body as COPY reads it; also looks after the lease and tells the progress."""

    def __init__(
        self, body: Any, exported: export.Exported, check: Callable[[], None], report: progress_model.Report
    ) -> None:
        self._body = body
        self._total = exported
        self._check = check
        self._report = report
        self._done = 0
        self._told = 0.0
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        """The next piece, at most `size` bytes; empty at the end."""
        try:
            self._check()
            piece: bytes = self._body.read(size if size > 0 else READ_BYTES)
            self._done += len(piece)
            if not piece or time.monotonic() - self._told > REPORT_EVERY_S:
                self._told = time.monotonic()
                size_total = self._total.object.bytes
                rows = self._total.rows * self._done // size_total if size_total else 0
                self._report(
                    progress_model.Progress(
                        "load", rows=rows, total_rows=self._total.rows, bytes=self._done, total_bytes=size_total
                    )
                )
        except BaseException as error:
            self.failure = error
            raise
        return piece


def _where(error: psycopg2.Error) -> str:
    """What COPY refused and where, without the value: it may be private."""
    if error.pgcode == errorcodes.NOT_NULL_VIOLATION:
        return f"column {error.diag.column_name} holds a NULL but must not"
    found = _CONTEXT.search(error.diag.context or "")
    place = f"column {found[2]}, line {found[1]} of the export" if found and found[2] else "a line of the export"
    return f"{place} does not fit its Postgres type ({errorcodes.lookup(error.pgcode or '')})"
