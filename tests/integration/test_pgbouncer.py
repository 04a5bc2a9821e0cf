"""The store through the real PgBouncer in transaction mode, with production's own configuration file."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from stirbeat import errors, settings
from stirbeat.domain import records, requests
from stirbeat.local import ports, process
from stirbeat.local.services import base
from stirbeat.local.services import pgbouncer as service
from stirbeat.store import effects, engine, ledger
from stirbeat.store.models.ledger import Status
from stirbeat.warehouse import relay

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("warehouse")]

PRODUCTION = Path(__file__).resolve().parents[2] / "deploy/pgbouncer/pgbouncer.ini"
CLIENTS = 50
SERVERS = 4


class Pooler:
    """A running PgBouncer, and the settings that lead through it."""

    def __init__(self, child: process.Process, through: settings.Settings, direct: sa.Engine) -> None:
        self.child = child
        self.settings = through
        self._direct = direct

    def servers(self) -> set[int]:
        """The Postgres backends that stirbeat's engines hold, by process id."""
        asked = "select pid from pg_stat_activity where application_name = 'stirbeat' and datname = current_database()"
        with self._direct.connect() as connection:
            return set(connection.execute(sa.text(asked)).scalars())

    def end_servers(self) -> int:
        """Kill those backends, as an administrator or a failover would."""
        with self._direct.connect() as connection:
            return sum(
                connection.execute(sa.text("select pg_terminate_backend(:pid)"), {"pid": pid}).scalar_one()
                for pid in self.servers()
            )


@pytest.fixture
def pooler(
    tmp_path_factory: pytest.TempPathFactory,
    stack_environment: dict[str, str],
    database_url: str,
    database: sa.Engine,
) -> Iterator[Pooler]:
    environment = stack_environment | {"STIRBEAT_DATABASE_URL": database_url}
    folder = tmp_path_factory.mktemp("pgbouncer")
    folder.chmod(0o700)
    place = base.Place(
        folder=folder,
        log=folder / "pgbouncer.log",
        ports=ports.choose(service.Pgbouncer.port_names, {}),
        secrets={"id": uuid.uuid4().hex},
        given=environment,
        durable=False,
    )
    pool = service.Pgbouncer(place)
    child = pool.prepare()
    ini = folder / "pgbouncer.ini"
    ini.write_text(as_local(PRODUCTION.read_text(), ini.read_text(), environment["STIRBEAT_DATABASE_URL"]))
    through = settings.from_environment(environment | pool.environment())
    with child:
        child.wait_ready(20)
        yield Pooler(child, through, database)
    pool.discard()


def as_local(production: str, local: str, server_url: str) -> str:
    """Production's file with the places of this machine, and few enough server connections to be waited for."""
    users = next(line for line in local.splitlines() if line.startswith("auth_file"))
    port = next(line for line in local.splitlines() if line.startswith("listen_port"))
    server = urlsplit(server_url)
    places = {
        "stirbeat = host=postgres port=5432": f"* = host={server.hostname} port={server.port}",
        "listen_addr = *": "listen_addr = 127.0.0.1",
        "listen_port = 6432": port,
        "auth_file = /etc/pgbouncer/userlist.txt": users,
        "default_pool_size = 20": f"default_pool_size = {SERVERS}",
        "reserve_pool_size = 5": "reserve_pool_size = 0",
    }
    for theirs, ours in places.items():
        assert production.count(f"\n{theirs}\n") == 1, theirs
        production = production.replace(f"\n{theirs}\n", f"\n{ours}\n")
    return production


@pytest.fixture
def store(pooler: Pooler) -> Iterator[sa.Engine]:
    """The store's engine through PgBouncer, with a connection for each of the clients."""
    made = engine.create(pooler.settings, pool_size=CLIENTS)
    yield made
    made.dispose()


def asked() -> requests.Request:
    handle = f"handle{uuid.uuid4().hex[:10]}"
    return requests.Request(
        id=uuid.uuid4(),
        flow="instagram.refresh_profile",
        platform="instagram",
        target=handle,
        arguments={"handle": handle},
    )


def told(handle: str) -> effects.Told:
    profile = records.Profile("instagram", handle, id=handle[-6:], handle=handle, metrics={"followers": 10})
    return effects.Told("lama", datetime.datetime.now(datetime.UTC), (profile,))


