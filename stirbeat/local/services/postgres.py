"""Postgres: the ledger, the outbox and the tables readers see.

Postgres refuses root, so root drops to the system user `postgres`. That user need not be able to reach the folder: it
is handed an open descriptor of it, and finds its files below /proc/self/fd/<n>. So a checkout in /root works too.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import time
from pathlib import Path

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.sql

from stirbeat.local import folder, process, procfs
from stirbeat.local.services import base

USER = "stirbeat"
DATABASE = "stirbeat"
SUPERUSER = "postgres"
PACKAGE = "postgresql"
INITDB_TIMEOUT_S = 60.0
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"
CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 128MB
max_wal_size = 512MB
password_encryption = scram-sha-256
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
log_line_prefix = '%m [%p] %u@%d '
{durability}
"""
# Only for data nobody will miss: a crash of the machine (not of Postgres) then corrupts the folder.
EPHEMERAL = "fsync = off\nfull_page_writes = off\n"


class Postgres(base.Service):
    """One Postgres server with a database, and a role that owns it and may create others."""

    name = "postgres"
    key = "STIRBEAT_DATABASE_URL"
    port_names = ("postgres",)
    stop_signal = signal.SIGINT  # fast shutdown: ends sessions, writes a checkpoint
    death_signal = signal.SIGQUIT  # immediate shutdown: the postmaster takes its children along

    def __init__(self, place: base.Place) -> None:
        super().__init__(place)
        self._room: int | None = None  # an open descriptor of the folder

    def environment(self) -> dict[str, str]:
        password = self.place.secrets["postgres"]
        return {self.key: f"postgresql+psycopg2://{USER}:{password}@{base.HOST}:{self.port}/{DATABASE}"}

    @property
    def address(self) -> str:
        return f"postgresql://{base.HOST}:{self.port}/{DATABASE}"

    @property
    def data(self) -> Path:
        """The data folder, as we reach it."""
        return self.place.folder / "data"

    def prepare(self) -> process.Process:
        user = base.unprivileged_user(self.name, "postgres")
        binaries = self._binaries()
        self.place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._give(self.place.folder, user)
        self.discard()
        self._room = os.open(self.place.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not self.data.exists():
            self._make_data(binaries, user)
        durability = "" if self.place.durable else EPHEMERAL
        self._write("postgresql.conf", CONFIGURATION.format(port=self.port, durability=durability), user)
        self._write("pg_hba.conf", ACCESS, user)
        return self._describe([str(binaries / "postgres"), "-D", self._seen("data")], user)

    def ready(self) -> bool:
        try:
            connection = self._connect()
        except psycopg2.OperationalError as error:
            raise process.NotReady(str(error)) from error
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                return cursor.fetchone() == (1,)
        finally:
            connection.close()

    def settle(self) -> None:
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
                if cursor.fetchone() is None:
                    # Hashed here, so that the server's log cannot ever show the password.
                    verifier = psycopg2.extensions.encrypt_password(
                        self.place.secrets["postgres"], USER, scope=connection, algorithm="scram-sha-256"
                    )
                    statement = psycopg2.sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD %s")
                    cursor.execute(statement.format(psycopg2.sql.Identifier(USER)), (verifier,))
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    names = (psycopg2.sql.Identifier(DATABASE), psycopg2.sql.Identifier(USER))
                    cursor.execute(psycopg2.sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
        finally:
            connection.close()

    def recover(self) -> None:
        """Remove a lock file whose process id now belongs to something else: Postgres would believe it."""
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split()[0])
        except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):
            return
        if procfs.alive(pid) and all(known.pid != pid for known in procfs.working_in(self.data)):
            lock.unlink()

    def discard(self) -> None:
        if self._room is not None:
            os.close(self._room)
            self._room = None

    def _binaries(self) -> Path:
        """The folder of the server's programs: of the version that made the data, if there is data."""
        debian = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"),
            key=lambda path: _version(path.parent.name),
            reverse=True,
        )
        program = Path(base.find("postgres", *debian, service=self.name, package=PACKAGE))
        try:
            wanted = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return program.parent
        for candidate in (program.parent, *debian):
            if candidate.parent.name == wanted or f"/{wanted}/" in str(candidate):
                return candidate
        if debian and program.parent in debian:
            raise self.fail(
                f"its data was made by Postgres {wanted}, which is not installed;"
                f" install postgresql-{wanted}, or remove {self.data}"
            )
        return program.parent

    def _make_data(self, binaries: Path, user: str | None) -> None:
        """initdb beside the final place, then rename: a killed initdb leaves nothing that looks complete."""
        fresh = self.place.folder / "data.new"
        password = self.place.folder / "password"
        if fresh.exists():
            shutil.rmtree(fresh)
        folder.write_private(password, self.place.secrets["postgres_superuser"] + "\n")
        self._give(password, user)
        argv = [
            str(binaries / "initdb"),
            f"--pgdata={self._seen('data.new')}",
            f"--username={SUPERUSER}",
            f"--pwfile={self._seen('password')}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-instructions",
        ]
        if not self.place.durable:
            argv.append("--no-sync")
        child = self._describe(argv, user)
        try:
            child.start()
            deadline = time.monotonic() + INITDB_TIMEOUT_S
            while (status := child.poll()) is None:
                if time.monotonic() > deadline:
                    raise self.fail(f"initdb took more than {INITDB_TIMEOUT_S:.0f} s", child.log_tail())
                time.sleep(process.POLL_S)
            if status != 0:
                raise self.fail(f"initdb failed ({process.describe_exit(status)})", child.log_tail())
        finally:
            child.kill()
            password.unlink()
        fresh.rename(self.data)

    def _describe(self, argv: list[str], user: str | None) -> process.Process:
        assert self._room is not None
        return self.describe(argv, self.environ(), user=user, cwd="/", pass_fds=(self._room,))

    def _seen(self, name: str) -> str:
        """A path in our folder, as the child sees it."""
        return f"/proc/self/fd/{self._room}/{name}"

    def _write(self, name: str, text: str, user: str | None) -> None:
        folder.write_private(self.data / name, text)
        self._give(self.data / name, user)

    def _give(self, path: Path, user: str | None) -> None:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _connect(self) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=base.HOST,
            port=self.port,
            user=SUPERUSER,
            password=self.place.secrets["postgres_superuser"],
            dbname="postgres",
            connect_timeout=int(base.CHECK_TIMEOUT_S),
        )


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))
