"""Makes the scenario's credentials known: to us, and to the simulated vendors."""

from __future__ import annotations

from stirbeat.cli.demo import scenario
from stirbeat.credentials import pool
from stirbeat.domain import catalogue
from stirbeat.local.simulator import client as simulators


def seed(
    credentials: pool.Pool,
    simulator: simulators.SimulatorClient,
    key: str,
    *,
    revoked: tuple[str, str] | None = scenario.REVOKED,
) -> None:
    """Add every credential anew, and tell the vendors of them.

    key: what their secrets are made from; revoked: provider and name of the one that its vendor refuses, or None
    """
    providers = catalogue.providers()
    for one in scenario.CREDENTIALS:
        credentials.add(
            providers[one.provider], one.name, {one.field: one.secret(key)}, one.account, one.app, replace=True
        )
    simulator.put_credentials(scenario.vendors(key, revoked))
