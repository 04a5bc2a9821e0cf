"""`stirbeat local`: a stack of its own process, its end by force, and every way not to start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import amqp
import boto3
import clickhouse_driver
import psycopg2
import pytest
import redis

from stirbeat.local import folder, procfs, stack, supervisor
from stirbeat.local.services import base

ROOT = Path(stack.__file__).parents[2]
COMMAND = "from stirbeat.cli.main import main; main()"
ELSEWHERE = {kind.key: f"http://127.0.0.1:{number}" for number, kind in enumerate(stack.SERVICES, 1)}

pytestmark = pytest.mark.services


def stirbeat(
    *arguments: str | Path, environ: dict[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would, with only these variables."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        env=command_environ(environ),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def command_environ(more: dict[str, str] | None) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(more or {})}


def exported(path: Path) -> dict[str, str]:
    """What a shell has after eval "$(stirbeat local env)"."""
    said = stirbeat("local", "env", "--folder", path)
    assert said.returncode == 0, said.stderr
    shown = subprocess.run(
        ["/bin/sh", "-c", said.stdout + "env"], env={}, capture_output=True, text=True, check=True
    ).stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("STIRBEAT_"))


def owner(path: Path) -> int:
    return int(folder.read_json(supervisor.status_file(path))["owner"]["pid"])


def living(path: Path) -> set[procfs.Identity]:
    """The processes of a folder's stack."""
    marked = procfs.with_variable(base.MARKER, folder.Folder(path).secrets()["id"])
    return {*marked, *procfs.working_in(path)}


