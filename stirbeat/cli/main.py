"""`stirbeat`: the one command. Each group lives in a file of its own and is imported when it is asked for."""

from __future__ import annotations

import importlib
import sys

import click

from stirbeat import errors

# name -> one line of help; the module stirbeat.cli.<name> exports GROUP.
COMMANDS = {
    "demo": "See the whole system work on real engines.",
    "local": "Start, stop and look at the local stack of real engines.",
    "submit": "Ask for something: one scrape request.",
    "credentials": "Who may call a provider: add, list, enable, disable.",
    "schedule": "What will run when, and why not.",
    "transform": "Run dbt.",
    "sync": "Bring warehouse tables to Postgres; look at runs, restore.",
    "worker": "Run a worker of a group.",
    "beat": "Run the timetable.",
    "relay": "Publish events from the outbox.",
    "sink": "Bring events to ClickHouse.",
    "flower": "Run Flower behind a password.",
    "migrate": "Bring the databases to this release.",
    "settings": "List every setting.",
}


class _Lazy(click.Group):
    """Imports a command's module only when it is called, so that `stirbeat --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"stirbeat.cli.{cmd_name}").GROUP
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy)
@click.version_option(package_name="stirbeat")
def cli() -> None:
    """Scrape social platforms through many providers, and bring warehouse marts to Postgres."""


def main() -> None:
    """Run the command; an error of ours becomes one sentence on standard error and exit status 2."""
    try:
        cli()
    except errors.StirbeatError as error:
        click.echo(f"stirbeat: {error}", err=True)
        sys.exit(2)
