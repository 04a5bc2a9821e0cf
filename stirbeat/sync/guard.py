"""What the new rows must satisfy before readers see them. A refusal leaves everything as it was, with both numbers."""

from __future__ import annotations

import sqlalchemy as sa

from stirbeat import errors
from stirbeat.sync import job, lock, postgres, relation


def guard(engine: sa.Engine, held: lock.Claim, staging: relation.Name, rows: int) -> None:
    """Raises errors.GuardRefused with the first thing that is wrong. `rows` is what was loaded, counted by COPY."""
    with postgres.transaction(engine) as connection:
        before = live_rows(connection, held)
        problem = row_problem(held.job, rows, before) or _value_problem(connection, held.job, staging)
    if problem:
        raise errors.GuardRefused(f"{held.job.name}: {problem}; readers keep the rows they have")


def row_problem(wanted: job.Job, rows: int, before: int | None) -> str:
    """What is wrong with this number of rows, given the live one; "" if nothing."""
    guards = wanted.guards
    if rows == 0:
        return "" if guards.allow_empty else f"the mart is empty (0 rows now, {before or 0} before)"
    if rows < guards.minimum_rows:
        return f"only {rows} rows, at least {guards.minimum_rows} are needed"
    if before and rows < before * (1 - guards.max_shrink):
        return f"{rows} rows after {before} are over {guards.max_shrink:.0%} fewer"
    return ""


def live_rows(connection: sa.Connection, held: lock.Claim) -> int | None:
    """Rows of the live generation; counted where the target was not filled by a sync; None where there is none."""
    known = connection.execute(
        sa.text("SELECT rows FROM sync_generation WHERE target = :target AND generation = :generation"),
        {"target": held.job.relation.key, "generation": held.live_generation},
    ).scalar()
    if known is not None:
        return int(known)
    if connection.execute(sa.text("SELECT to_regclass(:name)"), {"name": str(held.job.relation)}).scalar() is None:
        return None
    return int(postgres.run(connection, f"SELECT count(*) FROM {held.job.relation}").scalar_one())  # noqa: S608 (quoted)


def _value_problem(connection: sa.Connection, wanted: job.Job, staging: relation.Name) -> str:
    """Ranges and accepted values, all in one pass over the staging table."""
    checks = [(_range_text(name, low, high), _range_sql(name, low, high)) for name, (low, high) in _ranges(wanted)]
    checks += [
        (f"column {name} holds values other than {', '.join(values)}", _accepted_sql(name, values))
        for name, values in wanted.guards.accepted.items()
    ]
    if not checks:
        return ""
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for _, condition in checks)
    row = postgres.run(connection, f"SELECT {counts} FROM {staging}").one()  # noqa: S608 (quoted names, own constants)
    return next((f"{text} in {count} rows" for (text, _), count in zip(checks, row, strict=True) if count), "")


def _ranges(wanted: job.Job) -> list[tuple[str, tuple[float | None, float | None]]]:
    return list(wanted.guards.ranges.items())


def _range_text(name: str, low: float | None, high: float | None) -> str:
    return f"column {name} is outside {'' if low is None else low}..{'' if high is None else high}"


def _range_sql(name: str, low: float | None, high: float | None) -> str:
    column = relation.quoted(name)
    limits = [f"{column} < {low!r}"] if low is not None else []
    limits += [f"{column} > {high!r}"] if high is not None else []
    return " OR ".join(limits) or "false"


def _accepted_sql(name: str, values: tuple[str, ...]) -> str:
    return f"{relation.quoted(name)}::text NOT IN ({', '.join(relation.literal(value) for value in values)})"
