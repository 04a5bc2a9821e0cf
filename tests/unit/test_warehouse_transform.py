"""What can be said of the dbt runner without running dbt."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

import pytest

from stirbeat import errors, settings
from stirbeat.warehouse import client, lifetime, transform
from tests import environment

NOWHERE = settings.from_environment(environment.NOWHERE)


@pytest.mark.parametrize(
    "selector", ["", "--full-refresh", "-x", "tag:core; ls", "a b", "tag:core\n", "$(id)", "x" * 300]
)
def test_what_is_no_selector_never_reaches_dbt(selector: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="is no dbt selector"):
        transform.run(NOWHERE, [selector])


def test_at_least_one_selector_is_wanted() -> None:
    with pytest.raises(errors.InvalidArgument, match="at least one"):
        transform.run(NOWHERE, [])


def test_a_folder_without_a_project_is_a_wrong_setting(tmp_path: pathlib.Path) -> None:
    wrong = NOWHERE.model_copy(update={"dbt_folder": str(tmp_path)})
    with pytest.raises(errors.SettingsError, match="set STIRBEAT_DBT_FOLDER"):
        transform.project_folder(wrong)


def test_the_checkouts_project_is_found() -> None:
    assert (transform.project_folder(NOWHERE) / "dbt_project.yml").is_file()


def test_a_failed_model_is_named_with_its_message() -> None:
    result = transform.Result(
        selectors=("tag:daily",),
        exit_code=1,
        seconds=1.0,
        nodes=(
            transform.Node("model.stirbeat.mart_a", "error", 0.1, "Database Error\n  code 47"),
            transform.Node("test.stirbeat.not_null_mart_a_x.abc", "skipped", 0.0, ""),
        ),
        output="",
    )
    assert not result.ok
    assert result.problem == "mart_a: Database Error code 47"


def test_a_run_that_selects_nothing_is_not_well() -> None:
    result = transform.Result(("tag:nothing",), 0, 1.0, (), "")
    assert not result.ok
    assert "nothing in the dbt project is selected by tag:nothing" in result.problem


def test_a_strange_database_name_is_refused() -> None:
    url = NOWHERE.clickhouse_url.__class__("clickhouse://a:b@127.0.0.1:1/x`; DROP")
    with pytest.raises(errors.SettingsError, match="STIRBEAT_CLICKHOUSE_URL must end in a database name"):
        client.database_of(NOWHERE.model_copy(update={"clickhouse_url": url}))


def test_a_leashed_program_dies_with_its_parent() -> None:
    # given a parent that leashes a child and tells its id
    script = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'stirbeat.warehouse.leash', str(os.getpid()),"
        " sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)'],"
        " start_new_session=True, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    root = pathlib.Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert pathlib.Path(f"/proc/{child}").exists()

        # when
        parent.kill()

    # then
    deadline = time.monotonic() + 5
    while _alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_waits_grow_to_a_ceiling_and_start_again() -> None:
    backoff = lifetime.Backoff(first_s=1.0, longest_s=8.0)
    waits = [backoff.next_s() for _ in range(100)]
    assert all(0.5 * step <= wait <= step for wait, step in zip(waits, [1, 2, 4, 8, 8, 8], strict=False))
    assert all(4 <= wait <= 8 for wait in waits[3:])
    backoff.reset()
    assert backoff.next_s() <= 1


def _alive(pid: int) -> bool:
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
