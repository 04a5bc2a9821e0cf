"""Rows are refused when they are written, with a sentence that says why."""

from __future__ import annotations

import dataclasses

import pytest

from stirbeat import errors
from stirbeat.schedule import row

GOOD = row.Row(name="daily", cron="0 19 * * *", task="transform.run", kwargs={"selector": "daily"}, catch_up="once")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", ":lock", "no name"),
        ("name", "Daily Run", "no name"),
        ("name", "", "no name"),
        ("task", "transform", "no task name"),
        ("task", "os.system; rm", "no task name"),
        ("cron", "0 19 * *", "five fields"),
        ("cron", "0 25 * * *", "cron"),
        ("cron", "0 0 30 2 *", "cron"),
        ("kwargs", {"at": object()}, "JSON"),
        ("kwargs", {"ratio": float("nan")}, "JSON"),
        ("catch_up", "twice", "catch_up"),
        ("budget_s", 0, "budget_s"),
        ("budget_s", -5, "budget_s"),
    ],
)
def test_a_row_with_a_mistake_is_refused(field: str, value: object, says: str) -> None:
    with pytest.raises(errors.RegistryError, match=says):
        dataclasses.replace(GOOD, **{field: value})


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.cron = "* * * * *"  # type: ignore[misc]


def test_spaces_between_fields_do_not_matter() -> None:
    spaced = dataclasses.replace(GOOD, cron="  0   19 * *  * ")
    assert spaced.schedule == GOOD.schedule
