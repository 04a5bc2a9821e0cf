"""Pause windows: which minutes are paused, and when a pause is over."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stirbeat import errors
from stirbeat.schedule import pause

UTC = datetime.UTC
DAY = datetime.datetime(2026, 3, 1, tzinfo=UTC)

minutes = st.integers(0, 24 * 60 - 1)
times = st.datetimes(
    datetime.datetime(2000, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    datetime.datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, datetime.timezone(datetime.timedelta(hours=5, minutes=30))]),
)


def at(clock: str) -> datetime.datetime:
    hour, minute, second = (*map(int, clock.split(":")), 0)[:3]
    return DAY.replace(hour=hour, minute=minute, second=second)


def text(start: int, end: int) -> str:
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def inside(start: int, end: int, moment: datetime.datetime) -> bool:
    """The definition, by seconds of the day, against which the minutes are tested."""
    utc = moment.astimezone(UTC)
    second = utc.hour * 3600 + utc.minute * 60 + utc.second
    if start < end:
        return start * 60 <= second < end * 60
    return second >= start * 60 or second < end * 60


windows = st.lists(st.tuples(minutes, minutes).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=4)


@given(windows, times)
def test_a_time_is_paused_exactly_when_it_lies_in_one_of_the_windows(pairs: list[tuple[int, int]], moment) -> None:
    try:
        built = pause.Windows([text(*pair) for pair in pairs])
    except errors.SettingsError:  # together they cover the whole day
        return
    assert built.is_paused(moment) == any(inside(*pair, moment) for pair in pairs)


@given(windows, times)
def test_the_end_of_a_pause_is_its_first_moment_that_is_not_paused(pairs: list[tuple[int, int]], moment) -> None:
    try:
        built = pause.Windows([text(*pair) for pair in pairs])
    except errors.SettingsError:
        return
    end, start = built.next_end(moment), built.last_start(moment)
    if not built.is_paused(moment):
        assert end is None
        assert start is None
        return
    second = datetime.timedelta(seconds=1)
    assert start <= moment < end
    assert not built.is_paused(end)
    assert not built.is_paused(start - second)
    assert built.is_paused(end - second)
    assert built.is_paused(start)
    probe = start
    while probe < end:
        assert built.is_paused(probe)
        probe += datetime.timedelta(minutes=7)


def test_a_window_begins_with_its_first_second_and_is_over_at_its_end() -> None:
    evening = pause.Windows(["19:00-22:00"])
    assert not evening.is_paused(at("18:59:59"))
    assert evening.is_paused(at("19:00"))
    assert evening.is_paused(at("21:59:59"))
    assert not evening.is_paused(at("22:00"))
    assert evening.next_end(at("20:30:17")) == at("22:00")


def test_a_window_may_cross_midnight() -> None:
    night = pause.Windows(["23:30-01:00"])
    assert night.is_paused(at("23:45"))
    assert night.is_paused(at("00:59"))
    assert not night.is_paused(at("01:00"))
    assert night.next_end(at("23:45")) == at("01:00") + datetime.timedelta(days=1)
    assert night.last_start(at("00:10")) == at("23:30") - datetime.timedelta(days=1)


def test_windows_that_touch_or_overlap_are_one_pause() -> None:
    chained = pause.Windows(["19:00-21:00", "21:00-22:00", "21:30-23:15"])
    assert chained.next_end(at("19:05")) == at("23:15")


def test_a_time_in_another_zone_is_the_same_time() -> None:
    india = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    evening = pause.Windows(["19:00-22:00"])
    assert evening.is_paused(datetime.datetime(2026, 3, 2, 0, 45, tzinfo=india))  # 19:15 UTC the day before
    assert not evening.is_paused(datetime.datetime(2026, 3, 1, 19, 30, tzinfo=india))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        pause.Windows(["19:00-22:00"]).is_paused(datetime.datetime(2026, 3, 1, 20))  # noqa: DTZ001


def test_no_window_pauses_nothing() -> None:
    assert not pause.Windows().is_paused(at("20:00"))


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["19:00"], "must look like"),
        (["7pm-10pm"], "must look like"),
        (["19:00-25:00"], "no day has"),
        (["19:00-19:00"], "begins and ends at once"),
        (["00:00-12:00", "12:00-00:00"], "whole day"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_in_a_sentence(texts: list[str], says: str) -> None:
    with pytest.raises(errors.SettingsError, match=says):
        pause.Windows(texts)
