"""`stirbeat relay`: publish the outbox's events."""

from __future__ import annotations

import logging

import click

from stirbeat import settings
from stirbeat.warehouse import lifetime, relay


@click.command("relay")
@click.option("--batch", default=relay.Options().size, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--until-idle", type=click.FloatRange(min=0), help="End after so many seconds without an event.")
def GROUP(batch: int, until_idle: float | None) -> None:
    """Publish events from the outbox until SIGTERM, then finish the batch at hand."""
    configured = settings.get()
    logging.basicConfig(level=configured.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    relay.run(configured, lifetime.stop_on_signals(), relay.Options(size=batch, until_idle_s=until_idle))
