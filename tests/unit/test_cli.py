"""The command line: every group answers --help; a mistake gets one sentence and exit status 2, never a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stirbeat.cli import main
from tests import environment

FIRST_WORDS = {"PATH": "/usr/bin:/bin"}


def stirbeat(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stirbeat", *arguments],
        env=FIRST_WORDS | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_command_is_listed_with_what_it_does() -> None:
    done = stirbeat("--help")

    assert done.returncode == 0
    for name, about in main.COMMANDS.items():
        assert name in done.stdout
        assert about.split()[0] in done.stdout


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_explains_itself_without_any_setting(name: str) -> None:
    done = stirbeat(name, "--help")

    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


@pytest.mark.parametrize("command", [("worker", "--group", "runs"), ("beat",), ("relay",), ("sink",), ("migrate",)])
def test_missing_settings_are_named_in_one_message_at_boot(command: tuple[str, ...]) -> None:
    done = stirbeat(*command, STIRBEAT_BROKER_URL="http://wrong")

    assert done.returncode == 2
    assert done.stderr.startswith("stirbeat: ")
    assert "STIRBEAT_BROKER_URL: must be a URL that starts with amqp://" in done.stderr
    assert "STIRBEAT_DATABASE_URL is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_setting_is_refused() -> None:
    done = stirbeat("worker", "--list", **environment.NOWHERE, STIRBEAT_SCRAPE_CONCURENCY="5")

    assert done.returncode == 2
    assert "STIRBEAT_SCRAPE_CONCURENCY is not a setting of stirbeat" in done.stderr


def test_an_unknown_group_is_refused_with_what_there_is() -> None:
    done = stirbeat("worker", "--group", "nobody", **environment.NOWHERE)

    assert done.returncode == 2
    assert "--group must be one of scrape_instagram, scrape_instagram_high, runs, maintenance" in done.stderr


def test_the_groups_are_listed_with_their_queues_and_pools() -> None:
    done = stirbeat("worker", "--list", **environment.NOWHERE)

    assert done.returncode == 0
    batch, high = (line for line in done.stdout.splitlines() if line.startswith("scrape_instagram"))
    assert "threads" in batch
    assert "instagram_refresh_profile_high" not in batch
    assert "instagram_refresh_profile_high" in high, "what customers wait for has workers of its own"


def test_flower_does_not_start_without_a_password() -> None:
    done = stirbeat("flower", **environment.NOWHERE)

    assert done.returncode == 2
    assert "STIRBEAT_FLOWER_PASSWORD is missing" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("instagram.refresh_profile", "natgeo"), "write name=value, like handle=natgeo"),
        (("instagram.refresh_all", "handle=natgeo"), "there is no flow 'instagram.refresh_all'; there are: "),
        (("instagram.refresh_profile", "handle=two words"), "handle must be "),
        (("instagram.refresh_profile",), "missing argument handle"),
    ],
)
def test_a_mistaken_request_is_refused_before_anything_is_reached(arguments: tuple[str, ...], said: str) -> None:
    done = stirbeat("submit", *arguments, **environment.NOWHERE)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_is_named() -> None:
    done = stirbeat("migrate", **environment.NOWHERE)

    assert done.returncode == 2
    assert "Postgres does not answer" in done.stderr
    assert "nothing" not in done.stderr.split(), "the password is not told"


def test_every_setting_is_explained() -> None:
    done = stirbeat("settings")

    assert done.returncode == 0
    assert "STIRBEAT_DATABASE_URL  (required)" in done.stdout
    assert "STIRBEAT_PAUSE_WINDOWS  (default 19:00-22:00)" in done.stdout
