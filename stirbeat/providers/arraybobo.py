"""ArrayBobo's Instagram scraper on RapidAPI (rapidapi.com/arraybobo/api/instagram-scraper-2022)."""

from __future__ import annotations

from stirbeat.domain import exchange, limit, outcome
from stirbeat.domain.outcome import Kind
from stirbeat.domain.provider import Provider
from stirbeat.providers import body, rapidapi

HOST = "instagram-scraper-2022.p.rapidapi.com"

# An answer without a user is short; one with a user is not read twice, in bytes.
_SHORT = 512


def classify(answer: exchange.Answer) -> outcome.Outcome:
    """RapidAPI's rules, and its own way to say "nobody": status 200 around an empty user."""
    result = rapidapi.classify(answer)
    if not result.ok or len(answer.body) > _SHORT:
        return result
    found = body.fields(answer)
    data = found.get("data")
    holder = data if isinstance(data, dict) else found
    if "user" in holder and holder["user"] is None:
        return outcome.Outcome(Kind.NOT_FOUND, reason=body.reason(answer.status, "the answer's user is null"))
    return result


PROVIDER = Provider(
    name="arraybobo",
    base_url=f"https://{HOST}",
    authorise=rapidapi.authorise(HOST),
    classify=classify,
    limits=(
        # The plan's own rate is not published; the system before this one stacked these for Instagram profiles.
        limit.Limit(limit.Scope.CREDENTIAL, 60, 60),
        limit.Limit(limit.Scope.CREDENTIAL, 20_000, 24 * 3600),
        limit.Limit(limit.Scope.TARGET, 1, 1, frozenset({"info_username"})),
        limit.Limit(limit.Scope.TARGET, 1, 1, frozenset({"posts"})),
    ),
    usage=rapidapi.usage,
)
