"""`stirbeat transform`: build marts with dbt."""

from __future__ import annotations

import sys

import click
from rich import console, markup, table

from stirbeat import settings
from stirbeat.warehouse import transform

_COLOURS = {"success": "green", "pass": "green", "warn": "yellow", "skipped": "yellow"}


@click.group("transform")
def GROUP() -> None:
    """Build marts with dbt."""


@GROUP.command("run")
@click.argument("selector")
@click.option("--select", "more", multiple=True, help="One more selector; may be given again.")
@click.option("--full-refresh", is_flag=True, help="Rebuild incremental models from nothing.")
@click.option(
    "--timeout", default=transform.TIMEOUT_S, show_default=True, type=click.FloatRange(min=1), help="Seconds."
)
def run(selector: str, more: tuple[str, ...], full_refresh: bool, timeout: float) -> None:
    """Build and test what SELECTOR (such as tag:core) names. Exit status 1 when a model or a test fails."""
    result = transform.run(settings.get(), (selector, *more), full_refresh=full_refresh, timeout_s=timeout)
    console.Console().print(_models(result))
    click.echo(f"{len(result.nodes)} models and tests in {result.seconds:.1f} s")
    if not result.ok:
        click.echo(f"stirbeat: {result.problem}", err=True)
        sys.exit(1)


def _models(result: transform.Result) -> table.Table:
    drawn = table.Table("model or test", "status", "seconds", "message", box=None)
    for node in result.nodes:
        colour = _COLOURS.get(node.status, "red")
        message = markup.escape(" ".join(node.message.split())[:200])
        drawn.add_row(node.name, f"[{colour}]{node.status}[/]", f"{node.seconds:.2f}", message)
    return drawn
