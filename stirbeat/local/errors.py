"""What can go wrong with a local service, told so that the reader knows where to look."""

from __future__ import annotations

from pathlib import Path

from stirbeat import errors


class LocalServiceError(errors.Fatal):
    """A local service cannot run."""

    def __init__(self, service: str, reason: str, log: Path | None = None, tail: str = "") -> None:
        """Name the service, why, its log file, and the last lines of that log."""
        self.service = service
        self.reason = reason
        self.log = log
        self.tail = tail
        message = f"{service}: {reason}"
        if log is not None:
            message += f". Log: {log}"
        if tail:
            message += "\n" + "\n".join(f"    {line}" for line in tail.splitlines())
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.service, self.reason, self.log, self.tail))


class FolderInUse(LocalServiceError):
    """Another process runs a stack in this folder."""

    def __init__(self, folder: Path, holder: str) -> None:
        self.folder = folder
        self.holder = holder
        super().__init__("local stack", f"the folder {folder} is in use by {holder}")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.folder, self.holder))
