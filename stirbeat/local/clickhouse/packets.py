"""Packets of the native protocol at revision 54429, as a server reads and writes them.

That revision is the first whose settings come as strings and the last before the interserver secret; numbers and
field orders are those of ClickHouse's public protocol description.
"""

from __future__ import annotations

import dataclasses
import enum

from stirbeat.local.clickhouse import wire

REVISION = 54429

MAX_NAME_BYTES = 1 << 12
MAX_QUERY_BYTES = 64 << 20
MAX_SETTINGS = 1000
MAX_SETTING_BYTES = 1 << 20

BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""No overflow row, no bucket."""


class Client(enum.IntEnum):
    HELLO = 0
    QUERY = 1
    DATA = 2
    CANCEL = 3
    PING = 4


class Server(enum.IntEnum):
    HELLO = 0
    DATA = 1
    EXCEPTION = 2
    PROGRESS = 3
    PONG = 4
    END_OF_STREAM = 5
    PROFILE_INFO = 6


@dataclasses.dataclass(frozen=True)
class Hello:
    revision: int
    database: str
    user: str
    password: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Query:
    """A query as sent; `sql` is not in the repr, as it may hold keys."""

    id: str
    settings: dict[str, str] = dataclasses.field(repr=False)
    compressed: bool
    sql: str = dataclasses.field(repr=False)


@dataclasses.dataclass
class Counts:
    """Rows and bytes read and written so far; a Progress packet carries the growth of each."""

    read_rows: int = 0
    read_bytes: int = 0
    total_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0


def read_hello(reader: wire.Reader) -> Hello:
    """The client's first packet. Raises ProtocolError for anything else, such as an HTTP request."""
    if reader.byte() != Client.HELLO:
        raise wire.ProtocolError("this port speaks ClickHouse's native protocol, and the first packet was no Hello")
    reader.text(MAX_NAME_BYTES)  # the client's name
    reader.varint()
    reader.varint()
    return Hello(
        revision=reader.varint(),
        database=reader.text(MAX_NAME_BYTES),
        user=reader.text(MAX_NAME_BYTES),
        password=reader.text(MAX_NAME_BYTES),
    )


def read_query(reader: wire.Reader) -> Query:
    query_id = reader.text(MAX_NAME_BYTES)
    _skip_client_info(reader)
    settings: dict[str, str] = {}
    while name := reader.text(MAX_NAME_BYTES):
        reader.byte()  # flags: whether the setting is important; here every one is
        settings[name] = reader.text(MAX_SETTING_BYTES)
        if len(settings) > MAX_SETTINGS:
            raise wire.ProtocolError(f"more than {MAX_SETTINGS} settings were sent with one query")
    reader.varint()  # up to which stage to run it: there is no other server to leave a stage to
    compressed = bool(reader.varint())
    return Query(query_id, settings, compressed, reader.text(MAX_QUERY_BYTES))


def _skip_client_info(reader: wire.Reader) -> None:
    if not reader.byte():
        return
    for _ in range(3):  # initial user, query id, address
        reader.text(MAX_NAME_BYTES)
    if reader.byte() != 1:
        raise wire.ProtocolError("a query came in by another interface than TCP")
    for _ in range(3):  # user, host and name of the client
        reader.text(MAX_NAME_BYTES)
    for _ in range(3):  # version and revision of the client
        reader.varint()
    reader.text(MAX_NAME_BYTES)  # quota key
    reader.varint()


def read_block_info(reader: wire.Reader) -> None:
    """Pass over what stands before a client's block."""
    while field := reader.varint():
        if field not in (1, 2):
            raise wire.ProtocolError(f"block info field {field} is unknown")
        reader.skip(1 if field == 1 else 4)


def hello(version: tuple[int, int, int], timezone: str) -> bytes:
    major, minor, patch = version
    return b"".join(
        [
            wire.varint(Server.HELLO),
            wire.text("ClickHouse"),
            wire.varint(major),
            wire.varint(minor),
            wire.varint(REVISION),
            wire.text(timezone),
            wire.text("stirbeat local"),
            wire.varint(patch),
        ]
    )


def data(block: bytes) -> bytes:
    return wire.varint(Server.DATA) + wire.text("") + BLOCK_INFO + block


def exception(code: int, message: str) -> bytes:
    return b"".join(
        [
            wire.varint(Server.EXCEPTION),
            wire.int32(code),
            wire.text("DB::Exception"),
            wire.text(message),
            wire.text(""),  # stack trace
            b"\0",  # nothing nested
        ]
    )


def progress(growth: Counts) -> bytes:
    return wire.varint(Server.PROGRESS) + b"".join(wire.varint(max(0, n)) for n in dataclasses.astuple(growth))


def profile_info(rows: int, blocks: int, size: int) -> bytes:
    return b"".join([wire.varint(Server.PROFILE_INFO), *(wire.varint(n) for n in (rows, blocks, size)), b"\0\0\0"])


def pong() -> bytes:
    return wire.varint(Server.PONG)


def end_of_stream() -> bytes:
    return wire.varint(Server.END_OF_STREAM)
