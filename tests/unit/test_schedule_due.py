"""Time travel: a beat is played over days with a clock of the test's own."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stirbeat.schedule import due, forecast, pause, row

UTC = datetime.UTC
EVENING = pause.Windows(["19:00-22:00"])
CORE = row.Row("core", "*/15 * * * *", "transform.run", pausable=True, catch_up="once")
DAILY = row.Row("daily", "0 19 * * *", "transform.run", catch_up="once")


def time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def always(_at: datetime.datetime) -> bool:
    return True


def play(
    entry: row.Row,
    windows: pause.Windows,
    start: datetime.datetime,
    end: datetime.datetime,
    *,
    up: Callable[[datetime.datetime], bool] = always,
    step_s: float = 5.0,
) -> list[datetime.datetime]:
    """When a beat that looks every `step_s` seconds, while it is `up`, fires the row. It was first seen at `start`."""
    fired, last, now = [], start, start
    while now <= end:
        if up(now):
            decision = due.decide(entry.schedule, last, now, windows, pausable=entry.pausable, catch_up=entry.catch_up)
            assert decision.again_s > 0
            if decision.due:
                fired.append(now)
                last = now
        now += datetime.timedelta(seconds=step_s)
    return fired


def clock(times: Iterable[datetime.datetime]) -> list[str]:
    return [f"{at:%d %H:%M}" for at in times]


def test_a_row_that_pauses_is_silent_in_the_window_and_fires_once_after_it() -> None:
    fired = play(CORE, EVENING, time("2026-03-01T18:20"), time("2026-03-01T22:40"))
    assert clock(fired) == ["01 18:30", "01 18:45", "01 22:00", "01 22:15", "01 22:30"]


def test_a_row_that_does_not_pause_fires_in_the_window() -> None:
    assert clock(play(DAILY, EVENING, time("2026-03-01T12:00"), time("2026-03-02T23:00"), step_s=30)) == [
        "01 19:00",
        "02 19:00",
    ]


def test_a_held_tick_fires_at_the_windows_end_with_once_and_waits_for_the_clock_with_skip() -> None:
    once = row.Row("hourly", "20 * * * *", "transform.run", pausable=True, catch_up="once")
    skip = dataclasses.replace(once, catch_up="skip")
    span = time("2026-03-01T18:00"), time("2026-03-01T23:00")
    assert clock(play(once, EVENING, *span)) == ["01 18:20", "01 22:00", "01 22:20"]
    assert clock(play(skip, EVENING, *span)) == ["01 18:20", "01 22:20"]


def test_a_tick_in_the_windows_last_minute_is_not_late_but_held() -> None:
    every_minute = row.Row("often", "* * * * *", "maintenance.janitor", pausable=True, catch_up="skip")
    at_59 = dataclasses.replace(every_minute, cron="59 21 * * *")
    assert play(at_59, EVENING, time("2026-03-01T21:00"), time("2026-03-02T20:00"), step_s=20) == []
    assert clock(play(every_minute, EVENING, time("2026-03-01T21:58"), time("2026-03-01T22:01"))) == [
        "01 22:00",
        "01 22:01",
    ]


def test_of_three_days_without_a_beat_once_runs_one_tick_and_skip_none() -> None:
    skip = dataclasses.replace(DAILY, catch_up="skip")
    start, end = time("2026-03-01T12:00"), time("2026-03-05T12:00")
    back = time("2026-03-04T23:10")
    up = [lambda at: at >= back][0]
    assert clock(play(DAILY, EVENING, start, end, up=up, step_s=60)) == ["04 23:10"]
    assert clock(play(skip, EVENING, start, end, up=up, step_s=60)) == []


def test_a_take_over_within_the_deadline_loses_no_tick_of_a_row_that_skips() -> None:
    skip = dataclasses.replace(DAILY, catch_up="skip")
    start, end = time("2026-03-01T18:00"), time("2026-03-01T20:00")

    def dead_for(seconds: int) -> Callable[[datetime.datetime], bool]:
        dies = time("2026-03-01T18:59:58")
        return lambda at: not dies <= at < dies + datetime.timedelta(seconds=seconds)

    assert len(play(skip, EVENING, start, end, up=dead_for(60))) == 1
    assert play(skip, EVENING, start, end, up=dead_for(180)) == []


def test_a_beat_that_comes_back_inside_the_window_waits_for_its_end() -> None:
    fired = play(
        CORE, EVENING, time("2026-03-01T18:40"), time("2026-03-01T22:20"), up=lambda at: at >= time("2026-03-01T19:30")
    )
    assert clock(fired) == ["01 22:00", "01 22:15"]


def test_a_row_that_never_ran_is_due_with_once() -> None:
    now = time("2026-03-01T12:00:30")
    assert due.decide(DAILY.schedule, None, now, EVENING, pausable=False, catch_up="once").due
    assert not due.decide(DAILY.schedule, None, now, EVENING, pausable=False, catch_up="skip").due


def test_a_clock_that_was_set_back_fires_no_tick_twice() -> None:
    fired_at = time("2026-03-01T10:15:00")
    for now in ("2026-03-01T10:14:58", "2026-03-01T10:15:00", "2026-03-01T10:15:40", "2026-03-01T09:50:00"):
        assert not due.decide(CORE.schedule, fired_at, time(now), EVENING, pausable=True, catch_up="once").due


def test_the_reason_says_what_holds_a_row() -> None:
    held = due.decide(
        CORE.schedule, time("2026-03-01T18:50"), time("2026-03-01T19:30"), EVENING, pausable=True, catch_up="once"
    )
    assert (held.due, held.why, held.again_s) == (False, "paused until 22:00 UTC", 2.5 * 3600)


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    cron_text=st.sampled_from(["*/15 * * * *", "7,52 * * * *", "0 */5 * * *", "30 20 * * *", "0 19 * * 0"]),
    pausable=st.booleans(),
    catch_up=st.sampled_from(["once", "skip"]),
    texts=st.sampled_from([(), ("19:00-22:00",), ("23:10-01:05", "12:00-12:30"), ("20:31-20:30",)]),
    hour=st.integers(0, 23),
)
def test_the_forecast_is_what_a_beat_that_is_always_up_does(cron_text, pausable, catch_up, texts, hour) -> None:
    entry = row.Row("any", cron_text, "transform.run", pausable=pausable, catch_up=catch_up)
    windows = pause.Windows(texts)
    start = time("2026-02-27T00:00") + datetime.timedelta(hours=hour)
    end = start + datetime.timedelta(days=2)
    played = play(entry, windows, start, end, step_s=60)
    foreseen = []
    for occurrence in forecast.occurrences(entry, windows, start):
        if occurrence.at > end:
            break
        if occurrence.fires:
            foreseen.append(occurrence.at)
    # What the present window holds already (a tick before `start`) is the forecast's to know, not the played beat's.
    assert [at for at in foreseen if at in played] == played
    assert all(windows.is_paused(start) for at in foreseen if at not in played)


@given(
    st.lists(st.integers(1, 3 * 24 * 60), max_size=6),
    st.sampled_from([CORE, DAILY, row.Row("odd", "3,40 * * * *", "transform.run", catch_up="once")]),
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_whatever_outages_there_are_no_tick_fires_twice_and_none_fires_in_a_window(outages, entry) -> None:
    start = time("2026-03-01T00:00")
    switches = sorted(outages)

    def up(at: datetime.datetime) -> bool:
        minute = (at - start).total_seconds() / 60
        return sum(switch <= minute for switch in switches) % 2 == 0

    fired = play(entry, EVENING, start, start + datetime.timedelta(days=3), up=up, step_s=60)
    ticks = [due.cron.latest(entry.schedule, at) for at in fired]
    assert len(set(ticks)) == len(ticks)
    if entry.pausable:
        assert not any(EVENING.is_paused(at) for at in fired)
