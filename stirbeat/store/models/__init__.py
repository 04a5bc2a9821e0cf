"""Every table of the Postgres side. Importing this package fills `Base.metadata`, which alembic compares with."""

from stirbeat.store.models import credential, ledger, outbox, profile, run, sync
from stirbeat.store.models.base import Base

__all__ = ["Base", "credential", "ledger", "outbox", "profile", "run", "sync"]
