"""The ledger: every request's way from submit to its end. One statement, one round trip, for each step of it."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from stirbeat import errors
from stirbeat.domain import requests
from stirbeat.store import effects, engine, sql
from stirbeat.store.models.ledger import Status

# A refused request's arguments are kept for a person to look at, cut to this many characters.
_REFUSED_CHARACTERS = 500

_NOTHING: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Orphan:
    """A request that the janitor took over: to be sent again, or to be ended."""

    id: uuid.UUID
    flow: str
    arguments: Mapping[str, str]
    high: bool
    turn: int
    abandoned: int
    expired: bool


def submit(database: sa.Engine, wanted: Sequence[requests.Request], *, expires_after_s: int) -> None:
    """Write requests down, before their messages are sent. Raises errors.ServiceUnavailable."""
    rows = [_described(request) | {"expires_after_s": expires_after_s} for request in wanted]
    with engine.transaction(database) as connection:
        connection.execute(sql.load("submit"), rows)


def claim(
    database: sa.Engine, request: requests.Request, *, expires_after_s: int, lease_s: int, worker: str
) -> requests.Claim | None:
    """Take the request for one execution; None when the message is stale or another execution is at work.

    Raises errors.ServiceUnavailable.
    """
    token = uuid.uuid4()
    bound = _described(request) | {
        "turn": request.turn,
        "redelivered": request.redelivered,
        "expires_after_s": expires_after_s,
        "token": token,
        "lease_s": lease_s,
        "worker": worker,
    }
    with engine.transaction(database) as connection:
        row = connection.execute(sql.load("claim"), bound).mappings().one_or_none()
    if row is None:
        return None
    known = {name: value for name, value in (row["known"] or {}).items() if isinstance(value, str)}
    if row["profile_id"] is not None:
        known["profile_id"] = row["profile_id"]
    known.update(row["learned"])
    return requests.Claim(
        request=request,
        token=token,
        turn=row["turn"],
        abandoned=row["abandoned"],
        hops=tuple(requests.Hop.from_json(hop) for hop in row["hops"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        now=row["now"],
        known=known,
    )


def defer(
    database: sa.Engine,
    claim: requests.Claim,
    hops: Sequence[requests.Hop],
    *,
    wait_s: float,
    learned: Mapping[str, str] = _NOTHING,
) -> int:
    """Put the request back to wait `wait_s` seconds for its next message; the turn of that message.

    learned: facts that this execution paid for; they come with the next claim as `known`
    Raises errors.LeaseLost when the claim is not held any more, errors.ServiceUnavailable.
    """
    bound = {
        "id": claim.request.id,
        "token": claim.token,
        "hops": json.dumps([hop.to_json() for hop in hops]),
        "learned": json.dumps(dict(learned)),
        "wait_s": wait_s,
    }
    with engine.transaction(database) as connection:
        turn: int | None = connection.execute(sql.load("defer"), bound).scalar_one_or_none()
    if turn is None:
        raise errors.LeaseLost(f"request {claim.request.id}: another execution took it over")
    return turn


def finish(
    database: sa.Engine,
    claim: requests.Claim,
    hops: Sequence[requests.Hop],
    *,
    status: Status,
    told: effects.Told | None = None,
    error_kind: str | None = None,
    reason: str | None = None,
) -> None:
    """End the request: its status, all that the answer told, and the events, in one transaction.

    Raises errors.LeaseLost when the claim is not held any more (nothing is written), errors.InvalidRecord when Postgres
    cannot hold a value, errors.ServiceUnavailable.
    """
    ending = effects.Ending(status=status.value, error_kind=error_kind, reason=reason)
    bound = effects.bind(claim, hops, ending, told)
    try:
        with engine.transaction(database) as connection:
            written = connection.execute(sql.load("finish"), bound).scalar_one_or_none()
    except exc.DataError as error:
        raise errors.InvalidRecord(f"Postgres cannot store the answer: {type(error.orig).__name__}") from error
    if written is None:
        raise errors.LeaseLost(f"request {claim.request.id}: another execution took it over")


def refuse(database: sa.Engine, request_id: uuid.UUID, *, flow: str, arguments: object, reason: str) -> None:
    """Write down a request that can never be worked on. Writing it twice changes nothing."""
    bound = {
        "id": request_id,
        "flow": flow,
        "platform": flow.partition(".")[0],
        "target": "",
        "params": json.dumps({"refused": repr(arguments)[:_REFUSED_CHARACTERS]}),
        "reason": reason,
    }
    with engine.transaction(database) as connection:
        connection.execute(sql.load("refuse"), bound)


def orphans(database: sa.Engine, *, lost_after_s: int, most: int) -> list[Orphan]:
    """Take over requests nobody works on: dead workers' and those whose message is lost."""
    with engine.transaction(database) as connection:
        rows = connection.execute(sql.load("orphans"), {"lost_after_s": lost_after_s, "most": most}).mappings()
        return [
            Orphan(row["id"], row["flow"], row["params"], row["high"], row["turn"], row["abandoned"], row["expired"])
            for row in rows
        ]


def end_orphan(database: sa.Engine, orphan: Orphan, *, status: Status, error_kind: str, reason: str) -> bool:
    """End a waiting request that is late or was tried too often; False when somebody works on it after all."""
    token = uuid.uuid4()
    with engine.transaction(database) as connection:
        bound = {"id": orphan.id, "turn": orphan.turn, "token": token}
        row = connection.execute(sql.load("seize"), bound).mappings().one_or_none()
    if row is None:
        return False
    held = requests.Claim(
        request=requests.Request(orphan.id, orphan.flow, row["platform"], row["target"], orphan.arguments, orphan.high),
        token=token,
        turn=orphan.turn,
        abandoned=orphan.abandoned,
        hops=tuple(requests.Hop.from_json(hop) for hop in row["hops"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        now=row["now"],
    )
    finish(database, held, (), status=status, error_kind=error_kind, reason=reason)
    return True


def _described(request: requests.Request) -> dict[str, Any]:
    return {
        "id": request.id,
        "flow": request.flow,
        "platform": request.platform,
        "target": request.target,
        "params": json.dumps(dict(request.arguments)),
        "high": request.high,
    }
