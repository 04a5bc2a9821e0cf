"""`stirbeat schedule`: what people and machines are shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from stirbeat import settings
from stirbeat.cli import schedule

SETTINGS = {
    "STIRBEAT_DATABASE_URL": "postgresql://user:hunter2@db/stirbeat",
    "STIRBEAT_BROKER_URL": "amqp://user:hunter2@broker/stirbeat",
    "STIRBEAT_REDIS_URL": "redis://:hunter2@redis/0",
    "STIRBEAT_CLICKHOUSE_URL": "clickhouse://user:hunter2@warehouse/stirbeat",
    "STIRBEAT_S3_ENDPOINT_URL": "http://s3:8333",
    "STIRBEAT_S3_ACCESS_KEY_ID": "hunter2",
    "STIRBEAT_S3_SECRET_ACCESS_KEY": "hunter2",
    "STIRBEAT_SECRET_KEYS": "hunter2",
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    for name in [name for name in os.environ if name.startswith("STIRBEAT_")]:
        monkeypatch.delenv(name)
    settings.get.cache_clear()
    yield CliRunner(env=SETTINGS)
    settings.get.cache_clear()


def test_the_list_says_when_each_row_fires_next(run: CliRunner) -> None:
    done = run.invoke(schedule.GROUP, ["list", "--json", "--at", "2026-03-01T19:30"])
    assert done.exit_code == 0, done.output
    coming = {entry["name"]: entry["next"] for entry in json.loads(done.output)}
    assert coming["transform_core"] == "2026-03-01T22:00:00+00:00"
    assert coming["transform_daily"] == "2026-03-02T19:00:00+00:00"
    assert coming["janitor"] == "2026-03-01T19:31:00+00:00"


def test_another_pause_window_is_taken_from_the_settings(run: CliRunner) -> None:
    arguments = ["next", "--json", "--at", "2026-03-01T23:40", "--row", "transform_core", "--count", "6"]
    done = run.invoke(schedule.GROUP, arguments, env={"STIRBEAT_PAUSE_WINDOWS": "23:50-00:20"})
    assert done.exit_code == 0, done.output
    assert [(entry["at"][11:16], entry["fires"]) for entry in json.loads(done.output)] == [
        ("23:45", True),
        ("00:00", False),
        ("00:15", False),
        ("00:20", True),
        ("00:30", True),
        ("00:45", True),
    ]


def test_a_time_may_name_its_zone(run: CliRunner) -> None:
    done = run.invoke(
        schedule.GROUP, ["next", "--json", "--count", "1", "--row", "janitor", "--at", "2026-03-01T12:00+05:30"]
    )
    assert json.loads(done.output)[0]["at"] == "2026-03-01T06:31:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["next", "--at", "soon"], "is no time"), (["next", "--row", "nonsense"], "no row nonsense")],
)
def test_a_mistake_is_one_sentence_and_status_2(run: CliRunner, arguments: list[str], says: str) -> None:
    done = run.invoke(schedule.GROUP, arguments)
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize("arguments", [["list"], ["next"], ["list", "--json"]])
def test_no_secret_is_shown(run: CliRunner, arguments: list[str]) -> None:
    done = run.invoke(schedule.GROUP, arguments)
    assert done.exit_code == 0, done.output
    assert "transform" in done.output or "janitor" in done.output
    assert "hunter2" not in done.output
