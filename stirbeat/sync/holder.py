"""Who holds a run: enough of a process's identity to tell, on the same machine, that it is surely dead.

A run whose process is dead is taken over at once; in doubt its lease decides. This only saves waiting: that a process
which is alive after all changes nothing is the fencing token's part.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

_START_TIME = 19  # of /proc/<pid>/stat, counted after the command's closing parenthesis (proc(5), field 22)


def this() -> dict[str, str]:
    """The identity of this process."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "space": _space(), "pid": str(pid), "started": _started(pid)}


def surely_dead(identity: Mapping[str, object]) -> bool:
    """Whether this process ran on this machine, in this pid namespace, and runs no more."""
    space = _space()
    if not space or identity.get("space") != space or not str(identity.get("pid", "")).isdigit():
        return False
    return _started(int(str(identity["pid"]))) != identity.get("started")


def _space() -> str:
    """This boot of this machine and the namespace in which pids count; empty where /proc does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When the process began, in clock ticks after the boot; empty when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[_START_TIME]
