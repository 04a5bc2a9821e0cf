"""dbt as a task: `transform.run(selector="core")` builds what is tagged so."""

from __future__ import annotations

import celery

from stirbeat import errors
from stirbeat.domain import requests
from stirbeat.store import runs
from stirbeat.tasks import base, long_run
from stirbeat.warehouse import transform


@celery.shared_task(name="transform.run", base=long_run.LongRun, bind=True)
def run(self: long_run.LongRun, selector: str, full_refresh: bool = False) -> str:
    """Build and test the models of one tag; every model's outcome is kept in the run row.

    Raises errors.RunFailed naming the models that failed, and what `warehouse.transform.run` raises.
    """
    with_ = base.process_tools()
    if self.overtaken(with_.database, "transform", selector):
        return "skipped: a later run did it"
    try:
        order = requests.ledger_id(self.request.id)
        lease_s = with_.configured.lease_s
        with runs.opened(with_.database, "transform", selector, lease_s=lease_s, run_id=order) as held:
            result = transform.run(with_.configured, (f"tag:{selector}",), full_refresh=full_refresh, lost=held.lost)
            held.details["seconds"] = round(result.seconds, 3)
            held.details["nodes"] = [
                {"name": node.name, "status": node.status, "seconds": node.seconds, "message": node.message[:500]}
                for node in result.nodes
            ]
            if not result.ok:
                raise errors.RunFailed(result.problem)
    except errors.RunInProgress as busy:
        return f"skipped: {busy}"
    return f"{len(result.nodes)} models and tests in {result.seconds:.1f} s"
