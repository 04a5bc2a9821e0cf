"""What was called, by provider, function, credential and outcome."""

from __future__ import annotations

import collections
import hashlib
from typing import Any


def fingerprint(secret: str) -> str:
    """How a credential is named without being told: 12 hexadecimal digits of its SHA-256, "" for none."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:12] if secret else ""


class Calls:
    """Counts of calls since the start, or since they were cleared."""

    # Strangers' keys: beyond so many distinct rows all further ones share one, so that nobody can fill the memory.
    MOST_ROWS = 10_000

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[str, str, str, str]] = collections.Counter()
        self._names: dict[str, str] = {}

    def count(self, provider: str, function: str, secret: str, outcome: str) -> None:
        """One call came to this outcome."""
        name = self._names.get(secret)
        if name is None:
            name = fingerprint(secret)
            if len(self._names) < self.MOST_ROWS:
                self._names[secret] = name
        row = (provider, function, name, outcome)
        if row not in self._counts and len(self._counts) >= self.MOST_ROWS:
            row = (provider, "", "", outcome)
        self._counts[row] += 1

    def clear(self) -> None:
        """Begin at nothing."""
        self._counts.clear()

    def report(self) -> dict[str, Any]:
        """Every row, and totals."""
        by_provider: collections.Counter[str] = collections.Counter()
        by_outcome: collections.Counter[str] = collections.Counter()
        for (provider, _function, _credential, outcome), calls in self._counts.items():
            by_provider[provider] += calls
            by_outcome[outcome] += calls
        return {
            "total": sum(self._counts.values()),
            "by_provider": dict(sorted(by_provider.items())),
            "by_outcome": dict(sorted(by_outcome.items())),
            "rows": [
                {"provider": provider, "function": function, "credential": name, "outcome": outcome, "calls": calls}
                for (provider, function, name, outcome), calls in sorted(self._counts.items())
            ],
        }
