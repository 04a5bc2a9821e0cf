"""`stirbeat local`: the embedded stack."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import rich.console
import rich.live
import rich.table

from stirbeat.local import control, stack

COLOURS = {"healthy": "green", "elsewhere": "green", "crashed": "red", "stopped": "yellow"}
UNIT = 1_000_000  # bytes in the MB shown

# Variables of services that run elsewhere, and what goes with them.
PROVIDED = (
    *(name for kind in stack.SERVICES for name in (kind.key, *kind.companions)),
    "STIRBEAT_SECRET_KEYS",
    "STIRBEAT_FLOWER_USER",
    "STIRBEAT_FLOWER_PASSWORD",
)

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".stirbeat"),
    show_default=True,
    envvar="STIRBEAT_LOCAL_FOLDER",
    show_envvar=True,
    help="Data folder of the stack.",
)


@click.group()
def GROUP() -> None:
    """Start, stop and look at the local stack of real engines."""


def provided_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take each PROVIDED variable from the environment as a hidden option of that name."""
    for name in PROVIDED:
        option = "--" + name.removeprefix("STIRBEAT_").lower().replace("_", "-")
        command = click.option(option, name, envvar=name, hidden=True)(command)
    return command


@GROUP.command()
@folder_option
@click.option("--timeout", default=60.0, show_default=True, help="Seconds for all services to answer.")
@provided_options
def up(folder: Path, timeout: float, **provided: str | None) -> None:
    """Start the stack in the background; ready when this returns.

    A service whose variable is set (STIRBEAT_DATABASE_URL, STIRBEAT_BROKER_URL, STIRBEAT_REDIS_URL,
    STIRBEAT_CLICKHOUSE_URL, STIRBEAT_S3_ENDPOINT_URL, STIRBEAT_SIMULATOR_URL) is used, not started.
    """
    console = rich.console.Console()
    before = control.report(folder)
    given = {name: value for name, value in provided.items() if value}
    with _display(console) as show:
        now = control.up(folder, given, timeout, show)
    if before.phase == "up":
        console.print(table(now))
    if not now.healthy:
        _explain(now)
        click.echo("Start it afresh with: stirbeat local down && stirbeat local up", err=True)
        sys.exit(1)
    said = "already up" if before.phase == "up" else "up"
    console.print(
        f'The local stack is {said} in {folder}. Variables for clients: eval "$(stirbeat local env)"', soft_wrap=True
    )


@GROUP.command()
@folder_option
def down(folder: Path) -> None:
    """Stop the stack and everything it started."""
    click.echo(f"Local stack in {folder}: {control.down(folder)}.")


@GROUP.command()
@folder_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(folder: Path, as_json: bool) -> None:
    """Show how each service is; exit status 1 unless all are healthy."""
    now = control.report(folder)
    if as_json:
        click.echo(json.dumps({**asdict(now), "healthy": now.healthy}, indent=1))
    else:
        console = rich.console.Console()
        if now.services:
            console.print(table(now))
        _explain(now)
    sys.exit(0 if now.healthy else 1)


@GROUP.command()
@folder_option
def env(folder: Path) -> None:
    """Print the variables a client needs, for: eval "$(stirbeat local env)"."""
    for name, value in sorted(control.environment(folder).items()):
        click.echo(f"export {name}={shlex.quote(value)}")


def table(now: control.Report) -> rich.table.Table:
    """The services of a report, one a row."""
    grid = rich.table.Table(box=None, pad_edge=False)
    for heading in ("service", "state", "pid", "address", "memory"):
        grid.add_column(heading, justify="right" if heading in ("pid", "memory") else "left")
    for service in now.services:
        colour = COLOURS.get(service.state, "cyan")
        memory = f"{service.rss_bytes / UNIT:.0f} MB" if service.rss_bytes else ""
        grid.add_row(
            service.name,
            f"[{colour}]{service.state}[/{colour}]",
            str(service.pid or ""),
            service.url_without_secret or service.detail,
            memory,
        )
    return grid


class _display:
    """Progress: a table that changes in place on a terminal, a line for each change of state elsewhere."""

    def __init__(self, console: rich.console.Console) -> None:
        self._console = console
        self._live = rich.live.Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._said: dict[str, str] = {}

    def __enter__(self) -> Callable[[control.Report], None]:
        if self._live is not None:
            self._live.start()
        return self._show

    def __exit__(self, *_: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def _show(self, now: control.Report) -> None:
        if self._live is not None:
            self._live.update(table(now))
            return
        for service in now.services:
            if self._said.get(service.name) != service.state and service.state in ("healthy", "elsewhere", "crashed"):
                self._console.print(f"{service.name} {service.state} {service.url_without_secret}", soft_wrap=True)
            self._said[service.name] = service.state


def _explain(now: control.Report) -> None:
    """Say on standard error what is wrong, and where to look."""
    for service in now.broken:
        click.echo(f"{service.name} {service.state}: {service.detail}\n  Log: {service.log}", err=True)
    words = {
        "down": "The local stack is down; start it with: stirbeat local up",
        "failed": f"The last start failed: {now.error}",
        "killed": f"The local stack is gone: {now.error}; `stirbeat local up` recovers its folder",
        "held": f"The folder is in use by {now.error}, which is no supervisor of `stirbeat local`",
    }
    if now.phase in words:
        click.echo(words[now.phase], err=True)
