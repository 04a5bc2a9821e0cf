"""What ending a request writes: records, their logs, and the events, as the values that `finish.sql` binds.

An event's id is the id of its log row, derived from the request and the record. Whatever goes wrong, one request can
never write one thing twice.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stirbeat import events
from stirbeat.domain import records, requests


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a provider told: records, by whom, and when (aware, UTC)."""

    source: str
    observed_at: datetime.datetime
    records: tuple[records.Record, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a request ends."""

    status: str
    error_kind: str | None = None
    reason: str | None = None


def bind(claim: requests.Claim, hops: Sequence[requests.Hop], ending: Ending, told: Told | None) -> dict[str, Any]:
    """The values of `finish.sql`."""
    request = claim.request
    told = told or Told("", claim.now, ())
    profiles = [_profile(request.id, record) for record in _unique(told.records, records.Profile)]
    posts = [_post(request.id, record) for record in _unique(told.records, records.Post)]
    announced = [
        *(_profile_event(request, row, told) for row in profiles),
        *(_post_event(request, row, told) for row in posts),
        _scrape_event(claim, hops, ending, told.observed_at),
    ]
    return {
        "id": request.id,
        "token": claim.token,
        "status": ending.status,
        "error_kind": ending.error_kind,
        "reason": ending.reason,
        "hops": json.dumps([hop.to_json() for hop in hops]),
        "source": told.source,
        "observed_at": told.observed_at,
        "profiles": json.dumps(profiles),
        "posts": json.dumps(posts),
        "events": json.dumps(announced),
    }


def instant(when: datetime.datetime) -> str:
    """ISO 8601 in UTC with microseconds: how events tell times."""
    return when.astimezone(datetime.UTC).isoformat(timespec="microseconds")


def _unique(told: Iterable[records.Record], kind: type[records.Record]) -> list[Any]:
    """One record a key, the last one told (an upsert cannot touch a row twice in one statement)."""
    return list({record.key: record for record in told if isinstance(record, kind)}.values())


def _profile(request_id: uuid.UUID, record: records.Profile) -> dict[str, Any]:
    return {
        "log_id": str(uuid.uuid5(request_id, f"profile/{record.key}")),
        "key": record.key,
        "id": record.id,
        "handle": record.handle,
        "dimensions": records.known(record.dimensions),
        "metrics": records.known(record.metrics),
    }


def _post(request_id: uuid.UUID, record: records.Post) -> dict[str, Any]:
    return {
        "log_id": str(uuid.uuid5(request_id, f"post/{record.key}")),
        "key": record.key,
        "id": record.id,
        "profile_key": record.profile_key,
        "published_at": None if record.published_at is None else instant(record.published_at),
        "dimensions": records.known(record.dimensions),
        "metrics": records.known(record.metrics),
    }


def _profile_event(request: requests.Request, row: Mapping[str, Any], told: Told) -> dict[str, Any]:
    fields = {
        "profile_key": row["key"],
        "profile_id": row["id"],
        "handle": row["handle"],
        "source": told.source,
        "dimensions": row["dimensions"],
        "metrics": row["metrics"],
    }
    return _event(events.PROFILE_LOG, row["log_id"], told.observed_at, request, fields)


def _post_event(request: requests.Request, row: Mapping[str, Any], told: Told) -> dict[str, Any]:
    fields = {
        "post_key": row["key"],
        "post_id": row["id"],
        "profile_key": row["profile_key"],
        "published_at": row["published_at"],
        "source": told.source,
        "dimensions": row["dimensions"],
        "metrics": row["metrics"],
    }
    return _event(events.POST_LOG, row["log_id"], told.observed_at, request, fields)


def _scrape_event(
    claim: requests.Claim, hops: Sequence[requests.Hop], ending: Ending, at: datetime.datetime
) -> dict[str, Any]:
    request = claim.request
    fields = {
        "flow": request.flow,
        "target": request.target,
        "status": ending.status,
        "reason": ending.reason,
        "created_at": instant(claim.created_at),
        "hops": [hop.to_json() for hop in (*claim.hops, *hops)],
    }
    return _event(events.SCRAPE_LOG, str(uuid.uuid5(request.id, "scrape")), at, request, fields)


def _event(
    event: events.Event, event_id: str, at: datetime.datetime, request: requests.Request, fields: Mapping[str, Any]
) -> dict[str, Any]:
    envelope = {
        "event_id": event_id,
        "event_timestamp": instant(at),
        "request_id": str(request.id),
        "platform": request.platform,
    }
    return {"event_id": event_id, "name": event.name, "payload": envelope | dict(fields)}
