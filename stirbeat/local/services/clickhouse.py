"""ClickHouse: the warehouse, as chDB behind a server of the native protocol (`stirbeat.local.clickhouse`)."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import clickhouse_driver
import clickhouse_driver.errors

import stirbeat
from stirbeat.local import process
from stirbeat.local.services import base

USER = "stirbeat"
DATABASE = "stirbeat"


class Clickhouse(base.Service):
    """One local ClickHouse server."""

    name = "clickhouse"
    key = "STIRBEAT_CLICKHOUSE_URL"
    port_names = ("clickhouse",)

    def environment(self) -> dict[str, str]:
        password = self.place.secrets["clickhouse"]
        return {self.key: f"clickhouse://{USER}:{password}@{base.HOST}:{self.port}/{DATABASE}"}

    @property
    def address(self) -> str:
        return f"clickhouse://{base.HOST}:{self.port}/{DATABASE}"

    def prepare(self) -> process.Process:
        data = self.place.folder / "data"
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = [sys.executable, "-m", "stirbeat.local.clickhouse", "--data", str(data), "--host", base.HOST]
        argv += ["--port", str(self.port), "--user", USER]
        given = self.place.given
        # For s3() without keys in the query: what a server in production gets from its role.
        keys = {
            "AWS_ACCESS_KEY_ID": given.get("STIRBEAT_S3_ACCESS_KEY_ID", ""),
            "AWS_SECRET_ACCESS_KEY": given.get("STIRBEAT_S3_SECRET_ACCESS_KEY", ""),
            "AWS_REGION": given.get("STIRBEAT_S3_REGION", ""),
        }
        environ = self.environ(
            PYTHONPATH=str(Path(stirbeat.__file__).parents[1]),
            PYTHONUNBUFFERED="1",
            STIRBEAT_LOCAL_CLICKHOUSE_PASSWORD=self.place.secrets["clickhouse"],
            **{name: value for name, value in keys.items() if value},
        )
        return self.describe(argv, environ)

    def ready(self) -> bool:
        # Asked first without the driver, which writes a traceback to its log for each refused connection.
        socket.create_connection((base.HOST, self.port), timeout=base.CHECK_TIMEOUT_S).close()
        client = self._client()
        try:
            return bool(client.execute("SELECT 1") == [(1,)])
        except (clickhouse_driver.errors.Error, EOFError) as error:
            raise process.NotReady(str(error)) from error
        finally:
            client.disconnect()

    def settle(self) -> None:
        client = self._client()
        try:
            client.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        finally:
            client.disconnect()

    def _client(self) -> clickhouse_driver.Client:
        return clickhouse_driver.Client(
            host=base.HOST,
            port=self.port,
            user=USER,
            password=self.place.secrets["clickhouse"],
            connect_timeout=base.CHECK_TIMEOUT_S,
            send_receive_timeout=10,
        )
