"""The summary as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box, console, markup, panel, table

from stirbeat.cli.demo import summary


def show(out: console.Console, told: summary.Summary) -> None:
    """Print the summary."""
    out.print()
    out.print(_table("Requests by outcome", ("flow", "status", "error_kind", "requests", "mean_hops"), told.outcomes))
    out.print(_table("Hops by provider", ("provider", "kind", "hops", "mean_ms", "reason"), told.hops))
    spent = [{**row, "windows": ", ".join(row["windows"])} for row in told.credentials]
    out.print(_table("Calls spent a credential", ("provider", "credential", "calls", "windows", "state"), spent))
    out.print(_table("Events", ("event", "written", "arrived", "copies", "missing"), told.events))
    out.print(_table("Transforms", ("name", "status", "models_and_tests", "seconds"), told.transforms))
    out.print(_sync(told))
    out.print(
        _table(
            "The leaderboard's top ten, read from Postgres",
            ("followers_rank", "handle", "full_name", "followers", "posts_known", "engagement_rate"),
            told.top_ten,
        )
    )
    out.print(_checks(told.checks))
    memory = ", ".join(f"{name} {value:,.0f} MB" for name, value in told.memory_mb.items())
    timing = ", ".join(f"{name} {value:.1f} s" for name, value in told.seconds.items())
    out.print(f"[dim]Time:[/] {timing}\n[dim]Peak memory:[/] {memory}", highlight=False)
    out.print(
        f"[dim]Where to look:[/] Flower at {told.flower['url']} (user {told.flower['user']}) shows every task and hop, "
        "as long as the demo runs: --hold keeps it",
        highlight=False,
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> table.Table:
    drawn = table.Table(title=title, title_justify="left", box=box.SIMPLE, title_style="bold")
    for column in columns:
        numeric = column in {"requests", "hops", "calls", "written", "arrived", "copies", "missing", "followers"}
        drawn.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(row.get(column)) for column in columns))
    return drawn


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return markup.escape(str(value)[:90])


def _sync(told: summary.Summary) -> table.Table:
    steps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in told.sync.get("steps", {}).items())
    row = {**told.sync, "steps": steps, "kept": sum(not one["live"] for one in told.generations)}
    return _table("Swap", ("table", "status", "rows", "generation", "kept", "steps"), [row])


def _checks(checks: Sequence[summary.Check]) -> panel.Panel:
    lines = [
        f"[{'green' if check.holds else 'red'}]{'✓' if check.holds else '✗'}[/] {check.name} "
        f"[dim]({markup.escape(check.figures)})[/]"
        for check in checks
    ]
    good = all(check.holds for check in checks)
    return panel.Panel(
        "\n".join(lines), title="All is well" if good else "Not all is well", border_style="green" if good else "red"
    )
