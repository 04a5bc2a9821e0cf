"""Meta's Graph API, asked for other accounts through Business Discovery.

Under developers.facebook.com/docs: codes in graph-api/guides/error-handling and instagram-platform/reference,
usage headers in graph-api/overview/rate-limiting. Every error says `OAuthException`, so only codes tell.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from stirbeat.domain import exchange, limit, outcome
from stirbeat.domain.outcome import ChargeTo, Kind
from stirbeat.domain.provider import Provider
from stirbeat.providers import body, headers

# Throttles: 4 and 341 count for the whole app, 17 for the user, 32 for the page, 613 for one custom limit;
# 80000 to 80014 are the business use cases (80002 is Instagram).
_APP_THROTTLES = frozenset({4, 341})
_THROTTLES = frozenset({17, 32, 613, *range(80000, 80015)})
_PERMISSION = frozenset({3, 10, 368, *range(200, 300)})
_TOKEN = frozenset({102, 104, 190, 2500})
# 110 with subcode 2207013: no business or creator account of that name is visible; 803: no such alias.
_NOT_VISIBLE = frozenset({110, 803})
_NOT_VISIBLE_SUBCODE = 2207013
_MISSING_OBJECT_SUBCODE = 33

# An error is the only member of its object; data is not read twice only to be classified, in bytes.
_ERROR_BEGINS = 256

_PERCENTAGES = ("call_count", "total_time", "total_cputime")


def authorise(call: exchange.Call, secret: Mapping[str, str]) -> exchange.Call:
    """The token as a query parameter."""
    return dataclasses.replace(call, params={**call.params, "access_token": secret["access_token"]})


def classify(answer: exchange.Answer) -> outcome.Outcome:
    """By code and subcode; the text is localised."""
    if 200 <= answer.status < 300 and b'"error"' not in answer.body[:_ERROR_BEGINS]:
        return outcome.OK
    error = body.fields(answer).get("error")
    if not isinstance(error, dict):
        return _without_error(answer)
    code, subcode = body.whole(error.get("code")), body.whole(error.get("error_subcode"))
    if code is None:
        return _without_error(answer)
    return dataclasses.replace(_by_code(answer, error, code, subcode), code=str(code))


def usage(answer: exchange.Answer) -> float | None:
    """The highest percentage of X-App-Usage and X-Business-Use-Case-Usage, as a share."""
    shares = [
        float(entry[name])
        for entry in _usages(answer.headers)
        for name in _PERCENTAGES
        if isinstance(entry.get(name), int | float) and not isinstance(entry.get(name), bool)
    ]
    sane = [share for share in shares if 0 <= share <= 1_000_000]
    return min(1.0, max(sane) / 100) if sane else None


def _by_code(answer: exchange.Answer, error: dict[str, Any], code: int, subcode: int | None) -> outcome.Outcome:
    reason = _reason(answer, error, code, subcode)
    if code in _APP_THROTTLES:
        return outcome.Outcome(Kind.RATE_LIMITED, ChargeTo.APP, _wait_s(answer), reason=reason)
    if code in _THROTTLES:
        return outcome.Outcome(Kind.RATE_LIMITED, ChargeTo.CREDENTIAL, _wait_s(answer), reason=reason)
    if code in _TOKEN:
        return outcome.Outcome(Kind.TOKEN_INVALID, ChargeTo.CREDENTIAL, disable_credential=True, reason=reason)
    if code in _PERMISSION:
        return outcome.Outcome(Kind.PERMISSION, ChargeTo.CREDENTIAL, reason=reason)
    if code in _NOT_VISIBLE or subcode == _NOT_VISIBLE_SUBCODE or (code == 100 and subcode == _MISSING_OBJECT_SUBCODE):
        return outcome.Outcome(Kind.NOT_FOUND, reason=reason)
    if code == 100:
        # Without a subcode, code 100 is also a missing permission, and only its text says so.
        if subcode is None and "permission" in body.message(error, "message").lower():
            return outcome.Outcome(Kind.PERMISSION, ChargeTo.CREDENTIAL, reason=reason)
        return outcome.Outcome(Kind.BAD_REQUEST, try_next_provider=False, reason=reason)
    # 1, 2, is_transient, and every code we do not know: no proof that the request is wrong.
    return outcome.Outcome(Kind.UPSTREAM, retry_after_s=headers.retry_after_s(answer.headers), reason=reason)


def _without_error(answer: exchange.Answer) -> outcome.Outcome:
    if 200 <= answer.status < 300:
        return outcome.OK
    reason, wait = body.reason(answer.status, "no error object"), _wait_s(answer)
    if answer.status == 429:
        return outcome.Outcome(Kind.RATE_LIMITED, ChargeTo.CREDENTIAL, wait, reason=reason)
    return outcome.Outcome(Kind.UPSTREAM, retry_after_s=headers.retry_after_s(answer.headers), reason=reason)


def _reason(answer: exchange.Answer, error: dict[str, Any], code: int, subcode: int | None) -> str:
    number = f"code {code}" if subcode is None else f"code {code}/{subcode}"
    # Meta quotes the token in what it says about it.
    said = "" if code in _TOKEN else body.message(error, "message")
    return body.reason(answer.status, f"{number} {said}".strip())


def _wait_s(answer: exchange.Answer) -> float | None:
    told = headers.retry_after_s(answer.headers)
    if told is not None:
        return told
    minutes = [body.whole(entry.get("estimated_time_to_regain_access")) or 0 for entry in _usages(answer.headers)]
    return headers.sane_wait_s(max(minutes) * 60.0) if minutes and max(minutes) > 0 else None


def _usages(found: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name in ("x-app-usage", "x-business-use-case-usage"):
        text = found.get(name)
        if not text or len(text) > body.LONGEST_ERROR:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        if name == "x-app-usage":
            yield value
            continue
        for entries in value.values():
            yield from (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()


PROVIDER = Provider(
    name="graphapi",
    base_url="https://graph.facebook.com",
    authorise=authorise,
    classify=classify,
    limits=(
        # "Calls within one hour = 200 * Number of Users" (rate-limiting, above); one token is one user.
        limit.Limit(limit.Scope.CREDENTIAL, 200, 3600),
        # The stacked limits of the system before this one for Instagram profiles.
        limit.Limit(limit.Scope.CREDENTIAL, 60, 60),
        limit.Limit(limit.Scope.CREDENTIAL, 20_000, 24 * 3600),
        limit.Limit(limit.Scope.TARGET, 1, 1, frozenset({"business_discovery_profile"})),
        limit.Limit(limit.Scope.TARGET, 1, 1, frozenset({"business_discovery_media"})),
    ),
    usage=usage,
    secret_fields=("access_token",),
    account_fields=("ig_user_id",),
)
