"""The process that owns a stack: `python -m stirbeat.local.supervisor --folder DIR`.

It is started detached by `stirbeat local up`, reads the provided variables as one JSON object from standard input (so
that no secret is on a command line), watches its children, and writes what it sees to `status.json`. A child that dies
is said to have crashed, with the end of its log; nothing is restarted behind anyone's back.
SIGTERM stops everything in an orderly way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Literal

from stirbeat.local import errors, folder, procfs, stack

WATCH_S = 1.0
EXIT_FAILED = 1
EXIT_IN_USE = 3

Phase = Literal["starting", "up", "failed", "stopping", "down"]


class Supervisor:
    """Runs one stack until it is told to stop."""

    def __init__(self, path: Path, provided: Mapping[str, str], timeout_s: float) -> None:
        self._stack = stack.Stack(path, provided, on_change=self._changed)
        self._timeout_s = timeout_s
        self._phase: Phase = "starting"
        self._error = ""
        self._asked_to_stop = threading.Event()
        self._news = threading.Event()
        self._ended = threading.Event()
        self._started_at = time.time()

    def run(self) -> int:
        """Start, watch until SIGTERM or SIGINT, stop. Returns the exit status."""
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGINT, self._asked)
        try:
            self._stack.folder.open()  # held beyond the stack's own end, so that the last word is ours
        except errors.LocalServiceError as error:
            sys.stderr.write(f"{error}\n")
            return EXIT_IN_USE
        writer = threading.Thread(target=self._write_changes, name="status")
        writer.start()
        try:
            return self._run()
        except _Stop:
            return 0
        except errors.LocalServiceError as error:
            sys.stderr.write(f"{error}\n")
            self._enter("failed", str(error))
            return EXIT_FAILED
        except Exception as error:
            self._enter("failed", f"the supervisor itself: {type(error).__name__}: {error}")
            raise
        finally:
            if self._phase != "failed":
                self._enter("stopping")
            self._stack.stop()
            if self._phase != "failed":
                self._enter("down")
            self._ended.set()
            self._news.set()
            writer.join()
            self._stack.folder.close()

    def _run(self) -> int:
        self._stack.start(self._timeout_s)
        self._enter("up")
        self._asked_to_stop.wait()
        return 0

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._phase == "starting":
            self._phase = "stopping"
            raise _Stop
        self._asked_to_stop.set()

    def _enter(self, phase: Phase, error: str = "") -> None:
        self._phase, self._error = phase, error
        self._news.set()

    def _changed(self) -> None:
        self._news.set()

    def _write_changes(self) -> None:
        while not self._ended.is_set():
            self._news.wait(WATCH_S)
            self._news.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        services = [asdict(status) for status in self._stack.status()]
        folder.write_json(
            status_file(self._stack.folder.path),
            {
                "phase": self._phase,
                "error": self._error,
                "owner": asdict(procfs.identity(os.getpid()) or procfs.Identity(os.getpid(), 0)),
                "started_at": self._started_at,
                "written_at": time.time(),
                "peak_bytes": self._stack.peak_bytes,
                "services": services,
            },
        )


class _Stop(BaseException):
    """Asked to stop while still starting."""


def status_file(path: Path) -> Path:
    """Where the supervisor of the stack in `path` writes what it sees."""
    return path / "status.json"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m stirbeat.local.supervisor")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for all services to answer")
    arguments = parser.parse_args()
    provided = json.load(sys.stdin)
    return Supervisor(arguments.folder, provided, arguments.timeout).run()


if __name__ == "__main__":
    sys.exit(main())
