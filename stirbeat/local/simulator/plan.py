"""The fault plan: which calls go wrong, and how. The same calls in the same order meet the same faults."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Literal

import pydantic

Kind = Literal[
    "down",  # the connection is closed without an answer
    "silent",  # the connection stays open and nothing comes
    "slow",  # the answer comes after delay_s
    "drip",  # the answer's body comes a byte every delay_s
    "malformed",  # status 200 around something that is not the vendor's shape
    "error_5xx",
    "rate_limited",  # with retry_after_s, and for the Graph API with code (17; 4 is the whole app's)
    "quota_exhausted",
    "invalid_token",
    "not_found",
]

REFUSALS = frozenset({"error_5xx", "rate_limited", "quota_exhausted", "invalid_token", "not_found"})


class Fault(pydantic.BaseModel):
    """One rule.

    provider, function, handles: which calls it looks at; a rule counts only those
    after_calls, for_calls: it begins after so many of them and lasts for so many
    from_s, to_s: it holds between these seconds since the plan was put
    every, probability: of the calls inside, every n-th, or this share by a fixed dice
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    provider: str
    kind: Kind
    function: str | None = None
    handles: frozenset[str] | None = None
    after_calls: pydantic.NonNegativeInt = 0
    for_calls: pydantic.PositiveInt | None = None
    from_s: pydantic.NonNegativeFloat = 0.0
    to_s: pydantic.PositiveFloat | None = None
    every: pydantic.PositiveInt = 1
    probability: float = pydantic.Field(default=1.0, ge=0.0, le=1.0)
    delay_s: pydantic.PositiveFloat = 1.0
    retry_after_s: pydantic.PositiveFloat | None = None
    status: int | None = pydantic.Field(default=None, ge=400, le=599)
    code: int | None = None


GIVEN = pydantic.TypeAdapter(list[Fault])


class Plan:
    """The rules that hold now."""

    def __init__(self) -> None:
        self.put([])

    def put(self, faults: Sequence[Fault]) -> None:
        """Replace all rules; counting begins anew."""
        self._faults = tuple(faults)
        self._counts = [0] * len(self._faults)
        self._since = time.monotonic()

    def find(self, provider: str, function: str, handle: str) -> tuple[Fault | None, int]:
        """The first rule that strikes this call, and how many calls that rule has looked at."""
        if not self._faults:
            return None, 0
        found: tuple[Fault | None, int] = (None, 0)
        elapsed = time.monotonic() - self._since
        for position, fault in enumerate(self._faults):
            if fault.provider != provider or fault.function not in {None, function}:
                continue
            if fault.handles is not None and handle not in fault.handles:
                continue
            self._counts[position] += 1
            if found[0] is None and _strikes(fault, position, self._counts[position], elapsed):
                found = (fault, self._counts[position])
        return found


def _strikes(fault: Fault, position: int, count: int, elapsed: float) -> bool:
    if elapsed < fault.from_s or (fault.to_s is not None and elapsed >= fault.to_s):
        return False
    inside = count - fault.after_calls
    if inside < 1 or (fault.for_calls is not None and inside > fault.for_calls):
        return False
    if inside % fault.every:
        return False
    if fault.probability >= 1.0:
        return True
    dice = hashlib.blake2b(f"{position}:{count}".encode(), digest_size=4).digest()
    return int.from_bytes(dice, "big") / 2**32 < fault.probability
