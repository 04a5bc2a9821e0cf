"""A scrape request, its claim by one execution, and the hops it took."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Mapping
from typing import Any

# Task ids of foreign producers need not be UUIDs; theirs are mapped to one, always the same one.
_FOREIGN_IDS = uuid.UUID("6f1c6f0e-52a4-4b0e-9d0b-7a0c5d3d8a11")


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What one message asks for. `turn` counts the messages sent for the request, from 0."""

    id: uuid.UUID
    flow: str
    platform: str
    target: str
    arguments: Mapping[str, str]
    high: bool = False
    turn: int = 0
    redelivered: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Hop:
    """One provider tried, or passed over because no credential was free (kind "no_credential").

    kind: an outcome's kind; ms: milliseconds the exchange took; reason: short, for people, without secrets
    permanent: the provider is not asked again for this request
    """

    provider: str
    function: str
    kind: str
    reason: str = ""
    credential: str | None = None
    ms: int = 0
    permanent: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it stands in the ledger."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value not in (None, "", False)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Hop:
        """The hop that `to_json` wrote."""
        return cls(**{field.name: stored[field.name] for field in dataclasses.fields(cls) if field.name in stored})

    def __str__(self) -> str:
        return f"{self.provider} {self.kind}" + (f": {self.reason}" if self.reason else "")


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a request, for as long as the ledger holds `token`.

    known: what the store knows of the target (its ids, its dimensions), as text
    abandoned: executions of the request that ended without a word
    now: the database's clock at the claim; every comparison of times uses that one clock
    """

    request: Request
    token: uuid.UUID
    turn: int
    abandoned: int
    hops: tuple[Hop, ...]
    created_at: datetime.datetime
    expires_at: datetime.datetime
    now: datetime.datetime
    known: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def expired(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.now >= self.expires_at

    @property
    def seconds_left(self) -> float:
        """Seconds until it expires."""
        return (self.expires_at - self.now).total_seconds()


def ledger_id(task_id: object) -> uuid.UUID:
    """The ledger's id for a Celery task id."""
    try:
        return uuid.UUID(str(task_id))
    except ValueError:
        return uuid.uuid5(_FOREIGN_IDS, str(task_id))
