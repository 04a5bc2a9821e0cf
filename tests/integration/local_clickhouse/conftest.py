"""The real server process, and real clickhouse-driver clients of it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from clickhouse_driver import Client

USER = "stirbeat"
PASSWORD = "a password of tests"
ACCESS_KEY = "TESTACCESSKEY"
SECRET_KEY = "test-secret-key-never-in-sql"


class Server:
    """`python -m stirbeat.local.clickhouse` on a free port."""

    def __init__(self, folder: pathlib.Path, *options: str) -> None:
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.log"
        started = time.monotonic()
        command = [sys.executable, "-m", "stirbeat.local.clickhouse", "--data", str(folder), "--port", "0", *options]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(pathlib.Path(__file__).parents[3]),
            "STIRBEAT_LOCAL_CLICKHOUSE_PASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        with self.log.open("ab") as log:
            from_here = log.tell()
            self.process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        self.port = self._wait_for_port(from_here)
        self.start_seconds = time.monotonic() - started

    def _wait_for_port(self, from_here: int) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            said = self.log.read_bytes()[from_here:].decode()
            for line in said.splitlines():
                if '"listening"' in line:
                    return int(json.loads(line)["port"])
            assert self.process.poll() is None, f"the server ended: {said}"
            time.sleep(0.02)
        raise AssertionError(f"the server does not listen: {self.log.read_text()}")

    def client(self, **options: object) -> Client:
        return Client("127.0.0.1", **{"port": self.port, "user": USER, "password": PASSWORD, **options})

    def memory_mib(self, line: str = "VmRSS") -> float:
        """Resident memory now, or `VmHWM`: its peak."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{line}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def stop(self) -> tuple[int, float]:
        """SIGTERM. Returns exit status and seconds."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20), time.monotonic() - started

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clickhouse") / "data")
    yield running
    running.kill()


@pytest.fixture
def own_server(tmp_path: pathlib.Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on one folder of the test's own, one after another."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path / "data", *options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.kill()


@pytest.fixture
def database() -> str:
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def connect(server: Server, database: str) -> Iterator[Callable[..., Client]]:
    """Makes clients in the test's own database, and closes them."""
    made: list[Client] = []

    def make(**options: object) -> Client:
        made.append(server.client(**{"database": database, **options}))
        return made[-1]

    yield make
    for each in made:
        each.disconnect()


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()


class Background:
    """A query that runs in a thread; `error` is what it raised."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.result: object = None
        self.seconds = 0.0
        self._run = run
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        started = time.monotonic()
        try:
            self.result = self._run()
        except Exception as error:  # noqa: BLE001  the test looks at it
            self.error = error
        self.seconds = time.monotonic() - started

    def join(self, seconds: float) -> Background:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still running after {seconds} s"
        return self


@pytest.fixture
def background() -> type[Background]:
    return Background


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    def wait(holds: Callable[[], object], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def s3_keys() -> tuple[str, str]:
    """The key pair that the server has in its environment."""
    return ACCESS_KEY, SECRET_KEY
