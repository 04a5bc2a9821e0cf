"""The data folder of one stack: its lock, its secrets, and what it remembers of itself.

```
lock               held by the process that runs the stack; names it
secrets.json       the stack's id and generated passwords and keys (0600)
state.json         ports, processes, and how each service is (0600)
environment.json   the variables a client needs, while the stack runs (0600)
logs/<service>.log
<service>/         the service's own files
```
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import time
import uuid
from pathlib import Path
from typing import Any

from stirbeat.local import errors, procfs

SECRET_NAMES = (
    "postgres_superuser",
    "postgres",
    "rabbitmq",
    "rabbitmq_cookie",
    "redis",
    "clickhouse",
    "s3_access_key_id",
    "s3_secret_access_key",
    "flower",
)


LOCK_PATIENCE_S = 0.5  # `locked` holds the lock for a moment when it looks


class Folder:
    """One data folder. Nothing is created before `open`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()
        self._lock: int | None = None
        self._held = 0  # how often `open` was called without `close`

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def secrets_file(self) -> Path:
        return self.path / "secrets.json"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.path / "logs" / f"{service}.log"

    def open(self) -> None:
        """Create the folder if need be and take its lock; each further call needs a `close` of its own.

        Raises FolderInUse if another process holds the lock, LocalServiceError if the folder cannot be written.
        """
        if self._lock is not None:
            self._held += 1
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.path / "logs").mkdir(exist_ok=True, mode=0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.LocalServiceError(
                "local stack", f"cannot use {self.path} as data folder: {error.strerror}"
            ) from error
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not _take(lock):
            if time.monotonic() > deadline:
                os.close(lock)
                raise errors.FolderInUse(self.path, self.holder() or "another process")
            time.sleep(0.05)
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid()}).encode(), 0)
        self._lock, self._held = lock, 1

    def close(self) -> None:
        """Let go of the lock, if this is the last `close` due."""
        self._held = max(0, self._held - 1)
        if self._lock is not None and self._held == 0:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def locked(self) -> bool:
        """Whether some process (this one included) holds the lock."""
        try:
            probe = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(probe)
        return False

    def holder(self) -> str:
        """Who holds the lock, for people: `process 4711 (python3.11)`. Empty if nobody says."""
        pid = self.holder_pid()
        if pid is None:
            return ""
        try:
            name = (procfs.PROC / str(pid) / "comm").read_text().strip()
        except OSError:
            name = "ended"
        return f"process {pid} ({name})"

    def holder_pid(self) -> int | None:
        """The process that last took the lock and has not let go of it in an orderly way."""
        try:
            return int(json.loads((self.path / "lock").read_text())["pid"])
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def secrets(self) -> dict[str, str]:
        """The stack's id and secrets, generated at the first call and kept."""
        known = read_json(self.secrets_file)
        complete = dict(known)
        complete.setdefault("id", uuid.uuid4().hex)
        complete.setdefault("fernet", base64.urlsafe_b64encode(os.urandom(32)).decode())
        for name in SECRET_NAMES:
            complete.setdefault(name, secrets.token_hex(20))
        if complete != known:
            write_json(self.secrets_file, complete)
        return complete


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none or it is no JSON object."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a JSON file at once, readable by its owner only."""
    write_private(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, mode 0600 from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
