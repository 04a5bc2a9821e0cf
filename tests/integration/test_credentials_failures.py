"""Redis or Postgres flushed, stopped, hung, killed half-way: limits fail closed, cooldowns survive, all goes on."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest
import redis
import sqlalchemy as sa
from cryptography import fernet

from stirbeat import errors, settings
from stirbeat.credentials import pool, redis_client, snapshot, vault
from stirbeat.domain import limit, outcome, provider
from stirbeat.local import stack as stacks
from stirbeat.store import engine, migrate

KEY = pydantic.SecretStr(fernet.Fernet.generate_key().decode())
LIMITED = outcome.Outcome(outcome.Kind.RATE_LIMITED, outcome.ChargeTo.CREDENTIAL, reason="too fast")
DEMO = provider.Provider(
    name="demo",
    base_url="http://127.0.0.1:1",
    authorise=lambda call, _secret: call,
    classify=lambda _answer: outcome.OK,
    limits=(limit.Limit(limit.Scope.CREDENTIAL, 10_000, 60),),
)
# Services that these tests do not need: said to be elsewhere, so that they are not started.
ELSEWHERE = {
    "STIRBEAT_BROKER_URL": "amqp://nobody@127.0.0.1:1/none",
    "STIRBEAT_CLICKHOUSE_URL": "clickhouse://nobody@127.0.0.1:1/none",
    "STIRBEAT_S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "STIRBEAT_S3_ACCESS_KEY_ID": "none",
    "STIRBEAT_S3_SECRET_ACCESS_KEY": "none",
    "STIRBEAT_SIMULATOR_URL": "http://127.0.0.1:1",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stacks.Stack]:
    """A Redis and a Postgres of this module's own, to be stopped and started."""
    with stacks.Stack(tmp_path_factory.mktemp("own") / "stack", ELSEWHERE, durable=False) as started:
        migrate.upgrade(sa.create_engine(started.environment["STIRBEAT_DATABASE_URL"]))
        yield started


@pytest.fixture
def configured(own: stacks.Stack) -> Iterator[settings.Settings]:
    """Settings of the own services, emptied before and running again after each test."""
    built = settings.from_environment(own.environment | {"STIRBEAT_SECRET_KEYS": KEY.get_secret_value()})
    with redis.Redis.from_url(built.redis_url.get_secret_value()) as client:
        client.flushall()
    cleaner = sa.create_engine(built.database_url.get_secret_value())
    with cleaner.begin() as connection:
        connection.execute(sa.text("truncate credential, cooldown"))
    cleaner.dispose()
    yield built
    for name in ("redis", "postgres"):
        child = own.child(name)
        child.send_signal(signal.SIGCONT)
        if child.poll() is not None:
            child.start()
        child.wait_ready(30)


@pytest.fixture
def leases(configured: settings.Settings) -> pool.Pool:
    made = fresh(configured)
    made.add(DEMO, "main", {"key": "s3cret"})
    return made


def fresh(configured: settings.Settings) -> pool.Pool:
    """A pool as a process builds it."""
    return pool.Pool(engine.create(configured), redis_client.connect(configured), vault.Vault(configured.secret_keys))


def restart(own: stacks.Stack, name: str) -> None:
    own.child(name).start()
    own.child(name).wait_ready(30)


def test_losing_all_of_redis_loses_no_cooldown(configured: settings.Settings, leases: pool.Pool) -> None:
    other = fresh(configured)
    other.lease(DEMO, "profile", "x")
    leases.settle(leases.lease(DEMO, "profile", "x"), LIMITED)
    redis_client.connect(configured).flushall()
    time.sleep(snapshot.FRESH_S)
    for one in (leases, other, fresh(configured)):
        with pytest.raises(errors.NoCredential, match="1 cooling down") as told:
            one.lease(DEMO, "profile", "x")
        assert told.value.retry_after_s > 590


def test_scripts_that_redis_forgot_are_loaded_again(configured: settings.Settings, leases: pool.Pool) -> None:
    leases.lease(DEMO, "profile", "x")
    redis_client.connect(configured).script_flush()
    leases.lease(DEMO, "profile", "x")


