"""Databases of a test's own, on the shared servers."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import sqlalchemy as sa
from clickhouse_driver import Client


@contextlib.contextmanager
def database(server: sa.Engine, template: str) -> Iterator[str]:
    """The URL of a Postgres database cloned from the template, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(sa.text(f"create database {name} template {template}"))
    try:
        yield server.url.set(database=name).render_as_string(hide_password=False)
    finally:
        drop(server, name)


@contextlib.contextmanager
def clickhouse(url: str) -> Iterator[str]:
    """The URL of a new ClickHouse database, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _execute(url, f"CREATE DATABASE {name}")
    try:
        yield url.rpartition("/")[0] + f"/{name}"
    finally:
        _execute(url, f"DROP DATABASE IF EXISTS {name} SYNC")


def drop(server: sa.Engine, name: str) -> None:
    """Drop a Postgres database, whoever is connected to it."""
    with server.connect() as connection:
        connection.execute(sa.text(f"drop database if exists {name} with (force)"))


def _execute(url: str, statement: str) -> None:
    client: Client = Client.from_url(url)
    try:
        client.execute(statement)
    finally:
        client.disconnect()
