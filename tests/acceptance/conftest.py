"""One running system a module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from stirbeat import client, settings
from stirbeat.cli.demo import cluster
from stirbeat.local.simulator import client as simulators
from stirbeat.warehouse import client as warehouses
from stirbeat.warehouse import schema
from tests import own
from tests.acceptance import system as systems

# No beat: what it would send is sent by the tests. Its own test has a real one.
PROCESSES = ("scrape_instagram-1", "scrape_instagram-2", "scrape_instagram_high", "relay", "sink", "flower")


@pytest.fixture(scope="module")
def system(
    stack_environment: dict[str, str],
    server: sa.Engine,
    template_database: str,
    worker_number: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[systems.System]:
    """Two scrape workers, relay, sink and Flower, with credentials and a simulator that is well."""
    with contextlib.ExitStack() as cleanup:
        redis_url = stack_environment["STIRBEAT_REDIS_URL"].rpartition("/")[0] + f"/{worker_number + 8}"
        clickhouse_url = stack_environment["STIRBEAT_CLICKHOUSE_URL"]
        environment = stack_environment | {
            "STIRBEAT_DATABASE_URL": cleanup.enter_context(own.database(server, template_database)),
            "STIRBEAT_CLICKHOUSE_URL": cleanup.enter_context(own.clickhouse(clickhouse_url)),
            "STIRBEAT_REDIS_URL": redis_url,
            "STIRBEAT_LEASE_S": "60",
        }
        configured = settings.from_environment(environment)
        redis.Redis.from_url(redis_url).flushdb()
        database = sa.create_engine(environment["STIRBEAT_DATABASE_URL"])
        cleanup.callback(database.dispose)
        schema.migrate(configured)
        simulator = simulators.SimulatorClient(configured.simulator_url)
        cleanup.callback(simulator.close)
        systems.prepare(configured, database, simulator)
        folder = Path(tmp_path_factory.mktemp("system"))
        processes = cluster.Cluster(environment, folder, only=PROCESSES)
        cleanup.callback(processes.stop)
        processes.start()
        yield systems.System(
            environment=environment,
            configured=configured,
            database=database,
            app=client.connect(configured.broker_url.get_secret_value()),
            simulator=simulator,
            cluster=processes,
            warehouse=cleanup.enter_context(warehouses.Client(configured)),
        )