def wait_for_end(path: Path, timeout_s: float = 10.0) -> set[procfs.Identity]:
    """The processes of a folder's stack that are still there after a while."""
    deadline = time.monotonic() + timeout_s
    while (left := living(path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


class Engines:
    """One thing written to each engine, and read again."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._postgres = plain(environment["STIRBEAT_DATABASE_URL"])
        self._clickhouse = environment["STIRBEAT_CLICKHOUSE_URL"]
        self._redis = environment["STIRBEAT_REDIS_URL"]
        self._bucket = environment["STIRBEAT_S3_BUCKET"]
        user, _, address = environment["STIRBEAT_BROKER_URL"].removeprefix("amqp://").partition("@")
        self._user, _, self._password = user.partition(":")
        self._host = address.partition("/")[0]
        self._s3 = boto3.client(
            "s3",
            endpoint_url=environment["STIRBEAT_S3_ENDPOINT_URL"],
            aws_access_key_id=environment["STIRBEAT_S3_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["STIRBEAT_S3_SECRET_ACCESS_KEY"],
            region_name=environment["STIRBEAT_S3_REGION"],
        )

    def write(self) -> None:
        with contextlib.closing(psycopg2.connect(self._postgres)) as connection, connection:
            connection.cursor().execute("create table kept as select 42 as n")
        warehouse = clickhouse_driver.Client.from_url(self._clickhouse)
        warehouse.execute("CREATE TABLE kept (n UInt8) ENGINE = MergeTree ORDER BY n")
        warehouse.execute("INSERT INTO kept SELECT 42")
        warehouse.disconnect()
        with redis.Redis.from_url(self._redis) as client:
            client.set("kept", 42)
        self._s3.put_object(Bucket=self._bucket, Key="kept", Body=b"42")
        with self._broker() as broker:
            channel = broker.channel()
            channel.confirm_select()
            channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
            channel.basic_publish_confirm(amqp.Message(b"42", delivery_mode=2), routing_key="kept")
        time.sleep(1.2)  # Redis writes to its file once a second

    def read(self) -> dict[str, object]:
        with contextlib.closing(psycopg2.connect(self._postgres)) as connection:
            cursor = connection.cursor()
            cursor.execute("select n from kept")
            row = cursor.fetchone()
        warehouse = clickhouse_driver.Client.from_url(self._clickhouse)
        counted = warehouse.execute("SELECT n FROM kept")
        warehouse.disconnect()
        with redis.Redis.from_url(self._redis) as client:
            value = client.get("kept")
        stored = self._s3.get_object(Bucket=self._bucket, Key="kept")["Body"].read()
        with self._broker() as broker:
            message = broker.channel().basic_get("kept")
        return {
            "postgres": row and row[0],
            "clickhouse": counted[0][0],
            "redis": value and int(value),
            "s3": int(stored),
            "rabbitmq": message and int(message.body),
        }

    def _broker(self) -> amqp.Connection:
        return amqp.Connection(self._host, userid=self._user, password=self._password, virtual_host="stirbeat")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder whose stack is stopped at the end, whatever the test did."""
    path = tmp_path / "stack"
    yield path
    stirbeat("local", "down", "--folder", path)


def fake_program(tmp_path: Path, name: str, script: str) -> dict[str, str]:
    """A PATH on which `name` is this shell script."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}"}


def all_but(*names: str) -> dict[str, str]:
    """Variables that say that every other service runs elsewhere."""
    return {kind.key: ELSEWHERE[kind.key] for kind in stack.SERVICES if kind.name not in names}


def test_a_stack_survives_the_sigkill_of_its_supervisor(place: Path) -> None:
    # given a stack with something in each engine
    begun = stirbeat("local", "up", "--folder", place)
    assert begun.returncode == 0, begun.stderr
    environment = exported(place)
    Engines(environment).write()
    shown = json.loads(stirbeat("local", "status", "--json", "--folder", place).stdout)
    assert shown["healthy"]
    assert {service["state"] for service in shown["services"]} == {"healthy"}
    again = stirbeat("local", "up", "--folder", place)
    assert (again.returncode, "already up" in again.stdout) == (0, True)

    # when
    os.kill(owner(place), signal.SIGKILL)

    # then its children go with it, and it is said
    assert wait_for_end(place) == set()
    told = stirbeat("local", "status", "--folder", place)
    assert told.returncode == 1
    assert "was killed" in told.stderr

    # and the next start finds everything as it was, at the same addresses, and is not misled by a shell that
    # still has the variables of the first
    second = stirbeat("local", "up", "--folder", place, environ=environment)
    assert second.returncode == 0, second.stderr
    assert exported(place) == environment
    assert set(Engines(environment).read().values()) == {42}
    states = json.loads(stirbeat("local", "status", "--json", "--folder", place).stdout)["services"]
    assert {service["state"] for service in states} == {"healthy"}

    # and down ends all of it
    down = stirbeat("local", "down", "--folder", place)
    assert (down.returncode, "stopped" in down.stdout) == (0, True)
    assert living(place) == set()
    assert not list(Path("/tmp").glob(f"seaweedfs-*-{states[1]['port']}.sock"))
    assert stirbeat("local", "env", "--folder", place).returncode == 2
    assert stirbeat("local", "status", "--folder", place).returncode == 1


def test_two_who_start_one_folder_at_once_start_it_once(place: Path) -> None:
    # when
    argv = [sys.executable, "-c", COMMAND, "local", "up", "--folder", str(place)]
    environ = command_environ(all_but("redis"))
    both = [
        subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [(each.communicate(timeout=60)[0], each.returncode) for each in both]

    # then one of them started it; the other joined it or was told who holds the folder
    assert any(status == 0 for _, status in said)
    assert all(status == 0 or f"in use by process {owner(place)} " in text for text, status in said)
    assert len([known for known in living(place) if "redis" in comm(known.pid)]) == 1


def comm(pid: int) -> str:
    return (procfs.PROC / str(pid) / "comm").read_text()


def test_a_provided_service_is_used_and_not_started(place: Path) -> None:
    # when
    begun = stirbeat("local", "up", "--folder", place, environ=all_but("redis"))

    # then
    assert begun.returncode == 0, begun.stderr
    services = json.loads(stirbeat("local", "status", "--json", "--folder", place).stdout)["services"]
    states = {service["name"]: (service["state"], service["pid"] is None) for service in services}
    assert states.pop("redis") == ("healthy", False)
    assert set(states.values()) == {("elsewhere", True)}
    assert not (place / "postgres").exists()
    environment = exported(place)
    assert {name: environment[name] for name in all_but("redis")} == all_but("redis")


def test_a_crash_is_told_with_the_end_of_the_log_and_nothing_is_restarted(place: Path) -> None:
    # given
    stirbeat("local", "up", "--folder", place, environ=all_but("redis"))
    services = json.loads(stirbeat("local", "status", "--json", "--folder", place).stdout)["services"]
    pid = next(service["pid"] for service in services if service["name"] == "redis")

    # when
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while (told := stirbeat("local", "status", "--folder", place)).returncode == 0 and time.monotonic() < deadline:
        time.sleep(0.2)

    # then
    assert told.returncode == 1
    assert "redis crashed: ended by itself (killed by SIGKILL)" in told.stderr
    assert "Ready to accept connections" in told.stderr
    assert str(place / "logs" / "redis.log") in told.stderr
    again = stirbeat("local", "up", "--folder", place)
    assert again.returncode == 1
    assert "local down" in again.stderr
    assert not any("redis" in comm(known.pid) for known in living(place))


def test_a_service_that_cannot_start_is_named_with_its_reason_and_its_log(place: Path, tmp_path: Path) -> None:
    # given
    broken = fake_program(tmp_path, "redis-server", "echo 'cannot open libfoo.so'; exit 127")
    begun = time.monotonic()

    # when
    said = stirbeat("local", "up", "--folder", place, environ=all_but("redis", "postgres") | broken)

    # then
    assert said.returncode == 2
    assert time.monotonic() - begun < 15
    assert "redis: ended before it was ready (exit status 127)" in said.stderr
    assert "cannot open libfoo.so" in said.stderr
    assert str(place / "logs" / "redis.log") in said.stderr
    assert "Traceback" not in said.stderr
    assert living(place) == set()
    # and it works as soon as the reason is gone
    assert stirbeat("local", "up", "--folder", place, environ=all_but("redis")).returncode == 0


def test_a_service_that_never_answers_is_given_up_after_the_time_allowed(place: Path, tmp_path: Path) -> None:
    # given
    mute = fake_program(tmp_path, "redis-server", "exec sleep 600")

    # when
    said = stirbeat("local", "up", "--timeout", "2", "--folder", place, environ=all_but("redis") | mute)

    # then
    assert said.returncode == 2
    assert "redis: was not ready after 2 s" in said.stderr
    assert living(place) == set()


def test_a_missing_program_is_named_with_the_package_that_has_it(place: Path, tmp_path: Path) -> None:
    # given a PATH with nothing on it
    empty = tmp_path / "empty"
    empty.mkdir()

    # when
    said = stirbeat("local", "up", "--folder", place, environ=all_but("redis") | {"PATH": str(empty)})

    # then
    assert said.returncode == 2
    assert "redis-server is not installed; install it with: apt-get install redis-server" in said.stderr


def test_a_stop_while_it_starts_leaves_nothing(place: Path, tmp_path: Path) -> None:
    # given a start that takes long
    mute = fake_program(tmp_path, "redis-server", "exec sleep 600")
    argv = [sys.executable, "-c", COMMAND, "local", "up", "--folder", str(place)]
    environ = command_environ(all_but("redis", "postgres") | mute)
    with subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starting:
        deadline = time.monotonic() + 20
        while not (place / "logs" / "redis.log").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

        # when: what a terminal sends on ^C
        starting.send_signal(signal.SIGINT)
        starting.wait(90)  # beside other load, the services that have begun take their time to end

    # then
    assert living(place) == set()
    assert not folder.Folder(place).locked()


def test_leftovers_of_a_killed_run_are_ended_and_others_are_not(place: Path) -> None:
    # given processes that a killed run left, and a state that remembers an id given away since
    keeper = folder.Folder(place)
    keeper.open()
    mine = {base.MARKER: keeper.secrets()["id"]}
    keeper.close()
    argv = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    left = subprocess.Popen(argv, env=mine | {"PATH": "/usr/bin:/bin"}, start_new_session=True)
    stranger = subprocess.Popen(["/bin/sleep", "600"], env={base.MARKER: "another stack's"})
    folder.write_json(keeper.state_file, {"processes": {"redis": {"pid": stranger.pid, "start_ticks": 1}}, "ports": {}})
    try:
        # when
        said = stirbeat("local", "down", "--folder", place)

        # then
        assert said.returncode == 0
        assert "of a killed run" in said.stdout
        assert left.wait(1) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        for child in (left, stranger):
            child.kill()
            child.wait()


def test_postgres_starts_although_its_lock_names_a_process_that_lives(place: Path) -> None:
    # given: after a crash of the machine, the id in postmaster.pid may be that of anything
    environ = all_but("postgres")
    assert stirbeat("local", "up", "--folder", place, environ=environ).returncode == 0
    os.kill(owner(place), signal.SIGKILL)
    assert wait_for_end(place) == set()
    (place / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n/proc/self/fd/9/data\n")

    # when
    said = stirbeat("local", "up", "--folder", place, environ=environ)

    # then
    assert said.returncode == 0, said.stderr


def test_a_half_made_postgres_is_made_again(place: Path) -> None:
    # given what a kill during initdb leaves
    half = place / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("15\n")

    # when
    said = stirbeat("local", "up", "--folder", place, environ=all_but("postgres"))

    # then
    assert said.returncode == 0, said.stderr
    assert not half.exists()
