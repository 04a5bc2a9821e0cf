"""When a five-field cron text ticks, in UTC. Pure.

Celery's crontab reads the text; the search is ours, because Celery only looks forward and only from its own clock,
while "was a tick missed?" needs the latest tick before a given time.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from celery.schedules import crontab

UTC = datetime.UTC
MINUTE = datetime.timedelta(minutes=1)

# The rarest text that can tick at all, one weekday on 29 February, ticks at least once in 40 years
# (28 years, and 40 across a century that is no leap year).
_HORIZON_DAYS = 41 * 366


def parse(text: str) -> crontab:
    """The crontab of "minute hour day-of-month month day-of-week". ValueError: it is none, or never ticks."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"{text!r} must have five fields: minute hour day-of-month month day-of-week")
    return crontab.from_string(" ".join(fields))


def after(schedule: crontab, at: datetime.datetime) -> datetime.datetime:
    """The first tick later than `at` (aware)."""
    start = _minute(at) + MINUTE
    for day in _days(schedule, start.date(), +1):
        for hour in sorted(schedule.hour):
            if day == start.date() and hour < start.hour:
                continue
            for minute in sorted(schedule.minute):
                tick = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if tick >= start:
                    return tick
    raise ValueError(f"{schedule!r} never ticks")


def latest(schedule: crontab, at: datetime.datetime) -> datetime.datetime:
    """The last tick not later than `at` (aware)."""
    end = _minute(at)
    for day in _days(schedule, end.date(), -1):
        for hour in sorted(schedule.hour, reverse=True):
            if day == end.date() and hour > end.hour:
                continue
            for minute in sorted(schedule.minute, reverse=True):
                tick = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if tick <= end:
                    return tick
    raise ValueError(f"{schedule!r} never ticks")


def _minute(at: datetime.datetime) -> datetime.datetime:
    if at.tzinfo is None:
        raise ValueError("a time without a time zone is ambiguous; give it one")
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _days(schedule: crontab, day: datetime.date, step: int) -> Iterator[datetime.date]:
    for _ in range(_HORIZON_DAYS):
        if (
            day.month in schedule.month_of_year
            and day.day in schedule.day_of_month
            and day.isoweekday() % 7 in schedule.day_of_week
        ):
            yield day
        day += datetime.timedelta(days=step)
