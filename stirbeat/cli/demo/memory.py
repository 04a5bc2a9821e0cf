"""The most memory that groups of processes held at one time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from stirbeat.local import procfs

LOOK_S = 2.0
MEGABYTE = 1_000_000


class Watch:
    """Looks every two seconds. Shared pages are shared out (PSS), so groups add up to what is really held."""

    def __init__(self, pids: Callable[[], Mapping[str, Sequence[int]]]) -> None:
        """pids: the process ids of each group now."""
        self._pids = pids
        self._peaks: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def peak_mb(self) -> dict[str, float]:
        """The peak of each group and of all together, in MB (10^6 bytes)."""
        return {name: round(peak / MEGABYTE, 1) for name, peak in self._peaks.items()}

    def _look(self) -> None:
        while not self._stop.wait(LOOK_S):
            groups = self._pids()
            held = procfs.memory_bytes([pid for pids in groups.values() for pid in pids])
            sums = {name: sum(held.get(pid, 0) for pid in pids) for name, pids in groups.items()}
            for name, now in {**sums, "all together": sum(sums.values())}.items():
                self._peaks[name] = max(self._peaks.get(name, 0), now)
