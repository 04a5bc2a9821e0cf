"""SQL statements in files of their own, `<name>.sql`, each described in its header. Values are always bound."""

from __future__ import annotations

import functools
from importlib import resources

import sqlalchemy as sa


@functools.cache
def load(package: str, name: str) -> sa.TextClause:
    """The statement in `<name>.sql` of a package."""
    return sa.text(resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8"))
