"""Ending queries: by their client, by its death, by KILL QUERY, by a time limit."""

from __future__ import annotations

import time
import uuid

import pytest
from clickhouse_driver import errors

ENDLESS = {
    "aggregate": "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)",
    "stream": "SELECT sipHash64(number) FROM system.numbers",
    "sort": "SELECT sipHash64(number) AS h FROM numbers(1000000000) ORDER BY h DESC LIMIT 5",
    "insert": "INSERT INTO FUNCTION null('h UInt64') SELECT sipHash64(number) FROM numbers(1000000000000)",
    "table": "INSERT INTO sink SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
    "create": "CREATE TABLE made ENGINE = MergeTree ORDER BY h AS SELECT sipHash64(number) AS h FROM system.numbers",
}


@pytest.fixture
def sink(client):
    client.execute("CREATE TABLE sink (n UInt64) ENGINE = MergeTree ORDER BY n")


def runs(client, query_id):
    return client.execute("SELECT count() FROM system.processes WHERE query_id = %(id)s", {"id": query_id}) == [(1,)]


def consume(client, sql, query_id, settings=None):
    total = 0
    for chunk in client.execute_iter(sql, query_id=query_id, chunk_size=100_000, settings=settings):
        total += len(chunk)
    return total


@pytest.mark.usefixtures("sink")
@pytest.mark.parametrize("kind", ENDLESS)
def test_kill_query_from_another_connection_ends_it(client, connect, background, wait_until, kind):
    query_id = f"sync's run {uuid.uuid4()}"  # with a quote, to be met by escaping
    victim = background(lambda: consume(connect(), ENDLESS[kind], query_id))
    wait_until(lambda: runs(client, query_id))
    time.sleep(0.2)

    started = time.monotonic()
    killed = client.execute("KILL QUERY WHERE query_id = %(id)s SYNC", {"id": query_id})
    took = time.monotonic() - started

    assert [row[:2] for row in killed] == [("finished", query_id)]
    assert took < 5
    assert not runs(client, query_id)
    victim.join(5)
    assert victim.error.code == 394
    assert "QUERY_WAS_CANCELLED" in str(victim.error)


def test_kill_ends_a_stream_whose_client_reads_no_more(client, connect):
    query_id = str(uuid.uuid4())
    stalled = connect()
    stalled.execute("SELECT 1")
    stalled.connection.send_query(ENDLESS["stream"], query_id=query_id)
    stalled.connection.send_external_tables(None)
    time.sleep(0.5)
    assert runs(client, query_id)
    started = time.monotonic()
    client.execute(f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
    assert time.monotonic() - started < 5
    assert not runs(client, query_id)


def test_killing_nothing_answers_nothing_and_a_trial_kills_nothing(client, connect, background, wait_until):
    assert client.execute("KILL QUERY WHERE query_id = 'nobody' SYNC") == []
    query_id = str(uuid.uuid4())
    running = background(lambda: consume(connect(), ENDLESS["aggregate"], query_id, {"max_execution_time": 1}))
    wait_until(lambda: runs(client, query_id))
    assert client.execute(f"KILL QUERY WHERE query_id = '{query_id}' TEST")[0][1] == query_id
    running.join(5)
    assert running.error.code == 159, "it was killed by a trial"


@pytest.mark.parametrize("kind", ["stream", "aggregate", "insert"])
def test_a_client_that_cancels_gets_the_end_of_the_stream_and_goes_on(client, connect, wait_until, kind):
    query_id = str(uuid.uuid4())
    canceller = connect()
    canceller.execute("SELECT 1")
    socket = canceller.connection.socket
    canceller.connection.send_query(ENDLESS[kind], query_id=query_id)
    canceller.connection.send_external_tables(None)
    wait_until(lambda: runs(client, query_id))
    started = time.monotonic()
    canceller.cancel()
    assert time.monotonic() - started < 5
    assert not runs(client, query_id)
    assert canceller.execute("SELECT 1") == [(1,)]
    assert canceller.connection.socket is socket


def test_a_cancel_sent_together_with_its_query_is_seen(client, connect):
    canceller = connect()
    canceller.execute("SELECT 1")
    canceller.connection.send_query(ENDLESS["aggregate"])
    canceller.connection.send_external_tables(None)
    started = time.monotonic()
    canceller.cancel()
    assert time.monotonic() - started < 5
    assert canceller.execute("SELECT 1") == [(1,)]


@pytest.mark.usefixtures("sink")
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_client_that_disappears_takes_its_query_with_it(client, connect, wait_until, kind):
    query_id = str(uuid.uuid4())
    leaving = connect()
    leaving.execute("SELECT 1")
    leaving.connection.send_query(ENDLESS[kind], query_id=query_id)
    leaving.connection.send_external_tables(None)
    wait_until(lambda: runs(client, query_id))
    leaving.disconnect()
    wait_until(lambda: not runs(client, query_id), 5)


@pytest.mark.parametrize("kind", ["stream", "aggregate", "insert"])
def test_max_execution_time_ends_a_query_with_code_159(connect, kind):
    started = time.monotonic()
    with pytest.raises(errors.ServerException) as raised:
        consume(connect(), ENDLESS[kind], "", {"max_execution_time": 1, "timeout_overflow_mode": "throw"})
    assert raised.value.code == 159
    assert time.monotonic() - started < 5


def test_two_queries_of_one_id_do_not_run_at_once(client, connect, background, wait_until):
    query_id = str(uuid.uuid4())
    first = background(lambda: connect().execute("SELECT sleep(1.5)", query_id=query_id))
    wait_until(lambda: runs(client, query_id))
    with pytest.raises(errors.ServerException) as refused:
        connect().execute("SELECT 1", query_id=query_id)
    assert refused.value.code == 216
    first.join(5)
    assert first.result == [(0,)]
    assert connect().execute("SELECT 1", query_id=query_id) == [(1,)]


def test_a_killed_insert_of_many_parts_leaves_the_table_readable(client, connect, background, wait_until, sink):
    query_id = str(uuid.uuid4())
    victim = background(
        lambda: connect().execute("INSERT INTO sink SELECT number FROM system.numbers", query_id=query_id)
    )
    wait_until(lambda: client.execute("SELECT count() FROM sink") != [(0,)])
    client.execute(f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
    victim.join(5)
    assert victim.error.code == 394
    ((count, highest),) = client.execute("SELECT count(), max(n) FROM sink")
    assert count == highest + 1, "whole blocks from the first on"
