"""The scrape flow, written once: claim -> lease -> fetch -> parse -> store, or on to the next hop.

One call is one execution of the task: at most one provider is asked. What comes of it is a verdict, and the task turns
that into Celery's terms.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Mapping
from typing import TypeAlias

import tenacity

from stirbeat import errors
from stirbeat.domain import flow, requests
from stirbeat.pipeline import attempt, fallback, tools
from stirbeat.store import ledger
from stirbeat.store.models.ledger import Status

log = logging.getLogger(__name__)

# A wait is lengthened at random by up to this share, so that requests which wait for one window do not come at once.
JITTER = 0.5

_NOTHING: Mapping[str, str] = {}

# The longest wait for a credential: one that a person adds or enables is noticed after this many seconds at the latest.
LONGEST_WAIT_S = 600.0

# Executions of one request that may end without a word (a killed worker each time) before it is given up.
MOST_ABANDONED = 5

# How long a request waits when Redis, which holds the limits, does not answer.
OUTAGE_WAIT_S = 10.0

# An answer is paid for: storing it is tried again for this many seconds (a restart of Postgres takes a few).
STORE_PATIENCE_S = 25


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """The request is over."""

    status: Status
    hops: tuple[requests.Hop, ...]
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Again:
    """The request goes on with its next message, `wait_s` whole seconds from now: 0, or at least 1.

    reason: what this execution met, for people
    """

    turn: int
    wait_s: int
    hops: tuple[requests.Hop, ...]
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """The message was stale, or another execution owns the request: nothing was done."""

    reason: str


Verdict: TypeAlias = Done | Again | Dropped


def run(with_: tools.Tools, wanted: flow.Flow, request: requests.Request) -> Verdict:
    """Execute one hop of a request.

    Raises errors.ServiceUnavailable when Postgres does not answer; the message must then come again.
    """
    configured = with_.configured
    claim = ledger.claim(
        with_.database,
        request,
        expires_after_s=wanted.expires_after_s,
        lease_s=configured.lease_s,
        worker=with_.worker,
    )
    if claim is None:
        return Dropped("the request is over, or another message of it is ahead")
    try:
        return _hop_or_wait(with_, wanted, claim)
    except errors.LeaseLost as error:
        return Dropped(str(error))


def _hop_or_wait(with_: tools.Tools, wanted: flow.Flow, claim: requests.Claim) -> Verdict:
    try:
        return _hop(with_, wanted, claim)
    except errors.ServiceUnavailable as error:
        if error.service == "postgres":
            raise
        return _again(with_, claim, (), _jittered(OUTAGE_WAIT_S), reason=str(error))


def _hop(with_: tools.Tools, wanted: flow.Flow, claim: requests.Claim) -> Verdict:
    before = fallback.standing(wanted, claim.hops)
    if claim.expired:
        return _end(with_, claim, (), Status.EXPIRED, "expired", "nobody waits for it any more")
    if claim.abandoned >= MOST_ABANDONED:
        return _end(with_, claim, (), Status.FAILED, "abandoned", f"{claim.abandoned} executions of it did not end")
    try:
        tried = attempt.first_possible(with_, before.candidates, claim)
    except attempt.NobodyFree as nobody:
        if nobody.hopeless and before.executed and not _passing(claim.hops):
            return _give_up(with_, claim, nobody.passed_over, str(claim.hops[-1]))
        wait_s = min(nobody.retry_after_s, LONGEST_WAIT_S)
        if before.candidates != before.remaining:  # those asked in this round come again in the next
            wait_s = min(wait_s, fallback.round_wait_s(before.rounds + 1))
        return _again(with_, claim, nobody.passed_over, _jittered(wait_s))
    if tried.told is not None:
        return _complete(with_, claim, tried)
    after = fallback.standing(wanted, (*claim.hops, *tried.hops))
    if not tried.try_next_provider or not after.remaining:
        return _give_up(with_, claim, tried.hops, str(tried.hops[-1]))
    if after.executed >= wanted.most_hops:
        return _give_up(with_, claim, tried.hops, f"the budget of {wanted.most_hops} hops is used up")
    wait_s = _jittered(fallback.round_wait_s(after.rounds)) if after.round_over else 0
    return _again(with_, claim, tried.hops, wait_s, learned=tried.learned)


def _passing(hops: tuple[requests.Hop, ...]) -> bool:
    """Whether a provider was asked that failed only for now."""
    return any(hop.kind != fallback.NO_CREDENTIAL and not hop.permanent for hop in hops)


def _complete(with_: tools.Tools, claim: requests.Claim, tried: attempt.Attempt) -> Verdict:
    store = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(errors.ServiceUnavailable),
        stop=tenacity.stop_after_delay(STORE_PATIENCE_S),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )
    # A first try may have been committed although its confirmation never came; then the second finds the lease gone.
    try:
        store(ledger.finish, with_.database, claim, tried.hops, status=Status.COMPLETE, told=tried.told)
    except errors.InvalidRecord as error:
        return _end(with_, claim, tried.hops, Status.FAILED, "storage", str(error))
    return Done(Status.COMPLETE, (*claim.hops, *tried.hops))


def _give_up(with_: tools.Tools, claim: requests.Claim, hops: tuple[requests.Hop, ...], reason: str) -> Verdict:
    kinds = [hop.kind for hop in (*claim.hops, *hops) if hop.kind != fallback.NO_CREDENTIAL]
    return _end(with_, claim, hops, Status.FAILED, kinds[-1] if kinds else fallback.NO_CREDENTIAL, reason)


def _end(
    with_: tools.Tools,
    claim: requests.Claim,
    hops: tuple[requests.Hop, ...],
    status: Status,
    error_kind: str,
    reason: str,
) -> Verdict:
    ledger.finish(with_.database, claim, hops, status=status, error_kind=error_kind, reason=reason)
    return Done(status, (*claim.hops, *hops), reason)


def _again(
    with_: tools.Tools,
    claim: requests.Claim,
    hops: tuple[requests.Hop, ...],
    wait_s: int,
    *,
    learned: Mapping[str, str] = _NOTHING,
    reason: str = "",
) -> Verdict:
    """Go on with another message, at once or after a wait; at its end the request comes once more, to be expired."""
    wait_s = min(wait_s, max(1, int(claim.seconds_left) + 1))
    turn = ledger.defer(with_.database, claim, hops, wait_s=wait_s, learned=learned)
    every = (*claim.hops, *hops)
    return Again(turn, wait_s, every, reason or (str(every[-1]) if every else "waits"))


def _jittered(least_s: float) -> int:
    """Whole seconds, at least 1 (Celery's delayed delivery knows no fractions)."""
    return max(1, round(least_s * (1 + JITTER * random.random())))  # noqa: S311 (spreads load, protects nothing)
