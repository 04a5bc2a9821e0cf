"""The relay on a real outbox and a real broker: order, confirms, kills, and services that go away."""

from __future__ import annotations

import collections
import json
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pydantic
import pytest
import sqlalchemy as sa

from stirbeat import errors, settings
from stirbeat.warehouse import publisher, relay, sql
from tests import gate as gates
from tests import streams

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("warehouse")]

DRAIN = relay.Options(until_idle_s=0)
Count = Callable[[str], int]


@pytest.fixture
def queue(configured: settings.Settings) -> Iterator[streams.Queue]:
    """The warehouse queue."""
    with streams.queue(configured) as found:
        yield found


def test_every_event_is_published_in_order_and_leaves_the_outbox(
    configured: settings.Settings, database: sa.Engine, queue: streams.Queue, count: Count
) -> None:
    # given more events of one request than a batch
    request = str(uuid.uuid4())
    written = [streams.event(request_id=request, post_key=f"p{number}") for number in range(25)]
    streams.write(database, written)

    # when
    published = relay.run(configured, threading.Event(), relay.Options(size=10, until_idle_s=0))

    # then
    assert published == 25
    assert count("outbox") == 0
    messages = queue.take(25)
    assert [json.loads(message.body) for message in messages] == written
    assert [message.properties["message_id"] for message in messages] == [each["event_id"] for each in written]
    assert {message.delivery_info["routing_key"] for message in messages} == {"post_log"}
    assert {message.properties["delivery_mode"] for message in messages} == {2}
    assert queue.ready() == 0


def test_relays_side_by_side_publish_each_event_once_and_keep_each_requests_order(
    configured: settings.Settings, database: sa.Engine, queue: streams.Queue, count: Count
) -> None:
    # given events of forty requests, interleaved
    requests = [str(uuid.uuid4()) for _ in range(40)]
    streams.write(
        database,
        [streams.event(request_id=request, post_key=f"{number:03}") for number in range(15) for request in requests],
    )

    # when three relays work at once
    options = relay.Options(size=20, until_idle_s=0.5)
    running = [
        threading.Thread(target=relay.run, args=(configured, threading.Event(), options), daemon=True) for _ in range(3)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)

    # then
    assert count("outbox") == 0
    by_request = collections.defaultdict(list)
    for message in queue.take(600):
        payload = json.loads(message.body)
        by_request[payload["request_id"]].append(payload["post_key"])
    assert queue.ready() == 0
    assert dict(by_request) == {request: [f"{number:03}" for number in range(15)] for request in requests}


def test_a_relay_killed_between_publishing_and_deleting_publishes_again(
    configured: settings.Settings,
    environment: dict[str, str],
    database: sa.Engine,
    queue: streams.Queue,
    count: Count,
) -> None:
    # given deletes that hang, so that the kill falls between the confirms and the commit
    request = str(uuid.uuid4())
    written = [streams.event(request_id=request) for _ in range(30)]
    streams.write(database, written)
    with database.begin() as connection:
        connection.execute(
            sa.text(
                "create function hang() returns trigger language plpgsql as"
                " 'begin perform pg_sleep(600); return null; end'"
            )
        )
        connection.execute(sa.text("create trigger hang before delete on outbox execute function hang()"))

    with streams.process(environment, "relay") as killed:
        streams.until(lambda: queue.ready() == 30)

        # when
        killed.kill()
        killed.wait(30)
    with database.begin() as connection:
        connection.execute(
            sa.text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and wait_event = 'PgSleep'"
            )
        )
        connection.execute(sa.text("drop trigger hang on outbox"))
    assert count("outbox") == 30
    relay.run(configured, threading.Event(), DRAIN)

    # then each event is in the queue twice, under one id, and none is lost
    assert count("outbox") == 0
    found = collections.Counter(message.properties["message_id"] for message in queue.take(60))
    assert found == {each["event_id"]: 2 for each in written}


def test_sigterm_ends_an_idle_relay_with_status_0(environment: dict[str, str], queue: streams.Queue) -> None:
    with streams.process(environment, "relay") as child:
        time.sleep(3)
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 0


