"""How a foreground process lives: ends when it is told to, and waits longer and longer while a service is away."""

from __future__ import annotations

import dataclasses
import random
import signal
import threading
from types import FrameType

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 15.0


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. The main thread's to call."""
    stop = threading.Event()

    def told(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop


@dataclasses.dataclass(slots=True)
class Backoff:
    """Waits that double up to a ceiling, each between half and the whole of its step, so that a fleet spreads out."""

    first_s: float = FIRST_WAIT_S
    longest_s: float = LONGEST_WAIT_S
    failures: int = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        step = min(self.longest_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return step * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, not a secret)

    def reset(self) -> None:
        """It worked."""
        self.failures = 0
