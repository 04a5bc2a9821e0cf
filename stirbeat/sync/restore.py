"""A kept generation back in front of readers, by the same swap; what was live is kept in its turn.

A run that is under way loses its claim and changes nothing. The next run puts new rows in front as usual: pausing the
job until somebody asks is not this module's part.
"""

from __future__ import annotations

import sqlalchemy as sa

from stirbeat import errors
from stirbeat.store.models import sync as sync_model
from stirbeat.sync import context, job, lock, swap

_Generation = sync_model.SyncGeneration


def restore(surroundings: context.Context, wanted: job.Job, generation: int | None = None) -> int:
    """Put this kept generation before readers, or the newest kept one; its number.

    Raises errors.InvalidArgument when there is no such generation any more.
    """
    target = wanted.relation.key

    def once(connection: sa.Connection) -> int:
        live = lock.take(connection, target).generation
        found = connection.execute(
            sa.select(_Generation.generation, _Generation.relation, _Generation.run_id)
            .where(
                _Generation.target == target,
                _Generation.relation.is_not(None),
                _Generation.generation != live,
                sa.true() if generation is None else _Generation.generation == generation,
            )
            .order_by(_Generation.generation.desc())
        ).first()
        if found is None:
            wish = "no older generation" if generation is None else f"no generation {generation} beside the live one"
            raise errors.InvalidArgument(f"{target} has {wish} (live: {live}); see `stirbeat sync history`")
        lock.raise_fence(connection, target, None)
        parked = swap.exchange(connection, wanted, wanted.relation.sibling(found.relation), live)
        swap.park(connection, wanted.relation, live, parked, found.run_id)
        connection.execute(
            sa.update(_Generation)
            .where(_Generation.target == target, _Generation.generation == found.generation)
            .values(relation=wanted.relation.table)
        )
        swap.show(connection, target, found.generation)
        return int(found.generation)

    return swap.patiently(surroundings.engine, once, target)
