"""Looks after requests nobody works on: their worker died, or their message was lost."""

from __future__ import annotations

import dataclasses

import celery

from stirbeat import client
from stirbeat.domain import requests
from stirbeat.pipeline import run, tools
from stirbeat.store import ledger
from stirbeat.store.models.ledger import Status

# A waiting request whose message is this late counts as lost. A second copy of a message that was only slow does no
# harm: whichever comes first works, the other is dropped.
LOST_AFTER_S = 15 * 60

# Requests looked after in one sweep.
BATCH = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did, in requests."""

    requeued: int = 0
    expired: int = 0
    failed: int = 0

    def as_dict(self) -> dict[str, int]:
        """For the task's result."""
        return dataclasses.asdict(self)


def sweep(with_: tools.Tools, app: celery.Celery, *, lost_after_s: int = LOST_AFTER_S) -> Swept:
    """Take over orphaned requests: send them again, or end what is late or was tried too often.

    A request taken over whose message cannot be sent stays PENDING in the ledger; a later sweep sends it.
    Raises errors.ServiceUnavailable.
    """
    requeued = expired = failed = 0
    for orphan in ledger.orphans(with_.database, lost_after_s=lost_after_s, most=BATCH):
        if orphan.expired:
            expired += ledger.end_orphan(
                with_.database,
                orphan,
                status=Status.EXPIRED,
                error_kind="expired",
                reason="nobody waits for it any more",
            )
        elif orphan.abandoned >= run.MOST_ABANDONED:
            failed += ledger.end_orphan(
                with_.database,
                orphan,
                status=Status.FAILED,
                error_kind="abandoned",
                reason=f"{orphan.abandoned} executions of it did not end",
            )
        elif orphan.flow not in with_.flows:
            failed += ledger.end_orphan(
                with_.database, orphan, status=Status.FAILED, error_kind="unknown_flow", reason=f"no flow {orphan.flow}"
            )
        else:
            client.send(app, _as_request(orphan))
            requeued += 1
    return Swept(requeued, expired, failed)


def _as_request(orphan: ledger.Orphan) -> requests.Request:
    return requests.Request(
        id=orphan.id,
        flow=orphan.flow,
        platform=orphan.flow.partition(".")[0],
        target="",
        arguments=orphan.arguments,
        high=orphan.high,
        turn=orphan.turn,
    )