def test_fifty_threads_share_four_connections(pooler: Pooler, store: sa.Engine, database: sa.Engine) -> None:
    # given a table, and fifty threads that all hold a client connection before any goes on
    with engine.transaction(store) as connection:
        connection.execute(sa.text("create table work (client int, step int, backend int, primary key (client, step))"))
    together = threading.Barrier(CLIENTS)
    most = set()

    def work(client: int) -> None:
        together.wait(30)
        for step in range(20):
            with engine.transaction(store) as connection:
                first = connection.execute(sa.text("select pg_backend_pid()")).scalar_one()
                connection.execute(
                    sa.text("insert into work values (:client, :step, pg_backend_pid())"),
                    {"client": client, "step": step},
                )
                # a transaction stays on its server connection
                assert connection.execute(sa.text("select pg_backend_pid()")).scalar_one() == first
            most.add(len(pooler.servers()) if client == 0 else 0)

    # when they work
    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(work, client) for client in range(CLIENTS)]:
            done.result(60)

    # then every row is there, and Postgres saw four connections at most
    with database.connect() as connection:
        rows, backends = connection.execute(sa.text("select count(*), count(distinct backend) from work")).one()
    assert rows == CLIENTS * 20
    assert 1 < backends <= SERVERS
    assert max(most) <= SERVERS
    assert store.pool.checkedin() == CLIENTS  # type: ignore[attr-defined]


def test_the_ledger_and_the_outbox_work_through_it(
    pooler: Pooler, store: sa.Engine, count: Callable[[str], int]
) -> None:
    # given a request of each client, two of whose executions contend for it
    wanted = [asked() for _ in range(CLIENTS)]
    ledger.submit(store, wanted, expires_after_s=3600)

    def execute(request: requests.Request) -> bool:
        claim = ledger.claim(store, request, expires_after_s=3600, lease_s=60, worker="w")
        if claim is None:
            return False
        hop = requests.Hop("lama", "user_by_username", "ok", credential="a", ms=12)
        ledger.finish(store, claim, [hop], status=Status.COMPLETE, told=told(request.target))
        return True

    # when all of them run at once
    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        won = list(pool.map(execute, [*wanted, *wanted], timeout=60))

    # then one of each pair did the work, and wrote all of it
    assert sum(won) == CLIENTS
    assert count("scrape_request_log where status = 'COMPLETE'") == CLIENTS
    assert count("profile") == count("profile_log") == CLIENTS
    events = count("outbox")
    assert events == 2 * CLIENTS

    # and the relay, whose locks last a transaction, publishes every event through it as well
    assert relay.run(pooler.settings, threading.Event(), relay.Options(size=40, until_idle_s=0)) == events
    assert count("outbox") == 0
    assert len(pooler.servers()) <= SERVERS


def test_what_a_transaction_sets_does_not_reach_the_next_client(store: sa.Engine) -> None:
    with engine.transaction(store) as connection:
        connection.execute(sa.text("set local lock_timeout = '123ms'"))
        assert connection.execute(sa.text("show lock_timeout")).scalar_one() == "123ms"
    seen = set()
    for _ in range(3 * SERVERS):
        with engine.transaction(store) as connection:
            seen.add(connection.execute(sa.text("show lock_timeout")).scalar_one())
    assert "123ms" not in seen


def test_a_transaction_that_fails_leaves_the_shared_connection_usable(store: sa.Engine) -> None:
    for _ in range(2 * SERVERS):
        with pytest.raises(sa.exc.ProgrammingError), engine.transaction(store) as connection:
            connection.execute(sa.text("select * from no_such_table"))
    with engine.transaction(store) as connection:
        assert connection.execute(sa.text("select 1")).scalar_one() == 1


def test_backends_that_are_killed_are_replaced_and_the_work_is_told_to_come_again(
    pooler: Pooler, store: sa.Engine
) -> None:
    # given a transaction under way, whose backend goes away
    def interrupted() -> None:
        with engine.transaction(store) as connection:
            connection.execute(sa.text("create table half (a int)"))
            assert pooler.end_servers() >= 1
            time.sleep(0.2)
            connection.execute(sa.text("insert into half values (1)"))

    # when
    with pytest.raises(errors.ServiceUnavailable, match="Postgres does not answer") as failed:
        interrupted()

    # then it says so without the password, nothing of it remains, and the next one works
    password = urlsplit(pooler.settings.database_url.get_secret_value()).password
    assert password not in str(failed.value)
    for _ in range(3):
        with engine.transaction(store) as connection:
            assert connection.execute(sa.text("select to_regclass('half')")).scalar_one() is None


def test_a_pgbouncer_that_is_gone_is_said_to_be_gone_and_used_again_when_it_is_back(
    pooler: Pooler, store: sa.Engine
) -> None:
    with engine.transaction(store) as connection:
        connection.execute(sa.text("select 1"))
    pooler.child.kill()
    for _ in range(2):
        with pytest.raises(errors.ServiceUnavailable), engine.transaction(store) as connection:
            connection.execute(sa.text("select 1"))
    pooler.child.start()
    pooler.child.wait_ready(20)
    with engine.transaction(store) as connection:
        assert connection.execute(sa.text("select 1")).scalar_one() == 1
