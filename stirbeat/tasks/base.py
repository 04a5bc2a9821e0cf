"""The Celery task of a flow: opens the message, runs one hop, and turns the verdict into Celery's terms."""

from __future__ import annotations

import dataclasses
import functools
import logging
import random
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import celery
from celery import exceptions

from stirbeat import client, errors, routing, settings
from stirbeat.domain import catalogue, flow, requests
from stirbeat.pipeline import run, tools
from stirbeat.store import ledger
from stirbeat.store.models import ledger as ledger_row

log = logging.getLogger(__name__)

# Seconds until a message comes again after Postgres did not answer, drawn at random from here to there. It comes as a
# resumed one: the ledger may still show the execution that was interrupted, or the turn after it.
OUTAGE_WAIT_S = (5, 20)


class NextHop(Exception):
    """The request goes on with its next message; the text says what the last hop met."""


class FlowTask(celery.Task):  # type: ignore[misc]
    """A flow's task. Acknowledged late: a killed worker's message comes again, and the ledger decides who works.

    `delay` and `apply_async` refuse what the flow would refuse, before anything is queued.
    """

    abstract = True
    acks_late = True
    max_retries = None
    ignore_result = True
    throws = (errors.RequestRefused, errors.InvalidArgument)
    plugins: tuple[str, ...] = ()

    @property
    def flow(self) -> flow.Flow:
        """The declaration this task executes."""
        return catalogue.find_flow(self.name, self.plugins)

    def apply_async(
        self, args: Sequence[object] | None = None, kwargs: Mapping[str, object] | None = None, **options: Any
    ) -> Any:
        """Queue a request, from any process: one with an app of its own sends through STIRBEAT_BROKER_URL nevertheless.

        Raises errors.InvalidArgument, errors.SettingsError (nothing is queued), errors.ServiceUnavailable.
        """
        given = dict(kwargs or {})
        carried = {name: given.pop(name) for name in client.RESERVED if name in given}
        accepted = self.flow.accept(_named(self.flow, args or (), given))
        if client.is_configured(self.app):
            return super().apply_async((), accepted | carried, **options)
        return client.from_environment().send_task(self.name, kwargs=accepted | carried, **options)

    def execute(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """Run one hop of the request this message is about.

        Returns a line for people. Raises celery's Retry for the next hop, errors.RequestRefused when the request
        failed, errors.InvalidArgument for a message that can never be worked on (it is in the ledger by then).
        """
        with_ = process_tools()
        request_id = requests.ledger_id(self.request.id)
        try:
            asked = self._opened(request_id, args, kwargs)
            return self._report(run.run(with_, self.flow, asked), asked)
        except errors.InvalidArgument as error:
            ledger.refuse(with_.database, request_id, flow=self.name, arguments=kwargs, reason=str(error))
            raise
        except errors.ServiceUnavailable as error:
            raise self._next({**kwargs, client.RESUMED: True}, random.randint(*OUTAGE_WAIT_S), error) from error  # noqa: S311

    def _opened(self, request_id: uuid.UUID, args: Sequence[object], kwargs: Mapping[str, object]) -> requests.Request:
        """The request that the message tells of. Raises errors.InvalidArgument."""
        given = {name: value for name, value in kwargs.items() if name not in client.RESERVED}
        turn = _turn(kwargs.get(client.TURN, 0))
        accepted = _named(self.flow, args, given)
        asked = client.request_for(self.flow, accepted, high=self._is_high(), request_id=request_id)
        again = bool((self.request.delivery_info or {}).get("redelivered")) or bool(kwargs.get(client.RESUMED))
        return dataclasses.replace(asked, turn=turn, redelivered=again)

    def _report(self, verdict: run.Verdict, asked: requests.Request) -> str:
        if isinstance(verdict, run.Dropped):
            return f"dropped: {verdict.reason}"
        trail = [str(hop) for hop in verdict.hops]
        if isinstance(verdict, run.Again):
            onwards = client.message(asked.arguments, verdict.turn, trail)
            raise self._next(onwards, verdict.wait_s, NextHop(verdict.reason)) from None
        if verdict.status is not ledger_row.Status.COMPLETE:
            raise errors.RequestRefused(f"{verdict.status}: {verdict.reason}")
        return f"{verdict.status} after {len(trail)} hop(s): {', then '.join(trail)}"

    def _next(self, kwargs: Mapping[str, Any], wait_s: int, reason: Exception) -> Exception:
        """Send the request's next message; the exception that ends this execution as a retry.

        When the broker does not take it, this message goes back to its queue: the ledger lets it go on from there.
        """
        queue = routing.scrape_queue(self.name, high=self._is_high())
        try:
            ended: Exception = self.retry(
                args=(), kwargs=kwargs, countdown=wait_s, queue=queue, exc=reason, throw=False
            )
        except exceptions.Reject:
            ended = exceptions.Reject(str(reason), requeue=True)
        return ended

    def _is_high(self) -> bool:
        key = str((self.request.delivery_info or {}).get("routing_key") or "")
        return key.endswith(routing.HIGH_SUFFIX)


_building = threading.Lock()


def process_tools() -> tools.Tools:
    """The tools of this worker process, built once, by the first of its threads that needs them."""
    with _building:
        return _tools()


@functools.cache
def _tools() -> tools.Tools:
    return tools.build(settings.get())


def flow_task(key: str, plugins: tuple[str, ...] = ()) -> Any:
    """The Celery task of a flow; it belongs to every app of the process."""

    def execute(self: FlowTask, /, *args: object, **kwargs: object) -> str:
        return self.execute(args, kwargs)

    execute.__doc__ = catalogue.find_flow(key, plugins).about
    execute.__name__ = key.rpartition(".")[2]
    return celery.shared_task(execute, name=key, bind=True, base=FlowTask, plugins=plugins, typing=False)


def _named(wanted: flow.Flow, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
    """Positional arguments by the names the flow declares them under."""
    names = [argument.name for argument in wanted.arguments]
    if len(args) > len(names):
        raise errors.InvalidArgument(f"{len(args)} arguments given; this flow takes {', '.join(names)}")
    twice = [name for name in names[: len(args)] if name in kwargs]
    if twice:
        raise errors.InvalidArgument(f"argument {twice[0]} is given twice")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _turn(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise errors.InvalidArgument(f"{client.TURN} is stirbeat's own and must be a small whole number")
    return value
