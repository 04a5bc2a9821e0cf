"""What the pool learns from outcomes, on a real Postgres and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
import redis
import sqlalchemy as sa
from cryptography import fernet

from stirbeat import errors
from stirbeat.credentials import pool, vault
from stirbeat.domain import limit, outcome, provider

KEY = pydantic.SecretStr(fernet.Fernet.generate_key().decode())
KIND, CHARGE = outcome.Kind, outcome.ChargeTo


def declare(name: str = "demo") -> provider.Provider:
    return provider.Provider(
        name=name,
        base_url="http://127.0.0.1:1",
        authorise=lambda call, _secret: call,
        classify=lambda _answer: outcome.OK,
        limits=(limit.Limit(limit.Scope.CREDENTIAL, 10_000, 60),),
    )


DEMO = declare()


@pytest.fixture
def fresh(database: sa.Engine, redis_client: redis.Redis) -> Callable[[], pool.Pool]:
    """Makes pools that know nothing of each other, as processes do."""
    return lambda: pool.Pool(database, redis_client, vault.Vault(KEY))


@pytest.fixture
def leases(fresh: Callable[[], pool.Pool]) -> pool.Pool:
    made = fresh()
    made.add(DEMO, "main", {"key": "s3cret"}, app="app")
    return made


def charged(
    to: outcome.ChargeTo, hint_s: float | None = None, kind: outcome.Kind = KIND.RATE_LIMITED
) -> outcome.Outcome:
    return outcome.Outcome(kind, to, retry_after_s=hint_s, reason="too fast")


def wait(leases: pool.Pool, declared: provider.Provider = DEMO, function: str = "profile") -> float:
    """Seconds until somebody may call; 0 if somebody may now (and did)."""
    try:
        leases.lease(declared, function, "natgeo")
    except errors.NoCredential as refused:
        return float("nan") if refused.permanent else refused.retry_after_s
    return 0.0


def pass_time(database: sa.Engine, client: redis.Redis) -> None:
    """Let every cooldown end, as if its time had passed."""
    with database.begin() as connection:
        connection.execute(sa.text("update credential set disabled_till = now() where disabled_till is not null"))
        connection.execute(sa.text("update cooldown set till = now()"))
    client.delete("stirbeat:limit:{demo}:cooldown")


def test_a_server_hint_is_the_cooldown(leases: pool.Pool) -> None:
    leases.settle(leases.lease(DEMO, "profile", "x"), charged(CHARGE.CREDENTIAL, 42))
    assert 40 < wait(leases) <= 42


def test_without_a_hint_the_cooldown_grows_from_10_to_30_to_60_minutes_and_a_success_begins_anew(
    database: sa.Engine, redis_client: redis.Redis, fresh: Callable[[], pool.Pool], leases: pool.Pool
) -> None:
    for minutes in (10, 30, 60, 60):
        leases.settle(leases.lease(DEMO, "profile", "x"), charged(CHARGE.CREDENTIAL))
        assert minutes * 60 - 5 < wait(leases) <= minutes * 60
        pass_time(database, redis_client)
        leases = fresh()
    leases.settle(leases.lease(DEMO, "profile", "x"), outcome.OK)
    assert leases.list()[0].failures == 0
    leases.settle(leases.lease(DEMO, "profile", "x"), charged(CHARGE.CREDENTIAL))
    assert 595 < wait(leases) <= 600


def test_a_hundred_refusals_of_calls_that_were_under_way_count_as_one(leases: pool.Pool) -> None:
    under_way = [leases.lease(DEMO, "profile", "x") for _ in range(100)]
    for lease in under_way:
        leases.settle(lease, charged(CHARGE.CREDENTIAL))
    assert leases.list()[0].failures == 1
    assert wait(leases) <= 600


def test_a_late_success_ends_no_cooldown(fresh: Callable[[], pool.Pool], leases: pool.Pool) -> None:
    # given: two calls under way, one is refused, and a process that has read that
    early, late = leases.lease(DEMO, "profile", "x"), leases.lease(DEMO, "profile", "x")
    leases.settle(early, charged(CHARGE.CREDENTIAL))
    leases.settle(early, charged(CHARGE.CREDENTIAL_FUNCTION))
    other = fresh()
    assert wait(other) > 500
    # when: the other succeeds
    other.settle(late, outcome.OK)
    # then
    assert wait(fresh()) > 500
    assert [(one.failures, one.state) for one in leases.list()] == [(1, "cooling")]
    assert [one.failures for one in leases.cooldowns()] == [1]


def test_a_longer_cooldown_is_not_cut_short_by_a_shorter_hint(leases: pool.Pool) -> None:
    under_way = [leases.lease(DEMO, "profile", "x") for _ in range(2)]
    leases.settle(under_way[0], charged(CHARGE.CREDENTIAL, 500))
    leases.settle(under_way[1], charged(CHARGE.CREDENTIAL, 2))
    assert wait(leases) > 490


def test_a_cooldown_holds_at_once_in_another_process(fresh: Callable[[], pool.Pool], leases: pool.Pool) -> None:
    other = fresh()
    assert wait(other) == 0  # its snapshot is young and says that all is well
    leases.settle(leases.lease(DEMO, "profile", "x"), charged(CHARGE.CREDENTIAL, 100))
    assert 98 < wait(other) <= 100


@pytest.mark.parametrize(
    ("to", "still_free"),
    [
        # others that go on: same credential other function, same app other credential, other app, other provider
        (CHARGE.CREDENTIAL, {"app", "other app", "other provider"}),
        (CHARGE.CREDENTIAL_FUNCTION, {"function", "app", "other app", "other provider"}),
        (CHARGE.APP, {"other app", "other provider"}),
        (CHARGE.PROVIDER, {"other provider"}),
        (CHARGE.NONE, {"itself", "function", "app", "other app", "other provider"}),
    ],
)
@pytest.mark.parametrize("flushed", [False, True], ids=["told by Redis", "Redis was flushed"])
def test_a_charge_cools_its_subject_and_nothing_else(
    redis_client: redis.Redis,
    fresh: Callable[[], pool.Pool],
    leases: pool.Pool,
    to: outcome.ChargeTo,
    still_free: set[str],
    flushed: bool,
) -> None:
    # given
    elsewhere = declare("elsewhere")
    leases.add(elsewhere, "main", {"key": "s"}, app="app")
    lease = leases.lease(DEMO, "profile", "x")
    leases.add(DEMO, "same app", {"key": "s"}, app="app")
    leases.add(DEMO, "other app", {"key": "s"}, app="other")
    # when
    leases.settle(lease, charged(to, 60))
    if flushed:
        redis_client.flushdb()
        leases = fresh()

    # then
    def reachable(function: str) -> set[str]:
        names: set[str] = set()
        for _ in range(40):
            try:
                names.add(leases.lease(DEMO, function, "x").name)
            except errors.NoCredential:
                break
        return names

    here, there = reachable("profile"), reachable("posts")
    free = {
        "itself": "main" in here,
        "function": "main" in there,
        "app": "same app" in here,
        "other app": "other app" in here,
        "other provider": wait(leases, elsewhere) == 0,
    }
    assert {name for name, is_free in free.items() if is_free} == still_free


@pytest.mark.parametrize("to", [CHARGE.APP, CHARGE.PROVIDER, CHARGE.CREDENTIAL_FUNCTION])
def test_wider_cooldowns_grow_and_are_forgotten_after_a_success_too(
    database: sa.Engine,
    redis_client: redis.Redis,
    fresh: Callable[[], pool.Pool],
    leases: pool.Pool,
    to: outcome.ChargeTo,
) -> None:
    for minutes in (10, 30, 60):
        leases.settle(leases.lease(DEMO, "profile", "x"), charged(to))
        assert minutes * 60 - 5 < wait(leases) <= minutes * 60
        pass_time(database, redis_client)
        leases = fresh()
    assert [one.failures for one in leases.cooldowns()] == [3]
    leases.settle(leases.lease(DEMO, "profile", "x"), outcome.OK)
    assert leases.cooldowns() == ()


def test_an_app_charge_of_a_credential_without_an_app_is_its_own(leases: pool.Pool) -> None:
    leases.add("demo", "lonely", {"key": "s"}, weight=1_000_000)
    leases.disable("demo", "main", "not now")
    lease = leases.lease(DEMO, "profile", "x")
    leases.settle(lease, charged(CHARGE.APP, 100))
    assert wait(leases) > 90
    assert leases.cooldowns() == ()


@pytest.mark.parametrize(
    "verdict",
    [
        outcome.Outcome(KIND.TOKEN_INVALID, CHARGE.CREDENTIAL, reason="code 190: session expired"),
        outcome.Outcome(KIND.PERMISSION, disable_credential=True, reason="not subscribed"),
    ],
)
def test_a_refused_secret_disables_its_credential_everywhere_until_a_person_enables_it(
    fresh: Callable[[], pool.Pool], leases: pool.Pool, verdict: outcome.Outcome
) -> None:
    other = fresh()
    assert wait(other) == 0
    leases.settle(leases.lease(DEMO, "profile", "x"), verdict)

    (listed,) = leases.list()
    assert (listed.state, listed.reason, listed.cooling_s) == ("disabled", verdict.reason, None)
    with pytest.raises(errors.NoCredential, match="1 disabled") as told:
        leases.lease(DEMO, "profile", "x")
    assert told.value.permanent
    assert wait(other) > 0  # although its snapshot does not know yet

    leases.enable("demo", "main")
    assert leases.lease(DEMO, "profile", "x").name == "main"
    assert fresh().lease(DEMO, "profile", "x").name == "main"


def test_a_late_refusal_of_an_old_secret_does_not_disable_the_new_one(leases: pool.Pool) -> None:
    lease = leases.lease(DEMO, "profile", "x")
    leases.add(DEMO, "main", {"key": "renewed"}, replace=True)
    leases.settle(lease, outcome.Outcome(KIND.TOKEN_INVALID, reason="expired"))
    assert leases.lease(DEMO, "profile", "x").secret() == {"key": "renewed"}


@pytest.mark.parametrize("kind", [KIND.SCHEMA, KIND.BAD_REQUEST])
@pytest.mark.parametrize("to", list(CHARGE))
def test_our_own_bug_and_a_bad_request_never_charge_anybody(
    leases: pool.Pool, kind: outcome.Kind, to: outcome.ChargeTo
) -> None:
    verdict = outcome.Outcome(kind, to, retry_after_s=100, disable_credential=True)
    leases.settle(leases.lease(DEMO, "profile", "x"), verdict)
    assert wait(leases) == 0
    assert [one.state for one in leases.list()] == ["ready"]


def test_high_usage_lets_a_credential_rest_a_while_and_is_not_a_failure(leases: pool.Pool) -> None:
    leases.settle(leases.lease(DEMO, "profile", "x"), outcome.OK, usage=0.79)
    leases.settle(leases.lease(DEMO, "profile", "x"), outcome.OK, usage=None)
    leases.settle(leases.lease(DEMO, "profile", "x"), outcome.OK, usage=0.9)
    assert 30 < wait(leases) <= 33
    (listed,) = leases.list()
    assert (listed.failures, listed.state) == (0, "ready")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every command this process sends to Redis; the server's own count is of all who use it."""
    sent: list[str] = []
    send = redis.Redis.execute_command

    def noted(self: redis.Redis, *given: Any, **options: Any) -> Any:
        sent.append(str(given[0]))
        return send(self, *given, **options)

    monkeypatch.setattr(redis.Redis, "execute_command", noted)
    return sent


