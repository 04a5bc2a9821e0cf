"""Random rows of every type that can be carried, through the real engines: what arrives equals what was there."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import ipaddress
import json
import math
import struct
import uuid
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from stirbeat import errors
from stirbeat.sync import context, job, run, suitable

ROWS = 25
NASTY = ("", "\\", "\\N", "\\.", "\t", "\n", "\r\n", "\b\f\v", "'", '"', "{}", "NULL", "a,b", "%s", ":x", "é", "😀")
UTC = datetime.UTC


def _integer(bits: int, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.one_of(st.sampled_from([low, high, 0]), st.integers(low, high))


def _decimal(digits: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    top = 10**digits - 1
    return st.integers(-top, top).map(lambda units: decimal.Decimal(units).scaleb(-scale, decimal.Context(prec=80)))


def _moments(first: int, last: int, **replaced: int) -> st.SearchStrategy[datetime.datetime]:
    return st.datetimes(
        datetime.datetime(first, 1, 2),  # noqa: DTZ001 (hypothesis wants them naive)
        datetime.datetime(last, 1, 1),  # noqa: DTZ001
    ).map(lambda moment: moment.replace(tzinfo=UTC, **replaced))


TEXT = st.one_of(
    st.sampled_from(NASTY),
    st.lists(st.sampled_from(NASTY), max_size=5).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10),
)
SINGLE = st.floats(width=32)
DAY = st.dates(datetime.date(1970, 1, 1), datetime.date(2149, 6, 6))
LATE_DAY = st.dates(datetime.date(1900, 1, 1), datetime.date(2299, 12, 31))

# ClickHouse type, Postgres type, values
CASES: tuple[tuple[str, str, st.SearchStrategy[Any]], ...] = (
    ("Bool", "boolean", st.booleans()),
    ("Int8", "smallint", _integer(8, True)),
    ("Int16", "smallint", _integer(16, True)),
    ("UInt16", "integer", _integer(16, False)),
    ("Int32", "integer", _integer(32, True)),
    ("UInt32", "bigint", _integer(32, False)),
    ("Int64", "bigint", _integer(64, True)),
    ("UInt64", "numeric", _integer(64, False)),
    ("Int128", "numeric", _integer(128, True)),
    ("UInt256", "numeric", _integer(256, False)),
    ("Float32", "real", SINGLE),
    ("Float32", "double precision", SINGLE),
    ("Float64", "double precision", st.floats()),
    ("Decimal(9, 2)", "numeric(9,2)", _decimal(9, 2)),
    ("Decimal(76, 20)", "numeric", _decimal(76, 20)),
    ("String", "text", TEXT),
    ("LowCardinality(String)", "text", TEXT),
    ("Enum8('a' = 1, 'it\\'s (x), y' = -2)", "text", st.sampled_from(["a", "it's (x), y"])),
    ("UUID", "uuid", st.uuids()),
    ("IPv4", "inet", st.ip_addresses(v=4)),
    ("IPv6", "inet", st.ip_addresses(v=6)),
    ("Date", "date", DAY),
    ("Date32", "date", LATE_DAY),
    ("DateTime", "timestamptz", _moments(1970, 2106, microsecond=0)),
    ("DateTime('Asia/Tokyo')", "timestamptz", _moments(1970, 2106, microsecond=0)),
    ("DateTime64(6, 'America/New_York')", "timestamptz", _moments(1900, 2299)),
    ("DateTime64(0, 'UTC')", "timestamp", _moments(1900, 2299, microsecond=0)),
    ("Array(String)", "text[]", st.lists(TEXT, max_size=4)),
    ("Array(Nullable(String))", "text[]", st.lists(st.none() | TEXT, max_size=4)),
    ("Array(Nullable(Int64))", "bigint[]", st.lists(st.none() | _integer(64, True), max_size=4)),
    ("Array(Float64)", "double precision[]", st.lists(st.floats(), max_size=3)),
    ("Array(Bool)", "boolean[]", st.lists(st.booleans(), max_size=3)),
    ("Array(UUID)", "uuid[]", st.lists(st.uuids(), max_size=3)),
    ("Array(Date)", "date[]", st.lists(DAY, max_size=3)),
    ("Array(DateTime64(6, 'Asia/Tokyo'))", "timestamptz[]", st.lists(_moments(1900, 2299), max_size=3)),
    ("Array(Array(Nullable(String)))", "jsonb", st.lists(st.lists(st.none() | TEXT, max_size=3), max_size=3)),
    ("Map(String, Int64)", "jsonb", st.dictionaries(TEXT, _integer(64, True), max_size=3)),
    ("Tuple(a Int64, b String)", "jsonb", st.tuples(_integer(64, True), TEXT)),
)
NULLABLE = [n for n, (kind, _, _) in enumerate(CASES) if not kind.startswith(("Array", "Map", "Tuple", "Low"))]
ROW = st.tuples(*(values if n not in NULLABLE else st.none() | values for n, (_, _, values) in enumerate(CASES)))


def arrived(value: Any, target: str) -> Any:
    """The value as Postgres should give it, in a form that compares: NaN equals NaN, 0.0 differs from -0.0."""
    if value is None:
        return None
    if target.endswith("[]"):
        return [arrived(one, target[:-2]) for one in value]
    if target == "real":
        return struct.pack("f", math.nan if math.isnan(value) else value)
    if target == "double precision":
        return struct.pack("d", math.nan if math.isnan(value) else value)
    if target == "timestamp":
        return value.replace(tzinfo=None)
    if target == "timestamptz":
        return value.astimezone(UTC)
    if target == "jsonb":
        return json.loads(json.dumps(value if not isinstance(value, tuple) else {"a": value[0], "b": value[1]}))
    if target in {"uuid", "inet"}:
        return str(value).split("/", maxsplit=1)[0]
    if target.startswith("numeric"):
        return decimal.Decimal(value)
    return value


def got(value: Any, target: str) -> Any:
    """What psycopg2 gave, in the same form."""
    if isinstance(value, str) and target in {"uuid[]"}:
        value = [] if value == "{}" else value.strip("{}").split(",")
    if target == "inet" and value is not None:
        return str(ipaddress.ip_interface(value).ip)
    if target == "jsonb":
        return value
    return arrived(value, target)


def stored(value: Any, kind: str) -> Any:
    """The value as the driver stores it rightly: of moments before 1970 with a fraction it would lose a second."""
    if kind.startswith("Array(") and isinstance(value, list):
        return [stored(one, kind.removeprefix("Array(")) for one in value]
    if kind.startswith("DateTime64(") and value is not None:
        ticks = (value - datetime.datetime(1970, 1, 1, tzinfo=UTC)) // datetime.timedelta(microseconds=1)
        return ticks if kind.startswith("DateTime64(6") else ticks // 1_000_000
    return value


@pytest.mark.timeout(120)
@hypothesis.settings(
    max_examples=4,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(rows=st.lists(ROW, min_size=ROWS, max_size=ROWS))
def test_every_value_arrives_as_it_was(rows: list[tuple[Any, ...]], surroundings: context.Context) -> None:
    # given a mart of these rows, and a job for it
    kinds = [f"Nullable({kind})" if n in NULLABLE else kind for n, (kind, _, _) in enumerate(CASES)]
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(kinds))
    wanted = job.Job(
        name="types",
        source="mart_types",
        target="types",
        columns=(
            job.Column("id", "integer", nullable=False),
            *(job.Column(f"c{n}", target) for n, (_, target, _) in enumerate(CASES)),
        ),
        key=("id",),
    )
    with surroundings.warehouse.connect() as client:
        client.execute("DROP TABLE IF EXISTS mart_types")
        client.execute(f"CREATE TABLE mart_types (id UInt16, {columns}) ENGINE = MergeTree ORDER BY id")
        client.execute(
            "INSERT INTO mart_types VALUES",
            [
                (n, *(stored(value, kind) for value, (kind, _, _) in zip(row, CASES, strict=True)))
                for n, row in enumerate(rows)
            ],
        )
        assert client.execute("SELECT count() FROM mart_types") == [(ROWS,)]

    # when
    assert suitable.check(surroundings, wanted) == []
    result = run.run(wanted, surroundings)

    # then
    assert result.rows == ROWS
    with surroundings.engine.connect() as connection:
        connection.execute(sa.text("SET timezone = 'UTC'"))
        found = connection.exec_driver_sql("SELECT * FROM types ORDER BY id").all()
    for n, (kind, target, _) in enumerate(CASES):
        expected = [arrived(row[n], target) for row in rows]
        assert [got(row[n + 1], target) for row in found] == expected, f"{kind} -> {target}"


def test_bytes_that_are_no_text_are_mended_or_kept_as_bytea(surroundings: context.Context) -> None:
    # given every byte alone, NUL among them, and ill-formed UTF-8
    bodies = [bytes([n]) for n in range(256)] + [b"a\0b", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\\x00"]
    wanted = job.Job(
        name="bytes",
        source="mart_bytes",
        target="bytes",
        columns=(
            job.Column("id", "bigint", nullable=False),
            job.Column("as_text", "text", "body"),
            job.Column("as_bytes", "bytea", "body"),
            job.Column("as_array", "text[]", "[body, body]"),
            job.Column(
                "as_json", "jsonb", "map(concat('k\\\\u0000', body), [body, '\\\\\\\\u0000', '\\0\\0\\\\\\0x'])"
            ),
        ),
        key=("id",),
    )
    with surroundings.warehouse.connect() as client:
        client.execute("CREATE TABLE mart_bytes (id Int64, body String) ENGINE = MergeTree ORDER BY id")
        client.execute("INSERT INTO mart_bytes VALUES", list(enumerate(bodies)), types_check=False)

    # when
    run.run(wanted, surroundings)

    # then
    with surroundings.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT * FROM bytes ORDER BY id").all()
    for body, row in zip(bodies, found, strict=True):
        text = body.replace(b"\0", b"").decode(errors="replace")
        # ClickHouse puts one U+FFFD for what Python may take as several pieces.
        assert row.as_text.replace("\ufffd", "") == text.replace("\ufffd", "")
        assert ("\ufffd" in row.as_text) == ("\ufffd" in text)
        assert bytes(row.as_bytes) == body
        assert row.as_array == [row.as_text] * 2
        assert row.as_json == {"k\\u0000" + row.as_text: [row.as_text, "\\\\u0000", "\\x"]}


@pytest.mark.parametrize(
    ("expression", "target"),
    [
        ("toInt64(1)", "integer"),
        ("toUInt32(1)", "integer"),
        ("toFloat64(1)", "numeric"),
        ("toFloat64(1)", "real"),
        ("toDateTime64(0, 9, 'UTC')", "timestamptz"),
        ("toDecimal64(1, 4)", "numeric(18,2)"),
        ("[[1]]", "bigint[]"),
        ("[map('a', 1)]", "text[]"),
        ("'x'", "uuid"),
        ("toDate(0)", "timestamptz"),
        ("toIntervalDay(1)", "text"),
        ("1.5", "text"),
        ("5", "jsonb"),
    ],
)
def test_what_cannot_be_carried_exactly_is_refused_by_check_with_the_columns_name(
    expression: str, target: str, surroundings: context.Context, small: job.Job
) -> None:
    wanted = dataclasses.replace(small, columns=(*small.columns, job.Column("strange", target, expression)))
    (problem,) = suitable.check(surroundings, wanted)
    assert "column strange: " in problem
    with pytest.raises(errors.Fatal, match="column strange: "):
        run.run(wanted, surroundings)


def test_uuids_stay_themselves(surroundings: context.Context, small: job.Job, ask: Any, fill: Any) -> None:
    one = uuid.uuid4()
    fill(1)
    wanted = dataclasses.replace(small, columns=(*small.columns, job.Column("u", "uuid", f"toUUID('{one}')")))
    run.run(wanted, surroundings)
    assert ask("select u::text from small") == [(str(one),)]
