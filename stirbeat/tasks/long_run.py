"""What long runs have in common: acknowledged early, held by a lease in Postgres, refused while one is under way."""

from __future__ import annotations

import celery

from stirbeat import errors

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
