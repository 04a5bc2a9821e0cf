"""What a vendor's face is: it reads requests as that vendor does, and answers in its shapes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Protocol

from tornado.httputil import HTTPServerRequest

JSON = "application/json; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One request, understood. function: "" where the path is none of the vendor's.

    subject: the handle or pk it is about; account: the asking account's id where the vendor has one in its path
    """

    function: str
    secret: str
    subject: str = ""
    account: str = ""
    fields: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. outcome is how the call is counted."""

    status: int
    body: bytes
    outcome: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """How far a credential is: used share of its tightest limit, that limit, and seconds until it frees."""

    share: float = 0.0
    calls: int = 0
    limit: int = 0
    period_s: float = 0.0
    wait_s: float = 0.0


class Face(Protocol):
    """One vendor. Refusals: unknown_credential, invalid_token, rate_limited, quota_exhausted, not_found, error_5xx."""

    name: str

    def read(self, request: HTTPServerRequest, path: str) -> Asked:
        """The request as the vendor understands it."""

    def handle(self, asked: Asked) -> str:
        """The handle it is about, "" where that is not known."""

    def answer(self, asked: Asked) -> Reply:
        """What an authorised call gets."""

    def refuse(self, why: str, asked: Asked, spent: Spent, options: Mapping[str, Any]) -> Reply:
        """The vendor's own error."""

    def headers(self, asked: Asked, spent: Spent) -> dict[str, str]:
        """What the vendor says of limits with every answer."""


def dump(value: Any) -> bytes:
    """JSON, compact, as UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def argument(request: HTTPServerRequest, name: str) -> str:
    """A query argument, "" where it is missing or is no text."""
    values = request.query_arguments.get(name)
    return values[-1].decode("utf-8", "replace") if values else ""
