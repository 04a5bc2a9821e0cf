"""What a row will do at each of its ticks, if a beat runs all the time. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import heapq
from collections.abc import Iterable, Iterator

from stirbeat.schedule import cron, pause, row


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Occurrence:
    """fires: whether the row's task is sent at `at`; why: what holds it, or what makes it fire off its cron time."""

    at: datetime.datetime
    row: str
    fires: bool
    why: str = ""


def occurrences(entry: row.Row, windows: pause.Windows, at: datetime.datetime) -> Iterator[Occurrence]:
    """Every tick of the row after `at` (aware), in order of time, without end; also the held ones, and what follows."""
    schedule = entry.schedule
    # A tick that the present window holds already is part of the future: it may fire at the window's end.
    begun = windows.last_start(at) if entry.pausable else None
    tick = cron.after(schedule, at if begun is None else begun - cron.MINUTE)
    while True:
        following = cron.after(schedule, tick)
        end = windows.next_end(tick) if entry.pausable else None
        if end is None:
            yield Occurrence(tick, entry.name, True)
        else:
            if tick > at:
                yield Occurrence(tick, entry.name, False, f"paused until {end:%H:%M} UTC")
            if entry.catch_up == "once" and following > end:
                yield Occurrence(end, entry.name, True, f"the pause is over; due since {tick:%H:%M}")
        tick = following


def merged(rows: Iterable[row.Row], windows: pause.Windows, at: datetime.datetime) -> Iterator[Occurrence]:
    """The occurrences of all rows, in order of time, without end."""
    return heapq.merge(*(occurrences(entry, windows, at) for entry in rows))


def next_firing(
    entry: row.Row, windows: pause.Windows, at: datetime.datetime, *, within: datetime.timedelta
) -> Occurrence | None:
    """The row's next firing after `at`; None when every tick of the time `within` is held."""
    for occurrence in occurrences(entry, windows, at):
        if occurrence.at > at + within:
            return None
        if occurrence.fires:
            return occurrence
    return None
