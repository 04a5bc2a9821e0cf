"""What an answer means: every answer of every provider becomes exactly one outcome."""

from __future__ import annotations

import dataclasses
import enum


class Kind(enum.StrEnum):
    """What happened."""

    OK = "ok"
    NOT_FOUND = "not_found"
    PERMISSION = "permission"
    TOKEN_INVALID = "token_invalid"  # noqa: S105 (the name of an outcome)
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    BAD_REQUEST = "bad_request"
    UPSTREAM = "upstream"
    SCHEMA = "schema"


class ChargeTo(enum.StrEnum):
    """Who is cooled down for it."""

    NONE = "none"
    CREDENTIAL = "credential"
    CREDENTIAL_FUNCTION = "credential+function"
    APP = "app"
    PROVIDER = "provider"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One classified answer.

    `retry_after_s` is the server's own hint in seconds, None where it gave none. `reason` is a short text for people,
    free of secrets; `code` is the vendor's own code where it has one.
    """

    kind: Kind
    charge_to: ChargeTo = ChargeTo.NONE
    retry_after_s: float | None = None
    try_next_provider: bool = True
    disable_credential: bool = False
    reason: str = ""
    code: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is something to parse."""
        return self.kind is Kind.OK


OK = Outcome(Kind.OK, try_next_provider=False)


def schema_error(reason: str) -> Outcome:
    """An answer we could not read: our bug or the vendor's change, so no credential is charged for it."""
    return Outcome(Kind.SCHEMA, ChargeTo.NONE, reason=reason)
