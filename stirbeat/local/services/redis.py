"""Redis: locks, limits and the timetable's state."""

from __future__ import annotations

import redis
from redis import backoff, retry

from stirbeat.local import folder, process
from stirbeat.local.services import base

CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
daemonize no
dir .
databases 16
maxmemory-policy noeviction
{persistence}
"""
# Appending every second bounds what a machine crash can lose to a second; see redis.io, "Redis persistence".
DURABLE = 'appendonly yes\nappendfsync everysec\nsave ""'
EPHEMERAL = 'appendonly no\nsave ""'


class Redis(base.Service):
    """One redis-server."""

    name = "redis"
    key = "STIRBEAT_REDIS_URL"
    port_names = ("redis",)

    def environment(self) -> dict[str, str]:
        return {self.key: f"redis://:{self.place.secrets['redis']}@{base.HOST}:{self.port}/0"}

    @property
    def address(self) -> str:
        return f"redis://{base.HOST}:{self.port}/0"

    def prepare(self) -> process.Process:
        program = base.find("redis-server", service=self.name, package="redis-server")
        configuration = self.place.folder / "redis.conf"
        text = CONFIGURATION.format(
            port=self.port,
            password=self.place.secrets["redis"],
            persistence=DURABLE if self.place.durable else EPHEMERAL,
        )
        folder.write_private(configuration, text)
        return self.describe([program, str(configuration)], self.environ())

    def ready(self) -> bool:
        client = redis.Redis(
            host=base.HOST,
            port=self.port,
            password=self.place.secrets["redis"],
            socket_timeout=base.CHECK_TIMEOUT_S,
            retry=retry.Retry(backoff.NoBackoff(), 0),
        )
        try:
            return bool(client.ping())
        except redis.RedisError as error:
            raise process.NotReady(str(error)) from error
        finally:
            client.close()
