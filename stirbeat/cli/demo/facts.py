"""What the demo reads off the engines: how far it is, and what came of it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from stirbeat import events
from stirbeat.cli.demo import sql
from stirbeat.store.models import ledger
from stirbeat.warehouse import client


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How far the requests are. `waiting_events`: rows of the outbox."""

    statuses: Mapping[str, int]
    hops: Mapping[str, int]
    waiting_events: int

    @property
    def finished(self) -> int:
        """Requests that reached their end."""
        return sum(self.statuses.get(status, 0) for status in ledger.TERMINAL)


def rows(database: sa.Engine, name: str, /, **bound: object) -> list[dict[str, Any]]:
    """The rows of the statement `sql/<name>.sql`."""
    with database.connect() as connection:
        return [dict(row) for row in connection.execute(sql.load(name), bound).mappings()]


def standing(database: sa.Engine, ids: Sequence[uuid.UUID]) -> Standing:
    """How far these requests are."""
    statuses = {row["status"]: row["requests"] for row in rows(database, "statuses", ids=list(ids))}
    hops = {row["provider"]: row["hops"] for row in rows(database, "hops_by_provider", ids=list(ids))}
    [waiting] = rows(database, "outbox")
    return Standing(statuses, hops, waiting["events"])


def events_written(database: sa.Engine) -> dict[str, set[uuid.UUID]]:
    """The ids of every event ever written, by its name. A finished request's own event has an id made from its."""
    found: dict[str, set[uuid.UUID]] = {name: set() for name in events.CATALOGUE}
    for row in rows(database, "events_written"):
        found[row["name"]].add(row["event_id"])
    with database.connect() as connection:
        done: list[uuid.UUID] = list(connection.execute(sql.load("finished_requests")).scalars())
        found[events.SCRAPE_LOG.name] = {uuid.uuid5(request_id, "scrape") for request_id in done}
    return found


def events_arrived(warehouse: client.Client) -> dict[str, tuple[int, set[uuid.UUID]]]:
    """By event: rows in ClickHouse before deduplication, and the ids after it."""
    found: dict[str, tuple[int, set[uuid.UUID]]] = {}
    for name in events.CATALOGUE:
        ids = [row[0] for row in warehouse.execute(f"SELECT event_id FROM {client.quoted(name)}")]  # noqa: S608
        found[name] = (len(ids), set(ids))
    return found


def events_stored(warehouse: client.Client) -> int:
    """Events in ClickHouse, after deduplication."""
    return sum(
        int(warehouse.execute(f"SELECT uniqExact(event_id) FROM {client.quoted(name)}")[0][0])  # noqa: S608
        for name in events.CATALOGUE
    )
