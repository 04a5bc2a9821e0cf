"""Transactions of the sync engine, with Postgres's errors told apart by what the caller must do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2 import errorcodes
from sqlalchemy import exc

from stirbeat import errors

SERVICE = "postgres"
# Classes of SQLSTATE: https://www.postgresql.org/docs/15/errcodes-appendix.html
_GONE = ("08", "57P")
_FULL = "53"
_BUSY = frozenset({errorcodes.LOCK_NOT_AVAILABLE, errorcodes.DEADLOCK_DETECTED, errorcodes.SERIALIZATION_FAILURE})


class Busy(errors.RetryLater):
    """A lock could not be had in time."""

    default_retry_after_s = 30.0


@contextlib.contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction. Raises Busy, errors.ServiceUnavailable or errors.Fatal for Postgres's own errors."""
    try:
        with engine.begin() as connection:
            yield connection
    except exc.TimeoutError as error:
        raise errors.ServiceUnavailable("no Postgres connection became free", service=SERVICE) from error
    except exc.DBAPIError as error:
        raise translated(error.orig if isinstance(error.orig, psycopg2.Error) else None) from error
    except psycopg2.Error as error:
        raise translated(error) from error


def translated(error: psycopg2.Error | None) -> errors.StirbeatError:
    """Our error for this one of Postgres. Only its primary message is kept: details can hold values of rows."""
    state = (getattr(error, "pgcode", None) or "") if error else ""
    message = (error.diag.message_primary or "") if error is not None else ""
    if state in _BUSY:
        return Busy(f"Postgres could not give a lock in time ({message or state})")
    if state.startswith(_FULL):
        return errors.ServiceUnavailable(f"Postgres is out of room: {message}", service=SERVICE, retry_after_s=300)
    if state.startswith(_GONE) or not state:
        kind = type(error).__name__ if error is not None else "the connection was lost"
        return errors.ServiceUnavailable(f"Postgres does not answer: {message or kind}", service=SERVICE)
    return errors.Fatal(f"Postgres refused a statement of the sync: {message} ({state})")


def run(connection: sa.Connection, statement: str) -> sa.CursorResult[Any]:
    """Run SQL that takes no bound values, as it stands: a `%` or `:` in it is itself."""
    return connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
