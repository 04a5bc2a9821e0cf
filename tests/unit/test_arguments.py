"""Hostile and mistaken arguments are refused at submit, with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stirbeat import errors
from stirbeat.domain import catalogue

FLOW = catalogue.find_flow("instagram.refresh_profile")


def test_the_forms_people_type_become_the_one_that_is_stored() -> None:
    assert FLOW.accept({"handle": "@NatGeo"}) == {"handle": "natgeo"}


@pytest.mark.parametrize(
    "handle",
    [
        "",
        "two words",
        "nat\x00geo",
        "a'; drop table profile; --",
        "x" * 10_000,
        "../../etc/passwd",
        "natgeo\n",
        "натгео",
        None,
        7,
        True,
        ["natgeo"],
        {"$ne": ""},
        b"natgeo",
    ],
)
def test_a_handle_that_is_none_is_refused(handle: object) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^handle must be ") as caught:
        FLOW.accept({"handle": handle})
    assert len(str(caught.value)) < 400


def test_missing_and_unknown_arguments_are_named() -> None:
    with pytest.raises(errors.InvalidArgument, match="missing argument handle"):
        FLOW.accept({})
    with pytest.raises(errors.InvalidArgument, match="unknown argument 'depth'; this flow takes handle"):
        FLOW.accept({"handle": "natgeo", "depth": 3})


@given(st.text())
def test_any_text_is_accepted_in_normal_form_or_refused(text: str) -> None:
    try:
        accepted = FLOW.accept({"handle": text})
    except errors.InvalidArgument:
        return
    assert FLOW.accept(accepted) == accepted
