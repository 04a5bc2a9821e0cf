"""One row of the timetable: what runs when, and what becomes of a tick that could not run. Pure."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from celery.schedules import crontab

from stirbeat import errors
from stirbeat.schedule import cron

CatchUp = Literal["skip", "once"]

# RedBeat keeps its own keys (":schedule", ":lock") beside the rows', so a row's name is a plain word.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
_TASK = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A task at cron times (UTC). Which queue it goes to is the task routes' business, not the timetable's.

    cron: "minute hour day-of-month month day-of-week"
    kwargs: the task's arguments; must be JSON, and no secret
    pausable: does not fire inside a pause window
    catch_up: of a tick that was held by a window or missed while no beat ran: "once" runs the latest one as soon as
        possible, "skip" waits for the next
    budget_s: seconds that one run may take; None for short tasks, which their own limits end
    """

    name: str
    cron: str
    task: str
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pausable: bool = False
    catch_up: CatchUp = "skip"
    budget_s: int | None = None

    def __post_init__(self) -> None:
        """Raises errors.RegistryError with one sentence that says what is wrong."""
        if not _NAME.fullmatch(self.name):
            raise errors.RegistryError(f"{self.name!r} is no name for a timetable row: use lower_case letters")
        if not _TASK.fullmatch(self.task):
            raise errors.RegistryError(f"row {self.name!r}: {self.task!r} is no task name: it looks like sync.run")
        try:
            cron.parse(self.cron)
        except (ValueError, TypeError) as error:
            raise errors.RegistryError(f"row {self.name!r}: cron: {error}") from error
        try:
            json.dumps(dict(self.kwargs), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise errors.RegistryError(f"row {self.name!r}: kwargs cannot be written as JSON: {error}") from error
        if self.catch_up not in get_args(CatchUp):
            raise errors.RegistryError(f'row {self.name!r}: catch_up must be "skip" or "once", not {self.catch_up!r}')
        if self.budget_s is not None and self.budget_s <= 0:
            raise errors.RegistryError(f"row {self.name!r}: budget_s must be more than 0 seconds")

    @property
    def schedule(self) -> crontab:
        """The cron text as Celery's crontab."""
        return cron.parse(self.cron)
