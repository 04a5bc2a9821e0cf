"""The guards on the number of rows."""

from __future__ import annotations

import dataclasses

import pytest

from stirbeat.sync import guard, job

JOB = job.Job(name="j", source="m", target="t", columns=(job.Column("k", "text"),), key=("k",))


@pytest.mark.parametrize(
    ("rows", "before", "guards", "fine"),
    [
        (0, None, job.Guards(), False),
        (0, None, job.Guards(allow_empty=True), True),
        (0, 1000, job.Guards(allow_empty=True), True),
        (1, None, job.Guards(), True),
        (50, 100, job.Guards(), True),
        (49, 100, job.Guards(), False),
        (49, 100, job.Guards(max_shrink=1.0), True),
        (99, 100, job.Guards(max_shrink=0.0), False),
        (100, 100, job.Guards(max_shrink=0.0), True),
        (9, None, job.Guards(minimum_rows=10), False),
        (10, None, job.Guards(minimum_rows=10), True),
        (5, 0, job.Guards(), True),
    ],
)
def test_rows_are_refused_when_too_few(rows: int, before: int | None, guards: job.Guards, fine: bool) -> None:
    problem = guard.row_problem(dataclasses.replace(JOB, guards=guards), rows, before)
    assert (problem == "") == fine
    assert fine or str(rows) in problem
