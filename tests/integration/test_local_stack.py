"""The local stack in this process: every engine real, started, watched and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import amqp
import boto3
import clickhouse_driver
import psycopg2
import pytest
import redis
import requests

from stirbeat import settings
from stirbeat.local import errors, procfs, stack
from stirbeat.local.services import base, pgbouncer

TARGET_S = 20.0  # from nothing to all healthy, on two cores

pytestmark = pytest.mark.services


class Running:
    """A started stack and how long the start took."""

    def __init__(self, path: Path) -> None:
        self.path = path
        begun = time.monotonic()
        self.stack = stack.Stack(path)
        self.stack.start()
        self.seconds = time.monotonic() - begun


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A durable stack in a folder that was empty, below one only we can enter (as /root is)."""
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    running = Running(private / "stack")
    yield running
    running.stack.stop()


def plain(url: str) -> str:
    """A SQLAlchemy URL as libpq takes it."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


def read_secrets(path: Path) -> set[str]:
    """The words in a stack's folder that nobody else may see."""
    words = stack.Stack(path).folder.secrets()
    return {word for name, word in words.items() if name != "id"}


def marked(running: stack.Stack) -> list[procfs.Identity]:
    """The living processes of a stack."""
    return procfs.with_variable(base.MARKER, running.folder.secrets()["id"])


def test_everything_is_healthy_in_time_from_an_empty_folder(first: Running) -> None:
    # then
    states = {status.name: status.state for status in first.stack.status()}
    assert states == {kind.name: "healthy" for kind in stack.SERVICES}
    assert first.seconds < TARGET_S


