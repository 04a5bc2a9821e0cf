"""Greeting, password, databases, settings and several connections at once."""

from __future__ import annotations

import pytest
from clickhouse_driver import errors


def test_the_server_names_itself_and_answers_pings(client):
    client.execute("SELECT 1")
    info = client.connection.server_info
    assert (info.name, info.revision, info.version_major) == ("ClickHouse", 54429, 26)
    assert client.connection.ping() is True


def test_it_starts_in_under_five_seconds(server):
    assert server.start_seconds < 5


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"password": ""}, {"user": "default"}])
def test_a_wrong_password_or_user_is_refused_with_code_516(server, login):
    with pytest.raises(errors.ServerException) as refused:
        server.client(**login).execute("SELECT 1")
    assert refused.value.code == 516
    assert "Authentication failed" in str(refused.value)


def test_each_connection_has_its_own_database(connect, client, database):
    other = connect(database=f"{database}_other")
    client.execute("CREATE TABLE here (x Int8) ENGINE = MergeTree ORDER BY x")
    assert client.execute("SELECT currentDatabase()") == [(database,)]
    assert client.execute("SHOW TABLES") == [("here",)]
    assert other.execute("SHOW TABLES") == []
    other.execute(f"USE {database}")
    assert other.execute("SHOW TABLES") == [("here",)]
    assert connect(database=f"{database}_other").execute("SHOW TABLES") == []


def test_a_database_that_is_no_name_is_refused(server):
    with pytest.raises(errors.ServerException) as refused:
        server.client(database="x`; DROP DATABASE default").execute("SELECT 1")
    assert refused.value.code == 81


def test_queries_run_at_once_and_one_that_fails_hurts_no_other(connect, background):
    slow = "SELECT count() FROM numbers(3) WHERE sleepEachRow(0.4) = 0"
    runs = [background(lambda: connect().execute(slow)) for _ in range(3)]
    failing = background(lambda: connect().execute("SELECT throwIf(number = 2) FROM numbers(3)")).join(5)
    assert failing.error.code == 395
    for run in runs:
        run.join(10)
        assert run.error is None
        assert run.result == [(3,)]
    assert max(run.seconds for run in runs) < 3, "three queries of 1.2 s took turns"


def test_many_clients_with_short_queries_each_get_their_own_answers(connect, client, background):
    client.execute("CREATE TABLE shared (who UInt8, n UInt32) ENGINE = MergeTree ORDER BY n")

    def work(who):
        own = connect()
        for number in range(25):
            own.execute("INSERT INTO shared VALUES", [(who, number)])
            assert own.execute(
                "SELECT %(x)s, getSetting('max_block_size')", {"x": who}, settings={"max_block_size": who + 1}
            ) == [(who, who + 1)]
        return own.execute("SELECT count() FROM shared WHERE who = %(x)s", {"x": who})

    workers = [background(lambda who=who: work(who)) for who in range(6)]
    for worker in workers:
        worker.join(30)
        assert worker.error is None
        assert worker.result == [(25,)]


def test_a_query_sees_its_settings_and_the_next_query_does_not(client):
    setting = "SELECT toString(getSetting('max_block_size'))"
    (before,) = client.execute(setting)
    assert client.execute(setting, settings={"max_block_size": 777}) == [("777",)]
    assert client.execute(setting) == [before]


def test_what_the_session_set_itself_outlives_a_querys_settings(client):
    setting = "SELECT toString(getSetting('max_block_size'))"
    client.execute("SET max_block_size = 555")
    assert client.execute(setting, settings={"max_block_size": 777}) == [("777",)]
    assert client.execute(setting) == [("555",)]


def test_an_unknown_setting_is_an_error_and_leaves_no_other_setting_behind(client):
    with pytest.raises(errors.ServerException) as refused:
        client.execute("SELECT 1", settings={"max_block_size": 777, "no_such_setting": 1})
    assert refused.value.code == 115
    assert "no_such_setting" in str(refused.value)
    with pytest.raises(errors.ServerException) as refused:
        client.execute("SELECT 1", settings={"max_block_size": "many"})
    assert refused.value.code in (6, 27, 41, 72, 26)
    assert client.execute("SELECT toString(getSetting('max_block_size'))") != [("777",)]


def test_compression_is_refused_with_a_sentence(client):
    client.execute("SELECT 1")
    client.connection.compression = 1  # asked for, though nothing is compressed yet
    with pytest.raises(errors.ServerException, match="does not compress") as refused:
        client.execute("SELECT 1")
    assert refused.value.code == 48


def test_external_tables_are_refused_and_the_connection_goes_on(client):
    table = {"name": "t", "structure": [("x", "Int32"), ("s", "Array(String)")], "data": [{"x": 1, "s": ["a", "b"]}]}
    with pytest.raises(errors.ServerException, match="external tables") as refused:
        client.execute("SELECT * FROM t", external_tables=[table])
    assert refused.value.code == 48
    assert client.execute("SELECT 1") == [(1,)]


def test_a_readonly_query_or_session_is_refused_and_the_session_goes_on(client):
    for run in (
        lambda: client.execute("SELECT 1", settings={"readonly": 1}),
        lambda: client.execute("SET readonly = 1"),
    ):
        with pytest.raises(errors.ServerException, match="readonly") as refused:
            run()
        assert refused.value.code == 48
        assert client.execute("SELECT 1") == [(1,)]


def test_limits_on_the_result_hold_for_the_result_alone(client):
    limits = {"max_result_rows": 1, "result_overflow_mode": "throw"}
    assert client.execute("SELECT 1 AS a, 2 AS b, 3 AS c", settings=limits) == [(1, 2, 3)]
    with pytest.raises(errors.ServerException) as refused:
        client.execute("SELECT number FROM numbers(5)", settings=limits)
    assert refused.value.code == 396


def test_a_setting_that_only_http_knows_does_not_stop_dbt(client):
    assert client.execute("SELECT 1", settings={"session_id": "dbt::1"}) == [(1,)]
