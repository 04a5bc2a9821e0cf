"""One batch of messages into ClickHouse: one insert a table, poison put aside, doubles dropped."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Iterable

from stirbeat.warehouse import client, rows, schema

_POISON_COLUMNS = ("poison_id", "name", "reason", "body")
# A longer body is cut: it is kept for a person to look at.
_POISON_CHARACTERS = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A message as it came: its routing key and its raw body."""

    name: str
    body: bytes


@dataclasses.dataclass(slots=True)
class Tally:
    """What was stored, in messages."""

    stored: int = 0
    doubles: int = 0
    poison: int = 0

    def add(self, other: Tally) -> None:
        """Count another batch too."""
        self.stored += other.stored
        self.doubles += other.doubles
        self.poison += other.poison


def store(warehouse: client.Client, messages: Iterable[Message]) -> Tally:
    """Store a batch. When this returns, all of it is in ClickHouse; when it raises, some of it may be.

    Storing a batch again is harmless: the tables drop what they have (see schema.migrate).

    Raises errors.ServiceUnavailable and client.QueryRefused.
    """
    tally = Tally()
    tables: dict[str, dict[uuid.UUID, rows.Row]] = {}
    poison: dict[str, tuple[str, str, str, str]] = {}
    for message in messages:
        try:
            row = rows.parse(message.name, message.body)
        except rows.Poison as error:
            kept = _poison(message, str(error))
            poison[kept[0]] = kept
            tally.poison += 1
            continue
        known = tables.setdefault(row.table, {})
        if row.event_id in known:
            tally.doubles += 1
        else:
            known[row.event_id] = row
            tally.stored += 1
    for table, found in tables.items():
        warehouse.insert(table, rows.columns(table), [row.values for row in found.values()])
    warehouse.insert(schema.POISON, _POISON_COLUMNS, list(poison.values()))
    return tally


def _poison(message: Message, reason: str) -> tuple[str, str, str, str]:
    name = message.name.encode(errors="replace")
    identity = hashlib.sha256(len(name).to_bytes(4, "big") + name + message.body).hexdigest()
    body = message.body.decode(errors="backslashreplace")
    return identity, name.decode(), reason.encode(errors="backslashreplace").decode(), body[:_POISON_CHARACTERS]
