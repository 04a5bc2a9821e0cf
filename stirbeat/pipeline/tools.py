"""What the pipeline works with, built once a process from the settings."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Mapping

import sqlalchemy as sa

from stirbeat import settings
from stirbeat.credentials import pool, redis_client, vault
from stirbeat.domain import catalogue, flow, provider
from stirbeat.providers import http
from stirbeat.store import engine


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """Database, credentials, HTTP client, and everything that is declared."""

    configured: settings.Settings
    database: sa.Engine
    credentials: pool.Pool
    http: http.Client
    flows: Mapping[str, flow.Flow]
    providers: Mapping[str, provider.Provider]
    worker: str = dataclasses.field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")


def build(configured: settings.Settings) -> Tools:
    """The tools of this process. Connects to nothing yet."""
    database = engine.create(configured)
    return Tools(
        configured=configured,
        database=database,
        credentials=pool.Pool(database, redis_client.connect(configured), vault.Vault(configured.secret_keys)),
        http=http.Client(configured.simulator_url),
        flows=catalogue.flows(configured.plugins),
        providers=catalogue.providers(configured.plugins),
    )
