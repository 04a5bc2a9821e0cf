"""A small mart in ClickHouse and a job that brings it to Postgres, and a wire that can be cut in between."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from stirbeat import settings
from stirbeat.sync import bucket, context, job

SMALL = job.Job(
    name="small",
    source="mart_small",
    target="small",
    columns=(
        job.Column("k", "text", nullable=False),
        job.Column("n", "bigint"),
        job.Column("note", "text", description="free text"),
    ),
    key=("k",),
    indexes=(job.Index(("n",)),),
)

Fill = Callable[..., None]
Ask = Callable[[str], list[tuple[Any, ...]]]


class Wire:
    """A TCP relay to a real service that a test can cut: connections break and no new one is taken."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cut = threading.Event()
        self.passed = 0  # bytes that came from the service
        self.on_bytes: Callable[[int], None] = lambda passed: None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._cut.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._cut.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as service:
            ends = {client: service, service: client}
            while not self._cut.is_set():
                for source in select.select(list(ends), [], [], 0.05)[0]:
                    try:
                        data = source.recv(65536)
                        ends[source].sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    if source is service:
                        self.passed += len(data)
                        self.on_bytes(self.passed)


@pytest.fixture
def wire() -> Iterator[Callable[[str], tuple[Wire, str]]]:
    """Makes a wire to the service of a URL: the wire, and the URL through it."""
    made: list[Wire] = []

    def through(url: str) -> tuple[Wire, str]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        made.append(Wire(parts.hostname, parts.port))
        return made[-1], url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{made[-1].port}")

    yield through
    for one in made:
        one.cut()


@pytest.fixture
def small() -> job.Job:
    """A job of three columns; tests change it by dataclasses.replace."""
    return SMALL


@pytest.fixture(scope="session")
def own_bucket(stack_environment: dict[str, str]) -> Iterator[str]:
    """A bucket of this process: runs of other tests at the same time are told apart by it."""
    given = settings.from_environment(stack_environment)
    opened = bucket.connect(given.model_copy(update={"s3_bucket": f"test-{uuid.uuid4().hex[:12]}"}))
    opened.client.create_bucket(Bucket=opened.name)
    yield opened.name
    opened.client.delete_bucket(Bucket=opened.name)


@pytest.fixture
def configured(configured: settings.Settings, own_bucket: str) -> Iterator[settings.Settings]:
    """The settings of this test, with the empty bucket."""
    own = configured.model_copy(update={"s3_bucket": own_bucket})
    yield own
    bucket.connect(own).delete(bucket.PREFIX)


@pytest.fixture
def surroundings(configured: settings.Settings, database: sa.Engine) -> context.Context:
    """The engines, with an empty mart."""
    built = dataclasses.replace(context.build(configured, throttled=False, engine=database), lease_s=20)
    with built.warehouse.connect() as client:
        client.execute(
            "CREATE TABLE mart_small (k String, n Nullable(Int64), note Nullable(String)) ENGINE = MergeTree ORDER BY k"
        )
    return built


@pytest.fixture
def fill(surroundings: context.Context) -> Fill:
    """Replaces the mart's rows by `rows` of them, keys from `first` on, or by those of a SELECT."""

    def filled(rows: int = 0, first: int = 0, query: str = "") -> None:
        keys = "concat('k', toString(number)), number, concat('note ', toString(number))"
        wanted = query or f"SELECT {keys} FROM numbers({first}, {rows})"
        with surroundings.warehouse.connect() as client:
            client.execute("TRUNCATE TABLE mart_small")
            client.execute(f"INSERT INTO mart_small {wanted}")

    return filled


@pytest.fixture
def ask(database: sa.Engine) -> Ask:
    """Runs SQL in the test's Postgres database and gives its rows."""

    def asked(statement: str) -> list[tuple[Any, ...]]:
        with database.begin() as connection:
            found = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            return [tuple(row) for row in found] if found.returns_rows else []

    return asked
