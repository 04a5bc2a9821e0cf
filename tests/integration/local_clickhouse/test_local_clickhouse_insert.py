"""Writing: DDL, INSERT ... SELECT, rows sent in blocks, and what is left of an insert that dies."""

# ruff: noqa: DTZ001  the driver gives and takes times without a zone

from __future__ import annotations

import datetime
import decimal
import ipaddress
import uuid

import pytest
from clickhouse_driver import errors
from clickhouse_driver.block import RowOrientedBlock

COLUMNS = {
    "i8": ("Int8", [-1, 0]),
    "u256": ("UInt256", [2**255, 0]),
    "f": ("Float64", [1.5, -2.25]),
    "flag": ("Bool", [True, False]),
    "s": ("String", ["", "x" * 300]),
    "fs": ("FixedString(4)", ["abcd", "efgh"]),
    "d": ("Date", [datetime.date(2024, 2, 29), datetime.date(1970, 1, 1)]),
    "d32": ("Date32", [datetime.date(1920, 2, 29), datetime.date(2200, 1, 1)]),
    "dt64": ("DateTime64(6)", [datetime.datetime(2024, 1, 2, 3, 4, 5, 678), datetime.datetime(2000, 1, 1)]),
    "dec": ("Decimal(38, 10)", [decimal.Decimal("12345.6789000000"), decimal.Decimal("-1")]),
    "u": ("UUID", [uuid.UUID(int=5), uuid.UUID(int=2**127)]),
    "ip": ("IPv6", [ipaddress.IPv6Address("::1"), ipaddress.IPv6Address("fe80::1")]),
    "e": ("Enum16('a, (b' = 1, 'c' = 300)", ["a, (b", "c"]),
    "n": ("Nullable(String)", [None, "y"]),
    "lc": ("LowCardinality(String)", ["one", "two"]),
    "lcn": ("LowCardinality(Nullable(String))", [None, "two"]),
    "arr": ("Array(Array(Nullable(Int32)))", [[[1, None], []], []]),
    "alc": ("Array(LowCardinality(String))", [["a", "b", "a"], []]),
    "m": ("Map(LowCardinality(String), Array(UInt8))", [{"k": [1, 2]}, {}]),
    "t": ("Tuple(a UInt8, `b c` Nullable(String))", [(1, None), (2, "z")]),
}


def test_every_type_is_taken_in_blocks_and_comes_back_the_same(client):
    listed = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    client.execute(f"CREATE TABLE typed (id UInt8, {listed}) ENGINE = MergeTree ORDER BY id")
    rows = [(index, *(values[index] for _, values in COLUMNS.values())) for index in range(2)]
    assert client.execute("INSERT INTO typed VALUES", [list(row) for row in rows]) == 2
    for name, (_, values) in COLUMNS.items():
        read = [value for (value,) in client.execute(f"SELECT `{name}` FROM typed ORDER BY id")]
        assert read == values, name


