"""`stirbeat sync`: bring warehouse tables to Postgres, look at what happened, put an older generation back.

Exit status: 0 done; 1 `check` found problems; 2 it cannot work until something is changed; 3 a guard refused the new
rows; 4 not now, the same command can succeed later.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import click
import rich.console
import rich.markup
import rich.progress
import rich.table

from stirbeat import errors, settings
from stirbeat.sync import cleanup as cleanups
from stirbeat.sync import context, suitable
from stirbeat.sync import job as jobs
from stirbeat.sync import progress as progress_model
from stirbeat.sync import restore as restores
from stirbeat.sync import run as runs
from stirbeat.sync import status as statuses

PROBLEMS, FATAL, REFUSED, LATER = 1, 2, 3, 4
_P = ParamSpec("_P")

json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")


def _with_exit_status(command: Callable[_P, None]) -> Callable[_P, None]:
    """An error of ours becomes one sentence on standard error, and the exit status says what to do about it."""

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except errors.StirbeatError as error:
            code, hint = FATAL, ""
            if isinstance(error, errors.GuardRefused):
                code, hint = REFUSED, "; look at the mart, or change the job's guards"
            elif isinstance(error, errors.RetryLater):
                code, hint = LATER, f"; try again in {max(1, round(error.retry_after_s))} s"
            click.echo(f"stirbeat: {error}{hint}", err=True)
            sys.exit(code)

    return wrapped


@click.group(epilog="Exit status: 0 done, 1 problems found, 2 change something, 3 refused by a guard, 4 try later.")
def GROUP() -> None:
    """Bring warehouse tables to Postgres; look at runs, restore."""


@GROUP.command("list")
@json_option
@_with_exit_status
def list_(as_json: bool) -> None:
    """List every sync job."""
    found = jobs.collect(settings.get().plugins)
    if as_json:
        return _say(
            [
                {"job": one.name, "source": str(one.source), "target": one.relation.key, "description": one.description}
                for one in found.values()
            ]
        )
    rows = [
        (one.name, str(one.source), one.relation.key, str(len(one.columns)), one.description) for one in found.values()
    ]
    return _table(("job", "source", "target", "columns", "what"), rows)


@GROUP.command()
@click.argument("job", required=False)
@_with_exit_status
def check(job: str | None) -> None:
    """Say whether JOB, or every job, could run now: types, and what the target's swap would lose. Changes nothing."""
    surroundings, wanted = _surroundings(), _wanted(job)
    failed = False
    for one in wanted:
        problems = suitable.check(surroundings, one)
        failed = failed or bool(problems)
        click.echo(f"{one.name}: {'fine' if not problems else ''}")
        for problem in problems:
            click.echo(f"  {problem}")
    if failed:
        sys.exit(PROBLEMS)


@GROUP.command()
@click.argument("job")
@json_option
@_with_exit_status
def run(job: str, as_json: bool) -> None:
    """Run JOB now: export, load, guard, index, swap."""
    (wanted,) = _wanted(job)
    if as_json:
        return _say(_plain(runs.run(wanted, _surroundings())))
    with _Display() as display:
        result = runs.run(wanted, _surroundings(), display.tell)
    steps = ", ".join(f"{step} {taken:.2f} s" for step, taken in result.seconds.items())
    click.echo(
        f"{result.target}: {result.rows} rows ({result.bytes / 1e6:.1f} MB) in {sum(result.seconds.values()):.1f} s"
        f" are in front of readers as generation {result.generation} ({steps})"
    )
    return None


@GROUP.command()
@click.argument("job", required=False)
@json_option
@_with_exit_status
def status(job: str | None, as_json: bool) -> None:
    """Show what readers see, how old it is, and how the last run ended."""
    found = statuses.status(_surroundings().engine, _wanted(job))
    if as_json:
        return _say([_plain(one) for one in found])
    rows = [
        (
            one.job,
            one.target,
            str(one.generation or "-"),
            "-" if one.rows is None else str(one.rows),
            "never" if one.age_s is None else f"{one.age_s / 60:.0f} min ago",
            ", ".join(map(str, one.kept)) or "-",
            _ending(one.last),
        )
        for one in found
    ]
    return _table(("job", "target", "generation", "rows", "swapped", "kept", "last run"), rows)


