"""Housekeeping as tasks."""

from __future__ import annotations

import datetime
from typing import Any

import celery

from stirbeat.pipeline import janitor
from stirbeat.tasks import base

# A tick of the janitor that waited longer for a worker is dropped: the next one is behind it.
STALE_S = 120


@celery.shared_task(name="maintenance.janitor", bind=True, ignore_result=True)
def run_janitor(self: Any) -> dict[str, int]:
    """Send orphaned requests again, and end those that are late or were tried too often."""
    tick = self.request.get("stirbeat_tick")
    now = datetime.datetime.now(datetime.UTC)
    if tick is not None and (now - datetime.datetime.fromisoformat(tick)).total_seconds() > STALE_S:
        return janitor.Swept().as_dict()
    return janitor.sweep(base.process_tools(), self.app).as_dict()
