"""The mart as one S3 object, written by ClickHouse itself: the rows never pass through this process.

Every attempt has a key of its own, so an old object is never loaded as a new one, and what a broken attempt left
behind is never read. An object counts only after the query's success, with the server's own count of rows, and a HEAD.
"""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Callable
from pathlib import Path

from stirbeat import errors
from stirbeat.sync import bucket, cast, clickhouse, context, job, lock
from stirbeat.sync import progress as progress_model

ATTEMPTS = 2
S3_ATTEMPTS = 8  # by ClickHouse, some seconds in all; its default of hundreds outlasts max_execution_time
_THROW = "throw"
_ALIAS = "__stirbeat_"  # ClickHouse reads an alias before a column of the same name, so no source may have it
# A `break` in any of these publishes a truncated file as a success.
_OVERFLOWS = ("read", "timeout", "join", "group_by", "sort", "result", "distinct", "set", "transfer")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """A finished object, and the rows ClickHouse says it wrote into it."""

    object: bucket.Object
    rows: int


def export(
    surroundings: context.Context,
    held: lock.Claim,
    check: Callable[[], None],
    report: progress_model.Report,
) -> Exported:
    """Export the job's source. A lost connection is tried once more, under a new key, once the first query is gone.

    Raises errors.Fatal when a column cannot be carried, errors.ServiceUnavailable naming the service that is away.
    """
    select = selection(held.job, surroundings.warehouse)
    for attempt in range(1, ATTEMPTS + 1):
        query_id = uuid.uuid4()
        key = f"{bucket.run_prefix(held.job.name, held.run_id)}/{query_id}.tsv"
        # Written down before the query starts: whoever takes over after a crash can end it.
        lock.note(surroundings.engine, held, step="export", attempt=str(query_id), key=key)

        def tell(read: int, total: int) -> None:
            check()
            report(progress_model.Progress("export", rows=read, total_rows=total))

        try:
            rows = surroundings.warehouse.execute(
                f"INSERT INTO FUNCTION s3({_quoted(surroundings.bucket.url(key))}, 'TabSeparated')\n{select}",
                query_id=str(query_id),
                settings=_settings(surroundings.export_s),
                progress=tell,
            )
            return Exported(surroundings.bucket.head(key), rows)
        except errors.ServiceUnavailable as error:
            lost = error.service == clickhouse.SERVICE
            if attempt == ATTEMPTS or not lost or not surroundings.warehouse.kill(str(query_id)):
                raise
            _log.warning("export of %s is tried again: %s", held.job.name, error)
    raise AssertionError("the last attempt returns or raises")


def selection(wanted: job.Job, warehouse: clickhouse.Warehouse) -> str:
    """The SELECT whose TabSeparated text is COPY's; raises errors.Fatal naming each column that has no exact way."""
    source = _source(wanted)
    plain = ", ".join(
        f"{column.expression or _identifier(column.name)} AS {_ALIAS}{n}" for n, column in _numbered(wanted)
    )
    types = [kind for _, kind in warehouse.columns(f"SELECT {plain} FROM {source}")]  # noqa: S608 (declared by the job)
    parts, problems = [], []
    for (n, column), kind in zip(_numbered(wanted), types, strict=True):
        try:
            parts.append(f"{cast.expression(f'{_ALIAS}{n}', kind, column.type)}")
        except cast.CannotCarry as error:
            problems.append(f"column {column.name}: {error}")
    if problems:
        raise errors.Fatal(f"sync {wanted.name} cannot run: {'; '.join(problems)}")
    return f"SELECT {', '.join(parts)} FROM (SELECT {plain} FROM {source})"  # noqa: S608 (declared by the job)


def _numbered(wanted: job.Job) -> list[tuple[int, job.Column]]:
    return list(enumerate(wanted.columns))


def _source(wanted: job.Job) -> str:
    if isinstance(wanted.source, Path):
        return f"(\n{wanted.source.read_text().strip().rstrip(';')}\n)"
    return ".".join(_identifier(part) for part in wanted.source.split("."))


def _settings(seconds: int) -> dict[str, object]:
    return {
        **cast.SETTINGS,
        **{f"{name}_overflow_mode": _THROW for name in _OVERFLOWS},
        "max_execution_time": seconds,
        "s3_check_objects_after_upload": 1,
        "s3_retry_attempts": S3_ATTEMPTS,
    }


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
