"""PgBouncer: transaction pooling in front of the stack's Postgres, as in production. Only started where a test asks.

`stack.add(pgbouncer.Pgbouncer)` starts it beside the running services; `environment()` of what it returns leads there.
It refuses root, so it runs as the user Postgres runs as, and finds its folder in the same way.
"""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from stirbeat.local import folder, process
from stirbeat.local.services import base

CONFIGURATION = """\
[databases]
* = host={server_host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
max_client_conn = 500
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
"""


class Pgbouncer(base.Service):
    """One PgBouncer, for every database of the Postgres server that STIRBEAT_DATABASE_URL names."""

    name = "pgbouncer"
    key = "STIRBEAT_PGBOUNCER"  # nobody gives it: a test that wants PgBouncer wants this one
    port_names = ("pgbouncer",)
    stop_signal = signal.SIGTERM  # immediate; SIGINT waits for clients

    def __init__(self, place: base.Place) -> None:
        super().__init__(place)
        self._room: int | None = None

    def environment(self) -> dict[str, str]:
        server = urlsplit(self.place.given["STIRBEAT_DATABASE_URL"])
        user = server.netloc.rpartition("@")[0]
        return {"STIRBEAT_DATABASE_URL": server._replace(netloc=f"{user}@{base.HOST}:{self.port}").geturl()}

    @property
    def address(self) -> str:
        return f"postgresql://{base.HOST}:{self.port}"

    def prepare(self) -> process.Process:
        user = base.unprivileged_user(self.name, "postgres")
        program = base.find("pgbouncer", Path("/usr/sbin"), service=self.name, package="pgbouncer")
        server = urlsplit(self.place.given["STIRBEAT_DATABASE_URL"])
        self.discard()
        self._room = os.open(self.place.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        seen = f"/proc/self/fd/{self._room}"
        text = CONFIGURATION.format(
            server_host=server.hostname, server_port=server.port, port=self.port, users=f"{seen}/users.txt"
        )
        folder.write_private(self.place.folder / "pgbouncer.ini", text)
        # In clear: PgBouncer can log in to the server by SCRAM only with the password itself.
        folder.write_private(self.place.folder / "users.txt", f'"{server.username}" "{server.password}"\n')
        if user is not None:
            entry = pwd.getpwnam(user)
            for path in (self.place.folder, *self.place.folder.iterdir()):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        argv = [program, f"{seen}/pgbouncer.ini"]
        return self.describe(argv, self.environ(), user=user, cwd="/", pass_fds=(self._room,))

    def ready(self) -> bool:
        url = urlsplit(self.environment()["STIRBEAT_DATABASE_URL"])
        try:
            connection = psycopg2.connect(
                host=base.HOST,
                port=self.port,
                user=url.username,
                password=url.password,
                dbname=url.path.lstrip("/"),
                connect_timeout=int(base.CHECK_TIMEOUT_S),
            )
        except psycopg2.OperationalError as error:
            raise process.NotReady(str(error)) from error
        connection.close()
        return True

    def discard(self) -> None:
        if self._room is not None:
            os.close(self._room)
            self._room = None
