"""The timetable: ours, plugins' rows, and what Celery is given."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from celery.schedules import crontab

import beat_schedule
from stirbeat import errors
from stirbeat.schedule import timetable


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a package of the given files and makes it importable."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, **files: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for file, text in files.items():
            (folder / f"{file}.py").write_text("from stirbeat.schedule.row import Row\n" + textwrap.dedent(text))
        return name

    yield write
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


def test_every_row_has_its_time_in_the_issue() -> None:
    crons = {row.name: (row.cron, row.pausable) for row in timetable.rows()}
    assert crons["transform_core"] == ("*/15 * * * *", True)
    assert crons["transform_daily"] == ("0 19 * * *", False)
    assert crons["sync_leaderboard"] == ("15 20 * * *", False)
    assert crons["janitor"] == ("* * * * *", False)
    assert "sync_cleanup" in crons


def test_rows_come_from_the_plugin_and_from_its_schedule_module(plugin) -> None:
    name = plugin(
        "acme_rows",
        __init__='ROWS = (Row("acme_one", "0 1 * * *", "acme.one"),)',
        schedule='ROWS = (Row("acme_two", "0 2 * * *", "acme.two", pausable=True),)',
    )
    names = [row.name for row in timetable.rows((name,))]
    assert names == [*(row.name for row in beat_schedule.ROWS), "acme_one", "acme_two"]


def test_rows_that_the_package_hands_on_are_not_duplicates(plugin) -> None:
    name = plugin(
        "acme_handed",
        __init__="from acme_handed.schedule import ROWS",
        schedule='ROWS = (Row("acme_two", "0 2 * * *", "acme.two"),)',
    )
    assert [row.name for row in timetable.rows((name,))].count("acme_two") == 1


def test_two_rows_of_one_name_are_refused_with_both_places(plugin) -> None:
    name = plugin("acme_clash", __init__='ROWS = (Row("janitor", "0 1 * * *", "acme.one"),)')
    with pytest.raises(errors.RegistryError, match="'janitor' is in beat_schedule and in acme_clash"):
        timetable.rows((name,))


def test_rows_that_are_no_rows_are_refused(plugin) -> None:
    name = plugin("acme_wrong", __init__='ROWS = [{"name": "x"}]')
    with pytest.raises(errors.RegistryError, match="must be a tuple"):
        timetable.rows((name,))


def test_a_plugin_that_is_not_there_is_named() -> None:
    with pytest.raises(errors.RegistryError, match="'acme_missing' cannot be imported"):
        timetable.rows(("acme_missing",))


def test_a_plugin_that_lacks_something_itself_says_what(plugin) -> None:
    name = plugin("acme_broken", __init__="import a_library_nobody_has")
    with pytest.raises(ModuleNotFoundError, match="a_library_nobody_has"):
        timetable.rows((name,))


def test_celery_gets_plain_crontabs_and_the_traits_outside_the_options() -> None:
    given = timetable.to_celery(timetable.rows())
    assert given.keys() == {row.name for row in timetable.rows()}
    for entry in given.values():
        assert type(entry["schedule"]) is crontab
        assert "options" not in entry
    assert given["transform_core"]["pausable"] is True
    assert given["transform_daily"]["budget_s"] == 6 * 3600
