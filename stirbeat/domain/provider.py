"""A provider's declaration: host, authorisation, limits, and how its answers are classified."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from stirbeat.domain import exchange, limit, outcome

Authorise = Callable[[exchange.Call, Mapping[str, str]], exchange.Call]
Classify = Callable[[exchange.Answer], outcome.Outcome]


@dataclasses.dataclass(frozen=True, slots=True)
class Provider:
    """One vendor. Exported as PROVIDER by a module of `stirbeat.providers` or of a plugin.

    name: lower-case identifier, the one that sources and credentials use
    base_url: scheme and host; the only host its credentials are ever sent to
    authorise: (call, secret) -> the call with the secret in place
    classify: answer -> outcome; total, never raises
    limits: every window that a call takes a token from
    usage: answer -> share of the credential's limit that is used up (0.0 to 1.0), None where the vendor does not say
    secret_fields: keys that a credential's secret must have
    account_fields: keys of a credential's public attributes that its calls need (an account id in a path)
    deadline_s: seconds that one whole exchange may take
    """

    name: str
    base_url: str
    authorise: Authorise
    classify: Classify
    limits: tuple[limit.Limit, ...]
    usage: Callable[[exchange.Answer], float | None] = lambda _answer: None
    secret_fields: tuple[str, ...] = ("key",)
    account_fields: tuple[str, ...] = ()
    deadline_s: float = 20.0
