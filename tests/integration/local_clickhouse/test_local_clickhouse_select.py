"""Reading: streams, types, progress, errors."""

# ruff: noqa: DTZ001  the driver gives and takes times without a zone

from __future__ import annotations

import datetime
import decimal
import ipaddress
import uuid

import pytest
from clickhouse_driver import errors
from clickhouse_driver.protocol import ServerPacketTypes

TYPED = [
    ("toInt8(-1)", "Int8", -1),
    ("toUInt64(18446744073709551615)", "UInt64", 18446744073709551615),
    ("toInt256('-5')", "Int256", -5),
    ("toFloat32(1.5)", "Float32", 1.5),
    ("true", "Bool", True),
    ("'naïve'", "String", "naïve"),
    ("toFixedString('abc', 3)", "FixedString(3)", "abc"),
    ("toDate('2024-02-29')", "Date", datetime.date(2024, 2, 29)),
    ("toDateTime('2024-02-29 10:11:12', 'UTC')", "DateTime('UTC')", datetime.datetime(2024, 2, 29, 10, 11, 12)),
    (
        "toDateTime64('2024-02-29 10:11:12.123456', 6)",
        "DateTime64(6)",
        datetime.datetime(2024, 2, 29, 10, 11, 12, 123456),
    ),
    ("toDecimal64('12.345', 3)", "Decimal(18, 3)", decimal.Decimal("12.345")),
    ("toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "UUID", uuid.UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0")),
    ("toIPv4('10.0.0.1')", "IPv4", ipaddress.IPv4Address("10.0.0.1")),
    ("CAST('b', 'Enum8(\\'a\\' = 1, \\'b\\' = 2)')", "Enum8('a' = 1, 'b' = 2)", "b"),
    ("CAST(NULL, 'Nullable(Int32)')", "Nullable(Int32)", None),
    ("toLowCardinality('x')", "LowCardinality(String)", "x"),
    ("[1, 2]", "Array(UInt8)", [1, 2]),
    ("[toNullable(1), NULL]", "Array(Nullable(UInt8))", [1, None]),
    ("map('k', 1)", "Map(String, UInt8)", {"k": 1}),
    ("(1, 'a')", "Tuple(UInt8, String)", (1, "a")),
]


def naive(value):
    return value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value


@pytest.mark.parametrize(("expression", "type_name", "value"), TYPED, ids=[row[1] for row in TYPED])
def test_every_type_comes_with_its_name_and_value(client, expression, type_name, value):
    rows, columns = client.execute(f"SELECT {expression} AS v", with_column_types=True)
    assert columns == [("v", type_name)]
    assert naive(rows[0][0]) == value


def test_an_empty_result_still_has_its_columns(client):
    rows, columns = client.execute("SELECT 1 AS a, 'x' AS b WHERE 0", with_column_types=True)
    assert rows == []
    assert columns == [("a", "UInt8"), ("b", "String")]
    rows, columns = client.execute("SHOW TABLES", with_column_types=True)
    assert (rows, columns) == ([], [("name", "String")])


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("-- a comment; with 'quotes\n/* and\nINSERT */ SELECT 1", [(1,)]),
        ("((SELECT 1)) -- tail", [(1,)]),
        ("(SELECT 1) UNION ALL (SELECT 2)", None),
        ("WITH 2 AS two SELECT two;", [(2,)]),
        ("FROM numbers(2) SELECT number", [(0,), (1,)]),
        ("EXISTS TABLE no_such_table", [(0,)]),
        ("EXISTS DATABASE system", [(1,)]),
        ("SELECT 'INSERT INTO t VALUES', ';'", [("INSERT INTO t VALUES", ";")]),
        ("DESCRIBE TABLE system.one", [("dummy", "UInt8", "", "", "", "", "")]),
        ("EXPLAIN SYNTAX SELECT 1", None),
        ("SHOW PROCESSLIST", None),
    ],
)
def test_the_kind_of_a_statement_is_read_past_comments_and_brackets(client, sql, rows):
    answered = client.execute(sql)
    assert answered
    if rows is not None:
        assert answered == rows


def test_ten_million_rows_stream_through_constant_memory(server, client):
    client.execute("SELECT sum(number) FROM numbers(1000)")
    before = server.memory_mib()
    total = 0
    peak = before
    for chunk in client.execute_iter("SELECT number FROM numbers(10000000)", chunk_size=500_000):
        total += len(chunk)
        peak = max(peak, server.memory_mib())
    assert total == 10_000_000
    assert peak - before < 100


def test_progress_counts_what_was_read(client):
    progress = client.execute_with_progress("SELECT sum(sipHash64(number)) FROM numbers(100000000)")
    steps = list(progress)
    assert steps[-1][0] == 100_000_000
    assert len(steps) > 1, "progress came only at the end"
    assert len(progress.get_result()) == 1


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("garbage", 62, "SYNTAX_ERROR"),
        ("", 62, "SYNTAX_ERROR"),
        ("SELECT * FROM no_such_table", 60, "UNKNOWN_TABLE"),
        ("SELECT no_such_column", 47, "UNKNOWN_IDENTIFIER"),
        ("DROP TABLE no_such_table", 60, "UNKNOWN_TABLE"),
        ("INSERT INTO no_such_table VALUES (1)", 60, "UNKNOWN_TABLE"),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR"),
        ("SELECT 1 FORMAT CSV", 62, "SYNTAX_ERROR"),
        ("CREATE TEMPORARY TABLE t (x Int8)", 48, "NOT_IMPLEMENTED"),
        ("SELECT count() FROM numbers(100000000000) SETTINGS max_execution_time = 1", 159, "TIMEOUT_EXCEEDED"),
        ("SELECT throwIf(1, unhex('ff'))", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_errors_keep_clickhouses_code_and_name(client, sql, code, name):
    with pytest.raises(errors.ServerException) as raised:
        client.execute(sql, settings={"timeout_overflow_mode": "throw"})
    assert raised.value.code == code
    assert name in str(raised.value)
    assert client.execute("SELECT 1") == [(1,)]


def test_an_error_in_mid_stream_leaves_the_connection_usable(client):
    # The driver itself hangs up after any error, so this speaks through its lower half.
    client.execute("SELECT 1")
    connection = client.connection

    def answered(sql):
        connection.send_query(sql)
        connection.send_external_tables(None)
        packets = [connection.receive_packet()]
        while packets[-1].type not in (ServerPacketTypes.END_OF_STREAM, ServerPacketTypes.EXCEPTION):
            packets.append(connection.receive_packet())
        return packets

    failed = answered("SELECT throwIf(number = 3000000) FROM numbers(10000000)")
    assert failed[-1].exception.code == 395
    assert sum(packet.block.num_rows for packet in failed if packet.block) > 1_000_000
    again = answered("SELECT 7")
    assert [packet.block.get_rows() for packet in again if packet.block] == [[], [(7,)]]


def test_showing_with_a_format_is_an_error_and_not_a_broken_stream(client):
    with pytest.raises(errors.ServerException, match="FORMAT"):
        client.execute("SHOW DATABASES FORMAT CSV")
    assert client.execute("SELECT 1") == [(1,)]
