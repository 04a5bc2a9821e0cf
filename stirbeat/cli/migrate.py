"""`stirbeat migrate`: brings Postgres and ClickHouse to this release."""

from __future__ import annotations

import click

from stirbeat import settings
from stirbeat.store import engine
from stirbeat.store import migrate as migrations
from stirbeat.warehouse import schema


@click.command()
def GROUP() -> None:
    """Bring the tables of Postgres and ClickHouse to what this release expects. Safe to run again."""
    configured = settings.get()
    migrations.upgrade(engine.create(configured))
    click.echo("Postgres is at the newest migration.")
    schema.migrate(configured)
    click.echo("ClickHouse has a table for every event.")
