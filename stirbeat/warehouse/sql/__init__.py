"""The statements of this room, one a file, each described in its header. Values are always bound."""

from __future__ import annotations

import functools
from importlib import resources

import sqlalchemy as sa


@functools.cache
def load(name: str) -> sa.TextClause:
    """The statement in `<name>.sql`."""
    return sa.text(resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8"))
