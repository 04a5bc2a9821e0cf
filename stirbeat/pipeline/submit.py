"""Submit with a ledger row: the request is written down first, then its message is sent.

Should the process die in between, the janitor finds the row and sends the message.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

import celery
import sqlalchemy as sa

from stirbeat import client
from stirbeat.domain import catalogue
from stirbeat.store import ledger


def submit(
    database: sa.Engine,
    app: celery.Celery,
    flow_key: str,
    wanted: Iterable[Mapping[str, object]],
    *,
    plugins: tuple[str, ...] = (),
    high: bool = False,
) -> list[uuid.UUID]:
    """Submit one request for each set of arguments; their ids, in order.

    Every set is validated before the first is written down. Raises errors.UnknownFlow, errors.InvalidArgument
    (nothing is written or queued), errors.ServiceUnavailable. Where RabbitMQ fails, the requests are written down
    nevertheless and the janitor sends them: submitting them again would ask twice.
    """
    declared = catalogue.find_flow(flow_key, plugins)
    accepted = [client.request_for(declared, arguments, high=high) for arguments in wanted]
    if not accepted:
        return []
    ledger.submit(database, accepted, expires_after_s=declared.expires_after_s)
    with app.producer_or_acquire() as producer:
        for request in accepted:
            client.send(app, request, producer=producer)
    return [request.id for request in accepted]
