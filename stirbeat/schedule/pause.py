"""Pause windows: the minutes of every day (UTC) in which pausable rows do not fire. Pure."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable

from stirbeat import errors

_WINDOW = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY = 24 * 60
_MINUTE = datetime.timedelta(minutes=1)


class Windows:
    """Any number of daily windows, each from its first minute up to, not including, its last.

    Windows may overlap, touch, and cross midnight; those that touch are one pause.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """`texts`: "19:00-22:00" each. Raises errors.SettingsError: one is malformed or empty, or no minute is left."""
        self.texts = tuple(texts)
        self._paused = bytearray(_DAY)
        for text in self.texts:
            start, end = _minutes(text)
            for minute in range(start, end if start < end else end + _DAY):
                self._paused[minute % _DAY] = 1
        if all(self._paused):
            raise errors.SettingsError(
                f"the pause windows {', '.join(self.texts)} cover the whole day, so pausable rows would never run"
            )

    def is_paused(self, at: datetime.datetime) -> bool:
        """Whether `at` (aware) lies in a window."""
        utc = _utc(at)
        return bool(self._paused[utc.hour * 60 + utc.minute])

    def next_end(self, at: datetime.datetime) -> datetime.datetime | None:
        """The moment at which the pause around `at` is over; None when `at` is not paused."""
        if not self.is_paused(at):
            return None
        minute = _utc(at).replace(second=0, microsecond=0)
        while self.is_paused(minute):
            minute += _MINUTE
        return minute

    def last_start(self, at: datetime.datetime) -> datetime.datetime | None:
        """The moment at which the pause around `at` began; None when `at` is not paused."""
        if not self.is_paused(at):
            return None
        minute = _utc(at).replace(second=0, microsecond=0)
        while self.is_paused(minute - _MINUTE):
            minute -= _MINUTE
        return minute

    def __repr__(self) -> str:
        return f"Windows({self.texts!r})"


@functools.cache
def windows(texts: tuple[str, ...]) -> Windows:
    """The windows of the setting `pause_windows`, read once."""
    return Windows(texts)


def _minutes(text: str) -> tuple[int, int]:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise errors.SettingsError(f"the pause window {text!r} must look like 19:00-22:00 (UTC)")
    hour, minute, end_hour, end_minute = map(int, found.groups())
    if max(hour, end_hour) > 23 or max(minute, end_minute) > 59:
        raise errors.SettingsError(f"the pause window {text!r} names a time that no day has")
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if start == end:
        raise errors.SettingsError(f"the pause window {text!r} begins and ends at once; remove it or widen it")
    return start, end


def _utc(at: datetime.datetime) -> datetime.datetime:
    if at.tzinfo is None:
        raise ValueError("a time without a time zone is ambiguous; give it one")
    return at.astimezone(datetime.UTC)
