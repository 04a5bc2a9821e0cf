"""dbt as a child process: failures are told by name, and no dbt outlives its caller."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from stirbeat import errors, settings
from stirbeat.warehouse import client, transform
from tests import streams

pytestmark = pytest.mark.services

# A model that keeps ClickHouse busy for minutes, a number a second.
SLOW = "select count() as n from numbers(600) where sleepEachRow(1) = 0 settings max_block_size = 1"


@pytest.fixture
def project(configured: settings.Settings, tmp_path: pathlib.Path) -> settings.Settings:
    """Settings for a copy of the dbt project that tests can add models to, with a work folder of its own."""
    shutil.copytree(transform.project_folder(configured), tmp_path / "dbt")
    (tmp_path / "work").mkdir()
    return configured.model_copy(update={"dbt_folder": str(tmp_path / "dbt"), "work_folder": str(tmp_path / "work")})


def add(project: settings.Settings, name: str, statement: str, tag: str) -> None:
    folder = pathlib.Path(project.dbt_folder) / "models" / "marts"
    (folder / f"{name}.sql").write_text(f"{{{{ config(tags=['{tag}']) }}}}\n{statement}\n")


def test_a_failing_model_is_named_the_others_are_built_and_deprecated_ones_are_left_out(
    project: settings.Settings,
) -> None:
    # given
    add(project, "fine", "select 1 as a", "mixed")
    add(project, "broken", "select no_such_column from system.one", "mixed")
    add(project, "old", "{{ config(tags=['deprecated']) }} select 1 as a", "mixed")

    # when
    result = transform.run(project, ["tag:mixed"])

    # then
    assert result.exit_code == 1
    assert not result.ok
    assert {node.name: node.status for node in result.nodes} == {"fine": "success", "broken": "error"}
    assert result.problem.startswith("broken: ")
    assert "no_such_column" in result.problem
    # and nothing is left behind, no password is told
    assert list(pathlib.Path(project.work_folder).iterdir()) == []
    password = project.clickhouse_url.get_secret_value().split(":")[2].split("@")[0]
    assert password not in result.output


def test_two_runs_side_by_side_do_not_disturb_each_other(
    project: settings.Settings, environment: dict[str, str]
) -> None:
    add(project, "left", "select 1 as a", "left")
    add(project, "right", "select 2 as a", "right")
    given = environment | {
        "STIRBEAT_DBT_FOLDER": project.dbt_folder,
        "STIRBEAT_WORK_FOLDER": project.work_folder,
        "COLUMNS": "200",
    }

    with (
        streams.process(given, "transform", "run", "tag:left") as left,
        streams.process(given, "transform", "run", "tag:right") as right,
    ):
        assert left.wait(90) == 0
        assert right.wait(90) == 0

    with client.Client(project) as warehouse:
        assert warehouse.execute("SELECT (SELECT a FROM left), (SELECT a FROM right)") == [(1, 2)]


def test_a_run_past_its_time_is_ended_with_all_its_processes(project: settings.Settings) -> None:
    add(project, "slow", SLOW, "slow")

    started = time.monotonic()
    with pytest.raises(errors.Fatal, match="dbt ran longer than 12 s and was stopped"):
        transform.run(project, ["tag:slow"], timeout_s=12)

    assert time.monotonic() - started < 12 + transform.GRACE_S + 5
    assert _dbts_of(project) == []


def test_a_killed_caller_leaves_no_dbt_running(project: settings.Settings, environment: dict[str, str]) -> None:
    # given a caller whose dbt runs
    add(project, "slow", SLOW, "slow")
    given = environment | {"STIRBEAT_DBT_FOLDER": project.dbt_folder, "STIRBEAT_WORK_FOLDER": project.work_folder}
    with streams.process(given, "transform", "run", "tag:slow") as caller:
        streams.until(lambda: _dbts_of(project) != [])

        # when
        os.kill(caller.pid, signal.SIGKILL)

        # then
        streams.until(lambda: _dbts_of(project) == [], timeout_s=10)


def test_an_absent_clickhouse_is_told_before_dbt_is_started(project: settings.Settings) -> None:
    away = project.model_copy(
        update={"clickhouse_url": project.clickhouse_url.__class__("clickhouse://a:b@127.0.0.1:1/c")}
    )
    with pytest.raises(errors.ServiceUnavailable, match=r"ClickHouse at 127\.0\.0\.1:1 does not answer"):
        transform.run(away, ["tag:core"])


def test_the_command_line_shows_the_models_and_fails_with_them(
    project: settings.Settings, environment: dict[str, str]
) -> None:
    add(project, "broken", "select no_such_column from system.one", "alone")
    given = environment | {"STIRBEAT_DBT_FOLDER": project.dbt_folder, "PATH": "/usr/bin:/bin", "COLUMNS": "200"}

    done = subprocess.run(
        [sys.executable, "-c", "from stirbeat.cli.main import main; main()", "transform", "run", "tag:alone"],
        env=given | {"PYTHONPATH": str(streams.ROOT)},
        cwd=streams.ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 1
    assert "broken" in done.stdout
    assert "error" in done.stdout
    assert "no_such_column" in done.stderr


def _dbts_of(project: settings.Settings) -> list[int]:
    """Processes that work on this test's copy of the project."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if project.dbt_folder.encode() in command and b"dbt.cli.main" in command:
            found.append(int(folder.name))
    return found
