"""Runs migrations on the configured database, or on the connection that the caller hands over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from stirbeat import settings
from stirbeat.store import engine
from stirbeat.store.models import Base

# Rows of `CREATE TABLE` and the like must not wait behind readers for long, nor make others wait behind them.
LOCK_TIMEOUT = "5s"


def _ours(thing: object, name: str | None, kind: str, reflected: bool, compared_to: object) -> bool:
    """Tables that the sync engine makes are not the migrations' business."""
    return not (kind == "table" and reflected and compared_to is None)


def _run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        include_object=_ours,
    )
    with context.begin_transaction():
        connection.execute(sa.text(f"set local lock_timeout = '{LOCK_TIMEOUT}'"))
        context.run_migrations()


handed = context.config.attributes.get("connection")
if handed is not None:
    _run(handed)
else:
    with engine.create(settings.get()).connect() as connection:
        _run(connection)
        connection.commit()
