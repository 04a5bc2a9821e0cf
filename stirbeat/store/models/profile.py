"""`profile`, `post` and their logs: what is known now, and every answer that said so."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from stirbeat.store.models import base


class Profile(base.Base):
    """What is known of an account. Keyed by the platform's natural key, because vendors' ids are of different
    namespaces (docs/decisions)."""

    __tablename__ = "profile"

    platform: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    profile_key: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    profile_id: orm.Mapped[str | None]
    handle: orm.Mapped[str | None]
    dimensions: orm.Mapped[dict[str, Any]]
    metrics: orm.Mapped[dict[str, Any]]
    source: orm.Mapped[str]
    observed_at: orm.Mapped[datetime.datetime]
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())


class Post(base.Base):
    """What is known of a post."""

    __tablename__ = "post"
    __table_args__ = (sa.Index(None, "platform", "profile_key"),)

    platform: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    post_key: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    post_id: orm.Mapped[str | None]
    profile_key: orm.Mapped[str | None]
    published_at: orm.Mapped[datetime.datetime | None]
    dimensions: orm.Mapped[dict[str, Any]]
    metrics: orm.Mapped[dict[str, Any]]
    source: orm.Mapped[str]
    observed_at: orm.Mapped[datetime.datetime]
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())


class _Log:
    """One answer. Its id is the id of the event that tells the warehouse."""

    id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True)
    request_id: orm.Mapped[uuid.UUID]
    platform: orm.Mapped[str]
    source: orm.Mapped[str]
    observed_at: orm.Mapped[datetime.datetime]
    dimensions: orm.Mapped[dict[str, Any]]
    metrics: orm.Mapped[dict[str, Any]]


class ProfileLog(_Log, base.Base):
    """One answer about a profile."""

    __tablename__ = "profile_log"
    __table_args__ = (sa.Index(None, "platform", "profile_key", "observed_at"), sa.Index(None, "observed_at"))

    profile_key: orm.Mapped[str]


class PostLog(_Log, base.Base):
    """One answer about a post."""

    __tablename__ = "post_log"
    __table_args__ = (sa.Index(None, "platform", "post_key", "observed_at"), sa.Index(None, "observed_at"))

    post_key: orm.Mapped[str]
