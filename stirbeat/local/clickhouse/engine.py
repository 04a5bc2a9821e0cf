"""chDB: ClickHouse as a library, opened on one data folder, with one session for each client connection.

chDB's own facts that this module builds on, measured with chdb-core 26.9: any number of connections to one folder
in one process; calls release the interpreter's lock; the progress callback runs in the thread that made the call;
settings and the current database belong to a connection; a streaming query yields one Native block a fetch. Its
streaming insert is not used: it reports success for rows that a constraint refused, so blocks go in by a file.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from chdb import _chdb

from stirbeat.local.clickhouse import native, packets

UNKNOWN_EXCEPTION = 1002
BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
UNKNOWN_DATABASE = 81

_ERROR = re.compile(r"(?:Code: (?P<code>\d+)\. (?=DB::Exception))+(?P<message>DB::Exception: .*)", re.DOTALL)
_REPEATED = re.compile(r"^DB::Exception: Code: \d+\. (?=DB::Exception: )")
_VERSION = re.compile(r" \(version [\d.]+\)\.?(?: \([A-Z_0-9]+\))?\s*$")

_PLAIN = (
    "SETTINGS describe_compact_output = 0, describe_include_subcolumns = 0, print_pretty_type_names = 0, "
    "max_result_rows = 0, max_result_bytes = 0, limit = 0, offset = 0"
)
"""A DESCRIBE whose answer no setting of the client changes, with types as they stand in blocks."""

_NO_SETTINGS = frozenset({"log_comment", "session_id"})
"""Not applied: the one carries the query's id here, the other dbt-clickhouse sends though only HTTP knows it."""

# A machine of two cores that many services share: small pools and caches, and a ceiling on memory.
_CONFIG = """<clickhouse>
  <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>2</background_schedule_pool_size>
  <mark_cache_size>33554432</mark_cache_size>
  <index_mark_cache_size>8388608</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <mmap_cache_size>64</mmap_cache_size>
  <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
</clickhouse>
"""


class ServerError(Exception):
    """An error with ClickHouse's own code and message, to be sent to the client."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message if message.startswith("DB::Exception: ") else f"DB::Exception: {message}"


def translated(error: Exception) -> ServerError:
    """chDB's error, which is a text `Code: 60. DB::Exception: ... (UNKNOWN_TABLE)`, as a ServerError."""
    # A message with bytes that are no text comes as pybind's failure to decode it, which has the message in it.
    said = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
    found = _ERROR.search(said)
    if not found:
        return ServerError(UNKNOWN_EXCEPTION, f"chDB said: {said}")
    message = _REPEATED.sub("", found["message"])
    return ServerError(int(found["code"]), _VERSION.sub("", message))


