"""`stirbeat sink`: store events in the warehouse."""

from __future__ import annotations

import logging

import click

from stirbeat import settings
from stirbeat.warehouse import lifetime, sink


@click.command("sink")
@click.option("--batch", default=sink.Options().size, show_default=True, type=click.IntRange(1, 30_000))
@click.option("--age", default=sink.Options().age_s, show_default=True, type=click.FloatRange(min=0), help="Seconds.")
@click.option("--until-idle", type=click.FloatRange(min=0), help="End after so many seconds without an event.")
def GROUP(batch: int, age: float, until_idle: float | None) -> None:
    """Store events from the queue in ClickHouse until SIGTERM, then store what is at hand."""
    configured = settings.get()
    logging.basicConfig(level=configured.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sink.run(configured, lifetime.stop_on_signals(), sink.Options(size=batch, age_s=age, until_idle_s=until_idle))
