"""The limits, on a real Redis: exact, sliding, all or nothing, the same for every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pydantic
import pytest
import redis
import sqlalchemy as sa
from cryptography import fernet

from stirbeat import errors
from stirbeat.credentials import limiter, pool, vault
from stirbeat.domain import limit, outcome, provider

SCOPE = limit.Scope
KEY = pydantic.SecretStr(fernet.Fernet.generate_key().decode())

# A process of many threads that lease until each has been refused; prints how many leases it got.
RACER = """
import json, os, sys, threading, pydantic, redis, sqlalchemy as sa
from stirbeat import errors
from stirbeat.credentials import pool, vault
from stirbeat.domain import limit, outcome, provider
given = json.load(sys.stdin)
declared = provider.Provider("demo", "http://127.0.0.1:1", lambda c, s: c, lambda a: outcome.OK,
    tuple(limit.Limit(limit.Scope(scope), calls, period_s) for scope, calls, period_s in given["limits"]))
leases = pool.Pool(sa.create_engine(given["database"]), redis.Redis.from_url(given["redis"]),
    vault.Vault(pydantic.SecretStr(given["key"])))
counts = [0] * given["threads"]
start = threading.Barrier(given["threads"] + 1)
def run(index):
    start.wait()
    while True:
        try:
            leases.lease(declared, "profile", "natgeo")
        except errors.NoCredential:
            return
        counts[index] += 1
