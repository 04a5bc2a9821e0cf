"""Generated names stay within what Postgres keeps of a name, and apart from each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stirbeat.sync import relation


def test_a_short_name_is_only_lengthened() -> None:
    name = relation.Name.parse("leaderboard")
    assert (name.staging(7).table, name.kept(3).table, name.key) == (
        "leaderboard__s7",
        "leaderboard__g3",
        "leaderboard",
    )
    assert str(relation.Name.parse('odd.na"me')) == '"odd"."na""me"'
    assert relation.Name.parse("saas.leaderboard").key == "saas.leaderboard"


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80),
    st.integers(0, 2**63),
)
def test_generated_names_fit_into_63_bytes_and_lose_their_suffix_again(base: str, number: int) -> None:
    for suffix in (f"__s{number}", f"__g{number}"):
        made = relation.generated(base, suffix)
        assert len(made.encode()) <= relation.NAME_BYTES
        assert made.startswith(relation.stem(base))
        assert relation.stem(relation.stem(base)) == relation.stem(base)


@pytest.mark.parametrize("length", [40, 62])
def test_long_names_that_differ_at_their_end_stay_apart(length: int) -> None:
    first, second = (relation.generated("é" * (length // 2) + last, "__g1") for last in "ab")
    assert first != second
    assert relation.plain(first) == relation.stem("é" * (length // 2) + "a")


def test_a_literal_cannot_be_left() -> None:
    assert relation.literal("it's \\ %s") == "'it''s \\ %s'"
    assert relation.literal(None) == "NULL"
