"""Brings the database to the newest migration."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command, config

from stirbeat import errors
from stirbeat.store import engine

# The migrations stand beside the package, in a checkout as in the image.
FOLDER = Path(__file__).resolve().parents[2] / "alembic"


def upgrade(database: sa.Engine, revision: str = "head") -> None:
    """Run every migration up to `revision`, in one transaction. Two at once take turns.

    Raises errors.SettingsError when the migrations are not where the package is, errors.ServiceUnavailable.
    """
    with engine.transaction(database) as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(hashtextextended('stirbeat migrate', 0))"))
        command.upgrade(_configured(connection), revision)


def downgrade(database: sa.Engine, revision: str = "base") -> None:
    """Undo migrations down to `revision`. Raises errors.ServiceUnavailable."""
    with engine.transaction(database) as connection:
        command.downgrade(_configured(connection), revision)


def _configured(connection: sa.Connection) -> config.Config:
    if not (FOLDER / "env.py").is_file():
        raise errors.SettingsError(f"there are no migrations in {FOLDER}; run from a checkout or the image")
    built = config.Config()
    built.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    built.attributes["connection"] = connection
    return built
