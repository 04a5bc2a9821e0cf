"""The whole of a sync, as named steps: lock, export, load, guard, index, swap, record."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
import uuid
from collections.abc import Iterator

from stirbeat import errors
from stirbeat.sync import cleanup, context, export, guard, index, job, load, lock, postgres, suitable, swap, throttle
from stirbeat.sync import progress as progress_model

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """A run that put new rows before readers. `bytes` and `key` are the export's; `seconds` by step."""

    job: str
    target: str
    run_id: uuid.UUID
    generation: int
    rows: int
    bytes: int
    key: str
    seconds: dict[str, float]


def run(
    wanted: job.Job, surroundings: context.Context, report: progress_model.Report = progress_model.silent
) -> Result:
    """Bring the job's mart to its target.

    Raises errors.RunInProgress while another run holds the target and errors.LeaseLost once one took it over,
    errors.GuardRefused when the new rows are not good enough, errors.Fatal when the job cannot run, errors.RetryLater
    (ServiceUnavailable names the service) otherwise.
    Readers see the new rows whole or the old rows whole, whatever happens.
    """
    seconds: dict[str, float] = {}
    engine = surroundings.engine
    with throttle.hold(surroundings.redis, wanted.relation.key) as renew:
        with _step("lock", seconds, report):
            held = lock.claim(engine, wanted, surroundings.lease_s)
        with lock.renewed(engine, held, surroundings.lease_s, renew) as check, _recorded(surroundings, held):
            cleanup.after_crash(surroundings, held)
            _refuse_unsuitable(surroundings, wanted)
            with _step("export", seconds, report):
                exported = export.export(surroundings, held, check, report)
            with _step("load", seconds, report, surroundings, held):
                staging = load.load(surroundings, held, exported, check, report)
            with _step("guard", seconds, report, surroundings, held):
                guard.guard(engine, held, staging, exported.rows)
            with _step("index", seconds, report, surroundings, held):
                index.index(engine, held, staging, check, report)
            with _step("swap", seconds, report, surroundings, held):
                generation = swap.swap(engine, held, staging, exported.rows, check=check)
        with _step("record", seconds, report):
            result = Result(
                job=wanted.name,
                target=wanted.relation.key,
                run_id=held.run_id,
                generation=generation,
                rows=exported.rows,
                bytes=exported.object.bytes,
                key=exported.object.key,
                seconds=seconds,
            )
            _record(surroundings, held, result)
    return result


@contextlib.contextmanager
def _step(
    step: progress_model.Step,
    seconds: dict[str, float],
    report: progress_model.Report,
    surroundings: context.Context | None = None,
    held: lock.Claim | None = None,
) -> Iterator[None]:
    """Tell and time one step; with a claim, it is written into the run row, which also proves the claim."""
    if surroundings is not None and held is not None:
        lock.note(surroundings.engine, held, step=step)
    report(progress_model.Progress(step))
    began = time.monotonic()
    yield
    seconds[step] = round(time.monotonic() - began, 3)


@contextlib.contextmanager
def _recorded(surroundings: context.Context, held: lock.Claim) -> Iterator[None]:
    """Whatever ends the run early is written into its row, and its staging table and export are taken away."""
    try:
        yield
    except BaseException as error:
        status = "REFUSED" if isinstance(error, errors.GuardRefused) else "FAILED"
        reason = str(error) if isinstance(error, errors.StirbeatError) else f"interrupted by {type(error).__name__}"
        lost: errors.LeaseLost | None = None
        try:
            lost = lock.overtaken(surroundings.engine, held)
            with postgres.transaction(surroundings.engine) as connection:
                lock.finish(connection, held, status, str(lost or reason))
            cleanup.cleanup(surroundings, held.job)
        except errors.StirbeatError as second:
            # The lease runs out and the next run cleans.
            _log.warning("the end of sync run %s could not be recorded: %s", held.run_id, second)
        if lost is not None and isinstance(error, Exception):
            # Whoever took over has cleaned up: a missing table or object is only how this run noticed.
            raise lost from error
        raise


def _refuse_unsuitable(surroundings: context.Context, wanted: job.Job) -> None:
    with postgres.transaction(surroundings.engine) as connection:
        problems = suitable.target_problems(connection, wanted)
    suitable.require(wanted, problems)


def _record(surroundings: context.Context, held: lock.Claim, result: Result) -> None:
    """Details of a run that has succeeded already; a failure here changes nothing of that."""
    try:
        with postgres.transaction(surroundings.engine) as connection:
            lock.finish(connection, held, "COMPLETE", bytes=result.bytes, key=result.key, seconds=dict(result.seconds))
        cleanup.cleanup(surroundings, held.job)
    except errors.StirbeatError as error:
        _log.warning("sync %s is done, but its clean-up is left to the next run: %s", held.job.name, error)
