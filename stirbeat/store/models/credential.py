"""`credential`: who may call a provider. The secret is kept encrypted; nothing here can read it."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from stirbeat.store.models import base


class Credential(base.Base):
    """`enabled` belongs to people (and to a token found invalid); `disabled_till` to backoff. Eligible: enabled, and
    `disabled_till` null or past."""

    __tablename__ = "credential"
    __table_args__ = (
        sa.UniqueConstraint("provider", "name"),
        sa.CheckConstraint("weight > 0", name="weight"),
        sa.CheckConstraint("failures >= 0", name="failures"),
    )

    id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True, server_default=sa.func.gen_random_uuid())
    provider: orm.Mapped[str]
    name: orm.Mapped[str]
    app: orm.Mapped[str | None]
    account: orm.Mapped[dict[str, Any]] = orm.mapped_column(server_default=sa.text("'{}'::jsonb"))
    secret: orm.Mapped[bytes] = orm.mapped_column(sa.LargeBinary)
    weight: orm.Mapped[int] = orm.mapped_column(server_default="1")
    enabled: orm.Mapped[bool] = orm.mapped_column(server_default=sa.true())
    disabled_till: orm.Mapped[datetime.datetime | None]
    reason: orm.Mapped[str | None]
    failures: orm.Mapped[int] = orm.mapped_column(server_default="0")
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())


class Cooldown(base.Base):
    """A backoff wider or narrower than one credential: an app, a provider, or a credential for one function.

    `subject` is "app:<provider>:<app>", "provider:<name>" or "credential+function:<id>:<function>".
    """

    __tablename__ = "cooldown"

    subject: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    till: orm.Mapped[datetime.datetime]
    failures: orm.Mapped[int] = orm.mapped_column(server_default="1")
    reason: orm.Mapped[str | None]
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