def test_while_redis_is_stopped_nothing_is_admitted_and_a_cooldown_is_still_kept(
    own: stacks.Stack, configured: settings.Settings, leases: pool.Pool
) -> None:
    lease = leases.lease(DEMO, "profile", "x")
    # when
    own.child("redis").kill()
    # then: no lease, one clear error, quickly
    begun = time.monotonic()
    with pytest.raises(errors.ServiceUnavailable, match="Redis does not answer") as told:
        leases.lease(DEMO, "profile", "x")
    assert (told.value.service, time.monotonic() - begun < 5) == ("redis", True)
    # and: what came of the call is kept
    leases.settle(lease, LIMITED, usage=0.95)
    # when: it is back, and empty
    restart(own, "redis")
    # then
    with pytest.raises(errors.NoCredential, match="cooling"):
        leases.lease(DEMO, "profile", "x")
    leases.enable("demo", "main")
    assert leases.lease(DEMO, "profile", "x").name == "main"


def test_a_restart_of_redis_between_two_leases_is_not_even_noticed(own: stacks.Stack, leases: pool.Pool) -> None:
    leases.lease(DEMO, "profile", "x")
    own.child("redis").kill()
    restart(own, "redis")
    assert leases.lease(DEMO, "profile", "x").name == "main"


def test_a_redis_that_hangs_is_waited_for_a_bounded_time(own: stacks.Stack, leases: pool.Pool) -> None:
    leases.lease(DEMO, "profile", "x")
    own.child("redis").send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(errors.ServiceUnavailable, match="Redis does not answer"):
        leases.lease(DEMO, "profile", "x")
    assert time.monotonic() - begun < 2 * redis_client.ANSWER_TIMEOUT_S + 1
    own.child("redis").send_signal(signal.SIGCONT)
    assert leases.lease(DEMO, "profile", "x").name == "main"


