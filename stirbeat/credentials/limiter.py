"""The limits and cooldowns in Redis: three scripts, one round trip each."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import redis

from stirbeat import errors
from stirbeat.credentials import windows

_LOG = logging.getLogger(__name__)
_HERE = Path(__file__).parent
T = TypeVar("T")

# Candidates of one question. One of the first few has room nearly always, and every key more is time in both processes;
# Redis answers nobody else while a script runs, so the further ones are bounded too.
FIRST_CANDIDATES = 8
MORE_CANDIDATES = 32
RETRY_AFTER_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """Someone who may be chosen: keys of its own windows, and the subjects whose cooldown keeps it out (as JSON)."""

    keys: tuple[bytes, ...]
    subjects: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """chosen: index of the candidate, or None. Refused: the least wait in seconds, how many candidates are limited and
    cooling, and the window that the least wait is for (index into shared, then own; None for a cooldown)."""

    chosen: int | None
    wait_s: float = 0.0
    limited: int = 0
    cooling: int = 0
    cause: int | None = None


class Limiter:
    """Every method raises errors.ServiceUnavailable when Redis does not answer: no answer is no permission."""

    def __init__(self, client: redis.Redis) -> None:
        self._take = _script(client, "take.lua")
        self._cool = _script(client, "cool.lua")
        self._peek = _script(client, "peek.lua")

    def take(
        self,
        cooldowns: bytes,
        provider_subject: str,
        shared: Sequence[windows.Window],
        own: Sequence[windows.Window],
        candidates: Sequence[Candidate],
    ) -> Decision:
        """One token from every shared window and every own window of the first candidate that has room everywhere.

        own: the own windows of any one candidate; their limits hold for all.
        candidates: in the order in which they are to be tried.
        """
        keys = [cooldowns, *(window.key for window in shared)]
        for candidate in candidates:
            keys += candidate.keys
        limits = _limits(tuple((window.limit.calls, window.limit.period_s) for window in (*shared, *own)))
        arguments = [len(shared), len(own), limits, provider_subject, *(candidate.subjects for candidate in candidates)]
        answer = _ask(lambda: self._take(keys=keys, args=arguments))
        if isinstance(answer, int):
            return Decision(answer - 1)
        wait_ms, limited, cooling, cause = answer
        return Decision(None, wait_ms / 1000, limited, cooling, cause - 1 if cause else None)

    def cool(self, provider: str, subjects: Sequence[str], seconds: float) -> None:
        """Cool subjects of a provider down in all processes at once; with 0 seconds, end their cooldowns."""
        milliseconds = max(0, round(seconds * 1000))
        _ask(lambda: self._cool(keys=[windows.cooldowns(provider)], args=[milliseconds, *subjects]))

    def peek(self, asked: Sequence[windows.Window]) -> list[tuple[int, float]]:
        """For each window: the calls that count now, and in how many seconds the oldest of them no longer does."""
        if not asked:
            return []
        keys = [window.key for window in asked]
        periods = [window.limit.period_s * 1000 for window in asked]
        flat = _ask(lambda: self._peek(keys=keys, args=periods))
        return [(flat[index], flat[index + 1] / 1000) for index in range(0, len(flat), 2)]


def _script(client: redis.Redis, name: str) -> Callable[..., Any]:
    """A script that is run by its digest, and loaded where Redis does not know it (any more)."""
    return cast("Callable[..., Any]", client.register_script((_HERE / name).read_text()))


@functools.lru_cache(maxsize=1024)
def _limits(limits: tuple[tuple[int, int], ...]) -> bytes:
    """Calls and period (seconds) of windows as take.lua reads them."""
    return json.dumps([number for calls, period_s in limits for number in (calls, period_s * 1000)]).encode()


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except redis.ResponseError as error:
        _LOG.warning("Redis refuses the limiter's script: %s", error)
        raise errors.ServiceUnavailable(
            f"Redis refuses: {error}", service="redis", retry_after_s=RETRY_AFTER_S
        ) from error
    except redis.RedisError as error:
        raise errors.ServiceUnavailable(
            f"Redis does not answer: {type(error).__name__}", service="redis", retry_after_s=RETRY_AFTER_S
        ) from error
