"""Types: how they are read, and which pairs are carried or refused."""

from __future__ import annotations

import pytest

from stirbeat.sync import cast, clickhouse_type


@pytest.mark.parametrize(
    ("text", "name", "arguments", "nullable"),
    [
        ("String", "String", (), False),
        ("Nullable(Int64)", "Int64", (), True),
        ("LowCardinality(Nullable(String))", "String", (), True),
        ("DateTime64(6, 'UTC')", "DateTime64", ("6", "'UTC'"), False),
        (
            "Array(Tuple(a Int8, b Map(String, Array(Int8))))",
            "Array",
            ("Tuple(a Int8, b Map(String, Array(Int8)))",),
            False,
        ),
        ("Enum8('a,b)(' = 1, 'it\\'s' = 2)", "Enum8", ("'a,b)(' = 1", "'it\\'s' = 2"), False),
        ("Tuple(\n    a Int8,\n    `b, c` String)", "Tuple", ("a Int8", "`b, c` String"), False),
    ],
)
def test_a_type_is_read(text: str, name: str, arguments: tuple[str, ...], nullable: bool) -> None:
    assert clickhouse_type.parse(text) == clickhouse_type.Type(name, arguments, nullable)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Int64", "integer"),
        ("UInt16", "smallint"),
        ("UInt32", "integer"),
        ("Int128", "bigint"),
        ("Float64", "real"),
        ("Float64", "numeric"),
        ("BFloat16", "real"),
        ("String", "uuid"),
        ("FixedString(4)", "jsonb"),
        ("Decimal(10, 3)", "numeric(10,2)"),
        ("Decimal(10, 3)", "numeric(9,3)"),
        ("DateTime64(9, 'UTC')", "timestamptz"),
        ("DateTime", "date"),
        ("Date", "timestamp"),
        ("Array(Array(Int8))", "smallint[]"),
        ("Array(DateTime64(9))", "timestamptz[]"),
        ("Int64", "bigint[]"),
        ("AggregateFunction(sum, Int64)", "text"),
        ("Variant(Int8, String)", "jsonb"),
    ],
)
def test_a_pair_that_would_lose_something_is_refused(source: str, target: str) -> None:
    with pytest.raises(cast.CannotCarry, match="cannot be carried exactly"):
        cast.expression("x", source, target)


def test_unsigned_64_bits_into_bigint_are_left_to_copy_to_check() -> None:
    assert cast.expression("c", "Nullable(UInt64)", "bigint") == "c"
