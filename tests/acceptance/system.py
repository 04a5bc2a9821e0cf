"""The whole system as processes, on databases of a test module's own, with the simulator for vendors."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import celery
import kombu
import sqlalchemy as sa

from stirbeat import client, settings
from stirbeat.cli.demo import cluster, facts, seed, summary
from stirbeat.credentials import pool, redis_client, vault
from stirbeat.domain import catalogue
from stirbeat.local.simulator import client as simulators
from stirbeat.pipeline import submit
from stirbeat.warehouse import client as warehouses
from stirbeat.warehouse import topology

WAIT_S = 60.0


@dataclasses.dataclass(frozen=True)
class System:
    """What a test works with."""

    environment: Mapping[str, str]
    configured: settings.Settings
    database: sa.Engine
    app: celery.Celery
    simulator: simulators.SimulatorClient
    cluster: cluster.Cluster
    warehouse: warehouses.Client

    def submit(self, flow: str, handles: Iterable[str], **options: Any) -> list[uuid.UUID]:
        """Submit one request a handle."""
        return submit.submit(self.database, self.app, flow, [{"handle": handle} for handle in handles], **options)

    def row(self, request_id: uuid.UUID) -> dict[str, Any]:
        """The request's ledger row; empty when there is none."""
        with self.database.connect() as connection:
            found = connection.execute(
                sa.text("select * from scrape_request_log where id = :id"), {"id": request_id}
            ).mappings()
            return dict(next(iter(found), {}))

    def wait(self, ids: Iterable[uuid.UUID], most_s: float = WAIT_S) -> None:
        """Wait until every request is at its end."""
        wanted = list(ids)
        until(lambda: facts.standing(self.database, wanted).finished == len(wanted), most_s, "every request to end")

    def wait_for_events(self, most_s: float = WAIT_S) -> None:
        """Wait until every event that was written is in ClickHouse."""
        written = sum(map(len, facts.events_written(self.database).values()))
        until(lambda: facts.events_stored(self.warehouse) >= written, most_s, f"{written} events to arrive")

    def event_rows(self) -> dict[str, dict[str, Any]]:
        """Events written and arrived, by name."""
        return {row["event"]: row for row in summary.events_of(self.database, self.warehouse)}

    def dead(self) -> list[kombu.Message]:
        """Take every message out of the dead-letter queue."""
        with kombu.Connection(self.configured.broker_url.get_secret_value()) as connection:
            queue = client.dead_letters()(connection.channel())
            queue.declare()
            found = []
            while (message := queue.get(no_ack=True)) is not None:
                found.append(message)
        return found

    def publish(self, routing_key: str, body: bytes | str, **properties: Any) -> None:
        """Put a raw message on a work queue, as a foreign producer could."""
        with kombu.Connection(self.configured.broker_url.get_secret_value()) as connection:
            producer = connection.Producer(exchange=client.exchange(), routing_key=routing_key)
            producer.publish(body, **properties)


def until(holds: Callable[[], bool], most_s: float, what: str) -> None:
    """Wait until something holds; fail the test with what was waited for."""
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.2)
    raise AssertionError(f"waited {most_s:.0f} s for {what}")


def prepare(configured: settings.Settings, database: sa.Engine, simulator: simulators.SimulatorClient) -> None:
    """Credentials for us and for the vendors, no faults, empty queues."""
    key = configured.secret_keys.get_secret_value()
    credentials = pool.Pool(database, redis_client.connect(configured), vault.Vault(configured.secret_keys))
    seed.seed(credentials, simulator, key, revoked=None)
    simulator.put_plan([])
    simulator.clear_calls()
    with kombu.Connection(configured.broker_url.get_secret_value()) as connection:
        topology.declare(connection)
        channel = connection.channel()
        for queue in (*client.queues(catalogue.flows()), topology.WAREHOUSE_QUEUE, client.dead_letters()):
            bound = queue(channel)
            bound.declare()
            bound.purge()
