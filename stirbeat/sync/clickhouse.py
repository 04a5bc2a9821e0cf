"""The warehouse as the sync sees it: one connection a statement, errors told apart, and queries that are surely gone.

Needs a server that signs its own S3 requests (environment, instance role): no key is ever put into SQL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import clickhouse_driver
import pydantic
from clickhouse_driver import errors as driver_errors

from stirbeat import errors

SERVICE = "clickhouse"
CONNECT_TIMEOUT_S = 10
# Progress packets come several times a second, so silence of this length means that the server or the network is gone.
SILENCE_S = 120
GONE_WITHIN_S = 60
_POLL_S = 0.2

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_UNKNOWN_TABLE, _UNKNOWN_DATABASE, _UNKNOWN_COLUMN = 60, 81, 47
_TIMEOUT, _TOO_MANY_QUERIES, _MEMORY, _KILLED, _S3 = 159, 202, 241, 394, 499
_AUTHENTICATION = frozenset({192, 193, 194, 516})
_S3_REFUSALS = ("AccessDenied", "Access Denied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403")

_log = logging.getLogger(__name__)
# It logs a traceback for every attempt to connect; the error raised here says the same in a line.
logging.getLogger("clickhouse_driver.connection").setLevel(logging.ERROR)


@dataclasses.dataclass(frozen=True, slots=True)
class Warehouse:
    """Opens connections by its URL (`clickhouse://user:password@host:port/database`), which is never shown."""

    url: pydantic.SecretStr

    @contextlib.contextmanager
    def connect(self) -> Iterator[clickhouse_driver.Client]:
        """A connection of its own, closed at the end; the driver's errors become ours."""
        client = clickhouse_driver.Client.from_url(self.url.get_secret_value())
        client.connection.connect_timeout = CONNECT_TIMEOUT_S
        client.connection.send_receive_timeout = SILENCE_S
        try:
            yield client
        except (driver_errors.Error, EOFError, OSError) as error:
            raise translated(error) from error
        finally:
            client.disconnect()

    def columns(self, query: str) -> list[tuple[str, str]]:
        """(name, type) of each column that this SELECT gives."""
        with self.connect() as client:
            return [(str(row[0]), str(row[1])) for row in client.execute(f"DESCRIBE ({query}\n)")]

    def execute(
        self,
        query: str,
        *,
        query_id: str,
        settings: Mapping[str, object],
        progress: Callable[[int, int], None],
    ) -> int:
        """Run an INSERT ... SELECT to its end and give the exact number of rows the server wrote.

        `progress` is called with (rows read, rows to read). Whatever ends the call early (an error, a signal, an
        exception of `progress`) also ends the query on the server before this returns.
        """
        try:
            with self.connect() as client:
                for read, total in client.execute_with_progress(query, query_id=query_id, settings=dict(settings)):
                    progress(read, total)
                return int(client.last_query.progress.written_rows)
        except BaseException as error:
            if not (
                isinstance(error, errors.StirbeatError) and isinstance(error.__cause__, driver_errors.ServerException)
            ):
                self.kill(query_id)
            raise

    def running(self, query_ids: Sequence[str]) -> list[str]:
        """Those of these queries that the server is working on."""
        if not query_ids:
            return []
        with self.connect() as client:
            found = client.execute(
                "SELECT query_id FROM system.processes WHERE query_id IN %(ids)s", {"ids": tuple(query_ids)}
            )
        return [str(row[0]) for row in found]

    def kill(self, query_id: str) -> bool:
        """End the query and wait until the server no longer knows it; False when that could not be made sure."""
        deadline = time.monotonic() + GONE_WITHIN_S
        try:
            while time.monotonic() < deadline:
                if not self.running([query_id]):
                    return True
                with self.connect() as client:
                    client.execute("KILL QUERY WHERE query_id = %(id)s SYNC", {"id": query_id})
                time.sleep(_POLL_S)
        except errors.StirbeatError as error:
            _log.warning("cannot tell whether query %s still runs: %s", query_id, error)
        return False


def translated(error: Exception) -> errors.StirbeatError:
    """Our error for one of the driver's, without the query's text or the server's stack trace."""
    if not isinstance(error, driver_errors.ServerException):
        return errors.ServiceUnavailable(f"ClickHouse does not answer: {type(error).__name__}", service=SERVICE)
    message = str(error.message).split("Stack trace:")[0].strip().removeprefix("DB::Exception: ")[:500]
    if error.code == _S3:
        if any(word in message for word in _S3_REFUSALS):
            return errors.SettingsError(
                "S3 refused ClickHouse's own credentials; give the ClickHouse server the keys that may write the bucket"
            )
        return errors.ServiceUnavailable(f"S3 does not answer ClickHouse: {message}", service="s3")
    if error.code in _AUTHENTICATION:
        return errors.SettingsError("ClickHouse refused the user or password of STIRBEAT_CLICKHOUSE_URL")
    if error.code in {_TIMEOUT, _TOO_MANY_QUERIES, _MEMORY, _KILLED}:
        return errors.RetryLater(f"ClickHouse ended the export ({error.code}): {message}", retry_after_s=300)
    if error.code in {_UNKNOWN_TABLE, _UNKNOWN_DATABASE, _UNKNOWN_COLUMN}:
        return errors.Fatal(f"the warehouse lacks what the job reads; run dbt first ({error.code}): {message}")
    return errors.Fatal(f"ClickHouse refused the query ({error.code}): {message}")