def test_the_environment_is_all_that_settings_ask_for_and_leads_to_each_engine(first: Running) -> None:
    # given
    environment = first.stack.environment
    configured = settings.from_environment(environment)

    # then: Postgres
    with contextlib.closing(psycopg2.connect(plain(environment["STIRBEAT_DATABASE_URL"]))) as connection:
        cursor = connection.cursor()
        cursor.execute("select current_user, current_database(), rolsuper from pg_roles where rolname = current_user")
        assert cursor.fetchone() == ("stirbeat", "stirbeat", False)
    # RabbitMQ
    url = configured.broker_url.get_secret_value()
    user, _, rest = url.removeprefix("amqp://").partition(":")
    password, _, address = rest.partition("@")
    host, _, vhost = address.partition("/")
    with amqp.Connection(host, userid=user, password=password, virtual_host=vhost) as broker:
        quorum = {"x-queue-type": "quorum"}
        broker.channel().queue_declare("q", durable=True, auto_delete=False, arguments=quorum)
    # Redis
    with redis.Redis.from_url(environment["STIRBEAT_REDIS_URL"]) as client:
        assert client.ping()
    # ClickHouse, which reads and writes S3 with keys of its own
    store = boto3.client(
        "s3",
        endpoint_url=environment["STIRBEAT_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["STIRBEAT_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["STIRBEAT_S3_SECRET_ACCESS_KEY"],
        region_name=environment["STIRBEAT_S3_REGION"],
    )
    bucket = environment["STIRBEAT_S3_BUCKET"]
    warehouse = clickhouse_driver.Client.from_url(environment["STIRBEAT_CLICKHOUSE_URL"])
    place = f"{environment['STIRBEAT_S3_ENDPOINT_URL']}/{bucket}/three.tsv"
    warehouse.execute(f"INSERT INTO FUNCTION s3('{place}', 'TSV', 'n UInt8') SELECT number FROM numbers(3)")
    warehouse.disconnect()
    assert store.get_object(Bucket=bucket, Key="three.tsv")["Body"].read() == b"0\n1\n2\n"
    store.close()
    # the simulator
    health = requests.get(environment["STIRBEAT_SIMULATOR_URL"] + "/_sim/health", timeout=5)
    assert health.status_code == 200


def test_a_wrong_password_is_refused_by_each_engine(first: Running) -> None:
    # given
    wrong = {
        name: value.replace(secret, "wrong")
        for name, value in first.stack.environment.items()
        for secret in read_secrets(first.path)
        if name.endswith("_URL") and secret in value
    }
    assert len(wrong) == 4

    # when, then
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(plain(wrong["STIRBEAT_DATABASE_URL"]))
    with redis.Redis.from_url(wrong["STIRBEAT_REDIS_URL"]) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    warehouse = clickhouse_driver.Client.from_url(wrong["STIRBEAT_CLICKHOUSE_URL"])
    with pytest.raises(clickhouse_driver.errors.Error):
        warehouse.execute("SELECT 1")
    warehouse.disconnect()
    port = wrong["STIRBEAT_BROKER_URL"].rpartition(":")[2].partition("/")[0]
    with pytest.raises(amqp.AccessRefused):
        amqp.Connection(f"127.0.0.1:{port}", userid="stirbeat", password="wrong", virtual_host="stirbeat").connect()


def test_no_secret_is_on_a_command_line_in_a_log_or_in_a_status(first: Running) -> None:
    # given
    words = read_secrets(first.path)
    seen = repr(first.stack.status()) + repr(first.stack)
    for known in marked(first.stack):
        seen += (procfs.PROC / str(known.pid) / "cmdline").read_text().replace("\0", " ")
    for log in (first.path / "logs").iterdir():
        seen += log.read_text(errors="replace")

    # then
    assert "rabbit" in seen
    assert not [word for word in words if word in seen]


def test_what_holds_secrets_is_readable_by_its_owner_only(first: Running) -> None:
    # given
    words = {word.encode() for word in read_secrets(first.path)}

    # then: each file that has one, wherever a service may have put it
    found = []
    for folder, _, names in os.walk(first.path):
        for name in names:
            file = Path(folder, name)
            if not stat.S_ISREG(file.lstat().st_mode) or file.stat().st_size > 1_000_000:
                continue
            content = file.read_bytes()
            if any(word in content for word in words):
                found.append(file.name)
                assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    assert {"secrets.json", "environment.json", "redis.conf", "s3.json", ".erlang.cookie"} <= set(found)


def test_only_loopback_is_listened_on(first: Running) -> None:
    # given the sockets of each process of the stack
    ours = {known.pid for known in marked(first.stack)} | {
        status.pid for status in first.stack.status() if status.pid is not None
    }
    inodes = set()
    for pid in ours:
        for entry in (procfs.PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(entry.readlink()))

    # when: state 0A is LISTEN; the address is hexadecimal, least significant byte first (proc(5))
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in (procfs.PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                addresses.add(fields[1].partition(":")[0])

    # then
    assert addresses == {"0100007F"}


def test_memory_is_told_for_each_service(first: Running) -> None:
    # when
    told = {status.name: status.rss_bytes for status in first.stack.status()}

    # then
    assert all(size > 1_000_000 for size in told.values())
    assert first.stack.peak_bytes >= sum(told.values())


def test_a_folder_that_is_in_use_is_refused_and_its_holder_named(first: Running) -> None:
    # when, then
    with pytest.raises(errors.FolderInUse, match=rf"in use by process {os.getpid()} "):
        stack.Stack(first.path).start()
    assert all(status.ok for status in first.stack.status())


def test_pgbouncer_pools_by_transaction_in_front_of_postgres(first: Running) -> None:
    # given
    pool = first.stack.add(pgbouncer.Pgbouncer)
    url = plain(pool.environment()["STIRBEAT_DATABASE_URL"])

    # when two clients are connected at a time, and each has a transaction in turn
    with contextlib.closing(psycopg2.connect(url)) as one, contextlib.closing(psycopg2.connect(url)) as other:
        servers = []
        for connection in (one, other, one, other):
            with connection, connection.cursor() as cursor:
                cursor.execute("select pg_backend_pid()")
                servers.append(cursor.fetchone())

    # then one connection to the server did for both
    assert len(set(servers)) == 1
    pid = first.stack.child("pgbouncer").pid
    first.stack.remove(pgbouncer.Pgbouncer)
    assert pid is not None
    assert not procfs.alive(pid)


def test_two_stacks_run_side_by_side_and_a_crash_in_one_is_seen_and_said(first: Running, tmp_path: Path) -> None:
    # given
    second = stack.Stack(tmp_path / "second", durable=False)
    second.start()
    try:
        ours = {status.name: status for status in second.status()}
        theirs = {status.name: status for status in first.stack.status()}
        assert all(status.ok for status in (*ours.values(), *theirs.values()))
        assert all(ours[name].port != theirs[name].port for name in ours)
        with redis.Redis.from_url(second.environment["STIRBEAT_REDIS_URL"]) as client:
            client.set("only", "here")
        with redis.Redis.from_url(first.stack.environment["STIRBEAT_REDIS_URL"]) as client:
            assert client.get("only") is None

        # when
        for name in ("redis", "rabbitmq", "postgres"):
            pid = second.child(name).pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while sum(status.state == "crashed" for status in second.status()) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)

        # then
        ours = {status.name: status for status in second.status()}
        for name in ("redis", "rabbitmq", "postgres"):
            assert ours[name].state == "crashed"
            assert "killed by SIGKILL" in ours[name].detail
        assert "Ready to accept connections" in ours["redis"].detail
        assert all(ours[name].ok for name in ("seaweedfs", "clickhouse", "simulator"))
        assert all(status.ok for status in first.stack.status())
    finally:
        second.stop()

    # and nothing of it stays behind
    assert marked(second) == []
    assert procfs.working_in(tmp_path) == []
    assert not second.folder.environment_file.exists()
