"""`stirbeat credentials`, as a person or a script runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest
import redis
import sqlalchemy as sa

from stirbeat.credentials import pool, vault
from stirbeat.domain import catalogue, outcome
from stirbeat.settings import from_environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def variables(stack_environment: dict[str, str], database_url: str, redis_url: str) -> dict[str, str]:
    return stack_environment | {"STIRBEAT_DATABASE_URL": database_url, "STIRBEAT_REDIS_URL": redis_url}


@pytest.fixture
def stirbeat(variables: dict[str, str], redis_client: redis.Redis) -> Run:
    """Runs `stirbeat credentials ...` with this on standard input."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-c", "from stirbeat.cli.main import main; main()", "credentials", *arguments],
            input=stdin.encode(),
            capture_output=True,
            env=variables | {"PATH": os.environ["PATH"], "COLUMNS": "200"},
            timeout=60,
            check=False,
        )
        return subprocess.CompletedProcess(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


@pytest.fixture
def leases(database: sa.Engine, redis_client: redis.Redis, variables: dict[str, str]) -> pool.Pool:
    return pool.Pool(database, redis_client, vault.Vault(from_environment(variables).secret_keys))


def test_a_credential_goes_in_by_standard_input_and_its_secret_never_comes_out(
    stirbeat: Run, leases: pool.Pool
) -> None:
    options = ("--app", "a", "--weight", "3", "--account", "id=17")
    added = stirbeat("add", "lama", "main", *options, stdin='{"key": "s3cret=1"}')
    assert (added.returncode, added.stderr) == (0, "")
    shown = [added, stirbeat("list"), stirbeat("list", "--json"), stirbeat("health")]
    assert all(one.returncode == 0 and "s3cret" not in one.stdout + one.stderr for one in shown)

    (listed,) = json.loads(shown[2].stdout)
    assert (listed["provider"], listed["name"], listed["app"], listed["weight"]) == ("lama", "main", "a", 3)
    assert (listed["account"], listed["state"]) == ({"id": "17"}, "ready")
    lease = leases.lease(catalogue.providers()["lama"], "profile", "natgeo")
    assert lease.secret() == {"key": "s3cret=1"}


def test_a_person_is_asked_for_the_secret_and_does_not_see_it(variables: dict[str, str], leases: pool.Pool) -> None:
    controller, terminal = pty.openpty()
    command = "from stirbeat.cli.main import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", command, "credentials", "add", "lama", "typed"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=variables | {"PATH": os.environ["PATH"]},
        start_new_session=True,
    )
    os.close(terminal)
    seen = b""
    while b"key:" not in seen:
        seen += os.read(controller, 1000)
    os.write(controller, b"s3cret\n")
    while b"enabled" not in seen:
        seen += os.read(controller, 1000)
    assert child.wait(30) == 0
    os.close(controller)
    assert b"s3cret" not in seen
    assert leases.lease(catalogue.providers()["lama"], "profile", "x").secret() == {"key": "s3cret"}


def test_bad_input_is_one_sentence_on_standard_error_and_stores_nothing(stirbeat: Run, leases: pool.Pool) -> None:
    ended = stirbeat("add", "lama", "n", stdin='{"key": "s3cret"')
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("stirbeat: standard input must hold the secret")
    assert ended.stderr.count("\n") == 1
    assert leases.list() == ()


def test_disable_enable_and_replace(stirbeat: Run, leases: pool.Pool) -> None:
    stirbeat("add", "lama", "main", stdin="\n key = one=1 \n\n")
    assert leases.lease(catalogue.providers()["lama"], "profile", "x").secret() == {"key": "one=1"}
    assert stirbeat("disable", "lama", "main", "--reason", "owner asked").returncode == 0
    assert [(one.state, one.reason) for one in leases.list()] == [("disabled", "owner asked")]
    assert stirbeat("health").returncode == 1
    assert stirbeat("enable", "lama", "main").returncode == 0
    assert [(one.state, one.reason) for one in leases.list()] == [("ready", None)]
    again = stirbeat("add", "lama", "main", stdin="key=two")
    assert (again.returncode, "already" in again.stderr) == (2, True)
    assert stirbeat("add", "lama", "main", "--replace", stdin="key=two").returncode == 0
    assert leases.lease(catalogue.providers()["lama"], "profile", "x").secret() == {"key": "two"}
    for verb in ("enable", "disable"):
        assert "there is no credential lama/nobody" in stirbeat(verb, "lama", "nobody").stderr


def test_health_tells_the_calls_spent_against_each_limit_and_who_is_cooling(stirbeat: Run, leases: pool.Pool) -> None:
    lama = catalogue.providers()["lama"]
    leases.add(lama, "main", {"key": "s"})
    leases.add(lama, "[red]other", {"key": "s"})
    lease = next(one for one in iter(lambda: leases.lease(lama, "profile", "x"), None) if one.name == "main")
    leases.settle(lease, outcome.Outcome(outcome.Kind.RATE_LIMITED, outcome.ChargeTo.CREDENTIAL, reason="429"))
    leases.settle(lease, outcome.Outcome(outcome.Kind.UPSTREAM, outcome.ChargeTo.CREDENTIAL_FUNCTION, 30, reason="5xx"))

    told = json.loads(stirbeat("health", "--provider", "lama", "--json").stdout)
    assert {one["name"]: one["state"] for one in told["credentials"]} == {"main": "cooling", "[red]other": "ready"}
    assert [(one["reason"], 25 < one["cooling_s"] <= 30) for one in told["cooldowns"]] == [("5xx", True)]
    day = [one for one in told["windows"] if one["credential"] == "main" and one["period_s"] == 86_400]
    assert [(one["used"], one["limit"], one["resets_in_s"] > 86_300) for one in day] == [(1, 20_000, True)]

    shown = stirbeat("health").stdout
    assert "[red]other" in shown
    assert "10m" in shown


def test_rotate_needs_the_old_key_and_then_does_without_it(
    stirbeat: Run, variables: dict[str, str], leases: pool.Pool
) -> None:
    leases.add("lama", "main", {"key": "s"})
    old, new = variables["STIRBEAT_SECRET_KEYS"], "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0="
    variables["STIRBEAT_SECRET_KEYS"] = new
    refused = stirbeat("rotate")
    assert (refused.returncode, "cannot be decrypted" in refused.stderr) == (2, True)
    variables["STIRBEAT_SECRET_KEYS"] = f"{new},{old}"
    assert stirbeat("rotate").stdout == "1 secrets were encrypted anew\n"
    variables["STIRBEAT_SECRET_KEYS"] = new
    assert json.loads(stirbeat("list", "--json").stdout)[0]["state"] == "ready"


def test_a_service_that_is_down_is_one_sentence(stirbeat: Run, variables: dict[str, str]) -> None:
    variables["STIRBEAT_DATABASE_URL"] = "postgresql+psycopg2://nobody:hidden@127.0.0.1:1/none"
    ended = stirbeat("list")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "stirbeat: Postgres does not answer: OperationalError\n"
