"""Lamadava, now HikerAPI: Instagram's private API by access key.

Codes and rates: hiker-doc.readthedocs.io, "Response Codes" and "Rate Limits & Retry Logic". It gives no usage headers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from stirbeat.domain import exchange, limit, outcome
from stirbeat.domain.outcome import ChargeTo, Kind
from stirbeat.domain.provider import Provider
from stirbeat.providers import body, headers

# "On 429 - pause 1-2 seconds, then retry" (Rate Limits, above); it sends no Retry-After.
PAUSE_S = 2.0

_BAD_KEY = re.compile(r"access.?key|token|unauthori[sz]ed", re.IGNORECASE)
_EXC_TYPE = re.compile(r"\w{1,60}", re.ASCII)
_STOPS = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 430, 431})


def authorise(call: exchange.Call, secret: Mapping[str, str]) -> exchange.Call:
    """The key as a header."""
    return dataclasses.replace(call, headers={**call.headers, "x-access-key": secret["key"]})


def classify(answer: exchange.Answer) -> outcome.Outcome:
    """By status. 403 is the account's privacy rather than the key's fault, unless it speaks of the key."""
    status = answer.status
    if 200 <= status < 300:
        return outcome.OK
    found = body.fields(answer)
    text = body.message(found, "detail", "error", "message")
    kind = body.message(found, "exc_type")
    kind = kind if _EXC_TYPE.fullmatch(kind) else ""
    reason, wait = body.reason(status, f"{kind} {text}".strip()), headers.retry_after_s(answer.headers)
    if status == 429:
        return outcome.Outcome(
            Kind.RATE_LIMITED, ChargeTo.CREDENTIAL, PAUSE_S if wait is None else wait, reason=reason, code=kind or None
        )
    return dataclasses.replace(_by_status(status, f"{kind} {text}", reason, wait), code=kind or None)


def _by_status(status: int, text: str, reason: str, wait: float | None) -> outcome.Outcome:
    if status == 401 or (status == 403 and _BAD_KEY.search(text)):
        return outcome.Outcome(Kind.TOKEN_INVALID, ChargeTo.CREDENTIAL, disable_credential=True, reason=reason)
    if status == 402:
        return outcome.Outcome(Kind.QUOTA_EXHAUSTED, ChargeTo.CREDENTIAL, wait, reason=reason)
    if status == 403:
        return outcome.Outcome(Kind.PERMISSION, reason=reason)
    if status in {404, 410}:
        return outcome.Outcome(Kind.NOT_FOUND, reason=reason)
    if status in _STOPS:
        return outcome.Outcome(Kind.BAD_REQUEST, try_next_provider=False, reason=reason)
    return outcome.Outcome(Kind.UPSTREAM, retry_after_s=wait, reason=reason)


PROVIDER = Provider(
    name="lama",
    base_url="https://api.hikerapi.com",
    authorise=authorise,
    classify=classify,
    limits=(
        # "All paid plans share the same rate limit of 15 requests per second" (Rate Limits, above).
        limit.Limit(limit.Scope.CREDENTIAL, 15, 1),
        # The stacked limits of the system before this one for Instagram profiles.
        limit.Limit(limit.Scope.CREDENTIAL, 60, 60),
        limit.Limit(limit.Scope.CREDENTIAL, 20_000, 24 * 3600),
        limit.Limit(limit.Scope.TARGET, 1, 1, frozenset({"user_by_username"})),
        limit.Limit(limit.Scope.TARGET, 1, 1, frozenset({"user_medias_chunk"})),
    ),
)
