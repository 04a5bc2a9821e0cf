"""What came of the demo: gathered from the engines, judged, and the same for people and machines."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from stirbeat.cli.demo import facts, scenario
from stirbeat.credentials import pool
from stirbeat.domain import catalogue
from stirbeat.local.simulator import client as simulators
from stirbeat.store.models import ledger
from stirbeat.warehouse import client as warehouses
from stirbeat.warehouse import sql as warehouse_sql


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, whether it does, and the figures that show it."""

    name: str
    holds: bool
    figures: str


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """The whole of it. Lists of rows are dictionaries as `facts` and the credentials give them."""

    requests: int
    seconds: Mapping[str, float]
    outcomes: list[dict[str, Any]]
    hops: list[dict[str, Any]]
    credentials: list[dict[str, Any]]
    events: list[dict[str, Any]]
    transforms: list[dict[str, Any]]
    sync: dict[str, Any]
    generations: list[dict[str, Any]]
    top_ten: list[dict[str, Any]]
    memory_mb: Mapping[str, float]
    checks: list[Check]
    flower: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"ok": self.ok, **dataclasses.asdict(self)}


def outcome_check(outcomes: Sequence[Mapping[str, Any]], submitted: int) -> Check:
    """Every request reached its end."""
    terminal = sum(row["requests"] for row in outcomes if row["status"] in ledger.TERMINAL)
    return Check("every request is at its end", terminal == submitted, f"{terminal} of {submitted}")


def event_rows(
    written: Mapping[str, set[uuid.UUID]], arrived: Mapping[str, tuple[int, set[uuid.UUID]]]
) -> list[dict[str, Any]]:
    """Events in and out, by name."""
    return [
        {
            "event": name,
            "written": len(ids),
            "arrived": len(arrived[name][1]),
            "copies": arrived[name][0] - len(arrived[name][1]),
            "missing": len(ids - arrived[name][1]),
            "unexpected": len(arrived[name][1] - ids),
        }
        for name, ids in written.items()
    ]


def event_check(rows: Sequence[Mapping[str, Any]], waiting: int) -> Check:
    """Every event arrived exactly once after deduplication, and no other did."""
    wrong = sum(row["missing"] + row["unexpected"] for row in rows)
    figures = f"{sum(row['written'] for row in rows)} written, {sum(row['arrived'] for row in rows)} arrived"
    return Check("every event arrived exactly once", wrong == 0 and waiting == 0, f"{figures}, {waiting} still waiting")


def leaderboard_check(database: sa.Engine) -> Check:
    """The leaderboard says what the stored profiles and posts say, row by row and column by column."""
    with database.connect() as connection:
        expected = connection.execute(warehouse_sql.load("leaderboard_expected")).all()
        actual = connection.execute(warehouse_sql.load("leaderboard_actual")).all()
    same = sum(one == other for one, other in zip(expected, actual, strict=False))
    return Check(
        "the leaderboard equals the stored profiles",
        bool(actual) and len(actual) == len(expected) == same,
        f"{same} of {len(expected)} rows equal in every column",
    )


def credential_rows(credentials: pool.Pool, simulator: simulators.SimulatorClient, key: str) -> list[dict[str, Any]]:
    """Calls spent a credential against its limits: ours from the windows, the vendor's from its own count."""
    counted = simulator.calls()
    states = {(listed.provider, listed.name): listed for listed in credentials.list()}
    used: dict[tuple[str, str], list[str]] = {}
    for name, declared in catalogue.providers().items():
        for window in credentials.usage(declared):
            if window.credential is not None:
                used.setdefault((name, window.credential), []).append(
                    f"{window.used}/{window.limit} in {_period(window.period_s)}"
                )
    rows = []
    for one in scenario.CREDENTIALS:
        fingerprint = simulators.fingerprint(one.secret(key))
        listed = states[(one.provider, one.name)]
        rows.append(
            {
                "provider": one.provider,
                "credential": one.name,
                "calls": counted.count(provider=one.provider, credential=fingerprint),
                "refused_by_vendor": counted.count(
                    provider=one.provider, credential=fingerprint, outcome="rate_limited"
                ),
                "windows": used.get((one.provider, one.name), []),
                "state": listed.state,
                "reason": listed.reason or "",
            }
        )
    return rows


def events_of(database: sa.Engine, warehouse: warehouses.Client) -> list[dict[str, Any]]:
    """Events written and arrived, ever."""
    return event_rows(facts.events_written(database), facts.events_arrived(warehouse))


def _period(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
