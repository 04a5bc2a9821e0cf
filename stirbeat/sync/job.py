"""A sync job is a declaration: what to read from the warehouse, how it looks in Postgres, and what it must satisfy.

A file `sync/jobs/<name>.py`, ours or a plugin's, exports it as JOB; nothing else has to be registered.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from stirbeat import errors, registry
from stirbeat.sync import relation

ROOM = "sync.jobs"
CONSTANT = "JOB"
KEPT_GENERATIONS = 1  # older ones beside the live one

# The Postgres types a column may have; `sync check` decides which warehouse type fits which of them.
POSTGRES_TYPE = re.compile(
    r"^(text|boolean|smallint|integer|bigint|numeric(\(\d{1,4},\d{1,4}\))?|real|double precision"
    r"|date|timestamp|timestamptz|uuid|inet|jsonb|bytea)(\[\])?$"
)
_JOB_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of the target. `expression` is ClickHouse SQL over the source; empty: its column of this name."""

    name: str
    type: str
    expression: str = ""
    nullable: bool = True
    description: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Index:
    """One index beside the primary key. `name` is made of the table and the columns where it is not given."""

    columns: tuple[str, ...]
    unique: bool = False
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Guards:
    """What the new rows must satisfy before readers see them.

    minimum_rows: rows at least. max_shrink: the share, 0 to 1, by which there may be fewer rows than in the live
    generation. ranges: column -> (lowest, highest), both allowed, None for no limit. accepted: column -> its only
    values, as Postgres prints them. NULLs pass ranges and accepted values; `nullable=False` refuses them.
    """

    allow_empty: bool = False
    minimum_rows: int = 0
    max_shrink: float = 0.5
    ranges: Mapping[str, tuple[float | None, float | None]] = dataclasses.field(default_factory=dict)
    accepted: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One table brought from the warehouse to Postgres.

    source: a ClickHouse table (`table` or `database.table`), or the path of a `.sql` file with one SELECT.
    target: `table` (in schema `public`) or `schema.table`. key: the primary key's columns, never null.
    kept_generations: how many former generations stay beside the live one.
    Raises errors.RegistryError at construction when the declaration contradicts itself.
    """

    name: str
    source: str | Path
    target: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()
    guards: Guards = dataclasses.field(default_factory=Guards)
    description: str = ""
    kept_generations: int = KEPT_GENERATIONS

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise errors.RegistryError(f"sync job {self.name!r}: {problem}")

    @property
    def relation(self) -> relation.Name:
        """The target, parsed."""
        return relation.Name.parse(self.target)

    def index_name(self, index: Index) -> str:
        """The index's name while its table is in front of readers."""
        return index.name or relation.stem(f"ix_{self.relation.table}_{'_'.join(index.columns)}")

    @property
    def key_name(self) -> str:
        """The primary key's name while its table is in front of readers."""
        return relation.stem(f"{self.relation.table}_pkey")

    def required(self, column: Column) -> bool:
        """Whether the column is NOT NULL in the target."""
        return not column.nullable or column.name in self.key

    def _problem(self) -> str:
        names = [column.name for column in self.columns]
        if not _JOB_NAME.match(self.name):
            return "its name must be small letters, digits and underscores, and begin with a letter"
        _ = self.relation
        return (
            self._source_problem()
            or _columns_problem(self.columns)
            or ("its key must name at least one column" if not self.key else "")
            or _unknown("key", self.key, names)
            or next((p for i in self.indexes if (p := _unknown("an index", i.columns, names))), "")
            or _unknown("the guard on ranges", tuple(self.guards.ranges), names)
            or _unknown("the guard on accepted values", tuple(self.guards.accepted), names)
            or next((p for i in self.indexes if (p := _index_name_problem(i))), "")
            or ("two indexes have one name" if len(set(self._all_index_names())) < 1 + len(self.indexes) else "")
            or ("max_shrink must be from 0 to 1" if not 0 <= self.guards.max_shrink <= 1 else "")
            or ("kept_generations must not be negative" if self.kept_generations < 0 else "")
        )

    def _source_problem(self) -> str:
        if isinstance(self.source, Path):
            if not self.source.is_file() or not self.source.read_text().strip():
                return f"its source {self.source.name} is not a readable .sql file with one SELECT"
        elif not self.source or self.source.count(".") > 1:
            return "its source must be `table`, `database.table` or the path of a .sql file"
        return ""

    def _all_index_names(self) -> list[str]:
        return [self.key_name, *(self.index_name(index) for index in self.indexes)]


def _columns_problem(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns]
    if not columns or len(set(names)) < len(names):
        return "it needs columns, each with a name of its own"
    for column in columns:
        if not column.name or "\0" in column.name or len(column.name.encode()) > relation.NAME_BYTES:
            return f"column name {column.name!r} must be 1 to {relation.NAME_BYTES} bytes"
        if not POSTGRES_TYPE.match(column.type):
            return f"column {column.name} has type {column.type!r}, which is none of the Postgres types sync can fill"
    return ""


def _index_name_problem(index: Index) -> str:
    # So short that the names of its kept generations need no cut, and can be turned back into it.
    if relation.stem(index.name) != index.name or relation.plain(index.name) != index.name:
        room = relation.NAME_BYTES - relation.SUFFIX_BYTES
        return f"index name {index.name} must have at most {room} bytes and not end like __g1 or __s1"
    return ""


def _unknown(what: str, used: Sequence[str], known: Sequence[str]) -> str:
    missing = [name for name in used if name not in known]
    return f"{what} names {', '.join(missing)}, which is no column of it" if missing else ""


def collect(plugins: Sequence[str] = ()) -> dict[str, Job]:
    """Every sync job by its name, ours first, then the plugins'."""
    return registry.collect(ROOM, CONSTANT, Job, plugins)


def find(name: str, plugins: Sequence[str] = ()) -> Job:
    """The job of this name; raises errors.InvalidArgument with the names there are."""
    jobs = collect(plugins)
    if name not in jobs:
        raise errors.InvalidArgument(f"there is no sync job {name!r}; there are: {', '.join(sorted(jobs)) or 'none'}")
    return jobs[name]
