"""Cron texts: the tick before and after a time, held against a minute-by-minute search and against Celery."""

from __future__ import annotations

import datetime

import celery
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stirbeat.schedule import cron

UTC = datetime.UTC
MINUTE = datetime.timedelta(minutes=1)

texts = st.builds(
    lambda *fields: " ".join(fields),
    st.sampled_from(["*", "*/15", "0", "7,52", "59"]),
    st.sampled_from(["*", "*/6", "0", "19", "23"]),
    st.sampled_from(["*", "1", "31", "28-31"]),
    st.sampled_from(["*", "1", "3,12", "1,3,5"]),
    st.sampled_from(["*", "0", "1-5"]),
)
times = st.datetimes(
    datetime.datetime(2023, 12, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    datetime.datetime(2024, 4, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def matches(schedule, at: datetime.datetime) -> bool:
    return (
        at.minute in schedule.minute
        and at.hour in schedule.hour
        and at.day in schedule.day_of_month
        and at.month in schedule.month_of_year
        and at.isoweekday() % 7 in schedule.day_of_week
    )


@given(texts, times)
def test_both_neighbours_are_ticks_and_none_lies_between(text: str, at: datetime.datetime) -> None:
    schedule = cron.parse(text)
    before, after = cron.latest(schedule, at), cron.after(schedule, at)
    assert before <= at < after
    assert matches(schedule, before)
    assert matches(schedule, after)
    assert cron.after(schedule, before) == after
    assert cron.latest(schedule, after - MINUTE) == before


@settings(max_examples=30)
@given(texts, times)
def test_a_search_minute_by_minute_finds_the_same_tick(text: str, at: datetime.datetime) -> None:
    schedule = cron.parse(text)
    found = cron.after(schedule, at)
    probe = max(at.replace(second=0, microsecond=0), found - datetime.timedelta(days=2))
    while probe < found:
        probe += MINUTE
        assert matches(schedule, probe) == (probe == found)


@settings(max_examples=60)
@given(texts, times)
def test_celery_agrees_on_the_next_tick(text: str, at: datetime.datetime) -> None:
    schedule = cron.parse(text)
    schedule.app = celery.Celery("clock", set_as_current=False)
    schedule.nowfun = lambda: at
    start, delta, _ = schedule.remaining_delta(at, tz=UTC)
    assert cron.after(schedule, at) == start + delta


def test_day_of_month_and_weekday_are_where_cron_has_them() -> None:
    monthly = cron.parse("0 3 1 * *")
    assert cron.after(monthly, datetime.datetime(2026, 3, 5, tzinfo=UTC)) == datetime.datetime(
        2026, 4, 1, 3, tzinfo=UTC
    )


def test_a_leap_day_on_a_monday_is_found_decades_away() -> None:
    rare = cron.parse("0 0 29 2 1")
    assert cron.after(rare, datetime.datetime(2025, 1, 1, tzinfo=UTC)) == datetime.datetime(2044, 2, 29, tzinfo=UTC)
    assert cron.latest(rare, datetime.datetime(2025, 1, 1, tzinfo=UTC)) == datetime.datetime(2016, 2, 29, tzinfo=UTC)


def test_a_tick_belongs_to_its_own_minute() -> None:
    quarter = cron.parse("*/15 * * * *")
    tick = datetime.datetime(2026, 3, 1, 10, 15, tzinfo=UTC)
    assert cron.latest(quarter, tick) == tick
    assert cron.latest(quarter, tick - datetime.timedelta(microseconds=1)) == tick - 15 * MINUTE
    assert cron.after(quarter, tick) == tick + 15 * MINUTE


@pytest.mark.parametrize(
    "text", ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@daily", "0 0 * * someday"]
)
def test_a_text_that_is_no_cron_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cron.parse(text)