threads = [threading.Thread(target=run, args=(index,)) for index in range(given["threads"])]
[thread.start() for thread in threads]
print("ready", flush=True)
os.read(given["gate"], 1)
start.wait()
[thread.join() for thread in threads]
print(sum(counts), flush=True)
"""


def declare(*limits: limit.Limit) -> provider.Provider:
    return provider.Provider(
        name="demo",
        base_url="http://127.0.0.1:1",
        authorise=lambda call, _secret: call,
        classify=lambda _answer: outcome.OK,
        limits=limits,
    )


@pytest.fixture
def leases(database: sa.Engine, redis_client: redis.Redis) -> pool.Pool:
    return pool.Pool(database, redis_client, vault.Vault(KEY))


def admitted(leases: pool.Pool, declared: provider.Provider, calls: int, target: str = "natgeo") -> list[str]:
    """Names of the credentials that were leased in so many tries."""
    names = []
    for _ in range(calls):
        try:
            names.append(leases.lease(declared, "profile", target).name)
        except errors.NoCredential:
            break
    return names


def race(
    processes: int, threads: int, limits: list[tuple[str, int, int]], database_url: str, redis_url: str
) -> list[int]:
    """Let processes lease at the same moment; how many leases each got."""
    gate, opener = os.pipe()
    given = {
        "limits": limits,
        "threads": threads,
        "database": database_url,
        "redis": redis_url,
        "key": KEY.get_secret_value(),
        "gate": gate,
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RACER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[gate],
        )
        for _ in range(processes)
    ]
    try:
        for child in running:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps(given))
            child.stdin.close()
            assert child.stdout.readline() == "ready\n"
        os.close(opener)
        return [int(child.stdout.readline()) for child in running if child.stdout is not None]
    finally:
        os.close(gate)
        for child in running:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


def test_sixteen_threads_in_four_processes_admit_exactly_the_limit(
    leases: pool.Pool, database_url: str, redis_url: str
) -> None:
    # given: three credentials of 150 calls each, and a provider that allows 400 in all
    for name in ("a", "b", "c"):
        leases.add("demo", name, {"key": "s"})
    # when
    counts = race(4, 16, [("credential", 150, 3600), ("provider", 400, 3600)], database_url, redis_url)
    # then
    assert sum(counts) == 400
    declared = declare(limit.Limit(SCOPE.CREDENTIAL, 150, 3600), limit.Limit(SCOPE.PROVIDER, 400, 3600))
    used = leases.usage(declared)
    assert [one.used for one in used if one.scope is SCOPE.PROVIDER] == [400]
    spent = [one.used for one in used if one.scope is SCOPE.CREDENTIAL]
    assert sum(spent) == 400
    assert max(spent) <= 150


def test_of_two_processes_that_race_for_the_last_token_one_gets_it(
    leases: pool.Pool, database_url: str, redis_url: str
) -> None:
    leases.add("demo", "only", {"key": "s"})
    for _ in range(2):
        leases.enable("demo", "only")
        assert sorted(race(2, 1, [("credential", 1, 3600)], database_url, redis_url)) == [0, 1]
        redis.Redis.from_url(redis_url).flushdb()


def test_no_stretch_of_a_period_ever_holds_more_than_the_limit_and_none_is_wasted(
    leases: pool.Pool, redis_client: redis.Redis
) -> None:
    # given: 5 calls a second, and an own count without limit that keeps the time of every admitted call
    leases.add("demo", "only", {"key": "s"})
    declared = declare(limit.Limit(SCOPE.CREDENTIAL, 5, 1), limit.Limit(SCOPE.PROVIDER, 10**6, 3600))
    # when: 4 threads ask without pause
    until = time.monotonic() + 3.5

    def ask() -> None:
        while time.monotonic() < until:
            try:
                leases.lease(declared, "profile", "natgeo")
            except errors.NoCredential as refused:
                time.sleep(min(refused.retry_after_s, 0.02))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then: any 6 calls in a row take a second or more, and the windows that passed were used
    (log,) = redis_client.scan_iter("stirbeat:limit:*:provider:*")
    stamps = [int(stamp) for stamp in redis_client.lrange(log, 0, -1)]
    assert all(later - earlier >= 1000 for earlier, later in zip(stamps, stamps[5:], strict=False))
    assert 15 <= len(stamps) <= 20


def test_a_refusal_costs_nothing_in_any_window(leases: pool.Pool) -> None:
    # given: a handle's window of one call, beside wide ones
    leases.add("demo", "only", {"key": "s"}, app="app")
    declared = declare(
        limit.Limit(SCOPE.TARGET, 1, 3600),
        limit.Limit(SCOPE.CREDENTIAL, 60, 60),
        limit.Limit(SCOPE.APP, 60, 60),
        limit.Limit(SCOPE.FUNCTION, 60, 60),
        limit.Limit(SCOPE.CREDENTIAL_FUNCTION, 60, 60),
        limit.Limit(SCOPE.PROVIDER, 60, 60),
    )
    # when: two hundred calls for one handle
    assert len(admitted(leases, declared, 1)) == 1
    for _ in range(200):
        with pytest.raises(errors.NoCredential):
            leases.lease(declared, "profile", "natgeo")
    # then: one was spent everywhere, and another handle goes ahead
    assert [one.used for one in leases.usage(declared, ["profile"])] == [1] * 5
    assert len(admitted(leases, declared, 1, "nasa")) == 1


@pytest.mark.parametrize("scope", list(SCOPE))
def test_each_scope_alone_admits_exactly_its_limit_and_tells_the_wait(leases: pool.Pool, scope: limit.Scope) -> None:
    leases.add("demo", "only", {"key": "s"}, app="app")
    declared = declare(limit.Limit(scope, 7, 100))
    assert len(admitted(leases, declared, 20)) == 7
    with pytest.raises(errors.NoCredential, match=r"1 limited; .* \(7/100s a ") as told:
        leases.lease(declared, "profile", "natgeo")
    assert 90 < told.value.retry_after_s <= 100
    assert not told.value.permanent


def test_what_shares_a_count_and_what_does_not(leases: pool.Pool) -> None:
    # given: two credentials of one app and one of its own
    for name, app in (("a", "app"), ("b", "app"), ("c", None)):
        leases.add("demo", name, {"key": "s"}, app=app)
    declared = declare(limit.Limit(SCOPE.APP, 4, 60))
    # then: the two have 4 between them, the third has 4 to itself
    names = admitted(leases, declared, 20)
    assert len(names) == 8
    assert names.count("c") == 4


def test_when_one_credential_is_limited_the_next_is_taken_in_the_same_step(leases: pool.Pool) -> None:
    for number in range(12):
        leases.add("demo", f"c{number}", {"key": "s"}, weight=1000 if number == 0 else 1)
    declared = declare(limit.Limit(SCOPE.CREDENTIAL, 3, 60))
    names = admitted(leases, declared, 100)
    assert len(names) == 36
    assert {names.count(name) for name in names} == {3}


def test_the_wait_is_the_least_over_the_credentials_and_the_greatest_over_their_windows(leases: pool.Pool) -> None:
    # given: one credential spent a second before the other
    declared = declare(limit.Limit(SCOPE.CREDENTIAL, 1, 60), limit.Limit(SCOPE.PROVIDER, 2, 20))
    leases.add("demo", "first", {"key": "s"})
    leases.lease(declared, "profile", "x")
    time.sleep(1.0)
    leases.add("demo", "second", {"key": "s"})
    leases.lease(declared, "profile", "x")
    # then: the first credential frees first, long after the provider's window
    with pytest.raises(errors.NoCredential, match=r"2 limited; .*1/60s a credential") as told:
        leases.lease(declared, "profile", "x")
    assert 57 < told.value.retry_after_s < 59.1


def test_a_window_slides_one_call_at_a_time(leases: pool.Pool) -> None:
    # given: two calls half a second apart in a window of two a second
    leases.add("demo", "only", {"key": "s"})
    declared = declare(limit.Limit(SCOPE.CREDENTIAL, 2, 1))
    leases.lease(declared, "profile", "x")
    time.sleep(0.5)
    leases.lease(declared, "profile", "x")
    with pytest.raises(errors.NoCredential) as told:
        leases.lease(declared, "profile", "x")
    # when: the first has left the window
    time.sleep(told.value.retry_after_s)
    # then: exactly one goes ahead, and the next waits for the second to leave
    leases.lease(declared, "profile", "x")
    with pytest.raises(errors.NoCredential) as told:
        leases.lease(declared, "profile", "x")
    assert 0 < told.value.retry_after_s <= 0.55


def test_the_log_of_a_window_stays_as_long_as_its_limit_and_goes_when_unused(
    leases: pool.Pool, redis_client: redis.Redis
) -> None:
    leases.add("demo", "only", {"key": "s"})
    declared = declare(limit.Limit(SCOPE.CREDENTIAL, 20, 1))
    calls, until = 0, time.monotonic() + 2.5
    while time.monotonic() < until:
        calls += len(admitted(leases, declared, 1))
        time.sleep(0.02)
    assert calls > 20
    (key,) = redis_client.scan_iter("stirbeat:limit:*")
    assert redis_client.llen(key) <= 20
    time.sleep(1.1)
    assert not redis_client.exists(key)


def test_a_cooldown_in_redis_is_never_cut_short_and_cleared_on_request(redis_client: redis.Redis) -> None:
    scripts = limiter.Limiter(redis_client)
    key = "stirbeat:limit:{demo}:cooldown"

    def left_s(subject: str) -> float:
        till = redis_client.hget(key, subject)
        seconds, microseconds = redis_client.time()
        return 0.0 if till is None else int(till) / 1000 - seconds - microseconds / 1e6

    scripts.cool("demo", ["a", "b"], 100)
    scripts.cool("demo", ["a"], 5)
    scripts.cool("demo", ["b"], 200)
    assert [round(left_s(subject)) for subject in ("a", "b")] == [100, 200]
    assert 195 < redis_client.ttl(key) <= 201
    scripts.cool("demo", ["b"], 0)
    assert [round(left_s(subject)) for subject in ("a", "b")] == [100, 0]
    scripts.cool("demo", ["a"], 0)
    assert not redis_client.exists(key)


def test_lowering_a_limit_holds_at_once(leases: pool.Pool) -> None:
    leases.add("demo", "only", {"key": "s"})
    assert len(admitted(leases, declare(limit.Limit(SCOPE.CREDENTIAL, 50, 60)), 30)) == 30
    assert admitted(leases, declare(limit.Limit(SCOPE.CREDENTIAL, 10, 60)), 5) == []
    assert len(admitted(leases, declare(limit.Limit(SCOPE.CREDENTIAL, 40, 60)), 30)) == 10


@pytest.mark.parametrize(
    "target",
    ["a\0b", "x" * 10_000, "*", "{demo}", "a\r\nDEL stirbeat", "'; drop table credential; --", "\ud800", "🦊", ""],
)
def test_hostile_targets_are_targets_like_any_other(leases: pool.Pool, redis_client: redis.Redis, target: str) -> None:
    leases.add("demo", "only", {"key": "s"})
    declared = declare(limit.Limit(SCOPE.TARGET, 1, 60))
    assert len(admitted(leases, declared, 3, target)) == 1
    assert len(admitted(leases, declared, 3, target + "!")) == 1
    assert all(len(key) < 200 for key in redis_client.scan_iter("*"))


@pytest.mark.parametrize(
    "hostile", ["x}:y{", "*", "a:b:c", "{demo}", "🦊 é", "'; drop table credential; --", "x" * 100]
)
def test_hostile_names_of_credentials_and_apps_work_and_are_cooled_alone(leases: pool.Pool, hostile: str) -> None:
    leases.add("demo", hostile, {"key": "s"}, app=hostile)
    leases.add("demo", "other", {"key": "s"}, app="other")
    declared = declare(limit.Limit(SCOPE.APP, 100, 60))
    lease = next(lease for lease in iter(lambda: leases.lease(declared, "f", "x"), None) if lease.name == hostile)
    leases.settle(lease, outcome.Outcome(outcome.Kind.RATE_LIMITED, outcome.ChargeTo.APP))
    assert set(admitted(leases, declared, 20)) == {"other"}


def test_nothing_in_redis_holds_a_secret(leases: pool.Pool, redis_client: redis.Redis) -> None:
    leases.add("demo", "only", {"key": "s3cret"}, app="app")
    declared = declare(*(limit.Limit(scope, 5, 60) for scope in SCOPE))
    lease = leases.lease(declared, "profile", "x")
    leases.settle(lease, outcome.Outcome(outcome.Kind.RATE_LIMITED, outcome.ChargeTo.CREDENTIAL, reason="s3cret"))
    for key in redis_client.scan_iter("*"):
        assert key.startswith(b"stirbeat:limit:")
        assert b"s3cret" not in redis_client.dump(key) + key


def test_threads_of_one_process_share_the_pool(leases: pool.Pool) -> None:
    for number in range(4):
        leases.add("demo", f"c{number}", {"key": "s"})
    declared = declare(limit.Limit(SCOPE.PROVIDER, 300, 3600))
    counts: list[int] = []

    def ask(done: Callable[[int], None]) -> None:
        done(len(admitted(leases, declared, 100)))

    threads = [threading.Thread(target=ask, args=(counts.append,)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 300