def test_leases_go_on_while_postgres_is_stopped_and_charges_are_told_to_the_caller(
    own: stacks.Stack, configured: settings.Settings, leases: pool.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    # given: a warm snapshot
    leases.add(DEMO, "spare", {"key": "s"})
    lease = leases.lease(DEMO, "profile", "x")
    own.child("postgres").kill()
    time.sleep(snapshot.FRESH_S + 0.1)
    # then: leases and successes need no Postgres
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            leases.settle(leases.lease(DEMO, "profile", "x"), outcome.OK)
    assert "going on with the credentials as they were" in caplog.text
    # and: a charge cannot be kept, which the caller is told, but it holds while Redis does
    with pytest.raises(errors.ServiceUnavailable, match="Postgres"):
        leases.settle(lease, LIMITED)
    other = ({"main", "spare"} - {lease.name}).pop()
    assert {leases.lease(DEMO, "profile", "x").name for _ in range(20)} == {other}
    # and: a process without a snapshot says so
    with pytest.raises(errors.ServiceUnavailable) as told:
        fresh(configured).lease(DEMO, "profile", "x")
    assert told.value.service == "postgres"
    # when: it is back
    restart(own, "postgres")
    time.sleep(snapshot.RETRY_S + 0.1)
    leases.settle(leases.lease(DEMO, "profile", "x"), LIMITED)
    assert [one.state for one in leases.list()].count("cooling") == 1


def test_a_restart_of_postgres_between_two_charges_is_not_even_noticed(own: stacks.Stack, leases: pool.Pool) -> None:
    under_way = [leases.lease(DEMO, "profile", "x") for _ in range(2)]
    leases.settle(under_way[0], LIMITED)
    own.child("postgres").kill()
    restart(own, "postgres")
    leases.settle(under_way[1], LIMITED)
    (listed,) = leases.list()
    assert (listed.failures, listed.state) == (1, "cooling")


def test_a_snapshot_is_not_used_for_ever(own: stacks.Stack, leases: pool.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    leases.lease(DEMO, "profile", "x")
    own.child("postgres").kill()
    monkeypatch.setattr(snapshot, "USABLE_S", 0.5)
    time.sleep(snapshot.FRESH_S + 0.1)
    for _ in range(2):
        with pytest.raises(errors.ServiceUnavailable, match="Postgres has not told the credentials"):
            leases.lease(DEMO, "profile", "x")


KILLED = """
import json, os, signal, sys
from stirbeat import settings
from stirbeat.credentials import pool, redis_client, vault
from stirbeat.domain import limit, outcome, provider
from stirbeat.store import engine
configured = settings.get()
leases = pool.Pool(engine.create(configured), redis_client.connect(configured), vault.Vault(configured.secret_keys))
demo = provider.Provider("demo", "http://127.0.0.1:1", lambda c, s: c, lambda a: outcome.OK,
    (limit.Limit(limit.Scope.CREDENTIAL, 10_000, 60),))
lease = leases.lease(demo, "profile", "x")
leases._limiter.cool = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
leases.settle(lease, outcome.Outcome(outcome.Kind(sys.argv[1]), outcome.ChargeTo(sys.argv[2])))
"""


@pytest.mark.parametrize("to", ["credential", "app", "provider", "credential+function"])
def test_a_process_killed_between_postgres_and_redis_leaves_a_cooldown_that_all_heed(
    own: stacks.Stack, configured: settings.Settings, leases: pool.Pool, to: str
) -> None:
    leases.lease(DEMO, "profile", "x")
    environment = dict(own.environment) | {"STIRBEAT_SECRET_KEYS": KEY.get_secret_value(), "PATH": os.environ["PATH"]}
    ended = subprocess.run([sys.executable, "-c", KILLED, "rate_limited", to], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert redis_client.connect(configured).exists("stirbeat:limit:{demo}:cooldown") == 0
    # then: a process with an older snapshot knows as soon as that is no longer fresh
    time.sleep(snapshot.FRESH_S)
    with pytest.raises(errors.NoCredential, match="1 cooling down"):
        leases.lease(DEMO, "profile", "x")


def test_a_credential_sealed_with_a_lost_key_is_left_out_and_said(
    configured: settings.Settings, leases: pool.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = configured.model_copy(update={"secret_keys": pydantic.SecretStr(fernet.Fernet.generate_key().decode())})
    blind = fresh(wrong)
    # given: only what it cannot read
    with pytest.raises(errors.NoCredential, match="1 that STIRBEAT_SECRET_KEYS does not open") as told:
        blind.lease(DEMO, "profile", "x")
    assert told.value.permanent
    assert "demo/main is left out" in caplog.text
    assert [one.state for one in blind.list()] == ["unreadable"]
    with pytest.raises(errors.VaultError):
        blind.rotate()
    # when: there is one that it can
    blind.add(DEMO, "readable", {"key": "other"})
    assert {blind.lease(DEMO, "profile", "x").name for _ in range(20)} == {"readable"}
    assert leases.lease(DEMO, "profile", "x").secret() == {"key": "s3cret"}


def test_a_key_of_another_type_in_our_place_refuses_instead_of_admitting(
    configured: settings.Settings, leases: pool.Pool
) -> None:
    lease = leases.lease(DEMO, "profile", "x")
    client = redis_client.connect(configured)
    (key,) = client.scan_iter("stirbeat:limit:*:credential:*")
    client.set(key, "not a list")
    with pytest.raises(errors.ServiceUnavailable, match="Redis refuses"):
        leases.lease(DEMO, "profile", "x")
    assert lease.name == "main"


def test_a_hundred_threads_share_one_client(configured: settings.Settings, leases: pool.Pool, tmp_path: Path) -> None:
    script = tmp_path / "threads.py"
    script.write_text(
        KILLED.partition("lease = leases.lease")[0]
        + """
from concurrent import futures
with futures.ThreadPoolExecutor(100) as threads:
    names = [f.result().name for f in [threads.submit(leases.lease, demo, "profile", str(n)) for n in range(1000)]]
print(json.dumps({"leases": len(names)}))
"""
    )
    environment = {
        "STIRBEAT_" + name.upper(): value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        for name, value in configured
        if name in {"database_url", "redis_url", "secret_keys", "broker_url", "clickhouse_url", "s3_endpoint_url"}
    }
    environment |= {"STIRBEAT_S3_ACCESS_KEY_ID": "none", "STIRBEAT_S3_SECRET_ACCESS_KEY": "none"}
    ended = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == {"leases": 1000}
    assert ended.stderr == ""
