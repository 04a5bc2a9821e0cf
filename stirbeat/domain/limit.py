"""A declared limit: so many calls in any stretch of so many seconds, counted for a scope."""

from __future__ import annotations

import dataclasses
import enum


class Scope(enum.StrEnum):
    """What shares one count."""

    CREDENTIAL = "credential"
    APP = "app"
    FUNCTION = "function"
    CREDENTIAL_FUNCTION = "credential+function"
    TARGET = "target"
    PROVIDER = "provider"


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` in any `period_s` seconds (a sliding window) for one value of the scope.

    `functions` narrows it to those provider functions; empty means all of them.
    `target` is what the request is about: an Instagram handle, a channel id.
    """

    scope: Scope
    calls: int
    period_s: int
    functions: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.calls < 1 or self.period_s < 1:
            raise ValueError(f"a limit needs at least 1 call in at least 1 second, not {self.calls}/{self.period_s}s")

    def applies(self, function: str) -> bool:
        """Whether a call of this provider function is counted."""
        return not self.functions or function in self.functions

    def __str__(self) -> str:
        return f"{self.calls}/{self.period_s}s a {self.scope}"
