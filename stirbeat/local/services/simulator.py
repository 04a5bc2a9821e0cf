"""The provider simulator: answers in the vendors' shapes (`stirbeat.local.simulator`)."""

from __future__ import annotations

import sys
from pathlib import Path

import requests

import stirbeat
from stirbeat.local import process
from stirbeat.local.services import base


class Simulator(base.Service):
    """One simulator."""

    name = "simulator"
    key = "STIRBEAT_SIMULATOR_URL"
    port_names = ("simulator",)

    def environment(self) -> dict[str, str]:
        return {self.key: self.address}

    @property
    def address(self) -> str:
        return f"http://{base.HOST}:{self.port}"

    def prepare(self) -> process.Process:
        data = self.place.folder / "data"
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = [sys.executable, "-m", "stirbeat.local.simulator", "--host", base.HOST]
        argv += ["--port", str(self.port), "--folder", str(data)]
        root = str(Path(stirbeat.__file__).parents[1])
        return self.describe(argv, self.environ(PYTHONPATH=root, PYTHONUNBUFFERED="1"))

    def ready(self) -> bool:
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment has no business on loopback
            try:
                answer = session.get(f"{self.address}/_sim/health", timeout=base.CHECK_TIMEOUT_S)
            except requests.RequestException as error:
                raise process.NotReady(str(error)) from error
        if answer.status_code != 200:
            raise process.NotReady(f"HTTP {answer.status_code}")
        return True
