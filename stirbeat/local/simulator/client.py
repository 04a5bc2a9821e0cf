"""A small client of the simulator's own API, for the demo and for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from stirbeat.local.simulator import calls

fingerprint = calls.fingerprint


class SimulatorError(Exception):
    """The simulator refused, or does not answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Counted calls. credential: `fingerprint(secret)`; outcome: ok, not_found, rate_limited, fault:down, ..."""

    provider: str
    function: str
    credential: str
    outcome: str
    calls: int


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All counted calls."""

    total: int
    by_provider: Mapping[str, int]
    by_outcome: Mapping[str, int]
    rows: tuple[Row, ...]

    def count(self, **wanted: str) -> int:
        """Calls of the rows that have these values: count(provider="lama", outcome="ok")."""
        return sum(row.calls for row in self.rows if all(getattr(row, name) == value for name, value in wanted.items()))


class SimulatorClient:
    """Talks to the simulator at `url` (STIRBEAT_SIMULATOR_URL)."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._ask("GET", "health")["status"] == "ok")
        except SimulatorError:
            return False

    def put_credentials(self, given: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """Set the credentials of vendors: {"lama": {secret: {"limits": [[15, 1]], "state": "ok"}}}."""
        self._ask("PUT", "credentials", given)

    def put_plan(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Replace the fault plan; [] ends all faults. See plan.Fault for the keys."""
        self._ask("PUT", "plan", list(faults))

    def calls(self) -> Report:
        """What was called since the start or the last clear."""
        found = self._ask("GET", "calls")
        rows = tuple(Row(**row) for row in found["rows"])
        return Report(found["total"], found["by_provider"], found["by_outcome"], rows)

    def clear_calls(self) -> None:
        """Count from nothing."""
        self._ask("DELETE", "calls")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _ask(self, method: str, what: str, body: Any = None) -> Any:
        try:
            answer = self._session.request(method, f"{self._url}/_sim/{what}", json=body, timeout=self._timeout_s)
            found = answer.json()
        except requests.RequestException as error:
            raise SimulatorError(f"the simulator does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise SimulatorError(f"the simulator refused: {found.get('error', answer.status_code)}")
        return found
