"""`stirbeat flower`: Flower behind a password."""

from __future__ import annotations

import os
import sys

import click

from stirbeat import errors, settings


@click.command()
def GROUP() -> None:
    """Run Flower on STIRBEAT_FLOWER_ADDRESS and STIRBEAT_FLOWER_PORT, behind its user and password.

    It shows every task, each hop as a retry with its reason.
    """
    configured = settings.get()
    if configured.flower_password is None:
        raise errors.SettingsError("STIRBEAT_FLOWER_PASSWORD is missing: Flower is not started without a password")
    user, password = configured.flower_user, configured.flower_password.get_secret_value()
    # Through the environment: an argument could be read by every user of the machine.
    environment = {**os.environ, "FLOWER_BASIC_AUTH": f"{user}:{password}"}
    arguments = [
        *(sys.executable, "-m", "celery", "-A", "stirbeat.app", "flower"),
        f"--address={configured.flower_address}",
        f"--port={configured.flower_port}",
        "--persistent=False",
        f"--logging={configured.log_level.lower()}",
    ]
    os.execve(sys.executable, arguments, environment)  # noqa: S606 (becomes Flower: no shell, no second process)
