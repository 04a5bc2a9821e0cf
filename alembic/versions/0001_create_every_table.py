"""Create every table"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table"""

    op.create_table(
        "cooldown",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("till", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_cooldown")),
    )
    op.create_table(
        "credential",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("app", sa.Text(), nullable=True),
        sa.Column(
            "account", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("weight", sa.Integer(), server_default="1", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_till", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_credential_failures")),
        sa.CheckConstraint("weight > 0", name=op.f("ck_credential_weight")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credential")),
        sa.UniqueConstraint("provider", "name", name=op.f("uq_credential_provider_name")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "post",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("post_key", sa.Text(), nullable=False),
        sa.Column("post_id", sa.Text(), nullable=True),
        sa.Column("profile_key", sa.Text(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dimensions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("platform", "post_key", name=op.f("pk_post")),
    )
    op.create_index(op.f("ix_post_platform_profile_key"), "post", ["platform", "profile_key"], unique=False)
    op.create_table(
        "post_log",
        sa.Column("post_key", sa.Text(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("request_id", sa.UUID(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dimensions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_post_log")),
    )
    op.create_index(op.f("ix_post_log_observed_at"), "post_log", ["observed_at"], unique=False)
    op.create_index(
        op.f("ix_post_log_platform_post_key_observed_at"),
        "post_log",
        ["platform", "post_key", "observed_at"],
        unique=False,
    )
    op.create_table(
        "profile",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("profile_key", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=True),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("dimensions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("platform", "profile_key", name=op.f("pk_profile")),
    )
    op.create_table(
        "profile_log",
        sa.Column("profile_key", sa.Text(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("request_id", sa.UUID(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dimensions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_log")),
    )
    op.create_index(op.f("ix_profile_log_observed_at"), "profile_log", ["observed_at"], unique=False)
    op.create_index(
        op.f("ix_profile_log_platform_profile_key_observed_at"),
        "profile_log",
        ["platform", "profile_key", "observed_at"],
        unique=False,
    )
    op.create_table(
        "run",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="RUNNING", nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.CheckConstraint(
            "status in ('RUNNING','COMPLETE','FAILED','REFUSED','ABANDONED')", name=op.f("ck_run_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_kind_name_started_at"), "run", ["kind", "name", "started_at"], unique=False)
    op.create_index("uq_run_open", "run", ["kind", "name"], unique=True, postgresql_where=sa.text("status = 'RUNNING'"))
    op.create_table(
        "scrape_request_log",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("high", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("turn", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("abandoned", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "hops", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "learned", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("lease_token", sa.UUID(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("picked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status in ('PENDING','PROCESSING','COMPLETE','FAILED','EXPIRED','CANCELLED')",
            name=op.f("ck_scrape_request_log_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scrape_request_log")),
    )
    op.create_index("ix_scrape_request_log_created_at", "scrape_request_log", ["created_at"], unique=False)
    op.create_index("ix_scrape_request_log_flow_created_at", "scrape_request_log", ["flow", "created_at"], unique=False)
    op.create_index(
        "ix_scrape_request_log_open",
        "scrape_request_log",
        ["next_at"],
        unique=False,
        postgresql_where=sa.text("status in ('PENDING','PROCESSING')"),
    )
    op.create_table(
        "sync_generation",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.UUID(), nullable=False),
        sa.Column("relation", sa.Text(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("swapped_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("target", "generation", name=op.f("pk_sync_generation")),
    )
    op.create_table(
        "sync_target",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("run_id", sa.UUID(), nullable=True),
        sa.Column("swapped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_sync_target")),
    )


def downgrade() -> None:
    """Undo it."""

    op.drop_table("sync_target")
    op.drop_table("sync_generation")
    op.drop_index(
        "ix_scrape_request_log_open",
        table_name="scrape_request_log",
        postgresql_where=sa.text("status in ('PENDING','PROCESSING')"),
    )
    op.drop_index("ix_scrape_request_log_flow_created_at", table_name="scrape_request_log")
    op.drop_index("ix_scrape_request_log_created_at", table_name="scrape_request_log")
    op.drop_table("scrape_request_log")
    op.drop_index("uq_run_open", table_name="run", postgresql_where=sa.text("status = 'RUNNING'"))
    op.drop_index(op.f("ix_run_kind_name_started_at"), table_name="run")
    op.drop_table("run")
    op.drop_index(op.f("ix_profile_log_platform_profile_key_observed_at"), table_name="profile_log")
    op.drop_index(op.f("ix_profile_log_observed_at"), table_name="profile_log")
    op.drop_table("profile_log")
    op.drop_table("profile")
    op.drop_index(op.f("ix_post_log_platform_post_key_observed_at"), table_name="post_log")
    op.drop_index(op.f("ix_post_log_observed_at"), table_name="post_log")
    op.drop_table("post_log")
    op.drop_index(op.f("ix_post_platform_profile_key"), table_name="post")
    op.drop_table("post")
    op.drop_table("outbox")
    op.drop_table("credential")
    op.drop_table("cooldown")
