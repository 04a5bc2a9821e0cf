"""The sink on a real queue and a real ClickHouse: batches, poison, kills, and services that go away."""

from __future__ import annotations

import datetime
import json
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from stirbeat import errors, events, settings
from stirbeat.warehouse import batch, client, schema, sink
from tests import gate as gates
from tests import streams

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("warehouse")]

DRAIN = sink.Options(age_s=0.1, until_idle_s=0.5)


@pytest.fixture
def queue(configured: settings.Settings) -> Iterator[streams.Queue]:
    """The warehouse queue."""
    with streams.queue(configured) as found:
        yield found


@pytest.fixture
def warehouse(configured: settings.Settings) -> Iterator[client.Client]:
    """The test's own ClickHouse database, with its tables."""
    schema.migrate(configured)
    with client.Client(configured) as found:
        yield found


def drain(configured: settings.Settings) -> batch.Tally:
    return sink.run(configured, threading.Event(), DRAIN)


def number(warehouse: client.Client, what: str) -> int:
    return int(warehouse.execute(f"SELECT count() FROM {what}")[0][0])


def test_events_arrive_in_their_tables_as_they_were_told(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    # given
    post = streams.event()
    scrape = streams.event("scrape_log", invented_later={"a": 1})
    queue.publish(post)
    queue.publish(scrape, "scrape_log")

    # when
    tally = drain(configured)

    # then
    assert (tally.stored, tally.doubles, tally.poison) == (2, 0, 0)
    assert queue.ready() == 0
    [row] = warehouse.execute(
        "SELECT event_id, event_timestamp, post_id, profile_key, published_at, dimensions, metrics, extra FROM post_log"
    )
    assert row[0] == uuid.UUID(post["event_id"])
    assert row[1] == datetime.datetime(2025, 11, 21, 20, 0, 0, 123456, tzinfo=datetime.UTC)
    assert row[2:4] == (None, "natgeo")
    assert row[4] == datetime.datetime(2025, 11, 20, 10, 0, 0, 1, tzinfo=datetime.UTC)
    assert json.loads(row[5]) == post["dimensions"]
    assert json.loads(row[6]) == post["metrics"]
    assert row[7] == "{}"
    [row] = warehouse.execute("SELECT hops, extra FROM scrape_log")
    assert json.loads(row[0]) == scrape["hops"]
    assert json.loads(row[1]) == {"invented_later": {"a": 1}}


def test_poison_is_put_aside_and_blocks_nothing(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    # given hostile messages among good ones
    good = [streams.event() for _ in range(3)]
    poison: list[tuple[Any, str]] = [
        (b"", "post_log"),
        (b"\xff\xfe\x00", "post_log"),
        (b"[" * 100_000, "post_log"),
        (b"[1]", "post_log"),
        (b'{"event_id": NaN}', "post_log"),
        (streams.event(), "no_such_event"),
        (streams.event(), "post_log; DROP TABLE post_log"),
        (streams.event(event_id="1"), "post_log"),
        (streams.event(event_timestamp="yesterday"), "post_log"),
        (streams.event(event_timestamp="2025-11-21T20:00:00"), "post_log"),
        (streams.event(event_timestamp="0001-01-01T00:00:00+00:00"), "post_log"),
        (streams.event(post_key=None), "post_log"),
        (streams.event(post_key=7), "post_log"),
        (streams.event(post_key="\ud800"), "post_log"),
        (streams.event(dimensions="{}"), "post_log"),
        (streams.event(metrics=[]), "post_log"),
    ]
    for position, (body, name) in enumerate(poison):
        queue.publish(body, name)
        if position < len(good):
            queue.publish(good[position])

    # when
    tally = drain(configured)

    # then
    assert (tally.stored, tally.poison) == (len(good), len(poison))
    assert queue.ready() == 0
    assert number(warehouse, "post_log") == len(good)
    kept = warehouse.execute("SELECT name, reason, body FROM poison_event FINAL")
    assert len(kept) == len(poison)
    assert all(reason for _, reason, _ in kept)
    reasons = {body: reason for _, reason, body in kept}
    assert "\\xff\\xfe\x00" in reasons
    assert reasons["[1]"] == "a JSON object is wanted, not list"
    assert {name for name, _, _ in kept} == {name for _, name in poison}


def test_an_event_that_comes_again_is_one_event(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    # given doubles within a batch, and the whole batch once more later
    written = [streams.event() for _ in range(20)]
    for _ in range(2):
        for each in [*written, *written[:5]]:
            queue.publish(each)
        drain(configured)

    # then
    assert number(warehouse, "post_log FINAL") == 20
    assert warehouse.execute("SELECT uniqExact(event_id) FROM post_log") == [(20,)]


def test_events_of_very_different_ages_share_a_batch(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    for year in range(1990, 2020):
        for month in range(1, 13):
            queue.publish(streams.event(event_timestamp=f"{year}-{month:02}-01T00:00:00+00:00"))

    assert drain(configured).stored == 360
    assert number(warehouse, "post_log FINAL") == 360


def test_sigterm_stores_what_is_at_hand_and_ends_with_status_0(
    environment: dict[str, str], warehouse: client.Client, queue: streams.Queue
) -> None:
    # given a sink that would wait ten minutes for a batch to fill
    for _ in range(10):
        queue.publish(streams.event())
    with streams.process(environment, "sink", "--age", "600") as child:
        streams.until(lambda: queue.ready() == 0)
        time.sleep(0.5)
        assert number(warehouse, "post_log") == 0

        # when
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0

    # then
    assert number(warehouse, "post_log") == 10
    time.sleep(0.5)
    assert queue.ready() == 0


def test_a_killed_sink_loses_nothing_and_doubles_nothing(
    configured: settings.Settings, environment: dict[str, str], warehouse: client.Client, queue: streams.Queue
) -> None:
    # given
    written = [streams.event() for _ in range(6000)]
    for each in written:
        queue.publish(each)

    # when sinks are killed in mid-work, again and again, and one is left to finish
    seen = 0
    for _ in range(3):
        with streams.process(environment, "sink", "--batch", "200", "--age", "0.05") as child:
            streams.until(lambda: number(warehouse, "post_log") > seen)  # noqa: B023 (called in this turn)
            child.kill()
            child.wait(30)
        seen = number(warehouse, "post_log")
    assert 0 < seen < 6000
    drain(configured)

    # then
    assert queue.ready() == 0
    found = warehouse.execute("SELECT event_id FROM post_log FINAL")
    assert sorted(str(row[0]) for row in found) == sorted(each["event_id"] for each in written)


def test_events_are_held_while_clickhouse_is_away(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    gate, url = gates.before(configured.clickhouse_url.get_secret_value())
    behind = configured.model_copy(update={"clickhouse_url": pydantic.SecretStr(url)})
    stop = threading.Event()
    with gate:
        # given a sink that works
        running = threading.Thread(target=sink.run, args=(behind, stop, sink.Options(age_s=0.05)), daemon=True)
        running.start()
        queue.publish(streams.event())
        streams.until(lambda: number(warehouse, "post_log") == 1)

        # when ClickHouse is cut off
        gate.close()
        for _ in range(50):
            queue.publish(streams.event())
        time.sleep(2)
        assert number(warehouse, "post_log") == 1

        # then nothing is lost when it is back
        gate.open()
        streams.until(lambda: number(warehouse, "post_log FINAL") == 51)
        stop.set()
        running.join(20)
        assert not running.is_alive()
    assert queue.ready() == 0


def test_an_insert_whose_answer_is_lost_is_not_acknowledged(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    # given an insert that reaches ClickHouse while its answer does not reach the sink
    gate, url = gates.before(configured.clickhouse_url.get_secret_value())
    behind = configured.model_copy(update={"clickhouse_url": pydantic.SecretStr(url)})
    message = batch.Message("post_log", json.dumps(streams.event()).encode())
    with gate, client.Client(behind, timeout_s=1) as connection:
        connection.execute("SELECT 1")
        gate.swallow_answers = True
        with pytest.raises(errors.ServiceUnavailable) as caught:
            batch.store(connection, [message])
        gate.swallow_answers = False

        # when it is stored again
        batch.store(connection, [message])

    # then
    assert caught.value.service == "clickhouse"
    assert number(warehouse, "post_log FINAL") == 1


def test_a_batch_that_is_held_too_long_goes_back_to_the_broker(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "HOLD_S", 1.0)
    gate, url = gates.before(configured.clickhouse_url.get_secret_value())
    behind = configured.model_copy(update={"clickhouse_url": pydantic.SecretStr(url)})
    stop = threading.Event()
    with gate:
        running = threading.Thread(target=sink.run, args=(behind, stop, sink.Options(age_s=0.05)), daemon=True)
        running.start()
        queue.publish(streams.event())
        streams.until(lambda: number(warehouse, "post_log") == 1)
        gate.close()
        queue.publish(streams.event())
        streams.until(lambda: queue.ready() == 1)
        gate.open()
        streams.until(lambda: number(warehouse, "post_log FINAL") == 2)
        stop.set()
        running.join(20)


def test_a_lost_broker_is_found_again(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    gate, url = gates.before(configured.broker_url.get_secret_value())
    behind = configured.model_copy(update={"broker_url": pydantic.SecretStr(url)})
    stop = threading.Event()
    with gate:
        running = threading.Thread(target=sink.run, args=(behind, stop, sink.Options(age_s=0.05)), daemon=True)
        running.start()
        queue.publish(streams.event())
        streams.until(lambda: number(warehouse, "post_log") == 1)
        gate.close()
        queue.publish(streams.event())
        time.sleep(1)
        gate.open()
        streams.until(lambda: number(warehouse, "post_log FINAL") == 2)
        stop.set()
        running.join(20)
        assert not running.is_alive()


def test_a_server_that_refuses_is_held_against_and_nothing_is_put_aside(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue
) -> None:
    # given a table that a person took away under a running sink
    stop = threading.Event()
    running = threading.Thread(target=sink.run, args=(configured, stop, sink.Options(age_s=0.05)), daemon=True)
    running.start()
    queue.publish(streams.event())
    streams.until(lambda: number(warehouse, "post_log") == 1)
    warehouse.execute("RENAME TABLE post_log TO taken_away")
    queue.publish(streams.event())
    time.sleep(1)

    # when it is put back
    warehouse.execute("RENAME TABLE taken_away TO post_log")

    # then
    streams.until(lambda: number(warehouse, "post_log FINAL") == 2)
    stop.set()
    running.join(20)
    assert number(warehouse, "poison_event") == 0


def test_a_new_field_of_the_catalogue_becomes_a_column_and_old_rows_stay(
    configured: settings.Settings, warehouse: client.Client, queue: streams.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    queue.publish(streams.event())
    drain(configured)
    grown = events.Event(
        "post_log", events.POST_LOG.when, (*events.POST_LOG.fields, events.Field("mood", "String", ""))
    )
    monkeypatch.setitem(events.CATALOGUE, "post_log", grown)

    # when
    schema.migrate(configured)
    schema.migrate(configured)

    # then
    assert warehouse.execute("SELECT mood FROM post_log") == [("",)]


def test_a_column_of_another_type_is_refused(
    configured: settings.Settings, warehouse: client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = events.Event("post_log", "", (events.Field("post_key", "UInt64", ""),))
    monkeypatch.setitem(events.CATALOGUE, "post_log", changed)

    with pytest.raises(errors.Fatal, match="post_key of post_log is String in ClickHouse but UInt64"):
        schema.migrate(configured)


def test_the_database_is_created_where_it_is_missing(configured: settings.Settings) -> None:
    url = configured.clickhouse_url.get_secret_value()
    missing = configured.model_copy(update={"clickhouse_url": pydantic.SecretStr(url + "_more")})
    schema.migrate(missing)
    with client.Client(missing) as warehouse:
        assert number(warehouse, "scrape_log") == 0
        warehouse.execute(f"DROP DATABASE {warehouse.database}")


def test_a_wrong_password_is_told_without_telling_the_password(configured: settings.Settings) -> None:
    url = configured.clickhouse_url.get_secret_value()
    wrong = url.replace(url.split(":")[2].split("@")[0], "hunter2hunter2")
    with client.Client(configured.model_copy(update={"clickhouse_url": pydantic.SecretStr(wrong)})) as warehouse:
        with pytest.raises(client.QueryRefused) as caught:
            warehouse.execute("SELECT 1")
        assert "hunter2" not in f"{caught.value!r} {caught.value} {warehouse!r}"
