"""`stirbeat beat`: sends what the timetable says is due."""

from __future__ import annotations

import click

from stirbeat import settings


@click.command()
def GROUP() -> None:
    """Run a beat until SIGTERM. A second one stands by and takes over when the first is gone."""
    from stirbeat import app

    app.app.start(["beat", f"--loglevel={settings.get().log_level}", "--pidfile="])
