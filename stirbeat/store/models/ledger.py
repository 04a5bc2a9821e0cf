"""`scrape_request_log`: one row a request. Its id is the Celery task id."""

from __future__ import annotations

import datetime
import enum
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from stirbeat.store.models import base


class Status(enum.StrEnum):
    """PENDING -> PROCESSING -> one of the terminal four."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


TERMINAL = frozenset({Status.COMPLETE, Status.FAILED, Status.EXPIRED, Status.CANCELLED})


class ScrapeRequest(base.Base):
    """A request's whole story.

    `turn` counts the messages that were sent for it: a message of an older turn is stale and is dropped, so a request
    never runs twice because two messages are about. `lease_token` fences the commit: an execution whose token is no
    longer in the row stores nothing.
    """

    __tablename__ = "scrape_request_log"
    __table_args__ = (
        sa.CheckConstraint(
            "status in ('PENDING','PROCESSING','COMPLETE','FAILED','EXPIRED','CANCELLED')", name="status"
        ),
        # What the janitor and the operator's lists look for; finished rows (nearly all) are not in it.
        sa.Index(
            "ix_scrape_request_log_open", "next_at", postgresql_where=sa.text("status in ('PENDING','PROCESSING')")
        ),
        sa.Index("ix_scrape_request_log_flow_created_at", "flow", "created_at"),
        sa.Index("ix_scrape_request_log_created_at", "created_at"),
    )

    id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True)
    flow: orm.Mapped[str]
    platform: orm.Mapped[str]
    target: orm.Mapped[str]
    params: orm.Mapped[dict[str, Any]]
    high: orm.Mapped[bool] = orm.mapped_column(server_default=sa.false())
    status: orm.Mapped[str] = orm.mapped_column(server_default=Status.PENDING.value)
    turn: orm.Mapped[int] = orm.mapped_column(server_default="0")
    attempts: orm.Mapped[int] = orm.mapped_column(server_default="0")
    # Executions that ended without a word: their worker was killed or lost its connection.
    abandoned: orm.Mapped[int] = orm.mapped_column(server_default="0")
    hops: orm.Mapped[list[Any]] = orm.mapped_column(server_default=sa.text("'[]'::jsonb"))
    # Facts that a hop paid for although it did not end the request (an account's id): the next one need not ask again.
    learned: orm.Mapped[dict[str, Any]] = orm.mapped_column(server_default=sa.text("'{}'::jsonb"))
    lease_token: orm.Mapped[uuid.UUID | None]
    worker: orm.Mapped[str | None]
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
    expires_at: orm.Mapped[datetime.datetime]
    # PENDING: when its message should have been picked up by; PROCESSING: when its lease ends.
    next_at: orm.Mapped[datetime.datetime] = orm.mapped_column(server_default=sa.func.now())
    picked_at: orm.Mapped[datetime.datetime | None]
    heartbeat_at: orm.Mapped[datetime.datetime | None]
    finished_at: orm.Mapped[datetime.datetime | None]
    error_kind: orm.Mapped[str | None]
    reason: orm.Mapped[str | None]
