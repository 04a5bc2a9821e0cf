"""A stack that runs detached, seen and steered from another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import stirbeat
from stirbeat.local import errors, folder, procfs, stack, supervisor

DOWN_TIMEOUT_S = 60.0
POLL_S = 0.1

# What the supervisor says of itself, and `killed` (it died without a last word) and `held` (the folder is in the hands
# of a process that is no supervisor: a demo, a test run).
Phase = Literal["starting", "up", "failed", "stopping", "down", "killed", "held"]


@dataclass(frozen=True, slots=True)
class Report:
    """How a folder's stack is."""

    phase: Phase
    error: str = ""
    pid: int | None = None
    peak_bytes: int = 0
    services: list[stack.ServiceStatus] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether clients can use all of it."""
        return self.phase == "up" and bool(self.services) and all(service.ok for service in self.services)

    @property
    def broken(self) -> list[stack.ServiceStatus]:
        """The services that clients cannot use."""
        return [service for service in self.services if not service.ok]


def report(path: Path) -> Report:
    """How the stack in this folder is now. Never raises for a folder that is missing or damaged."""
    place = folder.Folder(path)
    written = folder.read_json(supervisor.status_file(place.path))
    owner = _owner(written)
    if not place.locked():
        phase: Phase = written.get("phase", "down")
        if phase in ("starting", "up", "stopping"):
            return Report("killed", f"its supervisor (process {owner and owner.pid}) was killed")
        return Report(phase, error=str(written.get("error", "")) if phase == "failed" else "")
    if owner is None or place.holder_pid() != owner.pid or not procfs.same(owner):
        return Report("held", place.holder() or "another process", place.holder_pid())
    services = [stack.ServiceStatus(**service) for service in written.get("services", [])]
    return Report(written["phase"], str(written.get("error", "")), owner.pid, int(written["peak_bytes"]), services)


def up(
    path: Path,
    provided: Mapping[str, str],
    timeout_s: float,
    on_news: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Start a detached supervisor and wait until all is healthy, or join one that is starting.

    `on_news` is called with each fresh report. Raises LocalServiceError if a service cannot run, FolderInUse if the
    folder is in other hands.
    """
    now = report(path)
    if now.phase == "up":
        return now
    if now.phase == "held":
        raise errors.FolderInUse(folder.Folder(path).path, now.error)
    child = None if now.phase == "starting" else _launch(path, provided, timeout_s)
    try:
        return _wait_up(path, child, timeout_s + DOWN_TIMEOUT_S, on_news)
    except KeyboardInterrupt:
        if child is not None:
            child.terminate()
            child.wait(DOWN_TIMEOUT_S)
        raise


def down(path: Path) -> str:
    """Stop the stack of this folder, and end what a killed one left. Returns in words what was done. Idempotent.

    Raises FolderInUse if the folder is in the hands of a process that is no supervisor.
    """
    place = folder.Folder(path)
    if not place.path.is_dir():
        return f"nothing runs: there is no folder {place.path}"
    now = report(path)
    if now.phase == "held":
        raise errors.FolderInUse(place.path, now.error)
    if now.pid is None:
        found = stack.Stack(place.path).clean()
        if now.phase == "killed":
            folder.write_json(supervisor.status_file(place.path), {"phase": "down"})
        return f"ended {found} processes of a killed run" if found else "nothing was running"
    os.kill(now.pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while place.locked():
        if time.monotonic() > deadline:
            os.kill(now.pid, signal.SIGKILL)
            time.sleep(1.0)  # for the kernel to take the children along
            found = stack.Stack(place.path).clean()
            return f"the supervisor did not stop in {DOWN_TIMEOUT_S:.0f} s and was killed, {found} more ended"
        time.sleep(POLL_S)
    return "stopped"


def environment(path: Path) -> dict[str, str]:
    """The variables a client of this folder's running stack needs. Raises LocalServiceError if it does not run."""
    place = folder.Folder(path)
    values = folder.read_json(place.environment_file)
    if not place.locked() or not values:
        raise errors.LocalServiceError("local stack", f"nothing runs in {place.path}; start it with: stirbeat local up")
    return {str(name): str(value) for name, value in values.items()}


def _owner(written: Mapping[str, Any]) -> procfs.Identity | None:
    try:
        return procfs.Identity(int(written["owner"]["pid"]), int(written["owner"]["start_ticks"]))
    except (KeyError, TypeError, ValueError):
        return None


def _launch(path: Path, provided: Mapping[str, str], timeout_s: float) -> subprocess.Popen[bytes]:
    place = folder.Folder(path)
    try:
        place.log("supervisor").parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        output = os.open(place.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.LocalServiceError(
            "local stack", f"cannot use {place.path} as data folder: {error.strerror}"
        ) from error
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "stirbeat.local.supervisor", f"--folder={place.path}", f"--timeout={timeout_s}"],
            env={
                "PATH": os.pathsep.join(os.get_exec_path()),
                "HOME": str(place.path),
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(Path(stirbeat.__file__).parents[1]),
                "PYTHONUNBUFFERED": "1",
            },
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(output)
    assert child.stdin is not None
    with child.stdin as pipe:
        pipe.write(json.dumps(dict(provided)).encode())
    return child


def _wait_up(
    path: Path, child: subprocess.Popen[bytes] | None, timeout_s: float, on_news: Callable[[Report], None]
) -> Report:
    deadline = time.monotonic() + timeout_s
    log = folder.Folder(path).log("supervisor")
    while time.monotonic() < deadline:
        ended = child.poll() if child is not None else None
        now = report(path)
        ours = child is None or now.pid == child.pid
        if ours and now.phase in ("starting", "up"):
            on_news(now)
        if ours and now.phase == "up":
            return now
        if ended == supervisor.EXIT_IN_USE:
            raise errors.FolderInUse(folder.Folder(path).path, folder.Folder(path).holder() or "another process")
        if ended is not None or (child is None and now.phase != "starting"):
            reason = now.error if now.phase == "failed" else f"the supervisor ended (exit status {ended})"
            raise errors.LocalServiceError("local stack", reason, log)
        time.sleep(POLL_S)
    raise errors.LocalServiceError("local stack", f"no answer from the supervisor for {timeout_s:.0f} s", log)
