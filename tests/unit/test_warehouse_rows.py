"""From a message's body to a row: pure."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from stirbeat import errors, events
from stirbeat.warehouse import rows, schema
from tests import streams

JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=8,
)


def parse(payload: dict[str, Any], name: str = "post_log") -> dict[str, Any]:
    row = rows.parse(name, json.dumps(payload).encode())
    return dict(zip(rows.columns(name), row.values, strict=True))


@pytest.mark.parametrize("name", sorted(events.CATALOGUE))
def test_the_sink_can_store_every_field_of_the_catalogue(name: str) -> None:
    for field in events.CATALOGUE[name].columns:
        assert callable(rows.converter(field))


def test_a_type_that_the_sink_cannot_store_is_refused() -> None:
    with pytest.raises(errors.RegistryError, match=r"Array\(String\)"):
        rows.converter(events.Field("tags", "Array(String)", ""))


def test_times_keep_their_microseconds_and_come_to_utc() -> None:
    payload = streams.event(event_timestamp="2025-11-21T22:30:00.000001+02:30")

    found = parse(payload)["event_timestamp"]

    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert epoch + datetime.timedelta(microseconds=found) == datetime.datetime(
        2025, 11, 21, 20, 0, 0, 1, tzinfo=datetime.UTC
    )


def test_what_may_be_absent_is_unknown_and_what_may_not_is_poison() -> None:
    payload = streams.event()
    del payload["profile_key"]
    assert parse(payload)["profile_key"] is None

    del payload["post_key"]
    with pytest.raises(rows.Poison, match="post_key: text is wanted, not nothing"):
        parse(payload)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("UInt8", 255, 255),
        ("Int8", -128, -128),
        ("Nullable(Int64)", None, None),
        ("Float64", 3, 3.0),
        ("Bool", True, True),
        ("LowCardinality(Nullable(String))", "a", "a"),
    ],
)
def test_values_of_every_type_pass(kind: str, value: object, stored: object) -> None:
    assert rows.converter(events.Field("x", kind, ""))(value) == stored


@pytest.mark.parametrize(
    ("kind", "value"),
    [("UInt8", 256), ("UInt8", -1), ("Int64", True), ("Int64", 1.0), ("Float64", "1"), ("Bool", 1), ("UUID", 7)],
)
def test_values_of_the_wrong_type_are_refused(kind: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        rows.converter(events.Field("x", kind, ""))(value)


@hypothesis.given(
    name=strategies.sampled_from(sorted(events.CATALOGUE)) | strategies.text(max_size=5), body=strategies.binary()
)
def test_any_bytes_are_a_row_or_poison(name: str, body: bytes) -> None:
    with pytest.raises(rows.Poison):
        rows.parse(name, body)


@hypothesis.given(changed=strategies.sampled_from(sorted(streams.event())), value=JSON)
def test_any_value_of_a_field_is_a_row_that_can_be_encoded_or_poison(changed: str, value: object) -> None:
    try:
        row = rows.parse("post_log", json.dumps(streams.event() | {changed: value}).encode())
    except rows.Poison:
        return
    assert isinstance(row.event_id, uuid.UUID)
    for column, stored in zip(rows.columns("post_log"), row.values, strict=True):
        assert stored is None or isinstance(stored, str | int | uuid.UUID)
        if isinstance(stored, str):
            stored.encode()
        if column in {"dimensions", "metrics", schema.EXTRA}:
            assert isinstance(json.loads(stored), dict)
