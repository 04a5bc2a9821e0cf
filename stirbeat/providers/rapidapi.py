"""What all vendors behind RapidAPI's gateway share: authorisation, errors, usage. No provider itself.

docs.rapidapi.com: "API response headers" (x-ratelimit-requests-*) and the gateway's own errors, which carry
`X-RapidAPI-Proxy-Response: true`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from stirbeat.domain import exchange, outcome
from stirbeat.domain.outcome import ChargeTo, Kind
from stirbeat.domain.provider import Authorise
from stirbeat.providers import body, headers

# "You have exceeded the MONTHLY quota for Requests on your current plan, BASIC. ..."
_QUOTA = re.compile(r"\b(?:yearly|monthly|weekly|daily|hourly)\b.{0,20}\bquota\b", re.IGNORECASE)
_BAD_KEY = re.compile(r"invalid api key|missing rapidapi|blocked user|disabled your", re.IGNORECASE)
_NOT_SUBSCRIBED = re.compile(r"not subscribed", re.IGNORECASE)
_NOBODY = re.compile(r"not found|does ?n[o']t exist|unavailable", re.IGNORECASE)

_STOPS = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431})


def authorise(host: str) -> Authorise:
    """Puts the key into the headers of a call to this RapidAPI host."""

    def with_key(call: exchange.Call, secret: Mapping[str, str]) -> exchange.Call:
        return dataclasses.replace(
            call, headers={**call.headers, "x-rapidapi-key": secret["key"], "x-rapidapi-host": host}
        )

    return with_key


def classify(answer: exchange.Answer) -> outcome.Outcome:
    """By status; the text tells a used-up plan from a burst, and a bad key from a missing subscription."""
    status = answer.status
    if 200 <= status < 300:
        return outcome.OK
    found = body.fields(answer)
    text = body.message(found, "message", "messages", "error", "detail", "info")
    reason, wait = body.reason(status, text), headers.retry_after_s(answer.headers)
    gateway = answer.headers.get("x-rapidapi-proxy-response", "").lower() == "true"
    if status == 429:
        return _too_many(answer, text, reason, wait)
    if status == 402:
        return outcome.Outcome(Kind.QUOTA_EXHAUSTED, ChargeTo.CREDENTIAL, wait, reason=reason)
    if status == 401 or (status == 403 and _BAD_KEY.search(text)):
        return outcome.Outcome(Kind.TOKEN_INVALID, ChargeTo.CREDENTIAL, disable_credential=True, reason=reason)
    if status == 403:
        ours = gateway or _NOT_SUBSCRIBED.search(text)
        return outcome.Outcome(Kind.PERMISSION, ChargeTo.CREDENTIAL if ours else ChargeTo.NONE, reason=reason)
    if status == 404 and gateway:
        # "Endpoint '/x' does not exist": the vendor has changed; this says nothing about the account.
        return outcome.Outcome(Kind.UPSTREAM, reason=reason)
    if status in {404, 410} or (status == 400 and _NOBODY.search(text)):
        return outcome.Outcome(Kind.NOT_FOUND, reason=reason)
    if status in _STOPS:
        return outcome.Outcome(Kind.BAD_REQUEST, try_next_provider=False, reason=reason)
    return outcome.Outcome(Kind.UPSTREAM, retry_after_s=wait, reason=reason)


def usage(answer: exchange.Answer) -> float | None:
    """Share of the plan's requests that is used up in its period."""
    allowed = headers.number(answer.headers, "x-ratelimit-requests-limit")
    left = headers.number(answer.headers, "x-ratelimit-requests-remaining")
    if not allowed or left is None:
        return None
    return min(1.0, max(0.0, 1.0 - left / allowed))


def _too_many(answer: exchange.Answer, text: str, reason: str, wait: float | None) -> outcome.Outcome:
    if _QUOTA.search(text):
        if wait is None:
            wait = headers.reset_s(answer.headers, "x-ratelimit-requests-reset")
        return outcome.Outcome(Kind.QUOTA_EXHAUSTED, ChargeTo.CREDENTIAL, wait, reason=reason)
    return outcome.Outcome(Kind.RATE_LIMITED, ChargeTo.CREDENTIAL, wait, reason=reason)
