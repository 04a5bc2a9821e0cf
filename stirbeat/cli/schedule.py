"""`stirbeat schedule`: what will run when, and why not."""

from __future__ import annotations

import datetime
import itertools
import json

import click
import rich.console
import rich.table

from stirbeat import settings
from stirbeat.schedule import forecast, pause, row, timetable

# A row that does not fire within this time is shown as held: longer than any yearly row's distance.
HORIZON = datetime.timedelta(days=2 * 366)


def _time(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime.datetime:
    """The given time, or now, in UTC; a time without a zone is UTC."""
    if value is None:
        return datetime.datetime.now(datetime.UTC)
    try:
        at = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time; write it like 2026-03-01T18:59 (UTC)") from None
    return at.replace(tzinfo=datetime.UTC) if at.tzinfo is None else at.astimezone(datetime.UTC)


at_option = click.option(
    "--at", metavar="TIME", callback=_time, help="As of this time instead of now (UTC unless it names a zone)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group()
def GROUP() -> None:
    """Show the timetable, and what it will do."""


@GROUP.command(name="list")
@at_option
@json_option
def list_(at: datetime.datetime, as_json: bool) -> None:
    """Show every row of the timetable with the next time it fires."""
    configured = settings.get()
    windows = pause.windows(configured.pause_windows)
    rows = timetable.rows(configured.plugins)
    shown = [(entry, forecast.next_firing(entry, windows, at, within=HORIZON)) for entry in rows]
    if as_json:
        click.echo(json.dumps([_row_json(entry, firing) for entry, firing in shown], indent=1))
        return
    grid = rich.table.Table(box=None, pad_edge=False)
    for heading in ("row", "cron (UTC)", "next (UTC)"):
        grid.add_column(heading, no_wrap=True)
    for heading in ("task", "pausable", "catch up", "budget"):
        grid.add_column(heading, overflow="fold")
    for entry, firing in shown:
        arguments = "".join(f" {name}={value}" for name, value in entry.kwargs.items())
        grid.add_row(
            entry.name,
            entry.cron,
            "never: always paused" if firing is None else f"{firing.at:%Y-%m-%d %H:%M}",
            entry.task + arguments,
            "yes" if entry.pausable else "no",
            entry.catch_up,
            "" if entry.budget_s is None else str(datetime.timedelta(seconds=entry.budget_s)),
        )
    console = rich.console.Console()
    console.print(grid)
    console.print(f"Pause windows (UTC): {', '.join(windows.texts) or 'none'}; it is {at:%Y-%m-%d %H:%M} UTC")


@GROUP.command(name="next")
@at_option
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Lines to show.")
@click.option("--row", "names", multiple=True, help="Only this row; may be given several times.")
@json_option
def next_(at: datetime.datetime, count: int, names: tuple[str, ...], as_json: bool) -> None:
    """Play the timetable forward: what fires, what is held, and why.

    \b
    stirbeat schedule next --at 2026-03-01T18:40
    stirbeat schedule next --row transform_core --count 40
    """
    configured = settings.get()
    windows = pause.windows(configured.pause_windows)
    rows = timetable.rows(configured.plugins)
    unknown = sorted(set(names) - {entry.name for entry in rows})
    if unknown:
        raise click.UsageError(f"there is no row {', '.join(unknown)}; `stirbeat schedule list` shows them")
    chosen = [entry for entry in rows if not names or entry.name in names]
    upcoming = list(itertools.islice(forecast.merged(chosen, windows, at), count))
    if as_json:
        click.echo(json.dumps([_occurrence_json(occurrence) for occurrence in upcoming], indent=1))
        return
    grid = rich.table.Table(box=None, pad_edge=False)
    for heading in ("time (UTC)", "row", "", "why"):
        grid.add_column(heading)
    for occurrence in upcoming:
        fires = "[green]fires[/green]" if occurrence.fires else "[yellow]held[/yellow]"
        grid.add_row(f"{occurrence.at:%Y-%m-%d %H:%M}", occurrence.row, fires, occurrence.why)
    rich.console.Console().print(grid)


def _row_json(entry: row.Row, firing: forecast.Occurrence | None) -> dict[str, object]:
    return {
        "name": entry.name,
        "cron": entry.cron,
        "task": entry.task,
        "kwargs": dict(entry.kwargs),
        "pausable": entry.pausable,
        "catch_up": entry.catch_up,
        "budget_s": entry.budget_s,
        "next": None if firing is None else firing.at.isoformat(),
    }


def _occurrence_json(occurrence: forecast.Occurrence) -> dict[str, object]:
    return {
        "at": occurrence.at.isoformat(),
        "row": occurrence.row,
        "fires": occurrence.fires,
        "why": occurrence.why,
    }
