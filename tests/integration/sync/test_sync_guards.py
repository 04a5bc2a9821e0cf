"""A guard refuses: readers keep the rows they have, nothing is left behind, and the reason is written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from stirbeat import errors
from stirbeat.sync import bucket, context, job, run

ROWS = "SELECT concat('k', toString(number)), number, NULL FROM numbers(10)"


@pytest.mark.parametrize(
    ("query", "guards", "says"),
    [
        ("SELECT 'k', 1, NULL WHERE 0", job.Guards(), r"empty \(0 rows now, 10 before\)"),
        (ROWS + " LIMIT 4", job.Guards(), "4 rows after 10 are over 50% fewer"),
        (ROWS + " LIMIT 9", job.Guards(minimum_rows=10), "only 9 rows, at least 10"),
        (ROWS + " UNION ALL SELECT 'k3', 1, NULL", job.Guards(), r"Key \(k\)=\(k3\) is duplicated"),
        (ROWS, job.Guards(ranges={"n": (0, 7)}), r"column n is outside 0..7 in 2 rows"),
        (ROWS, job.Guards(ranges={"n": (3, None)}), r"column n is outside 3.. in 3 rows"),
        (
            "SELECT concat('k', toString(number)), 1, 'it''s %s' FROM numbers(10)",
            job.Guards(accepted={"note": ("it's", "100%")}),
            "column note holds values other than it's, 100% in 10 rows",
        ),
    ],
    ids=["empty", "shrunk", "few", "duplicate", "high", "low", "unaccepted"],
)
def test_a_refusal_leaves_everything_as_it_was(
    query: str,
    guards: job.Guards,
    says: str,
    surroundings: context.Context,
    small: job.Job,
    fill: Callable[..., None],
    ask: Callable[[str], list[tuple[Any, ...]]],
) -> None:
    # given a good generation in front of readers
    fill(10)
    run.run(small, surroundings)
    before = ask("select 'small'::regclass::oid, count(*), sum(n) from small")

    # when
    fill(query=query)
    with pytest.raises(errors.GuardRefused, match=says):
        run.run(dataclasses.replace(small, guards=guards), surroundings)

    # then
    assert ask("select 'small'::regclass::oid, count(*), sum(n) from small") == before
    assert ask("select relname from pg_class where relname like 'small__%' and relkind = 'r'") == []
    assert surroundings.bucket.folders(f"{bucket.PREFIX}/small") == {}
    ((status, reason),) = ask("select status, reason from run order by started_at desc limit 1")
    assert status == "REFUSED"
    assert reason.startswith("small: ")
    assert ask("select generation from sync_target") == [(1,)]


def test_a_null_in_a_required_column_is_refused_with_the_columns_name(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None]
) -> None:
    fill(query="SELECT 'k', NULL, NULL")
    required = (small.columns[0], dataclasses.replace(small.columns[1], nullable=False), small.columns[2])
    with pytest.raises(errors.GuardRefused, match="column n holds a NULL"):
        run.run(dataclasses.replace(small, columns=required), surroundings)


def test_a_value_that_does_not_fit_is_refused_without_being_shown(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None]
) -> None:
    # given a UInt64 above what bigint holds
    fill(1)
    columns = (small.columns[0], job.Column("n", "bigint", "toUInt64(18446744073709551615)"), small.columns[2])

    # when, then
    with pytest.raises(errors.GuardRefused, match="column n, line 1 of the export does not fit") as caught:
        run.run(dataclasses.replace(small, columns=columns), surroundings)
    assert "18446744073709551615" not in str(caught.value)


def test_an_empty_mart_is_swapped_in_where_the_job_allows_it(
    surroundings: context.Context,
    small: job.Job,
    fill: Callable[..., None],
    ask: Callable[[str], list[tuple[Any, ...]]],
) -> None:
    fill(10)
    run.run(small, surroundings)
    fill(query="SELECT 'k', 1, NULL WHERE 0")
    result = run.run(dataclasses.replace(small, guards=job.Guards(allow_empty=True)), surroundings)
    assert (result.rows, result.bytes) == (0, 0)
    assert ask("select count(*) from small") == [(0,)]


def test_a_mart_that_does_not_exist_is_told_so(surroundings: context.Context, small: job.Job) -> None:
    with pytest.raises(errors.Fatal, match="run dbt first"):
        run.run(dataclasses.replace(small, source="no_such_mart"), surroundings)
