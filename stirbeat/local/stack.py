"""All services together: started in parallel, checked, told apart, stopped."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from stirbeat.local import errors, leftovers, ports, process, procfs
from stirbeat.local import folder as folders
from stirbeat.local.services import base, clickhouse, postgres, rabbitmq, redis, seaweedfs, simulator

# In the order of their start-up times, the slowest first.
SERVICES: tuple[type[base.Service], ...] = (
    rabbitmq.Rabbitmq,
    seaweedfs.Seaweedfs,
    postgres.Postgres,
    clickhouse.Clickhouse,
    simulator.Simulator,
    redis.Redis,
)
FLOWER_USER = "stirbeat"

State = Literal["elsewhere", "waiting", "preparing", "starting", "healthy", "crashed", "stopped"]


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How one service is. `elsewhere`: its variable was given, so it is not ours to start."""

    name: str
    state: State
    pid: int | None = None
    port: int | None = None
    url_without_secret: str = ""
    log: str = ""
    rss_bytes: int = 0  # of the process and its children, shared pages counted once
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether clients can use it, as far as we know."""
        return self.state in ("healthy", "elsewhere")


class Stack:
    """The services of one data folder.

    `provided` holds STIRBEAT_* variables of services that run elsewhere: those are used, not started. `durable=False`
    trades safety against a crash of the machine for speed (tests). `on_change` is called, from any thread, after each
    change of a service's state.
    """

    def __init__(
        self,
        folder: Path,
        provided: Mapping[str, str] | None = None,
        *,
        durable: bool = True,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folders.Folder(folder)
        self.peak_bytes = 0  # the most memory any call of `status` has seen the whole stack hold
        self._provided = {name: value for name, value in (provided or {}).items() if value}
        self._durable = durable
        self._on_change = on_change
        self._services: dict[str, base.Service] = {}
        self._processes: dict[str, process.Process] = {}
        self._states: dict[str, tuple[State, str]] = {}
        self._ports: dict[str, int] = {}
        self._secrets: dict[str, str] = {}
        self._open = False
        self._cancelled = threading.Event()
        self._lock = threading.RLock()

    def start(self, timeout_s: float = 60) -> None:
        """Start what is not provided and wait until all of it answers, at most `timeout_s`.

        Raises LocalServiceError for the first service that cannot run, after everything is stopped again, and
        FolderInUse if another process runs a stack in this folder.
        """
        if self._open:
            raise errors.LocalServiceError("local stack", "was started already")
        self.folder.open()
        self._open = True
        try:
            self._set_up()
            self._start_all(timeout_s)
        except BaseException:
            self.stop()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """The STIRBEAT_* variables a client process needs."""
        values = {
            "STIRBEAT_SECRET_KEYS": self._secrets["fernet"],
            "STIRBEAT_FLOWER_USER": FLOWER_USER,
            "STIRBEAT_FLOWER_PASSWORD": self._secrets["flower"],
        }
        for service in self._services.values():
            values.update(service.environment())
        return values | self._provided

    def status(self) -> list[ServiceStatus]:
        """How each service is now."""
        with self._lock:
            running = [child.pid for child in self._processes.values()]
        memory = procfs.memory_bytes([pid for pid in running if pid is not None])
        extras = [type(service) for service in self._services.values() if type(service) not in SERVICES]
        found = [self._status(kind, memory) for kind in (*SERVICES, *extras)]
        self.peak_bytes = max(self.peak_bytes, sum(status.rss_bytes for status in found))
        return found

    def add(self, kind: type[base.Service], timeout_s: float = 30) -> base.Service:
        """Start one more service beside the running ones (PgBouncer, in a test) and return it.

        Raises LocalServiceError if it cannot run; the others go on.
        """
        service = self._make(kind, ports.choose(kind.port_names, {}), self.environment)
        self._services[kind.name] = service
        try:
            self._start_one(service, time.monotonic() + timeout_s)
        except errors.LocalServiceError:
            self.remove(kind)
            raise
        return service

    def remove(self, kind: type[base.Service]) -> None:
        """Stop a service that `add` started."""
        with self._lock:
            child = self._processes.pop(kind.name, None)
            service = self._services.pop(kind.name)
        if child is not None:
            child.stop()
        service.discard()

    def child(self, name: str) -> process.Process:
        """The process of a service we started. Raises KeyError for any other."""
        return self._processes[name]

    def stop(self) -> None:
        """Stop everything, the last started first, and let go of the folder. Idempotent."""
        if not self._open:
            return
        self._cancelled.set()
        with self._lock:
            running = list(self._processes.items())
        # At once: none of them needs another to stop, and the slowest alone takes seconds.
        with futures.ThreadPoolExecutor(max_workers=max(1, len(running))) as pool:
            for name, child in reversed(running):
                if not child.crashed and self._states[name][0] != "crashed":
                    self._set(name, "stopped")
                pool.submit(child.stop)
        for service in self._services.values():
            service.discard()
        self.folder.environment_file.unlink(missing_ok=True)
        self._write_state()
        self._open = False
        self.folder.close()

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Stack({str(self.folder.path)!r})"

    def clean(self) -> int:
        """End what a killed run left running, without starting anything; how many processes that were.

        Raises FolderInUse if a process runs a stack in this folder.
        """
        self.folder.open()
        try:
            self._secrets = self.folder.secrets()
            remembered, known_ports = self._remembered()
            found = len(leftovers.find(self.folder.path, self._secrets["id"], remembered))
            self._recover(remembered, known_ports)
            self.folder.environment_file.unlink(missing_ok=True)
            return found
        finally:
            self.folder.close()

    def _remembered(self) -> tuple[dict[str, Any], dict[str, int]]:
        remembered = folders.read_json(self.folder.state_file)
        ports_ = remembered.get("ports", {})
        return remembered, {name: port for name, port in ports_.items() if isinstance(port, int)}

    def _set_up(self) -> None:
        self._cancelled.clear()
        self._processes = {}
        self._services = {}
        self._secrets = self.folder.secrets()
        remembered, known_ports = self._remembered()
        self._recover(remembered, known_ports)
        self._disown(known_ports)
        wanted = [kind for kind in SERVICES if kind.key not in self._provided]
        names = [name for kind in wanted for name in kind.port_names]
        self._ports = ports.choose(names, known_ports)
        for kind in wanted:
            # With what those before it offer: ClickHouse comes after S3 and needs its keys.
            self._services[kind.name] = self._make(kind, self._ports, self.environment)
            self._set(kind.name, "waiting")

    def _disown(self, known_ports: dict[str, int]) -> None:
        """Forget provided values that are this stack's own: a shell that took `stirbeat local env` still has them."""
        for kind in SERVICES:
            if kind.key in self._provided and all(name in known_ports for name in kind.port_names):
                own = self._make(kind, known_ports).environment()
                if self._provided[kind.key] == own[kind.key]:
                    for name in (kind.key, *kind.companions):
                        self._provided.pop(name, None)

    def _make(
        self, kind: type[base.Service], its_ports: Mapping[str, int], given: Mapping[str, str] | None = None
    ) -> base.Service:
        return kind(
            base.Place(
                folder=self.folder.path / kind.name,
                log=self.folder.log(kind.name),
                ports=its_ports,
                secrets=self._secrets,
                given=self._provided if given is None else given,
                durable=self._durable,
            )
        )

    def _start_all(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        pool = futures.ThreadPoolExecutor(max_workers=len(SERVICES))
        try:
            starting = [pool.submit(self._start_one, service, deadline) for service in self._services.values()]
            for done in futures.as_completed(starting):
                done.result()
        except BaseException:
            self._cancelled.set()  # the others need not be waited for
            raise
        finally:
            pool.shutdown(wait=True)
        folders.write_json(self.folder.environment_file, self.environment)

    def _start_one(self, service: base.Service, deadline: float) -> None:
        self._set(service.name, "preparing")
        try:
            service.place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            child = service.prepare()
            self._launch(service, child)
            self._set(service.name, "starting")
            child.wait_ready(max(1.0, deadline - time.monotonic()), cancelled=self._cancelled)
            service.settle()
        except errors.LocalServiceError as error:
            given_up = self._cancelled.is_set()
            self._set(service.name, "stopped" if given_up else "crashed", error.reason)
            raise
        except Exception as error:
            self._set(service.name, "crashed", type(error).__name__)
            raise service.fail(f"could not be set up: {error}") from error
        self._set(service.name, "healthy")

    def _launch(self, service: base.Service, child: process.Process) -> None:
        with self._lock:  # `stop` either sees this child or keeps it from starting
            if self._cancelled.is_set():
                raise service.fail("was given up")
            child.start()
            self._processes[service.name] = child

    def _recover(self, remembered: dict[str, Any], known_ports: dict[str, int]) -> None:
        """End what a killed run left running in this folder, then what it left lying about."""
        leftovers.end(leftovers.find(self.folder.path, self._secrets["id"], remembered))
        for kind in SERVICES:
            if all(name in known_ports for name in kind.port_names):
                self._make(kind, known_ports).recover()

    def _status(self, kind: type[base.Service], memory: Mapping[int, int]) -> ServiceStatus:
        if kind.key in self._provided and kind.name not in self._services:
            return ServiceStatus(kind.name, "elsewhere", detail=f"given by {kind.key}")
        service = self._services.get(kind.name)
        if service is None:
            return ServiceStatus(kind.name, "stopped")
        child = self._processes.get(kind.name)
        if child is not None and child.crashed and self._states[kind.name][0] in ("healthy", "starting"):
            ended = process.describe_exit(child.poll() or 0)
            self._set(kind.name, "crashed", f"ended by itself ({ended})\n{child.log_tail()}".rstrip())
        state, detail = self._states.get(kind.name, ("waiting", ""))
        pid = child.pid if child is not None else None
        return ServiceStatus(
            kind.name,
            state,
            pid=pid,
            port=service.port,
            url_without_secret=service.address,
            log=str(service.place.log),
            rss_bytes=memory.get(pid, 0) if pid is not None else 0,
            detail=detail,
        )

    def _set(self, name: str, state: State, detail: str = "") -> None:
        with self._lock:
            self._states[name] = (state, detail)
        if state != "waiting":
            self._write_state()
        if self._on_change is not None:
            self._on_change()

    def _write_state(self) -> None:
        """Remember ports and processes, so that the next start can reuse the ones and end the others."""
        with self._lock:
            if not self.folder.path.is_dir():
                return
            processes = {}
            for name, child in self._processes.items():
                pid = child.pid
                known = procfs.identity(pid) if pid is not None else None
                if known is not None:
                    processes[name] = asdict(known)
            remembered = folders.read_json(self.folder.state_file).get("ports", {})
            state = {
                "ports": {**remembered, **self._ports},
                "processes": processes,
                "states": {name: list(value) for name, value in self._states.items()},
                "owner": asdict(procfs.identity(os.getpid()) or procfs.Identity(os.getpid(), 0)),
            }
            folders.write_json(self.folder.state_file, state)
