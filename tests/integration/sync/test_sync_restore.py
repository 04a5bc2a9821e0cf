"""An older generation back in front of readers, clean-up, and the command line over both."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import click.testing
import pytest

from stirbeat import errors, settings
from stirbeat.cli import sync as cli
from stirbeat.sync import bucket, cleanup, context, job, progress, restore, run

Ask = Callable[[str], list[tuple[Any, ...]]]
Command = Callable[..., click.testing.Result]


@pytest.fixture
def command(configured: settings.Settings, small: job.Job, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Calls `stirbeat sync ...` with the small job as a plugin's."""
    plugin = types.ModuleType("acme_syncs")
    plugin.JOB = small  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_syncs", plugin)
    with_plugin = configured.model_copy(update={"plugins": ("acme_syncs",)})
    monkeypatch.setattr(settings, "get", lambda: with_plugin)
    runner = click.testing.CliRunner()
    return lambda *args: runner.invoke(cli.GROUP, args)


def test_a_restore_puts_the_rows_before_back_and_can_be_undone(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given three generations, two of them kept
    wanted = dataclasses.replace(small, kept_generations=2)
    for rows in (10, 11, 12):
        fill(rows)
        run.run(wanted, surroundings)
    ask("create view seen as select count(*) as rows from small")

    # when, then
    assert restore.restore(surroundings, wanted, 1) == 1
    assert ask("select * from seen") == [(10,)]
    assert restore.restore(surroundings, wanted) == 3
    assert ask("select * from seen") == [(12,)]
    assert ask("select indexname from pg_indexes where tablename = 'small' order by 1") == [
        ("ix_small_n",),
        ("small_pkey",),
    ]
    assert ask("select generation, relation from sync_generation order by 1") == [
        (1, "small__g1"),
        (2, "small__g2"),
        (3, "small"),
    ]
    for missing in (3, 9):
        with pytest.raises(errors.InvalidArgument, match=f"no generation {missing} beside the live one"):
            restore.restore(surroundings, wanted, missing)

    # and the next run goes on from there
    restore.restore(surroundings, wanted, 1)
    fill(13)
    assert run.run(wanted, surroundings).generation == 4
    assert ask("select * from seen") == [(13,)]


def test_there_is_nothing_to_restore_before_the_second_run(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None]
) -> None:
    fill(1)
    run.run(small, surroundings)
    with pytest.raises(errors.InvalidArgument, match="no older generation"):
        restore.restore(surroundings, small)


def test_a_generation_that_something_depends_on_is_not_dropped(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given a view that somebody made over a kept generation
    for rows in (10, 11):
        fill(rows)
        run.run(small, surroundings)
    ask("create view old as select * from small__g1")

    # when
    fill(12)
    run.run(small, surroundings)

    # then it stays until the view is gone
    assert ask("select count(*) from old") == [(10,)]
    ask("drop view old")
    assert cleanup.cleanup(surroundings, small).generations == ("small__g1",)
    assert ask("select to_regclass('small__g1'), (select relation from sync_generation where generation = 1)") == [
        (None, None)
    ]


def test_clean_up_takes_exports_of_runs_that_are_over_only(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given objects of a run that is over, and of one that this database does not know
    fill(5)
    over = run.run(small, surroundings)
    for folder in (over.run_id, "unknown"):
        key = f"{bucket.run_prefix('small', folder)}/x.tsv"
        surroundings.bucket.client.put_object(Bucket=surroundings.bucket.name, Key=key, Body=b"x")
    cleaned: list[int] = []

    def tell(now: progress.Progress) -> None:
        if now.step in {"export", "load"} and not now.rows:
            cleaned.append(cleanup.cleanup(surroundings, small).objects)

    # when it is cleaned while a run is under way
    run.run(small, surroundings, tell)

    # then that one was not disturbed, and the stranger's stays until it is old
    assert set(cleaned) == {0}
    assert list(surroundings.bucket.folders(f"{bucket.PREFIX}/small")) == ["unknown"]
    monkeypatch.setattr(cleanup, "UNKNOWN_FOR", -datetime.timedelta(minutes=1))
    assert cleanup.cleanup(surroundings, small).objects == 1


def test_the_command_line_runs_shows_and_restores(
    command: Command, surroundings: context.Context, fill: Callable[..., None], ask: Ask
) -> None:
    fill(10)
    assert "small: fine" in command("check", "small").output
    assert "10 rows" in command("run", "small").output
    fill(11)
    told = json.loads(command("run", "small", "--json").stdout)
    assert (told["rows"], told["generation"], set(told["seconds"]) > {"export", "swap"}) == (11, 2, True)
    (shown,) = json.loads(command("status", "small", "--json").stdout)
    assert (shown["rows"], shown["generation"], shown["kept"], shown["last"]["status"]) == (11, 2, [1], "COMPLETE")
    assert [one["generation"] for one in json.loads(command("history", "small", "--json").stdout)] == [2, 1]
    assert "COMPLETE" in command("history", "small").output
    assert "leaderboard" in command("status").output
    assert {"leaderboard", "small"} == {one["job"] for one in json.loads(command("list", "--json").stdout)}
    assert "generation 1 is in front" in command("restore", "small").output
    assert ask("select count(*) from small") == [(10,)]
    assert "0 tables" in command("cleanup", "small").output


def test_the_exit_status_says_what_to_do(
    command: Command, surroundings: context.Context, fill: Callable[..., None], ask: Ask
) -> None:
    # refused by a guard
    fill(query="SELECT 'k', 1, NULL WHERE 0")
    refused = command("run", "small")
    assert (refused.exit_code, "the mart is empty" in refused.stderr) == (3, True)

    # change something
    unknown = command("run", "nothing")
    assert (unknown.exit_code, "there are: leaderboard, small" in unknown.stderr) == (2, True)

    # problems found
    with surroundings.warehouse.connect() as client:
        client.execute("ALTER TABLE mart_small MODIFY COLUMN n Float64 DEFAULT 0")
    checked = command("check", "small")
    assert (checked.exit_code, "column n: Float64 cannot be carried" in checked.output) == (1, True)

    # not now
    with surroundings.warehouse.connect() as client:
        client.execute("ALTER TABLE mart_small MODIFY COLUMN n Int64")
    ask(
        "insert into run (id, kind, name, status, lease_until, worker, details) values"
        " (gen_random_uuid(), 'sync', 'small', 'RUNNING', now() + interval '1 minute', 'elsewhere:1', '{}')"
    )
    later = command("run", "small")
    assert (later.exit_code, "already running in elsewhere:1" in later.stderr) == (4, True)
