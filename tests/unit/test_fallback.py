"""Which source comes next: rounds, providers that failed for good, and passing over."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stirbeat.domain import arguments, exchange, flow, outcome, requests
from stirbeat.pipeline import fallback

STEP = flow.Step("f", lambda _context: exchange.Call("/"), lambda _answer, _context: flow.Parsed())
FLOW = flow.Flow(
    platform="p",
    name="f",
    about="",
    arguments=(arguments.Argument("handle", re.compile(".+"), "text"),),
    target="handle",
    sources=tuple(flow.Source(name, (STEP,)) for name in ("a", "b", "c")),
)


def hop(provider: str, kind: str = "upstream", *, permanent: bool = False) -> requests.Hop:
    return requests.Hop(provider, "f", kind, permanent=permanent)


def candidates(*hops: requests.Hop) -> list[str]:
    return [source.provider for source in fallback.standing(FLOW, hops).candidates]


def test_sources_are_tried_in_their_declared_order() -> None:
    assert candidates() == ["a", "b", "c"]
    assert candidates(hop("a")) == ["b", "c"]
    assert candidates(hop("a"), hop("b")) == ["c"]


def test_a_round_is_over_when_every_provider_was_tried_and_the_next_begins_with_all_of_them() -> None:
    standing = fallback.standing(FLOW, [hop("a"), hop("b"), hop("c")])

    assert standing.round_over
    assert [source.provider for source in standing.candidates] == ["a", "b", "c"]


def test_a_provider_that_failed_for_good_is_not_asked_again() -> None:
    standing = fallback.standing(FLOW, [hop("a", "not_found", permanent=True), hop("b"), hop("c")])

    assert standing.round_over
    assert [source.provider for source in standing.candidates] == ["b", "c"]


def test_nothing_remains_when_all_failed_for_good() -> None:
    gone = [hop(name, "not_found", permanent=True) for name in "abc"]

    assert fallback.standing(FLOW, gone).remaining == ()


def test_passing_a_provider_over_counts_for_the_round_and_costs_nothing() -> None:
    standing = fallback.standing(FLOW, [hop("a", fallback.NO_CREDENTIAL), hop("b"), hop("c")])

    assert standing.round_over
    assert standing.executed == 2


def test_a_provider_that_was_only_passed_over_is_a_candidate_again_as_soon_as_it_has_a_credential() -> None:
    limited = hop("a", "rate_limited")
    hops = [
        limited,
        hop("b", fallback.NO_CREDENTIAL),
        hop("c", fallback.NO_CREDENTIAL),
        hop("a", fallback.NO_CREDENTIAL),
    ]

    assert candidates(*hops) == ["a", "b", "c"]
    assert candidates(hop("a", fallback.NO_CREDENTIAL), hop("b", "not_found", permanent=True)) == ["a", "c"]


def test_rounds_are_counted_where_somebody_was_asked() -> None:
    nobody = [hop(name, fallback.NO_CREDENTIAL) for name in "abc"]

    assert fallback.standing(FLOW, nobody).rounds == 0
    assert fallback.standing(FLOW, [hop("a"), hop("b"), hop("c"), hop("a")]).rounds == 1


def test_long_waits_do_not_fill_the_ledger() -> None:
    passed = [hop(name, fallback.NO_CREDENTIAL) for name in "abc"]

    assert fallback.news(passed, [hop("a")]) == tuple(passed)
    assert fallback.news(passed, passed) == ()
    assert fallback.news(passed, [*passed, hop("a")]) == tuple(passed)


def test_waits_between_rounds_double_up_to_a_limit() -> None:
    waits = [fallback.round_wait_s(rounds) for rounds in (0, 1, 2, 3, 10**6)]

    assert waits == [5, 5, 10, 20, fallback.LONGEST_WAIT_S]


@pytest.mark.parametrize("kind", ["upstream", "rate_limited", "quota_exhausted", "token_invalid"])
def test_what_passes_is_not_permanent(kind: str) -> None:
    assert not fallback.permanent(outcome.Outcome(outcome.Kind(kind)))


@pytest.mark.parametrize("kind", ["not_found", "permission", "bad_request", "schema"])
def test_what_stays_the_same_is_permanent(kind: str) -> None:
    assert fallback.permanent(outcome.Outcome(outcome.Kind(kind)))


@given(
    st.lists(
        st.builds(
            lambda provider, kind: hop(provider, kind, permanent=kind == "not_found"),
            st.sampled_from("abc"),
            st.sampled_from(["upstream", "not_found", fallback.NO_CREDENTIAL]),
        ),
        max_size=30,
    )
)
def test_as_long_as_a_provider_remains_there_is_a_candidate(hops: list[requests.Hop]) -> None:
    standing = fallback.standing(FLOW, hops)

    assert bool(standing.remaining) == bool(standing.candidates)
    assert {source.provider for source in standing.candidates} <= {source.provider for source in standing.remaining}
    gone = {one.provider for one in hops if one.permanent}
    assert gone.isdisjoint(source.provider for source in standing.remaining)
