"""`run`: one row an execution of a long job (dbt, sync), with the lease that tells a live run from a dead one."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from stirbeat.store.models import base


class Run(base.Base):
    """kind: "transform" or "sync"; name: the dbt selector or the sync job. At most one open run a (kind, name).

    details: what the kind records (rows, generation, models with their status, seconds a step).
    """

    __tablename__ = "run"
    __table_args__ = (
        sa.CheckConstraint("status in ('RUNNING','COMPLETE','FAILED','REFUSED','ABANDONED')", name="status"),
        sa.Index("uq_run_open", "kind", "name", unique=True, postgresql_where=sa.text("status = 'RUNNING'")),
        sa.Index(None, "kind", "name", "started_at"),
    )

    id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True)
    kind: orm.Mapped[str]
    name: orm.Mapped[str]
    status: orm.Mapped[str] = orm.mapped_column(server_default="RUNNING")
    worker: orm.Mapped[str | None]
    step: orm.Mapped[str | None]
    started_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
    heartbeat_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
    lease_until: orm.Mapped[datetime.datetime]
    finished_at: orm.Mapped[datetime.datetime | None]
    reason: orm.Mapped[str | None]
    details: orm.Mapped[dict[str, Any]] = orm.mapped_column(server_default=sa.text("'{}'::jsonb"))
