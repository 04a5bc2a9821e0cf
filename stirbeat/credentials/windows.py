"""Which windows a call takes a token from, and what the keys in Redis are called. Pure.

Every key is `stirbeat:limit:{<provider>}:...`: one hash tag a provider, so all keys of one decision live on one node of
a Redis Cluster. Text that strangers or operators wrote is quoted or hashed, so its length is bounded and it cannot
name another key; secrets are in none.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from urllib.parse import quote

from stirbeat.domain import limit, provider

PREFIX = "stirbeat:limit"

# Scopes whose count is a candidate's own; the others are shared by all candidates of a call.
OWN = frozenset({limit.Scope.CREDENTIAL, limit.Scope.APP, limit.Scope.CREDENTIAL_FUNCTION})


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """One count: a declared limit for one value of its scope."""

    limit: limit.Limit
    key: bytes


def cooldowns(provider_name: str) -> bytes:
    """The key of the provider's cooldowns."""
    return f"{PREFIX}:{{{quote(provider_name, safe='')}}}:cooldown".encode()


def shared(declared: provider.Provider, function: str) -> list[Window]:
    """The windows of the function and of the whole provider."""
    return _strictest(
        _window(declared, one, function if one.scope is limit.Scope.FUNCTION else "")
        for one in declared.limits
        if one.scope in {limit.Scope.FUNCTION, limit.Scope.PROVIDER} and one.applies(function)
    )


def targeted(declared: provider.Provider, function: str, target: str) -> list[Window]:
    """The windows of what the request is about."""
    limits = [one for one in declared.limits if one.scope is limit.Scope.TARGET and one.applies(function)]
    if not limits:
        return []
    subject = hashlib.blake2b(target.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return _strictest(_window(declared, one, subject) for one in limits)


def own(declared: provider.Provider, function: str, credential: str, app: str | None) -> list[Window]:
    """The windows of one credential, in the same order for all of them.

    credential: its id. A credential that names no app counts as an app of its own.
    """
    subjects = {
        limit.Scope.CREDENTIAL: credential,
        limit.Scope.APP: f"of:{credential}" if app is None else f"app:{quote(app, safe='')}",
        limit.Scope.CREDENTIAL_FUNCTION: f"{credential}:{function}",
    }
    return _strictest(
        _window(declared, one, subjects[one.scope])
        for one in declared.limits
        if one.scope in OWN and one.applies(function)
    )


def _window(declared: provider.Provider, one: limit.Limit, subject: str) -> Window:
    """Period and functions are part of the key: where a declaration changes them, a fresh count begins."""
    parts = [PREFIX, f"{{{quote(declared.name, safe='')}}}", str(one.scope), subject, str(one.period_s)]
    if one.functions:
        names = "\0".join(sorted(one.functions)).encode()
        parts.append(hashlib.blake2b(names, digest_size=6).hexdigest())
    return Window(one, ":".join(part for part in parts if part).encode())


def _strictest(windows: Iterable[Window]) -> list[Window]:
    """One window a key, so that no call is counted twice in it."""
    found: dict[bytes, Window] = {}
    for window in windows:
        known = found.get(window.key)
        if known is None or window.limit.calls < known.limit.calls:
            found[window.key] = window
    return list(found.values())
