"""Processes of a run that was killed: found for certain, and ended.

A process belongs to a folder if it was given the folder's own id in its environment, if it is a process the folder
remembers by id and start time, or if it works inside the folder's Postgres data (Postgres overwrites its environment
to show what it does).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stirbeat.local import procfs
from stirbeat.local.services import base, postgres

PATIENCE_S = 5.0  # what a leftover may take to end after SIGTERM


def find(folder: Path, stack_id: str, remembered: Mapping[str, Any]) -> set[procfs.Identity]:
    """Every living process that belongs to the stack of `folder`; `remembered` is the content of its state.json."""
    found = set(procfs.with_variable(base.MARKER, stack_id))
    found |= set(procfs.working_in(folder / postgres.Postgres.name))
    for entry in remembered.get("processes", {}).values():
        known = procfs.Identity(int(entry["pid"]), int(entry["start_ticks"]))
        if procfs.same(known):
            found.add(known)
    return {known for known in found if known.pid != os.getpid()}


def end(found: Iterable[procfs.Identity]) -> None:
    """End these processes: SIGTERM, then SIGKILL for those that take too long. Bounded: twice PATIENCE_S."""
    left = set(found)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for known in left:
            if procfs.same(known):
                os.kill(known.pid, number)
        deadline = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline:
            left = {known for known in left if procfs.same(known)}
            if left:
                time.sleep(0.05)
