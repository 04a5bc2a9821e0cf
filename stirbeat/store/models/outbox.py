"""`outbox`: events waiting to be published. The relay deletes a row once the broker has confirmed it."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from stirbeat.store.models import base


class Outbox(base.Base):
    """One event, in the order of writing."""

    __tablename__ = "outbox"

    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    event_id: orm.Mapped[uuid.UUID]
    name: orm.Mapped[str]
    payload: orm.Mapped[dict[str, Any]]
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
