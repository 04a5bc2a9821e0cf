"""Whether a row is due now, and why not. Pure: the beat asks it with the real clock, tests with others.

A row is due when a tick lies between its last run and now. Only the latest tick counts, so nothing is ever backfilled.
"""

from __future__ import annotations

import dataclasses
import datetime

from celery.schedules import crontab

from stirbeat.schedule import cron, pause, row

# A tick of a catch_up="skip" row still fires when it is this late, in seconds: twice the time in which a standby beat
# must have taken over from a killed one.
LATE_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one row.

    due: fire now
    tick: the cron time it is about
    again_s: seconds after which the answer can change
    why: the reason, for people
    """

    due: bool
    tick: datetime.datetime
    again_s: float
    why: str


def decide(
    schedule: crontab,
    last_run_at: datetime.datetime | None,
    now: datetime.datetime,
    windows: pause.Windows,
    *,
    pausable: bool,
    catch_up: row.CatchUp,
) -> Decision:
    """Decide for one row.

    last_run_at: when it last fired, or was first seen (aware); None when it never did
    now: the time to decide for (aware)
    """
    tick = cron.latest(schedule, now)
    following = cron.after(schedule, now)
    until_next = (following - now).total_seconds()
    if last_run_at is not None and tick <= last_run_at:
        return Decision(False, following, until_next, "waits for its time")
    end = windows.next_end(now) if pausable else None
    if end is not None:
        return Decision(False, tick, (end - now).total_seconds(), f"paused until {end:%H:%M} UTC")
    if catch_up == "skip":
        if pausable and windows.is_paused(tick):
            return Decision(False, following, until_next, f"the tick of {tick:%H:%M} was in a pause window")
        if (now - tick).total_seconds() > LATE_S:
            return Decision(False, following, until_next, f"the tick of {tick:%Y-%m-%d %H:%M} was missed")
    return Decision(True, tick, until_next, "due")
