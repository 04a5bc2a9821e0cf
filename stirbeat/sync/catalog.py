"""What Postgres's catalog says of a target: its indexes, its views, and what a swap could not take along."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa

from stirbeat.sync import postgres, relation

_HERE = Path(__file__).parent
_DEPENDENTS = (_HERE / "dependents.sql").read_text()
_VIEWS = (_HERE / "views.sql").read_text()
_CARRIED = (_HERE / "carried.sql").read_text()


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """A plain view over the target; names and owner quoted."""

    oid: int
    name: str
    owner: str
    definition: str
    options: str | None

    def rebind(self) -> str:
        """The statement that makes the view read whatever bears the target's name now; its grants stay."""
        options = f" WITH ({self.options})" if self.options else ""
        return f"CREATE OR REPLACE VIEW {self.name}{options} AS {self.definition}"

    def lock(self) -> str:
        """A change of nothing that takes the view's exclusive lock, and none on the tables below it."""
        return f"ALTER VIEW {self.name} OWNER TO {self.owner}"


def exists(connection: sa.Connection, name: relation.Name) -> bool:
    """Whether there is a relation of this name."""
    return connection.execute(sa.text("SELECT to_regclass(:name)"), {"name": str(name)}).scalar() is not None


def views(connection: sa.Connection, name: relation.Name) -> list[View]:
    """The views that read it directly, in the order in which their readers lock them."""
    path = postgres.run(connection, "SELECT current_setting('search_path')").scalar_one()
    postgres.run(connection, "SET LOCAL search_path = pg_catalog")
    rows = connection.exec_driver_sql(_VIEWS, {"relation": str(name)}).all()
    connection.execute(sa.text("SELECT set_config('search_path', :path, true)"), {"path": path})
    return [View(row.oid, row.name, row.owner, row.definition, row.options) for row in rows]


def dependents(connection: sa.Connection, name: relation.Name, declared: Collection[str], mark: str) -> list[str]:
    """Why it cannot be swapped, a sentence each; empty when it can.

    Indexes that are neither `declared`, by name, nor bear the comment `mark` would be lost.
    """
    bound = {"relation": str(name), "declared": list(declared), "mark": mark}
    return [str(row.problem) for row in connection.exec_driver_sql(_DEPENDENTS, bound)]


def carried(connection: sa.Connection, outgoing: relation.Name, incoming: relation.Name) -> list[str]:
    """Statements that give the incoming table the outgoing one's comments, grants and owner."""
    bound = {"outgoing": str(outgoing), "incoming": str(incoming)}
    return [str(row.statement) for row in connection.exec_driver_sql(_CARRIED, bound)]


def columns(connection: sa.Connection, name: relation.Name) -> dict[str, str]:
    """Column name -> Postgres type."""
    rows = connection.execute(
        sa.text(
            "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute"
            " WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ),
        {"name": str(name)},
    )
    return {row.attname: row.type for row in rows}


def indexes(connection: sa.Connection, name: relation.Name) -> list[str]:
    """Names of its indexes, those of constraints too."""
    rows = connection.execute(
        sa.text(
            "SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
            " WHERE x.indrelid = to_regclass(:name) ORDER BY c.relname"
        ),
        {"name": str(name)},
    )
    return [str(row.relname) for row in rows]
