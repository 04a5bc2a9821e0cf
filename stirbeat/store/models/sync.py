"""The sync engine's own tables: the fencing token of each target, and the generations that were put before readers."""

from __future__ import annotations

import datetime
import uuid

import sqlalchemy as sa
from sqlalchemy import orm

from stirbeat.store.models import base


class SyncTarget(base.Base):
    """One target table. `fence` rises with every run that takes the lock; the swap checks that it still holds it."""

    __tablename__ = "sync_target"

    target: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    fence: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, server_default="0")
    generation: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, server_default="0")
    run_id: orm.Mapped[uuid.UUID | None]
    swapped_at: orm.Mapped[datetime.datetime | None]


class SyncGeneration(base.Base):
    """One set of rows that was, or is, the target. `relation` is the table that holds it now, None once dropped."""

    __tablename__ = "sync_generation"

    target: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    generation: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
    run_id: orm.Mapped[uuid.UUID]
    relation: orm.Mapped[str | None]
    rows: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    swapped_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
    dropped_at: orm.Mapped[datetime.datetime | None]
