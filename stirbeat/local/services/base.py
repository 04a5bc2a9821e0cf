"""What every local service is: where it lives, what it needs, how it is started, checked and named to clients."""

from __future__ import annotations

import abc
import os
import pwd
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stirbeat.local import errors, process

HOST = "127.0.0.1"
CHECK_TIMEOUT_S = 2.0  # for one attempt of a readiness check
MARKER = "_STIRBEAT_STACK"  # in the environment of every child: the id of the stack it belongs to


@dataclass(frozen=True, slots=True)
class Place:
    """What the stack gives a service."""

    folder: Path
    log: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    given: Mapping[str, str]  # STIRBEAT_* variables the user set
    durable: bool

    def __repr__(self) -> str:
        return f"Place({str(self.folder)!r})"


class Service(abc.ABC):
    """One service of the stack. `settle`, `recover` and `discard` do nothing unless a service needs them."""

    name: ClassVar[str]
    key: ClassVar[str]  # the variable which, when given, says that the service runs elsewhere
    companions: ClassVar[tuple[str, ...]] = ()  # further variables about the same service
    port_names: ClassVar[tuple[str, ...]]  # the first one is the clients' port
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    stop_timeout_s: ClassVar[float] = 15.0

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def port(self) -> int:
        """The port clients connect to."""
        return self.place.ports[self.port_names[0]]

    @abc.abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that lead a client here."""

    @property
    @abc.abstractmethod
    def address(self) -> str:
        """Where the service is, without any secret."""

    @abc.abstractmethod
    def prepare(self) -> process.Process:
        """Write the configuration, make the data folder if it is new, and describe the process. May take seconds."""

    @abc.abstractmethod
    def ready(self) -> bool:
        """Whether the service answers in its own protocol. May raise NotReady or OSError to say why not."""

    def settle(self) -> None:  # noqa: B027
        """Make what clients expect to find (a database, a bucket) once the service answers. Idempotent."""

    def recover(self) -> None:  # noqa: B027
        """Remove what a killed run left behind. Called before `prepare`, when none of its processes runs any more."""

    def discard(self) -> None:  # noqa: B027
        """Remove what the service leaves outside its folder. Called after its end."""

    def environ(self, **more: str) -> dict[str, str]:
        """The whole environment of a child: nothing of ours but PATH gets in."""
        return {
            "PATH": os.pathsep.join(os.get_exec_path()),
            "HOME": str(self.place.folder),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            MARKER: self.place.secrets["id"],
            **more,
        }

    def describe(self, argv: list[str], environ: Mapping[str, str], **options: object) -> process.Process:
        """The process of this service with its usual settings."""
        return process.Process(
            self.name,
            argv,
            environ,
            self.place.log,
            ready=self.ready,
            stop_signal=self.stop_signal,
            stop_timeout_s=self.stop_timeout_s,
            death_signal=self.death_signal,
            cwd=options.pop("cwd", self.place.folder),  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )

    def fail(self, reason: str, tail: str = "") -> errors.LocalServiceError:
        """The error that says why this service cannot run."""
        return errors.LocalServiceError(self.name, reason, self.place.log, tail)


def find(name: str, *folders: Path, service: str, package: str) -> str:
    """The path of a program: from PATH, else from `folders`. Raises LocalServiceError with the package to install."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, folders)))
    if found is None:
        raise errors.LocalServiceError(
            service, f"the program {name} is not installed; install it with: apt-get install {package}"
        )
    return found


def unprivileged_user(service: str, *candidates: str) -> str | None:
    """Whom to become for a service that refuses root: None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in candidates:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise errors.LocalServiceError(
        service,
        f"refuses to run as root, and this machine has no user {' or '.join(candidates)} to run it as",
    )
