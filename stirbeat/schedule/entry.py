"""RedBeat's entry with the house's rules: pause windows and catch-up.

RedBeat keeps an entry as JSON in Redis and rebuilds it at each tick, and its encoder writes only what it knows: a
crontab subclass would come back as a plain crontab. So the traits are fields of the entry's own definition. They are
not `options`, which Celery would hand to `apply_async`.

Every instance attribute must be a parameter of `__init__`: Celery copies an entry by its `vars()`.
"""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any, Self

from celery.schedules import crontab
from celery.utils.log import get_logger
from redbeat import decoder, schedulers

from stirbeat import settings
from stirbeat.schedule import cron, due, pause, row

logger = get_logger(__name__)

_TICKS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:stirbeat:tick")


class Entry(schedulers.RedBeatSchedulerEntry):  # type: ignore[misc]
    """One row as the beat sees it."""

    def __init__(
        self,
        *arguments: Any,
        pausable: bool = False,
        catch_up: row.CatchUp = "once",
        budget_s: int | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(*arguments, **fields)
        self.pausable = pausable
        self.catch_up = catch_up
        self.budget_s = budget_s

    @classmethod
    def stored(cls, name: str, app: Any) -> Self | None:
        """The entry as Redis holds it; None when it is not there or not readable (then what is there is removed)."""
        schedulers.ensure_conf(app)
        key = cls.generate_key(app, name)
        try:
            found: Self = cls.from_key(key, app=app)
        except KeyError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            logger.warning("beat: what Redis holds of row %s is not readable (%s); it begins anew", name, error)
            schedulers.get_redis(app).delete(key)
            return None
        return found

    def save(self) -> Self:
        """Write the definition; when it last ran is kept if Redis knows it already."""
        definition = {
            "name": self.name,
            "task": self.task,
            "args": self.args,
            "kwargs": self.kwargs,
            "options": self.options,
            "schedule": self.schedule,
            "enabled": self.enabled,
            "pausable": self.pausable,
            "catch_up": self.catch_up,
            "budget_s": self.budget_s,
        }
        with schedulers.get_redis(self.app).pipeline() as pipe:
            pipe.hset(self.key, "definition", _encode(definition))
            pipe.hsetnx(self.key, "meta", self.meta)
            pipe.zadd(self.app.redbeat_conf.schedule_key, {self.key: self.score})
            pipe.execute()
        return self

    @property
    def meta(self) -> str:
        """What Redis keeps of the entry's past, as JSON."""
        return _encode({"last_run_at": self.last_run_at, "total_run_count": self.total_run_count})

    @property
    def due_at(self) -> datetime.datetime | None:
        """The first tick since the last run; RedBeat looks at an entry from this time on. None: never."""
        if self.last_run_at is not None and isinstance(self.schedule, crontab):
            return cron.after(self.schedule, self.last_run_at)
        at: datetime.datetime | None = super().due_at
        return at

    def is_due(self) -> tuple[bool, float]:
        """(fire now, seconds until it is worth asking again)."""
        now = self.default_now()
        windows = pause.windows(settings.get().pause_windows) if self.pausable else pause.windows(())
        if self.enabled and isinstance(self.schedule, crontab):
            decision = due.decide(
                self.schedule, self.last_run_at, now, windows, pausable=self.pausable, catch_up=self.catch_up
            )
            return decision.due, decision.again_s
        end = windows.next_end(now)
        if self.enabled and end is not None:
            return False, (end - now).total_seconds()
        answer: tuple[bool, float] = super().is_due()
        return answer

    def message(self, now: datetime.datetime) -> Self:
        """A copy with the options of the message that is sent for the latest tick before `now`.

        The task id follows from the row and its tick, so a tick that is sent twice (a beat killed between sending and
        noting it) is seen to be one.
        """
        options = {**(self.options or {})}
        headers = {**options.get("headers", {}), "stirbeat_row": self.name}
        if isinstance(self.schedule, crontab):
            tick = cron.latest(self.schedule, now)
            headers["stirbeat_tick"] = tick.isoformat()
            options["task_id"] = str(tick_id(self.name, tick))
        copy: Self = self.__class__(**{**dict(self), "options": {**options, "headers": headers}})
        return copy

    def advanced(self, now: datetime.datetime) -> Self:
        """A copy that fired at `now`."""
        count = self.total_run_count + 1
        copy: Self = self.__class__(**{**dict(self), "last_run_at": now, "total_run_count": count})
        return copy


def tick_id(name: str, tick: datetime.datetime) -> uuid.UUID:
    """The task id of a row's tick."""
    return uuid.uuid5(_TICKS, f"{name} {tick.astimezone(datetime.UTC).isoformat()}")


def _encode(value: object) -> str:
    return json.dumps(value, cls=decoder.RedBeatJSONEncoder)
