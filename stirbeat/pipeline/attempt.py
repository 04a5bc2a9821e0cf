"""One hop: the first source that has a free credential is asked, and its answer is read."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections.abc import Mapping, Sequence

from stirbeat import errors
from stirbeat.credentials import pool
from stirbeat.domain import flow, outcome, provider, records, requests
from stirbeat.pipeline import fallback, tools
from stirbeat.providers import http
from stirbeat.store import effects

log = logging.getLogger(__name__)


# How long to wait where no credential is configured or all are disabled: until a person acts, so not often.
HOPELESS_WAIT_S = 120.0


class NobodyFree(errors.RetryLater):
    """No candidate has a free credential now; `hopeless` when none will have one before a person acts."""

    def __init__(self, passed_over: tuple[requests.Hop, ...], waits: list[float]) -> None:
        super().__init__(retry_after_s=min(waits, default=HOPELESS_WAIT_S))
        self.passed_over = passed_over
        self.hopeless = not waits


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking one provider: the hops of this execution, the last one being it, and what it told.

    learned: facts from steps that succeeded before one failed; they were paid for
    """

    hops: tuple[requests.Hop, ...]
    told: effects.Told | None
    learned: Mapping[str, str]
    try_next_provider: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    """One step's answer, classified and read."""

    seen: outcome.Outcome
    parsed: flow.Parsed | None


def first_possible(with_: tools.Tools, candidates: Sequence[flow.Source], claim: requests.Claim) -> Attempt:
    """Ask the first candidate that has a free credential.

    Raises NobodyFree when none has, errors.ServiceUnavailable when the credentials cannot be looked up.
    """
    passed: list[requests.Hop] = []
    waits: list[float] = []
    for source in candidates:
        declared = with_.providers[source.provider]
        step = next(step for step in source.steps if not step.skip(_context(claim, {})))
        try:
            lease = with_.credentials.lease(declared, step.function, claim.request.target)
        except errors.NoCredential as nobody:
            passed.append(_passed_over(source.provider, step.function, nobody))
            if not nobody.permanent:
                waits.append(nobody.retry_after_s)
            continue
        hop, told, learned, try_next = _ask(with_, source, declared, claim, lease)
        return Attempt((*passed, hop), told, learned, try_next)
    raise NobodyFree(fallback.news(passed, claim.hops), waits)


def _ask(
    with_: tools.Tools, source: flow.Source, declared: provider.Provider, claim: requests.Claim, lease: pool.Lease
) -> tuple[requests.Hop, effects.Told | None, dict[str, str], bool]:
    """Walk the source's steps; the first that fails ends the hop."""
    begun = time.monotonic()
    learned: dict[str, str] = {}
    told: list[records.Record] = []
    held: pool.Lease | None = lease
    seen, function, credential = outcome.OK, lease.function, lease.name
    for step in source.steps:
        context = _context(claim, learned)
        if step.skip(context):
            continue
        function = step.function
        if held is None:
            try:
                held = with_.credentials.lease(declared, step.function, claim.request.target)
            except errors.NoCredential as nobody:
                seen = outcome.Outcome(
                    outcome.Kind.RATE_LIMITED, retry_after_s=nobody.retry_after_s, reason=str(nobody)
                )
                break
        credential = held.name
        read = _exchange(with_, declared, step, dataclasses.replace(context, account=held.account), held)
        held, seen = None, read.seen
        if read.parsed is None:
            break
        learned.update(read.parsed.known)
        told.extend(read.parsed.records)
    ms = round((time.monotonic() - begun) * 1000)
    hop = requests.Hop(
        provider=source.provider,
        function=function,
        kind=seen.kind.value,
        reason=seen.reason,
        credential=credential,
        ms=ms,
        permanent=not seen.ok and fallback.permanent(seen),
    )
    if not seen.ok:
        return hop, None, learned, seen.try_next_provider
    now = datetime.datetime.now(datetime.UTC)
    return hop, effects.Told(source.provider, now, tuple(told)), learned, False


def _exchange(
    with_: tools.Tools, declared: provider.Provider, step: flow.Step, context: flow.Context, lease: pool.Lease
) -> _Read:
    """One call: fetched, classified, read, and the credential told what came of it."""
    usage: float | None = None
    parsed: flow.Parsed | None = None
    try:
        answer = with_.http.fetch(declared, step.call(context), lease.secret())
        seen, usage = declared.classify(answer), declared.usage(answer)
        if seen.ok:
            parsed = step.parse(answer, context)
    except http.NoAnswer as error:
        seen = error.outcome
    except (errors.TryNextProvider, errors.SkipRecord) as error:
        seen = outcome.schema_error(str(error))
    except Exception as error:  # a plugin's code may raise anything; the request must still go on
        log.exception("%s %s failed", declared.name, step.function)
        seen = outcome.schema_error(f"reading the answer failed: {type(error).__name__}")
    try:
        with_.credentials.settle(lease, seen, usage)
    except (
        errors.ServiceUnavailable
    ) as error:  # the answer is paid for; Redis knows of a charge, and it will come again
        log.warning("what %s/%s met could not be stored: %s", declared.name, lease.name, error)
    return _Read(seen, parsed)


def _context(claim: requests.Claim, learned: Mapping[str, str]) -> flow.Context:
    return flow.Context(arguments=claim.request.arguments, known={**claim.known, **learned})


def _passed_over(provider_name: str, function: str, nobody: errors.NoCredential) -> requests.Hop:
    return requests.Hop(provider_name, function, fallback.NO_CREDENTIAL, str(nobody))
