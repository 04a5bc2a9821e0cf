"""Which source is asked next, and when a request has been tried enough. Pure: hops in, decision out.

A provider that failed for good (not found, refused, unreadable) is not asked again for this request. One that failed
for now (down, limited) is passed over in this round and may be asked again in the next, after a wait. A round is over
when every remaining provider has been tried in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from stirbeat.domain import flow, outcome, requests

NO_CREDENTIAL = "no_credential"

# Waits between rounds, in seconds: doubling from the first to the last, as the vendors' own outages are minutes long.
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 300.0

_PASSING = frozenset(
    {outcome.Kind.UPSTREAM, outcome.Kind.RATE_LIMITED, outcome.Kind.QUOTA_EXHAUSTED, outcome.Kind.TOKEN_INVALID}
)


def permanent(seen: outcome.Outcome) -> bool:
    """Whether the provider's answer stays the same however often it is asked.

    An invalid token is not permanent for the request: the credential is disabled, and another one may serve.
    """
    return seen.kind not in _PASSING


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands after its hops.

    remaining: sources not failed for good, in order; candidates: those of them not asked in this round
    round_over: the last hop completed a round; the next one begins after a wait
    rounds: rounds that are over; executed: exchanges so far (passing a provider over for want of a credential is none)
    """

    remaining: tuple[flow.Source, ...]
    candidates: tuple[flow.Source, ...]
    round_over: bool
    rounds: int
    executed: int


def standing(wanted: flow.Flow, hops: Sequence[requests.Hop]) -> Standing:
    """Replay the hops.

    A provider without a free credential counts as tried, so that the round can end, but not as asked: should a
    credential become free before the round is over, it is a candidate.
    """
    remaining = [source.provider for source in wanted.sources]
    tried: set[str] = set()
    asked: set[str] = set()
    over, rounds = False, 0
    for hop in hops:
        if hop.provider not in remaining:
            continue
        tried.add(hop.provider)
        if hop.kind != NO_CREDENTIAL:
            asked.add(hop.provider)
        if hop.permanent:
            remaining.remove(hop.provider)
        over = tried.issuperset(remaining)
        if over:
            rounds += bool(asked)
            tried.clear()
            asked.clear()
    left = tuple(source for source in wanted.sources if source.provider in remaining)
    return Standing(
        remaining=left,
        candidates=tuple(source for source in left if source.provider not in asked),
        round_over=over,
        rounds=rounds,
        executed=sum(hop.kind != NO_CREDENTIAL for hop in hops),
    )


def round_wait_s(rounds: int) -> float:
    """Seconds to wait before a new round, when so many are over: 5, 10, 20 ... 300."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(max(0, rounds - 1), 20)))


def news(passed_over: Sequence[requests.Hop], before: Sequence[requests.Hop]) -> tuple[requests.Hop, ...]:
    """The passed-over providers that were not noted since the last exchange: long waits must not fill the ledger."""
    noted: set[str] = set()
    for hop in before:
        if hop.kind == NO_CREDENTIAL:
            noted.add(hop.provider)
        else:
            noted.clear()
    return tuple(hop for hop in passed_over if hop.provider not in noted)
