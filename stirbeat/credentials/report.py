"""What people may see of credentials: their state, and how full their windows are. Never a secret."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping, Sequence

from stirbeat import errors
from stirbeat.credentials import table, vault, windows
from stirbeat.domain import limit, provider


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """One credential. `cooling_s`: seconds its own backoff still lasts, None if there is none.
    `readable`: whether the configured keys open its secret."""

    id: uuid.UUID
    provider: str
    name: str
    app: str | None
    account: Mapping[str, str]
    weight: int
    enabled: bool
    readable: bool
    cooling_s: float | None
    failures: int
    reason: str | None

    @property
    def state(self) -> str:
        """In one word: disabled, unreadable, cooling or ready."""
        if not self.enabled:
            return "disabled"
        if not self.readable:
            return "unreadable"
        return "ready" if self.cooling_s is None else "cooling"


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """One window.

    credential: the credential's name, or None where the count is the app's, the function's or the provider's
    app, function: where the count is theirs
    resets_in_s: seconds until the oldest call that counts no longer does; 0 if none counts
    """

    provider: str
    credential: str | None
    app: str | None
    function: str | None
    scope: limit.Scope
    used: int
    limit: int
    period_s: int
    resets_in_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A window to look into, and whose it is."""

    provider: str
    credential: str | None
    app: str | None
    function: str | None
    window: windows.Window


def listed(row: table.Row, safe: vault.Vault) -> Listed:
    """A stored credential as people may see it."""
    try:
        safe.decrypt(row.sealed)
        readable = True
    except errors.VaultError:
        readable = False
    return Listed(
        id=row.id,
        provider=row.provider,
        name=row.name,
        app=row.app,
        account=row.account,
        weight=row.weight,
        enabled=row.enabled,
        readable=readable,
        cooling_s=row.cooling_s,
        failures=row.failures,
        reason=row.reason,
    )


def asked(declared: provider.Provider, rows: Sequence[table.Row], functions: Iterable[str]) -> list[Asked]:
    """Every window of the provider, each once: those of credentials first, then apps, functions, the provider.

    Limits of a target are left out: there is one window for every handle ever asked for.
    """
    named = {function for one in declared.limits for function in one.functions} | set(functions)
    # A limit on all functions has a window even if no function is named: ask as a function that no limit names.
    found: dict[bytes, Asked] = {}
    for function in [*sorted(named), ""]:
        shared = windows.shared(declared, function)
        for row in rows:
            for window in windows.own(declared, function, str(row.id), row.app):
                _add(found, declared, row, function, window)
        for window in shared:
            _add(found, declared, None, function, window)
    order = list(limit.Scope)
    return sorted(found.values(), key=lambda one: order.index(one.window.limit.scope))


def _add(
    found: dict[bytes, Asked], declared: provider.Provider, row: table.Row | None, function: str, window: windows.Window
) -> None:
    scope = window.limit.scope
    counted_by_function = scope in {limit.Scope.FUNCTION, limit.Scope.CREDENTIAL_FUNCTION}
    if counted_by_function and not function:
        return
    by_app = scope is limit.Scope.APP and row is not None and row.app is not None
    found.setdefault(
        window.key,
        Asked(
            provider=declared.name,
            credential=None if row is None or by_app else row.name,
            app=row.app if by_app and row is not None else None,
            function=function if counted_by_function else ", ".join(sorted(window.limit.functions)) or None,
            window=window,
        ),
    )


def usage(asked_for: Sequence[Asked], peeked: Sequence[tuple[int, float]]) -> tuple[Usage, ...]:
    """What was asked for, with what Redis said of it."""
    return tuple(
        Usage(
            provider=one.provider,
            credential=one.credential,
            app=one.app,
            function=one.function,
            scope=one.window.limit.scope,
            used=used,
            limit=one.window.limit.calls,
            period_s=one.window.limit.period_s,
            resets_in_s=resets_in_s,
        )
        for one, (used, resets_in_s) in zip(asked_for, peeked, strict=True)
    )
