"""`stirbeat settings`: every setting, where it comes from, and what it is for."""

from __future__ import annotations

import click
from pydantic_core import PydanticUndefined

from stirbeat import settings


@click.command()
def GROUP() -> None:
    """List every setting: its variable, its default and its meaning. Shows no value that is set."""
    for name, field in settings.Settings.model_fields.items():
        if field.default is PydanticUndefined:
            default = "required"
        else:
            value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
            default = f"default {value}" if value not in ("", None) else "optional"
        click.echo(f"{settings.PREFIX}{name.upper()}  ({default})\n    {field.description}")
