"""What long runs have in common: acknowledged early, held by a lease in Postgres, refused while one is under way."""

from __future__ import annotations

import datetime

import celery
import sqlalchemy as sa

from stirbeat import errors
from stirbeat.store import runs

# The longest a nightly dbt run took in the systems before this one, and a margin for its end.
LONGEST_S = 6 * 3600 + 300


class LongRun(celery.Task):  # type: ignore[misc]
    """A task that may run for hours.

    Its message is acknowledged before it begins: RabbitMQ would deliver an unacknowledged one again after its consumer
    timeout, and two would run. What a killed worker leaves behind is found by the lease of its run row. A run that
    fails is not tried again here: the timetable's next tick is, so that nothing piles up while a service is away.
    """

    abstract = True
    acks_late = False
    ignore_result = True
    time_limit = LONGEST_S
    soft_time_limit = LONGEST_S - 60
    throws = (errors.StirbeatError,)

    def overtaken(self, database: sa.Engine, kind: str, name: str) -> bool:
        """Whether this is a tick of the timetable that waited so long that a run begun after it did its work.

        So ticks that piled up while no worker was there end with the first of them.
        """
        tick = self.request.get("stirbeat_tick")
        return tick is not None and runs.done_since(database, kind, name, datetime.datetime.fromisoformat(tick))