def test_sigterm_in_mid_work_leaves_every_event_either_published_or_in_the_outbox(
    environment: dict[str, str], database: sa.Engine, queue: streams.Queue, count: Count
) -> None:
    # given
    streams.write(database, [streams.event() for _ in range(3000)])

    # when
    with streams.process(environment, "relay", "--batch", "50") as child:
        streams.until(lambda: queue.ready() > 200)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0

    # then
    left = count("outbox")
    assert 0 < left < 3000
    assert queue.ready() + left == 3000


@pytest.mark.parametrize("away", ["broker_url", "database_url"])
def test_a_service_that_goes_away_is_waited_for_and_nothing_is_lost(
    configured: settings.Settings, database: sa.Engine, queue: streams.Queue, count: Count, away: str
) -> None:
    gate, url = gates.before(getattr(configured, away).get_secret_value())
    behind = configured.model_copy(update={away: pydantic.SecretStr(url)})
    stop = threading.Event()
    with gate:
        # given a relay that works
        running = threading.Thread(target=relay.run, args=(behind, stop), daemon=True)
        running.start()
        streams.write(database, [streams.event()])
        queue.take(1)

        # when the service is cut off, and comes back
        gate.close()
        streams.write(database, [streams.event() for _ in range(5)])
        time.sleep(1.5)
        assert queue.ready() == 0
        assert count("outbox") == 5
        gate.open()

        # then
        queue.take(5)
        streams.until(lambda: count("outbox") == 0)
        stop.set()
        running.join(20)
        assert not running.is_alive()


def test_an_event_that_no_queue_takes_is_an_error_and_not_a_loss(
    configured: settings.Settings, queue: streams.Queue
) -> None:
    with publisher.Publisher(configured) as publish:
        queue.unbind()
        with pytest.raises(errors.ServiceUnavailable, match="no queue bound"):
            publish.publish([publisher.Event(str(uuid.uuid4()), "post_log", "{}")])


def test_confirms_that_do_not_come_are_an_error(
    configured: settings.Settings, queue: streams.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT_S", 1.0)
    gate, url = gates.before(configured.broker_url.get_secret_value())
    behind = configured.model_copy(update={"broker_url": pydantic.SecretStr(url)})
    with gate, publisher.Publisher(behind) as publish:
        gate.swallow_answers = True
        with pytest.raises(errors.ServiceUnavailable, match="did not confirm 2 messages"):
            publish.publish([publisher.Event(str(uuid.uuid4()), "post_log", "{}") for _ in range(2)])
        gate.close()


def test_a_long_backlog_is_not_sorted_for_every_batch(database: sa.Engine) -> None:
    # given a backlog that the planner has no statistics of
    with database.begin() as connection:
        connection.execute(
            sa.text(
                "insert into outbox (event_id, name, payload) select gen_random_uuid(), 'post_log',"
                " jsonb_build_object('request_id', gen_random_uuid(), 'caption', repeat('x', 200))"
                " from generate_series(1, 30000)"
            )
        )
        connection.execute(sa.text("delete from outbox where id % 2 = 0"))

    # when
    with database.begin() as connection:
        explain = sa.text("explain " + sql.load("outbox_take").text)
        plan = "\n".join(connection.scalars(explain, {"shards": relay.SHARDS, "shard": 0, "batch": 500}))

    # then
    assert "Index Scan using pk_outbox" in plan
    assert "Sort" not in plan


def test_a_name_too_long_for_a_routing_key_blocks_nothing(
    configured: settings.Settings, database: sa.Engine, queue: streams.Queue, count: Count
) -> None:
    streams.write(database, [streams.event()], name="é" * 300)
    streams.write(database, [streams.event()])

    relay.run(configured, threading.Event(), DRAIN)

    assert sorted(len(message.delivery_info["routing_key"]) for message in queue.take(2)) == [8, 127]
    assert count("outbox") == 0


def test_without_the_outbox_table_the_relay_says_what_to_do(
    environment: dict[str, str], database: sa.Engine, queue: streams.Queue
) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("drop table outbox"))

    with streams.process(environment, "relay") as child:
        _, said = child.communicate(timeout=20)

    assert child.returncode == 2
    assert b"run the migrations" in said
    assert b"Traceback" not in said
    for secret in re.findall(r":([^:@/]+)@", " ".join(environment.values())):
        assert secret.encode() not in said