def test_settling_a_success_asks_neither_postgres_nor_redis_when_there_is_nothing_to_forget(
    database: sa.Engine, commands: list[str], leases: pool.Pool
) -> None:
    lease = leases.lease(DEMO, "profile", "x")
    statements: list[str] = []
    sa.event.listen(database, "before_cursor_execute", lambda *given: statements.append(given[2]))
    commands.clear()
    for _ in range(50):
        leases.settle(lease, outcome.OK, usage=0.5)
    assert statements == []
    assert commands == []


def test_leasing_asks_redis_once_and_postgres_hardly_ever(
    database: sa.Engine, commands: list[str], leases: pool.Pool
) -> None:
    leases.lease(DEMO, "profile", "x")
    statements: list[str] = []
    sa.event.listen(database, "before_cursor_execute", lambda *given: statements.append(given[2]))
    commands.clear()
    for _ in range(200):
        leases.lease(DEMO, "profile", "x")
    assert commands == ["EVALSHA"] * 200
    assert len(statements) <= 4


def test_what_is_added_is_seen_by_a_process_that_just_found_none(
    fresh: Callable[[], pool.Pool], leases: pool.Pool
) -> None:
    elsewhere, other = declare("elsewhere"), fresh()
    with pytest.raises(errors.NoCredential, match="no credential is configured") as told:
        other.lease(elsewhere, "profile", "x")
    assert told.value.permanent
    leases.add(elsewhere, "new", {"key": "s"})
    time.sleep(0.25)
    assert other.lease(elsewhere, "profile", "x").name == "new"


