"""SIGKILL at every step: production stays whole, and the next run is clean without a hand."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from stirbeat import settings
from stirbeat.sync import bucket, context, job, progress, run


def killed(wanted: job.Job, configured: settings.Settings, step: str, when: str) -> int:
    """Run the job in a process of its own that kills itself in this step; how the process ended.

    when: at the step's "begin", "within" it, or before the first SQL statement of the step that begins so.
    """
    steps: list[str] = []

    def tell(now: progress.Progress) -> None:
        steps.append(now.step)
        if now.step == step and (when == "begin" or (when == "within" and (now.rows or now.bytes))):
            os.kill(os.getpid(), signal.SIGKILL)

    def before(connection: object, cursor: object, statement: str, *_: object) -> None:
        if steps[-1:] == [step] and statement.startswith(when):
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        try:
            surroundings = context.build(configured, throttled=False)
            sa.event.listen(surroundings.engine, "before_cursor_execute", before)
            run.run(wanted, surroundings, tell)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    ("step", "when"),
    [
        ("export", "begin"),
        ("export", "within"),
        ("load", "begin"),
        ("load", "within"),
        ("guard", "begin"),
        ("index", "begin"),
        ("index", "within"),
        ("swap", "begin"),
        ("swap", "ALTER VIEW"),
        ("swap", "LOCK TABLE"),
        ("swap", "ALTER INDEX"),
        ("swap", "ALTER TABLE"),
        ("swap", "CREATE OR REPLACE VIEW"),
        ("swap", "INSERT INTO sync_generation"),
        ("swap", "UPDATE run"),
        ("record", "begin"),
    ],
)
def test_after_a_kill_production_is_whole_and_the_next_run_is_clean(
    step: str,
    when: str,
    surroundings: context.Context,
    small: job.Job,
    fill: Callable[..., None],
    ask: Callable[[str], list[tuple[Any, ...]]],
    configured: settings.Settings,
) -> None:
    # given a good generation, and new rows
    fill(1000)
    run.run(small, surroundings)
    ask("create view seen as select count(*) as rows from small")
    fill(1001)

    # when the run of the new rows is killed
    ended = killed(small, configured, step, when)

    # then readers have one generation, whole
    assert ended == -signal.SIGKILL
    swapped = step == "record"
    assert ask("select count(*), count(n) from small") == [(1001, 1001) if swapped else (1000, 1000)]

    # and the next run works at once and leaves nothing behind
    fill(1002)
    result = run.run(small, surroundings)
    assert ask("select count(*), count(n), (select rows from seen) from small") == [(1002, 1002, 1002)]
    assert result.generation == (3 if swapped else 2)
    assert ask("select relname from pg_class where relname like 'small%' and relkind = 'r' order by 1") == [
        ("small",),
        (f"small__g{result.generation - 1}",),
    ]
    assert surroundings.bucket.folders(f"{bucket.PREFIX}/small") == {}
    assert ask("select status, count(*) from run group by 1 order by 1") == (
        [("COMPLETE", 3)] if swapped else [("ABANDONED", 1), ("COMPLETE", 2)]
    )


def test_clean_up_takes_no_table_that_only_looks_like_staging(
    surroundings: context.Context,
    small: job.Job,
    fill: Callable[..., None],
    ask: Callable[[str], list[tuple[Any, ...]]],
) -> None:
    # given tables of somebody else's with such names
    ask("create table small__s77 (x int)")
    ask("create table small__g0 (x int)")
    fill(3)
    run.run(dataclasses.replace(small, kept_generations=0), surroundings)
    assert ask("select relname from pg_class where relname like 'small%' and relkind = 'r' order by 1") == [
        ("small",),
        ("small__g0",),
        ("small__s77",),
    ]
