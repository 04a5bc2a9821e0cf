"""The beat: RedBeat's scheduler, made safe to run twice.

`celery -A stirbeat.app beat -S stirbeat.schedule.scheduler:Scheduler`, or the setting `beat_scheduler`.

One beat holds the lock, the others wait for it. What differs from RedBeat 2.4:
- The timetable is written to Redis by the beat that has the lock, not by every beat that starts: a standby of the last
  release would put the old timetable back.
- A tick is noted as done after its message is confirmed, not before: with RabbitMQ away the tick is tried again, not
  lost. A beat killed in between leaves a tick that is sent twice, under one task id (`Entry.message`).
- A beat that was frozen past its lock (a stopped VM) neither sends nor notes anything when it wakes up: it asks for its
  lock before each message, and notes under the lock's token. It then ends with an error, and is to be restarted.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from typing import Any

from celery.utils.log import get_logger
from redbeat import schedulers
from redis import exceptions as redis_exceptions

from stirbeat import errors, settings
from stirbeat.schedule import entry as entries

logger = get_logger(__name__)

_ADVANCE = importlib.resources.files(__package__).joinpath("advance.lua").read_text()


class Scheduler(schedulers.RedBeatScheduler):  # type: ignore[misc]
    """Sends what is due, as the only beat that does."""

    Entry = entries.Entry
    _installed = False

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        """Tell RedBeat where Redis is, in this process alone: a worker's configuration can be asked for, and Flower
        shows it, so the password must not be in it."""
        if not app.conf.get("redbeat_redis_url"):
            app.conf.redbeat_redis_url = settings.get().redis_url.get_secret_value()
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Nothing yet: RedBeat calls this before it has the lock. See `tick`."""
        if not self.app.redbeat_conf.lock_key:
            raise errors.SettingsError("redbeat_lock_key is None: two beats could not know of each other; remove it")

    def tick(self, min: Callable[..., float] = min, **options: Any) -> float:
        """Send what is due; the seconds to sleep until the next tick. Losing the lock raises, which ends the beat."""
        if not self._installed:
            self._keep_lock()
            self.install()
            self._installed = True
        wait_s: float = super().tick(min=min, **options)
        return wait_s

    def install(self) -> None:
        """Bring Redis to the timetable of this release: rows that left it are removed, the others keep their past."""
        client = schedulers.get_redis(self.app)
        statics_key = self.app.redbeat_conf.statics_key
        timetable: dict[str, dict[str, Any]] = dict(self.app.redbeat_conf.schedule)
        for name in sorted(client.smembers(statics_key) - timetable.keys()):
            logger.info("beat: row %s left the timetable; removing it", name)
            self.Entry(name, app=self.app).delete()
            client.srem(statics_key, name)
        if timetable:
            # First the names: a beat killed half-way leaves no row that nobody would ever remove.
            client.sadd(statics_key, *timetable)
        for name, fields in timetable.items():
            fresh = self.Entry(name=name, app=self.app, **fields)
            known = self.Entry.stored(name, self.app)
            if known is not None:
                fresh.last_run_at, fresh.enabled = known.last_run_at, known.enabled
            fresh.save()

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Send the entry's task and note it. Raises (and notes nothing) when it cannot be sent or the lock is lost."""
        now = entry.default_now()
        self._keep_lock()
        result = super().apply_async(entry.message(now), producer=producer, advance=False, **options)
        if advance:
            self._note(entry.advanced(now))
        return result

    def _keep_lock(self) -> None:
        if self.lock is None:  # RedBeat's signal handler failed; Celery has logged why
            raise errors.LeaseLost("this beat could not take the lock")
        try:
            self.lock.extend(int(self.lock_timeout))
        except redis_exceptions.LockError as error:
            raise errors.LeaseLost("another beat has the lock by now") from error

    def _note(self, fired: entries.Entry) -> None:
        conf = self.app.redbeat_conf
        keys = (self.lock_key, fired.key, conf.schedule_key)
        arguments = (self.lock.local.token, fired.meta, fired.score)
        if not schedulers.get_redis(self.app).eval(_ADVANCE, len(keys), *keys, *arguments):
            raise errors.LeaseLost(f"another beat has the lock by now; the tick of {fired.name} is its own to note")
