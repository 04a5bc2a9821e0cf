"""Housekeeping as tasks."""

from __future__ import annotations

from typing import Any

import celery

from stirbeat.pipeline import janitor
from stirbeat.tasks import base


@celery.shared_task(name="maintenance.janitor", bind=True, ignore_result=True)
def run_janitor(self: Any) -> dict[str, int]:
    """Send orphaned requests again, and end those that are late or were tried too often."""
    return janitor.sweep(base.process_tools(), self.app).as_dict()