@GROUP.command()
@click.argument("job")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Runs at most.")
@json_option
@_with_exit_status
def history(job: str, limit: int, as_json: bool) -> None:
    """Show the newest runs of JOB."""
    (wanted,) = _wanted(job)
    found = statuses.history(_surroundings().engine, wanted, limit)
    if as_json:
        return _say([_plain(one) for one in found])
    rows = [
        (
            f"{one.started_at:%Y-%m-%d %H:%M:%S}",
            _ending(one),
            "-" if one.generation is None else str(one.generation),
            "-" if one.rows is None else str(one.rows),
            "-" if one.seconds is None else f"{one.seconds:.1f}",
        )
        for one in found
    ]
    return _table(("started (UTC)", "end", "generation", "rows", "seconds"), rows)


@GROUP.command()
@click.argument("job")
@click.option("--generation", type=click.IntRange(0), help="Which one; the newest kept one by default.")
@_with_exit_status
def restore(job: str, generation: int | None) -> None:
    """Put a kept generation of JOB's table back in front of readers; the job's next run puts new rows there again."""
    (wanted,) = _wanted(job)
    number = restores.restore(_surroundings(), wanted, generation)
    click.echo(f"{wanted.relation.key}: generation {number} is in front of readers; the next run replaces it")


@GROUP.command()
@click.argument("job", required=False)
@_with_exit_status
def cleanup(job: str | None) -> None:
    """Take away staging tables, exports and old generations that no run needs any more."""
    surroundings = _surroundings()
    for one in _wanted(job):
        done = cleanups.cleanup(surroundings, one)
        tables = [*done.staging, *done.generations]
        click.echo(
            f"{one.name}: {len(tables)} tables ({', '.join(tables) or '-'}) and {done.objects} objects taken away"
        )


class _Display:
    """A bar for the step that runs: rows, megabytes a second, time left."""

    def __init__(self) -> None:
        self._bar = rich.progress.Progress(
            rich.progress.SpinnerColumn(),
            rich.progress.TextColumn("{task.description:<7}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[rows]}"),
            rich.progress.TextColumn("{task.fields[speed]}"),
            rich.progress.TimeRemainingColumn(),
            console=rich.console.Console(stderr=True),
            transient=True,
        )
        self._task: rich.progress.TaskID | None = None
        self._step = ""
        self._began = 0.0

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, now: progress_model.Progress) -> None:
        """Show where the run is."""
        if self._task is None or now.step != self._step:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._step, self._began = now.step, time.monotonic()
            self._task = self._bar.add_task(now.step, total=None, rows="", speed="")
        seconds = max(time.monotonic() - self._began, 0.001)
        self._bar.update(
            self._task,
            completed=now.bytes or now.rows,
            total=now.total_bytes or now.total_rows or None,
            rows=f"{now.rows:,} rows" if now.rows else "",
            speed=f"{now.bytes / seconds / 1e6:.1f} MB/s" if now.bytes else "",
        )


def _surroundings() -> context.Context:
    return context.build(settings.get(), throttled=False)


def _wanted(name: str | None) -> list[jobs.Job]:
    plugins = settings.get().plugins
    return [jobs.find(name, plugins)] if name else list(jobs.collect(plugins).values())


def _ending(past: statuses.Past | None) -> str:
    if past is None:
        return "-"
    if past.status == "RUNNING":
        return f"RUNNING ({past.step})"
    return past.status + (f": {past.reason}" if past.reason else "")


def _plain(value: Any) -> dict[str, object]:
    fields: Mapping[str, object] = dataclasses.asdict(value)
    return dict(fields)


def _say(value: object) -> None:
    click.echo(json.dumps(value, default=str, indent=2))


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    drawn = rich.table.Table(*columns, box=None)
    for row in rows:
        drawn.add_row(*map(rich.markup.escape, row))
    rich.console.Console().print(drawn)
