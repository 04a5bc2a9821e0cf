"""Records: what identifies is strict, what describes is made storable, what is unknown is left out."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stirbeat import errors
from stirbeat.domain import records

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


def test_unknown_is_left_out_and_zero_is_known() -> None:
    assert records.known({"followers": None, "following": 0, "is_private": False, "bio": ""}) == {
        "following": 0,
        "is_private": False,
        "bio": "",
    }


@given(st.dictionaries(st.just("x"), ANY_TEXT | st.floats() | st.lists(ANY_TEXT) | st.booleans() | st.none()))
def test_whatever_describes_a_record_can_be_written_as_utf_8_json_without_nul(
    values: dict[str, records.Dimension],
) -> None:
    written = json.dumps(records.known(values), ensure_ascii=False, allow_nan=False).encode("utf-8")

    assert b"\\u0000" not in written
    assert records.known(json.loads(written)) == json.loads(written)


@pytest.mark.parametrize("key", ["", "x" * 201, "nat\x00geo", "\ud800", None, 7])
def test_a_record_without_a_proper_key_is_none(key: object) -> None:
    with pytest.raises(errors.InvalidRecord, match="keys and ids are"):
        records.Profile("instagram", key)  # type: ignore[arg-type]


@pytest.mark.parametrize("identity", [787132, "", "1\x00"])
def test_ids_are_text(identity: object) -> None:
    with pytest.raises(errors.InvalidRecord, match="keys and ids are"):
        records.Post("instagram", "abc", id=identity)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, "12", float("nan"), float("inf"), 2**63, -(2**64)])
def test_a_count_is_a_number_within_reach(value: object) -> None:
    with pytest.raises(errors.InvalidRecord, match="metric followers"):
        records.Profile("instagram", "natgeo", metrics={"followers": value})  # type: ignore[dict-item]


def test_times_are_utc() -> None:
    with pytest.raises(errors.InvalidRecord, match="must be in UTC"):
        records.Post("instagram", "abc", published_at=datetime.datetime(2026, 1, 1))  # noqa: DTZ001
