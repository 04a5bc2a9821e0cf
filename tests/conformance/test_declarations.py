"""Everything declared fits together: flows, queues, groups, tasks, timetable, providers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stirbeat import client, routing
from stirbeat.domain import catalogue, flow, records
from stirbeat.schedule import timetable
from tests import environment

FLOWS = catalogue.flows()
PROVIDERS = catalogue.providers()


def steps() -> Iterator[tuple[flow.Flow, flow.Source, flow.Step]]:
    for one in FLOWS.values():
        for source in one.sources:
            for step in source.steps:
                yield one, source, step


def test_there_is_something_to_conform() -> None:
    assert {"instagram.refresh_profile", "instagram.refresh_posts"} <= set(FLOWS)


def test_every_source_names_a_provider_that_exists() -> None:
    assert {source.provider for one in FLOWS.values() for source in one.sources} <= set(PROVIDERS)


def test_every_flow_says_whom_it_is_about() -> None:
    for one in FLOWS.values():
        assert one.target in {argument.name for argument in one.arguments}, one.key
        assert one.about, one.key


def test_every_source_asks_in_at_least_one_step_that_is_never_skipped() -> None:
    for one in FLOWS.values():
        for source in one.sources:
            assert not source.steps[-1].skip(flow.Context({}, known={"pk": "1", "profile_id": "1"})), one.key


def test_every_declared_queue_is_consumed_by_exactly_one_group() -> None:
    consumed = [queue for group in routing.groups(FLOWS) for queue in group.queues]

    assert sorted(consumed) == sorted(routing.work_queues(FLOWS))
    assert sorted(consumed) == sorted(queue.name for queue in client.queues(FLOWS))
    assert len(set(consumed)) == len(consumed)


def test_no_routing_key_is_a_dotted_suffix_of_another() -> None:
    keys = [queue.routing_key for queue in client.queues(FLOWS)]

    assert all("." not in key for key in keys)
    assert not [(one, other) for one in keys for other in keys if other.endswith("." + one)]


def test_every_work_queue_survives_its_node_counts_deliveries_and_has_a_dead_letter_exchange() -> None:
    for queue in client.queues(FLOWS):
        assert queue.queue_arguments["x-queue-type"] == "quorum"
        assert queue.queue_arguments["x-delivery-limit"] == routing.DELIVERY_LIMIT
        assert queue.queue_arguments["x-dead-letter-exchange"] == routing.DEAD_EXCHANGE
        assert queue.exchange.type == "topic", "delayed delivery does not work with a direct exchange"


def test_the_longest_hop_ends_before_its_lease_and_well_before_the_broker_would_deliver_it_again() -> None:
    lease_s = 90  # the setting's default
    for one in FLOWS.values():
        for source in one.sources:
            longest = PROVIDERS[source.provider].deadline_s * len(source.steps)
            assert longest < lease_s, f"{one.key} through {source.provider}"
            assert longest < routing.CONSUMER_TIMEOUT_S / 2


def test_records_refuse_what_the_model_does_not_allow() -> None:
    assert records.known({"followers": None, "following": 0}) == {"following": 0}


@pytest.fixture(scope="module")
def app_report() -> dict[str, list[str]]:
    """What the real app declares, asked in a process of its own: importing it needs the settings in the environment."""
    code = """
import json
from stirbeat.app import app
from stirbeat import routing
late = {}
for name, task in app.tasks.items():
    if name.startswith("celery."):
        continue
    limit = task.time_limit or app.conf.task_time_limit
    if task.name in app.conf.task_annotations:
        limit = app.conf.task_annotations[task.name].get("time_limit", limit)
    late[name] = [task.acks_late, limit]
routes = {name: app.amqp.router.route({}, name)["queue"].name for name in late}
print(json.dumps({"tasks": late, "routes": routes}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("STIRBEAT_")}, **environment.NOWHERE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_every_flow_has_its_task(app_report: dict[str, dict[str, list[object]]]) -> None:
    assert set(FLOWS) <= set(app_report["tasks"])


def test_every_row_of_the_timetable_names_a_task_that_exists(app_report: dict[str, dict[str, list[object]]]) -> None:
    assert {row.task for row in timetable.rows()} <= set(app_report["tasks"])


def test_every_task_is_routed_to_a_queue_that_is_consumed(app_report: dict[str, dict[str, str]]) -> None:
    assert set(app_report["routes"].values()) <= set(routing.work_queues(FLOWS))


def test_late_acknowledged_tasks_end_below_half_the_brokers_consumer_timeout(
    app_report: dict[str, dict[str, list[object]]],
) -> None:
    for name, (late, limit) in app_report["tasks"].items():
        if late and name not in FLOWS:  # flows run on threads: their deadline is checked above
            assert isinstance(limit, int | float), name
            assert limit < routing.CONSUMER_TIMEOUT_S / 2, name
