"""Names of Postgres relations: quoting, and generated names that stay within 63 bytes.

Postgres cuts longer names without a word, so two long names could become one. What we generate (`<table>__s7` for a
staging table, `<table>__g3` for a kept generation) therefore cuts the base itself and puts a hash in its place.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

from stirbeat import errors

NAME_BYTES = 63  # NAMEDATALEN - 1 of a stock Postgres build
SUFFIX_BYTES = 24  # "__s" and a 64-bit number fit
_HASH_DIGITS = 8
_SUFFIX = re.compile(r"__[gs][0-9]+$")


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A table as (schema, table), unquoted. `str()` gives it quoted, ready for SQL."""

    schema: str
    table: str

    @classmethod
    def parse(cls, text: str) -> Name:
        """`table` (then in `public`) or `schema.table`; neither part may hold a dot."""
        schema, _, table = text.rpartition(".")
        for part in (schema or "public", table):
            if not part or "." in part or "\0" in part or len(part.encode()) > NAME_BYTES:
                raise errors.RegistryError(
                    f"target {text!r} must be `table` or `schema.table`, each part 1 to {NAME_BYTES} bytes"
                )
        return cls(schema or "public", table)

    @property
    def key(self) -> str:
        """How the sync tables call it: the schema is left out where it is `public`."""
        return self.table if self.schema == "public" else f"{self.schema}.{self.table}"

    def sibling(self, table: str) -> Name:
        """Another relation in the same schema."""
        return Name(self.schema, table)

    def staging(self, fence: int) -> Name:
        """The staging table of the run that holds this fence: never used by any other run."""
        return self.sibling(generated(self.table, f"__s{fence}"))

    def kept(self, generation: int) -> Name:
        """Where this generation waits once it is no longer in front of readers."""
        return self.sibling(generated(self.table, f"__g{generation}"))

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.table)}"


def quoted(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    """A string constant for statements that take no bound values (COMMENT ON, SET); needs standard strings."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def generated(base: str, suffix: str) -> str:
    """`base` + `suffix`, the base cut and hashed where both would not fit into 63 bytes.

    >>> generated("leaderboard", "__g3")
    'leaderboard__g3'
    """
    return stem(base) + suffix


def plain(name: str) -> str:
    """A generated name without its suffix: what it was made of, as long as that needed no cut.

    >>> plain("leaderboard__g3")
    'leaderboard'
    """
    return _SUFFIX.sub("", name)


def stem(base: str) -> str:
    """What every generated name of `base` begins with."""
    room = NAME_BYTES - SUFFIX_BYTES
    if len(base.encode()) <= room:
        return base
    digest = hashlib.sha256(base.encode()).hexdigest()[:_HASH_DIGITS]
    kept = base.encode()[: room - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{kept}_{digest}"
