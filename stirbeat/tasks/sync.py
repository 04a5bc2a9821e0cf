"""The sync engine as tasks: `sync.run(job="leaderboard")`, `sync.cleanup()`."""

from __future__ import annotations

import functools

import celery

from stirbeat import errors
from stirbeat.sync import cleanup, context
from stirbeat.sync import job as jobs
from stirbeat.sync import run as engine
from stirbeat.tasks import base, long_run


@functools.cache
def _surroundings() -> context.Context:
    with_ = base.process_tools()
    return context.build(with_.configured, engine=with_.database)


@celery.shared_task(name="sync.run", base=long_run.LongRun, bind=True)
def run(self: long_run.LongRun, job: str) -> str:
    """Bring one job's mart to its Postgres table."""
    wanted = jobs.find(job, base.process_tools().configured.plugins)
    if self.overtaken(base.process_tools().database, "sync", job):
        return "skipped: a later run did it"
    try:
        result = engine.run(wanted, _surroundings())
    except (errors.LeaseLost, errors.RunInProgress) as busy:
        return f"skipped: {busy}"
    return f"{result.target}: {result.rows} rows, generation {result.generation}, {sum(result.seconds.values()):.1f} s"


@celery.shared_task(name="sync.cleanup", base=long_run.LongRun)
def run_cleanup() -> str:
    """Take away staging tables, old generations and objects of every job's runs that are over."""
    done = [
        cleanup.cleanup(_surroundings(), wanted)
        for wanted in jobs.collect(base.process_tools().configured.plugins).values()
    ]
    tables = sum(len(one.staging) + len(one.generations) for one in done)
    return f"{tables} tables and {sum(one.objects for one in done)} objects taken away"
