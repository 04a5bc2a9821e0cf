"""The real engines for every test that asks for one, and a database of its own for each.

The stack is started once, by the process that runs pytest; xdist's workers are told where it is. A service that is
named by its STIRBEAT_* variable is used instead. A service that cannot start fails the run: nothing is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from stirbeat import errors, settings
from stirbeat.local import procfs
from stirbeat.local import stack as stacks
from stirbeat.store import migrate
from tests import own

WITHOUT_SERVICES = ("unit", "conformance")
_KEY = pytest.StashKey[stacks.Stack]()
_FOLDER = pytest.StashKey[contextlib.ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the stack in the main process, unless only tests without services were asked for."""
    if hasattr(config, "workerinput") or config.option.collectonly or not _needs_services(config):
        return
    cleanup = contextlib.ExitStack()
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="stirbeat-test-")))
    folder.chmod(0o755)
    provided = {name: value for name, value in os.environ.items() if name.startswith("STIRBEAT_")}
    started = stacks.Stack(folder / "stack", provided, durable=False)
    cleanup.callback(started.stop)
    config.stash[_FOLDER] = cleanup
    try:
        started.start(timeout_s=90)
    except errors.StirbeatError as error:
        cleanup.close()
        pytest.exit(f"the local stack did not start: {error}", returncode=3)
    config.stash[_KEY] = started


def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker where the services are."""
    started = node.config.stash.get(_KEY, None)  # type: ignore[attr-defined]
    if started is not None:
        node.workerinput["stirbeat"] = json.dumps(dict(started.environment))  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share a queue must stay in one xdist worker: refuse to run where xdist's groups do not work."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        if mark is not None and not item.nodeid.endswith(f"@{mark.args[0]}"):
            pytest.exit(
                "xdist's groups do not work here: use --dist loadgroup and the pytest of setup.cfg", returncode=3
            )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what `pytest_configure` started."""
    cleanup = config.stash.get(_FOLDER, None)
    started = config.stash.get(_KEY, None)
    if cleanup is None:
        return
    cleanup.close()
    if started is not None:
        # Erlang's epmd outlives its node by design; each service's HOME is a folder of its own below the stack's.
        rabbitmq_home = str(started.folder.path / "rabbitmq")
        left = procfs.with_variable("HOME", rabbitmq_home)
        if left:
            raise RuntimeError(f"the stack left processes behind: {left}")


def _needs_services(config: pytest.Config) -> bool:
    asked = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    here = Path(__file__).resolve().parent
    return any(not any(path.is_relative_to(here / name) for name in WITHOUT_SERVICES) for path in asked)


@pytest.fixture(scope="session")
def stack_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The STIRBEAT_* variables of the running stack."""
    workerinput = getattr(request.config, "workerinput", None)
    if workerinput is not None:
        return dict(json.loads(workerinput["stirbeat"]))
    return dict(request.config.stash[_KEY].environment)


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """0 in a plain run, 1, 2, ... in xdist's workers: what they share is told apart by it."""
    workerinput = getattr(request.config, "workerinput", None)
    return 0 if workerinput is None else int(workerinput["workerid"].removeprefix("gw")) + 1


@pytest.fixture(scope="session")
def server(stack_environment: dict[str, str]) -> Iterator[sa.Engine]:
    """An engine on the Postgres server, for CREATE and DROP DATABASE."""
    engine = sa.create_engine(stack_environment["STIRBEAT_DATABASE_URL"], isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def template_database(server: sa.Engine, worker_number: int) -> Iterator[str]:
    """A migrated database from which each test's own is cloned."""
    name = f"template_{os.getpid()}_{worker_number}"
    with server.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    engine = sa.create_engine(server.url.set(database=name))
    migrate.upgrade(engine)
    engine.dispose()
    yield name
    own.drop(server, name)


@pytest.fixture
def database_url(server: sa.Engine, template_database: str) -> Iterator[str]:
    """The URL of a database of the test's own, with every table."""
    with own.database(server, template_database) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[sa.Engine]:
    """An engine on the test's own database."""
    engine = sa.create_engine(database_url, pool_size=10, max_overflow=20)
    yield engine
    engine.dispose()


@pytest.fixture
def redis_url(stack_environment: dict[str, str], worker_number: int) -> str:
    """The URL of the Redis database of this xdist worker."""
    return stack_environment["STIRBEAT_REDIS_URL"].rpartition("/")[0] + f"/{worker_number}"


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """Redis, empty."""
    client = redis.Redis.from_url(redis_url)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def clickhouse_url(stack_environment: dict[str, str]) -> Iterator[str]:
    """The URL of a ClickHouse database of the test's own."""
    with own.clickhouse(stack_environment["STIRBEAT_CLICKHOUSE_URL"]) as url:
        yield url


@pytest.fixture
def environment(
    stack_environment: dict[str, str], database_url: str, redis_url: str, clickhouse_url: str
) -> dict[str, str]:
    """The STIRBEAT_* variables of this test: its own databases on the shared services."""
    return stack_environment | {
        "STIRBEAT_DATABASE_URL": database_url,
        "STIRBEAT_REDIS_URL": redis_url,
        "STIRBEAT_CLICKHOUSE_URL": clickhouse_url,
    }


@pytest.fixture
def configured(environment: dict[str, str], redis_client: redis.Redis) -> settings.Settings:
    """The settings of this test."""
    return settings.from_environment(environment)


@pytest.fixture
def count(database: sa.Engine) -> Callable[[str], int]:
    """Counts the rows of a table, or of `table where ...`."""

    def counted(table: str) -> int:
        with database.connect() as connection:
            return int(connection.execute(sa.text(f"select count(*) from {table}")).scalar_one())

    return counted
