"""The demo's processes: workers, beat, relay, sink and Flower, as in production, as children of this one."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from stirbeat import routing
from stirbeat.domain import catalogue
from stirbeat.local import ports, process

# Threads of one scrape worker; two cores are shared with every engine.
SCRAPE_THREADS = 16
SCRAPE_WORKERS = 2
READY_S = 60.0


class Cluster:
    """Starts the processes together, waits until each works, and stops them in an order that loses nothing."""

    def __init__(self, environment: Mapping[str, str], folder: Path, *, only: Collection[str] = ()) -> None:
        """environment: the STIRBEAT_* variables; folder: where logs go; only: these processes, empty for all.

        Nothing runs yet.
        """
        self.flower_port = ports.choose(("flower",), {})["flower"]
        self._environment = {
            **environment,
            "STIRBEAT_FLOWER_PORT": str(self.flower_port),
            "STIRBEAT_WORK_FOLDER": str(folder / "dbt"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
        }
        self._logs = folder / "logs"
        self.processes = {
            name: self._process(name, argv) for name, argv in self._commands().items() if not only or name in only
        }

    @property
    def flower_url(self) -> str:
        """Where Flower answers."""
        return f"http://127.0.0.1:{self.flower_port}"

    def start(self, *, told: Callable[[str], None] = lambda _name: None) -> None:
        """Start all, and wait until all work; `told` hears the name of each that does.

        Raises stirbeat.local.errors.LocalServiceError naming the process, its end and its log.
        """
        for child in self.processes.values():
            child.start()
        deadline = time.monotonic() + READY_S
        for name, child in self.processes.items():
            child.wait_ready(max(1.0, deadline - time.monotonic()))
            told(name)

    def stop(self) -> None:
        """Stop all: first what makes work or only watches, then the workers, then relay and sink."""
        order = {"beat": 0, "flower": 0, "relay": 2, "sink": 3}
        for name in sorted(self.processes, key=lambda name: order.get(name, 1)):
            self.processes[name].stop()

    def crashed(self) -> list[process.Process]:
        """Processes that ended although nobody asked them to."""
        return [child for child in self.processes.values() if child.started and child.crashed]

    def _commands(self) -> dict[str, list[str]]:
        command = [sys.executable, "-m", "stirbeat"]
        commands: dict[str, list[str]] = {}
        for group in routing.groups(catalogue.flows()):
            base = [*command, "worker", "--group", group.name]
            if group.pool == "threads" and group.concurrency == 0 and not group.name.endswith(routing.HIGH_SUFFIX):
                for number in range(1, SCRAPE_WORKERS + 1):
                    name = f"{group.name}-{number}"
                    commands[name] = [*base, "--name", name, "--concurrency", str(SCRAPE_THREADS)]
            else:
                commands[group.name] = [
                    *base,
                    "--name",
                    group.name,
                    "--concurrency",
                    str(group.concurrency or SCRAPE_THREADS),
                ]
        return {**commands, **{name: [*command, name] for name in ("beat", "relay", "sink", "flower")}}

    def _process(self, name: str, argv: list[str]) -> process.Process:
        log = self._logs / f"{name}.log"
        return process.Process(
            name,
            argv,
            self._environment,
            log,
            ready=self._readiness(name, log),
            stop_timeout_s=20.0,
        )

    def _readiness(self, name: str, log: Path) -> Callable[[], bool] | None:
        if name == "flower":
            return self._flower_answers
        if name in {"beat", "relay", "sink"}:
            return None  # they wait for their services themselves; what they do is seen in what they carry
        return lambda: " ready." in self.processes[name].log_tail(40)

    def _flower_answers(self) -> bool:
        try:
            urllib.request.urlopen(self.flower_url, timeout=2).close()  # noqa: S310 (our own loopback address)
        except urllib.error.HTTPError as error:
            return error.code == 401  # it asks for the password: as it should
        except OSError:
            return False
        raise process.NotReady("Flower answers without a password")
