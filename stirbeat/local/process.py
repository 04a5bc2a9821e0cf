"""One child process with a log file, a readiness check and a bounded stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stirbeat.local import errors, procfs, spawner

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_S = 0.05  # how often a readiness check is repeated at first
POLL_MAX_S = 0.25
TAIL_LINES = 12


class NotReady(Exception):
    """The service does not answer yet; the message says what it answered instead."""


class Process:
    """A child in a session of its own, which cannot outlive this process.

    The environment is exactly `environ`: nothing is inherited. Standard output and error go to `log` (appended, mode
    0600). When this process dies in any way, the kernel sends the child `death_signal`
    (the child alone: its own children must notice its end themselves, as those of Celery, Postgres and Erlang do).
    `start` may be called again after the child has ended.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        log: Path,
        *,
        ready: Callable[[], bool] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout_s: float = 15.0,
        death_signal: signal.Signals = signal.SIGKILL,
        cwd: Path | str | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Describe the child; nothing runs yet.

        `ready` returns True when the service answers; False, NotReady or OSError mean "not yet".
        `user` is the system user to drop to (needs root). `stop_timeout_s` is what a clean stop may take before
        SIGKILL. No secret may be in `argv`, which every user of the machine can read.
        """
        self.name = name
        self.argv = list(argv)
        self.log = Path(log)
        self.user = user
        self._environ = dict(environ)
        self._ready = ready
        self._stop_signal = stop_signal
        self._stop_timeout_s = stop_timeout_s
        self._death_signal = death_signal
        self._cwd = str(cwd) if cwd is not None else None
        self._pass_fds = tuple(pass_fds)
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._log_from = 0  # size of the log before this run, so that a tail shows this run only
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The child's process id, while it runs."""
        return self._child.pid if self._child is not None and self.poll() is None else None

    @property
    def started(self) -> bool:
        """Whether `start` has been called."""
        return self._child is not None

    def start(self) -> None:
        """Start the child. Raises LocalServiceError if that is not possible at all."""
        with self._lock:
            if self._child is not None and self.poll() is None:
                raise errors.LocalServiceError(self.name, "runs already", self.log)
            self._stopping = False
            self._child = self._spawn()

    def wait_ready(self, timeout_s: float, *, cancelled: threading.Event | None = None) -> None:
        """Wait until the readiness check passes.

        Raises LocalServiceError if the child ends first, `timeout_s` passes, or `cancelled` is set.
        """
        deadline = time.monotonic() + timeout_s
        reason = ""
        pause = POLL_S
        while True:
            status = self.poll()
            if status is not None:
                raise errors.LocalServiceError(
                    self.name,
                    f"ended before it was ready ({describe_exit(status)})",
                    self.log,
                    self.log_tail(),
                )
            try:
                if self._ready is None or self._ready():
                    return
                reason = "the check failed"
            except (NotReady, OSError) as error:
                reason = str(error).strip() or type(error).__name__
            if cancelled is not None and cancelled.is_set():
                raise errors.LocalServiceError(self.name, "was given up", self.log)
            if time.monotonic() >= deadline:
                raise errors.LocalServiceError(
                    self.name, f"was not ready after {timeout_s:.0f} s ({reason})", self.log, self.log_tail()
                )
            time.sleep(pause)
            pause = min(pause * 1.2, POLL_MAX_S)

    def poll(self) -> int | None:
        """The exit status if the child has ended (negative: the signal that ended it), else None."""
        with self._lock:
            if self._child is None or self._child.returncode is not None:
                return None if self._child is None else self._child.returncode
            if not self._ended(self._child.pid):
                return None
            # Still a zombie, so its id cannot have been given away: what is left of its group can be ended for certain.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            return self._child.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the child alone (not to its children), if it runs."""
        with self._lock:
            if self._child is not None and self.poll() is None:
                os.kill(self._child.pid, number)

    def stop(self) -> None:
        """End the child: cleanly if it does that in time, else with SIGKILL for its whole group. Idempotent."""
        self._stopping = True
        self.send_signal(self._stop_signal)
        if self._wait(self._stop_timeout_s) is None:
            self.kill()

    def kill(self) -> None:
        """End the child and its group with SIGKILL."""
        self._stopping = True
        with self._lock:
            if self._child is not None and self.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._child.pid, signal.SIGKILL)
        self._wait(10.0)

    @property
    def crashed(self) -> bool:
        """Whether the child ended although nobody here asked it to."""
        return not self._stopping and self.poll() is not None

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines this run wrote to the log."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_from, size - 16_384))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Process({self.name!r}, pid={self.pid})"

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._log_from = os.fstat(output).st_size
            prefix = [
                sys.executable,
                "-I",
                "-S",
                str(LAUNCHER),
                str(os.getpid()),
                str(int(self._death_signal)),
            ]
            return spawner.spawn(
                lambda: subprocess.Popen(
                    [*prefix, self.user or "-", "--", *self.argv],
                    env=self._environ,
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=self._pass_fds,
                )
            )
        except OSError as error:
            raise errors.LocalServiceError(self.name, f"cannot be started: {error}", self.log) from error
        finally:
            os.close(output)

    def _wait(self, timeout_s: float) -> int | None:
        deadline = time.monotonic() + timeout_s
        while self._child is not None and self.poll() is None:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)
        return 0 if self._child is None else self._child.returncode

    @staticmethod
    def _ended(pid: int) -> bool:
        """Whether our child `pid` has ended, without reaping it."""
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # reaped elsewhere; Popen.wait copes with that
            return not procfs.alive(pid)


def describe_exit(status: int) -> str:
    """An exit status in words: `exit status 1`, `killed by SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
