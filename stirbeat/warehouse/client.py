"""One ClickHouse connection over the native protocol, with stirbeat's settings and errors."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_driver
from clickhouse_driver import errors as driver

from stirbeat import errors, settings

CONNECT_TIMEOUT_S = 5
TIMEOUT_S = 30

# What must not depend on a server's or a user's profile.
PINNED = {
    "async_insert": 0,  # an accepted insert is a stored one
    "max_partitions_per_insert_block": 0,  # events of any age may share a batch
    "timeout_overflow_mode": "throw",
    "read_overflow_mode": "throw",
}

UNKNOWN_DATABASE = 81

# Codes of ClickHouse's ErrorCodes.cpp after which the same statement can succeed later: timeouts, too many queries,
# broken network, memory, read-only or full disks, too many parts, a killed query, Keeper.
_TRANSIENT = frozenset({3, 32, 159, 164, 198, 202, 203, 209, 210, 241, 242, 243, 252, 279, 319, 394, 425, 439, 999})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")


# It logs a traceback for every attempt to connect; the error raised here says the same in a line.
logging.getLogger("clickhouse_driver.connection").setLevel(logging.ERROR)


class QueryRefused(errors.Fatal):
    """ClickHouse refused a statement. `code` is ClickHouse's own error code (0: refused by the driver)."""

    def __init__(self, message: str = "", *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """A connection, made at the first statement and again after it broke. Not for use by two threads at a time.

    database: another than the URL's; timeout_s: of one statement, on this side
    """

    def __init__(
        self, configured: settings.Settings, *, database: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        url = urlsplit(configured.clickhouse_url.get_secret_value())
        self.database = database or database_of(configured)
        self._address = f"{url.hostname}:{url.port or 'default port'}"
        self._driver = clickhouse_driver.Client(
            host=url.hostname,
            port=url.port,
            user=unquote(url.username or "default"),
            password=unquote(url.password or ""),
            database=self.database,
            secure=url.scheme == "clickhouses",
            client_name="stirbeat",
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=timeout_s,
            sync_request_timeout=CONNECT_TIMEOUT_S,
            tcp_keepalive=True,
            settings=PINNED,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._address}/{self.database})"

    def close(self) -> None:
        """Let go of the connection."""
        self._driver.disconnect()

    def execute(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        query_id: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows (none where it has none).

        parameters: values of %(name)s, escaped by the driver; options: ClickHouse settings of this statement

        Raises errors.ServiceUnavailable when it can be tried again, QueryRefused when not.
        """
        with self._translated():
            found = self._driver.execute(statement, parameters, query_id=query_id, settings=options)
        return found if isinstance(found, list) else []

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, query_id: str | None = None
    ) -> None:
        """Insert rows, all in one block and so all or none (a partition: ClickHouse's unit of atomicity).

        Raises errors.ServiceUnavailable when it can be tried again (the rows may be there nevertheless), QueryRefused
        when not.
        """
        if not rows:
            return
        statement = f"INSERT INTO {quoted(table)} ({', '.join(quoted(column) for column in columns)}) VALUES"
        with self._translated():
            self._driver.execute(
                statement,
                [list(column) for column in zip(*rows, strict=True)],
                columnar=True,
                query_id=query_id,
            )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except driver.ServerException as error:
            first = (error.message or "").partition("Stack trace")[0].strip().replace("DB::Exception: ", "")[:500]
            if error.code in _TRANSIENT:
                raise errors.ServiceUnavailable(
                    f"ClickHouse cannot do it now (code {error.code}): {first}", service="clickhouse"
                ) from error
            raise QueryRefused(f"ClickHouse refused (code {error.code}): {first}", code=error.code) from error
        except (driver.NetworkError, driver.SocketTimeoutError, EOFError, OSError) as error:
            self._driver.disconnect()
            raise errors.ServiceUnavailable(
                f"ClickHouse at {self._address} does not answer: {type(error).__name__}", service="clickhouse"
            ) from error
        except driver.Error as error:
            self._driver.disconnect()
            raise QueryRefused(f"the ClickHouse driver refused: {type(error).__name__} {error}"[:500]) from error


def database_of(configured: settings.Settings) -> str:
    """The database that the URL names, "default" without one. Raises errors.SettingsError for a strange name."""
    name = urlsplit(configured.clickhouse_url.get_secret_value()).path.strip("/") or "default"
    if not _NAME.fullmatch(name):
        raise errors.SettingsError(
            "STIRBEAT_CLICKHOUSE_URL must end in a database name of letters, digits and underscores"
        )
    return name


def quoted(name: str) -> str:
    """A table's or column's name as it is written in a statement."""
    if not _NAME.fullmatch(name):
        raise QueryRefused(f"{name!r:.80} is no name of a table or column")
    return f"`{name}`"
