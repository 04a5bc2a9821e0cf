"""The tables `credential` and `cooldown`, by the statements of `statements.sql`."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import tenacity
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql

from stirbeat import errors
from stirbeat.credentials import backoff

# A reason is for people; a vendor's body is not worth keeping whole.
LONGEST_REASON = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One credential as it is stored. `cooling_s`: seconds its backoff still lasts, None if there is none."""

    id: uuid.UUID
    provider: str
    name: str
    app: str | None
    account: Mapping[str, str]
    sealed: bytes = dataclasses.field(repr=False)
    weight: int
    enabled: bool
    failures: int
    reason: str | None
    cooling_s: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Cooldown:
    """A backoff wider or narrower than a credential; 0 seconds if it has ended but was followed by no success yet."""

    subject: str
    failures: int
    reason: str | None
    cooling_s: float


class Table:
    """Every method raises errors.ServiceUnavailable when Postgres does not answer."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def read(self) -> tuple[tuple[Row, ...], tuple[Cooldown, ...]]:
        """Everything, in one transaction."""
        credentials, cooldowns = self._run(("credentials", {}), ("cooldowns", {}))
        rows = tuple(
            Row(
                id=row.id,
                provider=row.provider,
                name=row.name,
                app=row.app,
                account=dict(row.account),
                sealed=bytes(row.secret),
                weight=row.weight,
                enabled=row.enabled,
                failures=row.failures,
                reason=row.reason,
                cooling_s=row.cooling_s,
            )
            for row in credentials
        )
        return rows, tuple(Cooldown(row.subject, row.failures, row.reason, row.cooling_s) for row in cooldowns)

    def charge_credential(self, identity: uuid.UUID, hint_s: float | None, reason: str) -> float | None:
        """Count a failure and cool it down. Returns the seconds it lasts, None if there is no such credential."""
        values = {"id": identity, "hint_s": hint_s, "steps_s": list(backoff.STEPS_S), "reason": readable(reason)}
        return self._seconds("charge_credential", values)

    def charge_subject(self, subject: str, hint_s: float | None, reason: str) -> float:
        """The same for an app, a provider, or a credential for one function."""
        values = {"subject": subject, "hint_s": hint_s, "steps_s": list(backoff.STEPS_S), "reason": readable(reason)}
        return self._seconds("charge_subject", values) or 0.0

    def reset(self, identity: uuid.UUID, subjects: Sequence[str]) -> None:
        """Forget the failures of a credential and of wider subjects that are not cooling now."""
        self._run(("reset_credential", {"id": identity}), ("reset_subjects", {"subjects": list(subjects)}))

    def reject_secret(self, identity: uuid.UUID, sealed: bytes | None, reason: str) -> bool:
        """Disable a credential whose secret is refused. False if the secret was replaced meanwhile."""
        values = {"id": identity, "secret": sealed, "reason": readable(reason)}
        return bool(self._run(("reject_secret", values))[0])

    def add(
        self,
        provider: str,
        name: str,
        sealed: bytes,
        account: Mapping[str, str],
        app: str | None,
        weight: int,
        *,
        replace: bool,
    ) -> uuid.UUID | None:
        """Store a credential. None if there is one of that name and it may not be replaced."""
        values = {
            "provider": provider,
            "name": name,
            "app": app,
            "account": dict(account),
            "secret": sealed,
            "weight": weight,
        }
        return self._identity("replace" if replace else "add", values)

    def enable(self, provider: str, name: str) -> uuid.UUID | None:
        """Enable it and end its backoff. None if there is none of that name."""
        return self._identity("enable", {"provider": provider, "name": name})

    def disable(self, provider: str, name: str, reason: str) -> uuid.UUID | None:
        """Disable it until a person enables it. None if there is none of that name."""
        return self._identity("disable", {"provider": provider, "name": name, "reason": readable(reason)})

    def reseal(self, identity: uuid.UUID, sealed: bytes, fresh: bytes) -> None:
        """Replace a sealed secret by the same one under another key, unless it was changed meanwhile."""
        self._run(("reseal", {"id": identity, "secret": sealed, "fresh": fresh}))

    def _identity(self, name: str, values: dict[str, Any]) -> uuid.UUID | None:
        rows = self._run((name, values))[0]
        return rows[0].id if rows else None

    def _seconds(self, name: str, values: dict[str, Any]) -> float | None:
        rows = self._run((name, values))[0]
        return float(rows[0].cooling_s) if rows else None

    def _run(self, *statements: tuple[str, dict[str, Any]]) -> list[Sequence[sa.Row[Any]]]:
        """Run statements in one transaction; the rows of each. Each of them may be run twice without harm, so a
        connection that was found dead (Postgres was restarted) is a reason to try once more."""
        try:
            return _TWICE(self._once, statements)
        except (exc.OperationalError, exc.InterfaceError) as error:
            raise errors.ServiceUnavailable(
                f"Postgres does not answer: {type(error.orig).__name__}", service="postgres"
            ) from error
        except exc.TimeoutError as error:
            raise errors.ServiceUnavailable("no Postgres connection became free", service="postgres") from error

    def _once(self, statements: Sequence[tuple[str, dict[str, Any]]]) -> list[Sequence[sa.Row[Any]]]:
        with self._engine.begin() as connection:
            results = [connection.execute(_STATEMENTS[name], values) for name, values in statements]
            return [result.all() if result.returns_rows else () for result in results]


def readable(reason: str) -> str:
    """A reason as Postgres takes it: no NUL, no half characters, not endless."""
    return reason.replace("\x00", "").encode("utf-8", "replace").decode()[:LONGEST_REASON]


def _found_dead(error: BaseException) -> bool:
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


_TWICE = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_found_dead), stop=tenacity.stop_after_attempt(2), reraise=True
)

_Statement = sa.TextClause | sa.TextualSelect

# How values and columns of these names are written and read; the others need no telling.
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "id": postgresql.UUID(as_uuid=True),
    "account": postgresql.JSONB(),
    "secret": sa.LargeBinary(),
    "fresh": sa.LargeBinary(),
}
_COLUMNS = {"credentials": ("id", "account", "secret")}


def _load() -> dict[str, _Statement]:
    text = Path(__file__).with_name("statements.sql").read_text()
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: _statement(name, body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _statement(name: str, body: str) -> _Statement:
    bare = "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()
    values = set(re.findall(r":(\w+)", bare)) & _TYPES.keys()
    statement = sa.text(bare).bindparams(*(sa.bindparam(value, type_=_TYPES[value]) for value in sorted(values)))
    columns = _COLUMNS.get(name, ("id",) if "returning id" in bare else ())
    return statement.columns(**{column: _TYPES[column] for column in columns}) if columns else statement


_STATEMENTS = _load()
