"""The SQLAlchemy engine: one a process, sized for the worker's threads, ready for PgBouncer in transaction mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import exc

from stirbeat import errors, settings

# A connection is held only for the milliseconds of a transaction, so far fewer than the worker's threads are needed.
POOL_SIZE = 10
POOL_OVERFLOW = 20
POOL_WAIT_S = 30
CONNECT_TIMEOUT_S = 10

# A server that vanished without a word (its machine is gone, a firewall forgot us) is given up after about this long
# instead of the quarter of an hour that TCP takes; libpq's names, seconds but for the last, milliseconds.
SOCKET = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def create(configured: settings.Settings, *, pool_size: int = POOL_SIZE) -> sa.Engine:
    """An engine on the configured database.

    No server-side prepared statements and no session state is relied on, so PgBouncer in transaction mode fits between.
    """
    return sa.create_engine(
        configured.database_url.get_secret_value(),
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_S,
        pool_pre_ping=False,
        pool_recycle=300,
        hide_parameters=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "stirbeat", **SOCKET},
    )


@contextlib.contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction; a database that does not answer becomes errors.ServiceUnavailable.

    SQLAlchemy invalidates the whole pool when it finds one connection dead, so the next call connects anew.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (exc.OperationalError, exc.InterfaceError) as error:
        raise errors.ServiceUnavailable(
            f"Postgres does not answer: {type(error.orig).__name__}", service="postgres"
        ) from error
    except exc.TimeoutError as error:
        raise errors.ServiceUnavailable("no Postgres connection became free", service="postgres") from error
