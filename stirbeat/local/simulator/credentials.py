"""The credentials that the vendors know, and their limits, which the simulator enforces by itself."""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping
from typing import Literal

import pydantic

from stirbeat.local.simulator import face


class Credential(pydantic.BaseModel):
    """One credential as the vendor sees it. limits: [calls, seconds] each; state "invalid" refuses every call."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    limits: tuple[tuple[pydantic.PositiveInt, pydantic.PositiveFloat], ...] = ()
    state: Literal["ok", "invalid"] = "ok"


GIVEN = pydantic.TypeAdapter(dict[str, dict[str, Credential]])


class _Account:
    """What one credential has spent: the times of its calls, for each of its limits."""

    def __init__(self, credential: Credential) -> None:
        self.credential = credential
        self.calls: list[collections.deque[float]] = [collections.deque() for _ in credential.limits]

    def spend(self, now: float) -> face.Spent:
        """Count a call. wait_s is above 0 where a limit is overrun: then it is not counted."""
        wait, tightest = 0.0, face.Spent()
        windows = list(zip(self.credential.limits, self.calls, strict=True))
        for (limit, period_s), calls in windows:
            while calls and calls[0] <= now - period_s:
                calls.popleft()
            if len(calls) >= limit:
                wait = max(wait, calls[0] + period_s - now)
        for (limit, period_s), calls in windows:
            if not wait:
                calls.append(now)
            share = len(calls) / limit
            if share >= tightest.share:
                tightest = face.Spent(share, len(calls), limit, period_s, wait)
        return tightest


class Book:
    """Every credential of every vendor."""

    def __init__(self) -> None:
        self._vendors: dict[str, dict[str, _Account]] = {}

    def put(self, given: Mapping[str, Mapping[str, Credential]]) -> None:
        """Set the credentials of the vendors named; what was spent stays where the limits stay the same."""
        for vendor, credentials in given.items():
            before = self._vendors.get(vendor, {})
            self._vendors[vendor] = after = {}
            for secret, credential in credentials.items():
                after[secret] = _Account(credential)
                if secret in before and before[secret].credential.limits == credential.limits:
                    after[secret].calls = before[secret].calls

    def spend(self, vendor: str, secret: str) -> tuple[str, face.Spent]:
        """Why the call is refused ("" where it is not), and how far the credential is."""
        known = self._vendors.get(vendor, {}).get(secret)
        if known is None:
            return "unknown_credential", face.Spent()
        if known.credential.state == "invalid":
            return "invalid_token", face.Spent()
        spent = known.spend(time.monotonic())
        return ("rate_limited" if spent.wait_s else ""), spent
