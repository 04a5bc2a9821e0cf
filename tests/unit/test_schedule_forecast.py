"""What people are told will run, and why not."""

from __future__ import annotations

import datetime
import itertools

import beat_schedule
from stirbeat.schedule import forecast, pause, row

UTC = datetime.UTC
EVENING = pause.Windows(["19:00-22:00"])
YEAR = datetime.timedelta(days=366)


def test_the_evening_of_our_own_timetable() -> None:
    rows = [entry for entry in beat_schedule.ROWS if entry.name != "janitor"]
    start = datetime.datetime(2026, 3, 1, 18, 50, tzinfo=UTC)
    shown = [
        (f"{one.at:%H:%M}", one.row, one.fires) for one in itertools.islice(forecast.merged(rows, EVENING, start), 17)
    ]
    held = [f"{hour}:{minute:02}" for hour in (19, 20, 21) for minute in (0, 15, 30, 45)]
    assert [clock for clock, name, fires in shown if name == "transform_core" and not fires] == held
    assert [(clock, name) for clock, name, fires in shown if fires] == [
        ("19:00", "transform_daily"),
        ("20:15", "sync_leaderboard"),
        ("22:00", "transform_core"),
        ("22:15", "transform_core"),
        ("22:30", "transform_core"),
    ]


def test_a_tick_held_before_the_question_is_asked_still_fires_at_the_end() -> None:
    entry = row.Row("half_past", "30 19 * * *", "transform.run", pausable=True, catch_up="once")
    asked = datetime.datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
    found = forecast.next_firing(entry, EVENING, asked, within=YEAR)
    assert found is not None
    assert (found.at, found.why) == (asked.replace(hour=22), "the pause is over; due since 19:30")


def test_a_row_that_no_window_ever_lets_through_is_seen() -> None:
    entry = row.Row("never", "30 19 * * *", "transform.run", pausable=True, catch_up="skip")
    assert forecast.next_firing(entry, EVENING, datetime.datetime(2026, 3, 1, tzinfo=UTC), within=YEAR) is None


def test_no_row_of_our_own_timetable_is_always_paused_by_the_default_windows() -> None:
    now = datetime.datetime(2026, 3, 1, tzinfo=UTC)
    for entry in beat_schedule.ROWS:
        assert forecast.next_firing(entry, EVENING, now, within=YEAR) is not None, entry.name
