"""What Linux says about processes: who is alive, which belong to a stack, how much memory they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for certain: ids are given again, but not together with the same start time.

    `start_ticks` is field 22 of /proc/<pid>/stat: clock ticks since boot (proc(5)).
    """

    pid: int
    start_ticks: int


def identity(pid: int) -> Identity | None:
    """The identity of the process that has this id now; None if there is none or only its zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return Identity(pid, int(fields[19]))


def alive(pid: int) -> bool:
    """Whether a process with this id runs (a zombie does not)."""
    return identity(pid) is not None


def same(known: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identity(known.pid) == known


def pids() -> list[int]:
    """Every process id there is now."""
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def with_variable(name: str, value: str) -> list[Identity]:
    """Every process that was given this environment variable (readable ones only: one's own, or all as root)."""
    wanted = f"{name}={value}".encode()
    found = []
    for pid in pids():
        known = identity(pid)
        if known is None:
            continue
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
        except OSError:  # gone, or someone else's
            continue
        if wanted in environment.split(b"\0"):
            found.append(known)
    return found


def working_in(folder: Path) -> list[Identity]:
    """Every process whose working directory is `folder` or below (Postgres' are in their data folder)."""
    found = []
    for pid in pids():
        known = identity(pid)
        try:
            where = (PROC / str(pid) / "cwd").readlink()
        except OSError:
            continue
        if known is not None and where.is_relative_to(folder):
            found.append(known)
    return found


def memory_bytes(roots: Iterable[int]) -> dict[int, int]:
    """Resident memory of each process with all below it; a page shared by several is shared out among them (PSS)."""
    children: dict[int, list[int]] = {}
    for other in pids():
        fields = _stat(other)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(other)
    found = {}
    for root in roots:
        family = [root]
        for member in family:
            family.extend(children.get(member, []))
        found[root] = sum(_resident(member) for member in family)
    return found


def _resident(pid: int) -> int:
    for file, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            for line in (PROC / str(pid) / file).read_text().splitlines():
                if line.startswith(key):
                    return int(line.split()[1]) * 1024
        except OSError:
            continue
    return 0


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on: the name before them may hold spaces and brackets."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
