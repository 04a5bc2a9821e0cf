"""The events' tables in ClickHouse, made from the catalogue and widened when it grows."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from stirbeat import errors, events, settings
from stirbeat.warehouse import client

logger = logging.getLogger(__name__)

INSERTED_AT = "inserted_at"
# Fields that the catalogue does not know (a newer writer, an older sink) are kept here as a JSON object, not dropped.
EXTRA = "extra"
POISON = "poison_event"

_TAIL = {
    EXTRA: "String DEFAULT '{}'",
    INSERTED_AT: "DateTime64(3, 'UTC') DEFAULT now64(3)",
}

_POISON_COLUMNS = {
    "poison_id": "FixedString(64)",
    "name": "String",
    "reason": "String",
    "body": "String",
    INSERTED_AT: "DateTime64(3, 'UTC') DEFAULT now64(3)",
}


def migrate(configured: settings.Settings) -> None:
    """Create the database, a table an event and the table of poison events; add columns that are missing. Idempotent.

    An event is the same however often it arrives, its timestamp included, so its rows meet in one partition under one
    key and ClickHouse keeps one of them; until it has, `FINAL` or the event_id tells.

    Raises errors.ServiceUnavailable, or errors.Fatal when a table's column has another type than the catalogue says.
    """
    _create_database(configured)
    with client.Client(configured) as warehouse:
        for event in events.CATALOGUE.values():
            columns = {field.name: field.type for field in event.columns} | _TAIL
            _create(
                warehouse,
                event.name,
                columns,
                f"ENGINE = ReplacingMergeTree({INSERTED_AT}) PARTITION BY toYYYYMM(event_timestamp)"
                " ORDER BY (event_timestamp, event_id)",
            )
            _widen(warehouse, event.name, columns)
        _create(
            warehouse,
            POISON,
            _POISON_COLUMNS,
            f"ENGINE = ReplacingMergeTree({INSERTED_AT}) ORDER BY poison_id",
        )


def _create_database(configured: settings.Settings) -> None:
    try:
        with client.Client(configured) as warehouse:
            warehouse.execute("SELECT 1")
    except client.QueryRefused as error:
        if error.code != client.UNKNOWN_DATABASE:
            raise
        with client.Client(configured, database="default") as warehouse:
            warehouse.execute(f"CREATE DATABASE IF NOT EXISTS {client.quoted(client.database_of(configured))}")


def _create(warehouse: client.Client, table: str, columns: Mapping[str, str], engine: str) -> None:
    described = ", ".join(f"{client.quoted(name)} {kind}" for name, kind in columns.items())
    warehouse.execute(f"CREATE TABLE IF NOT EXISTS {client.quoted(table)} ({described}) {engine}")


def _widen(warehouse: client.Client, table: str, columns: Mapping[str, str]) -> None:
    found = {
        str(name): str(kind)
        for name, kind in warehouse.execute(
            "SELECT name, type FROM system.columns WHERE database = %(database)s AND table = %(table)s",
            {"database": warehouse.database, "table": table},
        )
    }
    before = ""
    for name, kind in columns.items():
        wanted = kind.partition(" DEFAULT ")[0]
        if name not in found:
            warehouse.execute(
                f"ALTER TABLE {client.quoted(table)} ADD COLUMN IF NOT EXISTS {client.quoted(name)} {kind}"
                + (f" AFTER {client.quoted(before)}" if before else " FIRST")
            )
            logger.info("added column %s to %s", name, table)
        elif found[name] != wanted:
            raise errors.Fatal(
                f"column {name} of {table} is {found[name]} in ClickHouse but {wanted} in the catalogue of events: "
                "change the table by hand"
            )
        before = name