def test_a_name_that_is_taken_is_replaced_only_on_request_and_starts_clean(leases: pool.Pool) -> None:
    leases.settle(leases.lease(DEMO, "profile", "x"), charged(CHARGE.CREDENTIAL))
    with pytest.raises(errors.InvalidArgument, match="demo/main already"):
        leases.add(DEMO, "main", {"key": "other"})
    leases.add(DEMO, "main", {"key": "other"}, {"id": "17"}, weight=5, replace=True)
    lease = leases.lease(DEMO, "profile", "x")
    assert (lease.secret(), lease.account) == ({"key": "other"}, {"id": "17"})
    (listed,) = leases.list()
    assert (listed.failures, listed.reason, listed.weight, listed.app) == (0, None, 5, None)


def test_an_unknown_name_is_told(leases: pool.Pool) -> None:
    with pytest.raises(errors.InvalidArgument, match="no credential demo/nobody"):
        leases.enable("demo", "nobody")
    with pytest.raises(errors.InvalidArgument, match="no credential demo/nobody"):
        leases.disable("demo", "nobody", "why")


def test_a_hostile_reason_is_stored_as_text(leases: pool.Pool) -> None:
    reason = "a\0b'; drop table credential; -- \ud800" + "x" * 10_000
    leases.settle(leases.lease(DEMO, "profile", "x"), outcome.Outcome(KIND.UPSTREAM, CHARGE.CREDENTIAL, reason=reason))
    (listed,) = leases.list()
    assert listed.reason is not None
    assert listed.reason.startswith("ab'; drop table")
    assert len(listed.reason) == 300


def test_a_reason_that_a_person_gave_outlives_later_failures(leases: pool.Pool) -> None:
    lease = leases.lease(DEMO, "profile", "x")
    leases.disable("demo", "main", "owner asked us to stop")
    leases.settle(lease, charged(CHARGE.CREDENTIAL))
    leases.settle(lease, outcome.OK)
    (listed,) = leases.list()
    assert (listed.state, listed.reason) == ("disabled", "owner asked us to stop")


def test_rotating_seals_every_secret_with_the_newest_key(
    database: sa.Engine, redis_client: redis.Redis, leases: pool.Pool
) -> None:
    newer = fernet.Fernet.generate_key().decode()
    both = vault.Vault(pydantic.SecretStr(f"{newer},{KEY.get_secret_value()}"))
    assert pool.Pool(database, redis_client, both).rotate() == 1
    assert pool.Pool(database, redis_client, both).rotate() == 0
    alone = pool.Pool(database, redis_client, vault.Vault(pydantic.SecretStr(newer)))
    assert alone.lease(DEMO, "profile", "x").secret() == {"key": "s3cret"}