class Engine:
    """The data folder, held open from here to `close()`.

    Arguments: `folder`, created if missing; `memory_bytes`, what all queries together may use.
    Raises ServerError: the folder cannot be opened, for example because another process has it open.
    """

    def __init__(self, folder: pathlib.Path, memory_bytes: int) -> None:
        folder = folder.resolve()
        if not re.fullmatch(r"[\w /.+=@,:-]+", str(folder)):
            raise ServerError(
                BAD_ARGUMENTS, f"the data folder {folder} has a character in its name that chDB reads anew"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._spool = folder / "spool"
        config = folder / "config.xml"
        config.write_text(_CONFIG.format(memory_bytes=memory_bytes))
        self._address = f"{folder / 'data'}?config-file={config}"
        self._held = self._connect()
        # Only now is the folder this process's own: what a killed one left half-received goes.
        shutil.rmtree(self._spool, ignore_errors=True)
        self._spool.mkdir()
        version, self.timezone = Session(self._held, self._spool).rows("SELECT version(), timezone()")[0]
        major, minor, patch = (int(part) for part in str(version).split(".")[:3])
        self.version = (major, minor, patch)

    def session(self) -> Session:
        return Session(self._connect(), self._spool)

    def close(self) -> None:
        self._held.close()

    def _connect(self) -> Any:
        try:
            return _chdb.connect(self._address)  # type: ignore[attr-defined]  # chDB's stub leaves it out
        except Exception as error:  # chDB raises RuntimeError, pybind TypeError and UnicodeDecodeError
            raise translated(error) from error


class Session:
    """One chDB connection: its database, its settings, one query at a time, from one thread."""

    def __init__(self, connection: Any, spool: pathlib.Path) -> None:
        self._connection = connection
        self.spool = spool
        """Where the rows of an INSERT wait until all have come."""
        self._on_progress: Callable[[packets.Counts], None] | None = None
        self._applied: dict[str, str] = {}
        self._before: dict[str, str] = {}
        self._own: set[str] = set()
        self._connection.set_progress_callback(self._progressed)
        self._query("SET implicit_select = 0, allow_introspection_functions = 0", "Null")

    def close(self) -> None:
        self._connection.close()

    def use(self, database: str) -> None:
        """Make `database` the session's own, and create it if it is missing. Raises ServerError 81: it is no name."""
        if not re.fullmatch(r"\w{1,64}", database, re.ASCII):
            raise ServerError(UNKNOWN_DATABASE, f"{database[:64]!r} is no name for a database (UNKNOWN_DATABASE)")
        quoted = f"`{database}`"
        self._query(f"CREATE DATABASE IF NOT EXISTS {quoted}", "Null")
        self._query(f"USE {quoted}", "Null")

    def watch(self, on_progress: Callable[[packets.Counts], None] | None) -> None:
        """Call `on_progress` from time to time, in the thread that runs the query, with the counts so far."""
        self._on_progress = on_progress

    def tag(self, query_id: str, settings: dict[str, str]) -> None:
        """Let the next queries run under this id and with these settings, instead of those of the last call.

        Raises ServerError: a setting that does not exist (115) or has an impossible value; then none holds.
        """
        wanted = {name: value for name, value in settings.items() if name not in _NO_SETTINGS}
        if wanted.get("readonly", "0") != "0":
            raise ServerError(NOT_IMPLEMENTED, "the local server has no readonly queries: leave the setting out")
        if wanted != self._applied:
            self.untag()
            known = sorted(self._own & wanted.keys())
            if known:
                names = ", ".join(_quoted(name) for name in known)
                rows = self.rows(f"SELECT name, value FROM system.settings WHERE name IN ({names})")  # noqa: S608
                self._before = {str(name): str(value) for name, value in rows}
        assignments = [f"{_identifier(name)} = {_quoted(value)}" for name, value in wanted.items()]
        self._applied = wanted
        try:
            self._query(f"SET {', '.join([f'log_comment = {_quoted(query_id)}', *assignments])}", "Null")
        except ServerError:
            self._forget_unknown()
            raise

    def untag(self) -> None:
        """Give the session back the settings that it had before `tag`."""
        if self._applied:
            back = [
                f"{_identifier(name)} = {_quoted(self._before[name]) if name in self._before else 'DEFAULT'}"
                for name in self._applied
            ]
            self._applied, self._before = {}, {}
            self._query(f"SET {', '.join(back)}", "Null")

    def own(self, names: tuple[str, ...]) -> None:
        """Note that the client itself has SET these, so that `untag` restores rather than resets them."""
        self._own.update(names)

    def count_statements(self, sql: str) -> int:
        """How many statements chDB finds in `sql`; 0 if it cannot be read."""
        return int(self._call(self._connection.classify_query, sql)["statement_count"])

    def rows(self, sql: str) -> list[list[Any]]:
        """A few rows, as JSON values; none for a statement that answers nothing at all."""
        answer = bytes(self._query(sql, "JSONCompact").get_memview().view())
        return list(json.loads(answer)["data"]) if answer else []

    def columns(self, sql: str) -> tuple[native.Column, ...]:
        """Names and types of what a SELECT gives, or of a table or table function."""
        return tuple((row[0], row[1]) for row in self.rows(f"DESCRIBE TABLE {sql} {_PLAIN}"))

    def insertable(self, target: str, listed: str) -> tuple[native.Column, ...]:
        """Names and types that an INSERT INTO target (listed) expects: all but computed columns if none is listed."""
        described = self.rows(f"DESCRIBE TABLE {target} {_PLAIN}")
        if not listed:
            return tuple((row[0], row[1]) for row in described if row[2] not in ("MATERIALIZED", "ALIAS", "EPHEMERAL"))
        types = {row[0]: row[1] for row in described}
        names = [name.strip().strip('`"') for name in listed.split(",")]
        if all(name in types for name in names):
            return tuple((name, types[name]) for name in names)
        return self.columns(f"(SELECT {listed} FROM {target})")  # noqa: S608  the client's own statement

    def stream(self, sql: str) -> Iterator[tuple[int, bytes]]:
        """Rows and Native block, one after another; closing the iterator ends the query."""
        handle = self._call(self._connection.send_query, sql, "Native")
        finished = False
        try:
            while True:
                chunk = self._fetch(handle)
                rows = int(chunk.rows_read())
                if not rows:
                    finished = True
                    return
                yield rows, bytes(chunk.get_memview().view())
        except ServerError:
            finished = True
            raise
        finally:
            if not finished:
                self._call(self._connection.streaming_cancel_query, handle)

    def run(self, sql: str) -> tuple[bytes, packets.Counts]:
        """Run to the end. Returns what it answers, as Native blocks end to end, and the final counts."""
        result = self._query(sql, "Native")
        counts = packets.Counts(
            read_rows=int(result.storage_rows_read()),
            read_bytes=int(result.storage_bytes_read()),
            written_rows=int(result.rows_written()),
            written_bytes=int(result.bytes_written()),
        )
        return bytes(result.get_memview().view()), counts

    def names_and_types(self, sql: str) -> tuple[native.Column, ...]:
        """Columns of a statement that answered no rows, found by running it in a format that always says them."""
        found = bytes(self._query(sql, "RowBinaryWithNamesAndTypes").get_memview().view())
        return native.names_and_types(found)

    def _forget_unknown(self) -> None:
        """After a refused SET, of which chDB may have applied a part: reset each setting that exists."""
        names, self._applied, before, self._before = list(self._applied), {}, self._before, {}
        for name in names:
            value = _quoted(before[name]) if name in before else "DEFAULT"
            try:
                self._query(f"SET {_identifier(name)} = {value}", "Null")
            except ServerError:
                continue  # this is the setting that does not exist

    def _query(self, sql: str, output: str) -> Any:
        return self._call(self._connection.query, sql, output)

    def _fetch(self, handle: Any) -> Any:
        return self._call(self._connection.streaming_fetch_result, handle)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # chDB raises RuntimeError, pybind TypeError and UnicodeDecodeError
            raise translated(error) from error

    def _progressed(self, values: dict[str, int]) -> None:
        if self._on_progress is not None:
            self._on_progress(
                packets.Counts(
                    read_rows=values["read_rows"],
                    read_bytes=values["read_bytes"],
                    total_rows=values["total_rows_to_read"],
                    written_rows=values["written_rows"],
                    written_bytes=values["written_bytes"],
                )
            )


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ServerError(115, f"setting name {name[:60]!r} is no name (UNKNOWN_SETTING)")
    return name