def test_a_hundred_thousand_rows_go_in_by_blocks_and_are_counted(client):
    client.execute("CREATE TABLE many (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    rows = ((number, f"row {number}") for number in range(100_000))
    inserted = client.execute("INSERT INTO many (n, s) VALUES", rows, settings={"insert_block_size": 7_000})
    assert inserted == 100_000
    assert client.last_query.progress.written_rows == 100_000
    assert client.execute("SELECT count(), sum(n), max(s) FROM many") == [(100_000, 4_999_950_000, "row 99999")]


def test_columns_left_out_take_their_defaults(client):
    client.execute(
        "CREATE TABLE filled (a UInt8, b String DEFAULT concat('d', toString(a)), c UInt8 MATERIALIZED a + 1) "
        "ENGINE = MergeTree ORDER BY a"
    )
    client.execute("INSERT INTO filled (a) SETTINGS max_threads = 1 VALUES", [(1,)])
    client.execute("/* INSERT INTO x VALUES */ INSERT INTO TABLE `filled` (b, a) FORMAT Native", [("own", 2)])
    client.execute("INSERT INTO filled VALUES", [(3, "both")])
    client.execute("INSERT INTO filled (* EXCEPT (b)) VALUES", [(4,)])
    client.execute("INSERT INTO filled (a, b) VALUES (5, 'VALUES'), (6, 'in text')")
    assert client.last_query.progress.written_rows == 2
    assert client.execute("SELECT a, b, c FROM filled ORDER BY a") == [
        (1, "d1", 2),
        (2, "own", 3),
        (3, "both", 4),
        (4, "d4", 5),
        (5, "VALUES", 6),
        (6, "in text", 7),
    ]


def test_no_rows_at_all_insert_nothing(client):
    client.execute("CREATE TABLE none (a UInt8) ENGINE = MergeTree ORDER BY a")
    assert client.execute("INSERT INTO none VALUES", []) == 0
    assert client.execute("SELECT count() FROM none") == [(0,)]


@pytest.mark.parametrize("rows", [0, 1, 65_536, 1_234_567])
def test_insert_select_reports_exactly_the_rows_written(client, rows):
    client.execute("CREATE TABLE target (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.execute(f"INSERT INTO target SELECT number FROM numbers({rows})")
    assert client.last_query.progress.written_rows == rows
    assert client.execute("SELECT count() FROM target") == [(rows,)]


def test_errors_before_and_during_an_insert_keep_their_codes(client):
    client.execute("CREATE TABLE strict (a UInt8, CONSTRAINT small CHECK a < 10) ENGINE = MergeTree ORDER BY a")
    for sql, rows, code in [
        ("INSERT INTO no_such_table VALUES", [(1,)], 60),
        ("INSERT INTO strict (nope) VALUES", [(1,)], None),
        ("INSERT INTO strict VALUES", [(1,), (11,)], 469),
    ]:
        with pytest.raises(errors.ServerException) as raised:
            client.execute(sql, rows)
        assert code is None or raised.value.code == code
    assert client.execute("SELECT count() FROM strict") == [(0,)]


def half_an_insert(client, table):
    """Two whole blocks of an INSERT, whose end is not sent."""
    client.execute("SELECT 1")
    client.connection.send_query(f"INSERT INTO {table} VALUES")
    client.connection.send_external_tables(None)
    sample = client.receive_sample_block()
    for start in (0, 100_000):
        rows = [(number,) for number in range(start, start + 100_000)]
        client.connection.send_data(RowOrientedBlock(sample.columns_with_types, rows))


def test_a_client_that_dies_in_mid_insert_leaves_nothing_and_the_server_alive(client, connect):
    client.execute("CREATE TABLE whole (n UInt64) ENGINE = MergeTree ORDER BY n")
    dying = connect()
    half_an_insert(dying, "whole")
    dying.connection.socket.close()
    assert client.execute("SELECT count() FROM whole") == [(0,)]
    client.execute("INSERT INTO whole VALUES", [(1,)])
    assert client.execute("SELECT count() FROM whole") == [(1,)]


def test_a_block_with_other_columns_than_asked_for_ends_the_connection(client, connect):
    client.execute("CREATE TABLE picky (n UInt64) ENGINE = MergeTree ORDER BY n")
    lying = connect()
    lying.execute("SELECT 1")
    lying.connection.send_query("INSERT INTO picky VALUES")
    lying.connection.send_external_tables(None)
    lying.receive_sample_block()
    lying.connection.send_data(RowOrientedBlock([("n", "String")], [("x",)]))
    assert lying.connection.receive_packet().exception.code == 101
    assert client.execute("SELECT count() FROM picky") == [(0,)]


def test_tables_trade_places_and_survive_ddl(client, database):
    for name, value in (("one", 1), ("two", 2)):
        client.execute(f"CREATE TABLE {name} ENGINE = MergeTree ORDER BY x AS SELECT toUInt8({value}) AS x")
    client.execute("EXCHANGE TABLES one AND two")
    assert client.execute("SELECT * FROM one") == [(2,)]
    client.execute("ALTER TABLE one DELETE WHERE x = 2", settings={"mutations_sync": 2})
    assert client.execute("SELECT count() FROM one") == [(0,)]
    client.execute("RENAME TABLE two TO three")
    client.execute("TRUNCATE TABLE three")
    assert client.execute("SELECT engine FROM system.databases WHERE name = %(name)s", {"name": database}) == [
        ("Atomic",)
    ]


def test_a_million_rows_in_blocks_stay_within_the_servers_memory(own_server):
    server = own_server()
    client = server.client()
    idle = server.memory_mib()
    client.execute("CREATE TABLE big (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    client.execute("INSERT INTO big VALUES", ((n, f"some text of row {n}") for n in range(1_000_000)))
    assert client.last_query.progress.written_rows == 1_000_000
    peak = server.memory_mib("VmHWM")
    print(f"resident: idle {idle:.0f} MiB, peak under 1 M rows of 2 columns {peak:.0f} MiB")
    assert idle < 350
    assert peak < 900
    client.disconnect()
