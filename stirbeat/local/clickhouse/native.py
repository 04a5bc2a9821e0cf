"""Where a block of the Native format ends.

A Data packet does not say how long it is: its end follows only from the columns' types. So a reader has to know
how each type lies in bytes, though it need not decode any value. `skip_block` walks over one block and reports
its shape; with a recording `wire.Reader` the same walk copies the block byte for byte.

Layouts follow ClickHouse's documented Native format: each column is its name, its type and, if the block has rows,
an optional prefix (LowCardinality's version) and the values. Types without a fixed layout (Variant, Dynamic, JSON,
AggregateFunction) are refused with a sentence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stirbeat.local.clickhouse import wire

MAX_COLUMNS = 10_000
MAX_NAME_BYTES = 1 << 16
MAX_TYPE_DEPTH = 32

Column = tuple[str, str]
"""Name and type of a column."""

_WIDTHS = {
    **{name: 1 for name in ("Int8", "UInt8", "Bool", "Enum8", "Nothing")},
    **{name: 2 for name in ("Int16", "UInt16", "Date", "Enum16", "BFloat16")},
    **{name: 4 for name in ("Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Decimal32", "Time")},
    **{name: 8 for name in ("Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64")},
    **{name: 16 for name in ("Int128", "UInt128", "UUID", "IPv6", "Decimal128", "Point")},
    **{name: 32 for name in ("Int256", "UInt256", "Decimal256")},
}

_GEOMETRIES = {
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Array(Point))",
    "MultiLineString": "Array(Array(Point))",
    "MultiPolygon": "Array(Array(Array(Point)))",
}

_DECIMAL_WIDTHS = ((9, 4), (18, 8), (38, 16), (76, 32))
"""Highest precision of a Decimal, and its bytes."""


class UnknownType(Exception):
    """A type whose layout this module does not know."""


@dataclass(frozen=True)
class Layout:
    """How a type's column lies in bytes: a prefix of fixed length, then `values(reader, rows)`."""

    values: Callable[[wire.Reader, int], None]
    prefix_bytes: int = 0


@dataclass(frozen=True)
class Shape:
    """Columns and number of rows of a block."""

    columns: tuple[Column, ...]
    rows: int


def skip_block(reader: wire.Reader, expected: Sequence[Column] | None = None) -> Shape:
    """Walk over one block (without block info) and return its shape.

    `expected`: refuse, with ProtocolError and before reading any value, a block with other columns.
    Raises UnknownType, ProtocolError, EndOfInput.
    """
    count = reader.varint(MAX_COLUMNS)
    rows = reader.varint()
    columns: list[Column] = []
    if expected is not None and count and count != len(expected):
        raise wire.ProtocolError(f"a block of {count} columns was sent where {len(expected)} are due")
    for index in range(count):
        column = (reader.text(MAX_NAME_BYTES), reader.text(MAX_NAME_BYTES))
        if expected is not None and column != tuple(expected[index]):
            raise wire.ProtocolError(
                f"column {column[0]} {column[1]} was sent where {' '.join(expected[index])} is due"
            )
        columns.append(column)
        if rows:
            layout = layout_of(column[1])
            reader.skip(layout.prefix_bytes)
            layout.values(reader, rows)
    return Shape(tuple(columns), rows)


@functools.lru_cache(maxsize=4096)
def layout_of(type_name: str, depth: int = 0) -> Layout:
    """The layout of a type by its name as ClickHouse writes it, e.g. `Array(Nullable(String))`."""
    if depth > MAX_TYPE_DEPTH:
        raise UnknownType(f"type {type_name[:60]} is nested deeper than {MAX_TYPE_DEPTH} levels")
    name, arguments = _parse(_GEOMETRIES.get(type_name, type_name))
    inner = functools.partial(layout_of, depth=depth + 1)
    if name == "String":
        return Layout(wire.Reader.skip_strings)
    if name == "Decimal":
        precision = int(arguments[0])
        return _fixed(next(width for highest, width in _DECIMAL_WIDTHS if precision <= highest))
    if name == "FixedString":
        return _fixed(int(arguments[0]))
    if name.startswith("Interval"):
        return _fixed(8)
    if name in _WIDTHS:
        return _fixed(_WIDTHS[name])
    if name == "Nullable":
        return _sequence([_fixed(1), inner(arguments[0])])
    if name == "SimpleAggregateFunction":
        return inner(arguments[-1])
    if name == "LowCardinality":
        return _low_cardinality(inner(_without_nullable(arguments[0])))
    if name == "Array":
        return _array(inner(arguments[0]))
    if name == "Map":
        return _array(_sequence([inner(argument) for argument in arguments]))
    if name == "Tuple" and arguments:
        return _sequence([inner(_element_type(argument)) for argument in arguments])
    if name == "Nested":
        return _array(_sequence([inner(_element_type(argument)) for argument in arguments]))
    raise UnknownType(
        f"type {type_name[:200]} cannot be sent in blocks to the local server; cast it or send it as String"
    )


def _fixed(width: int) -> Layout:
    return Layout(lambda reader, rows: reader.skip(width * rows))


def _sequence(parts: list[Layout]) -> Layout:
    def values(reader: wire.Reader, rows: int) -> None:
        for part in parts:
            part.values(reader, rows)

    return Layout(values, sum(part.prefix_bytes for part in parts))


def _array(element: Layout) -> Layout:
    """An end offset of 8 bytes a row, the last of which is the number of elements; then the elements."""

    def values(reader: wire.Reader, rows: int) -> None:
        if not rows:
            return
        reader.skip(8 * (rows - 1))
        element.values(reader, reader.uint64())

    return Layout(values, element.prefix_bytes)


def _low_cardinality(key: Layout) -> Layout:
    """Values as indexes of 1, 2, 4 or 8 bytes (the low byte of the flags says which) into keys sent before them."""

    def values(reader: wire.Reader, rows: int) -> None:
        if not rows:
            return
        flags = reader.uint64()
        index_width = 1 << (flags & 0xFF)
        if index_width > 8:
            raise wire.ProtocolError("a LowCardinality column with indexes of unknown width was sent")
        key.values(reader, reader.uint64())
        reader.skip(index_width * reader.uint64())

    return Layout(values, 8)


def _parse(type_name: str) -> tuple[str, list[str]]:
    name, bracket, rest = type_name.partition("(")
    if not bracket:
        return name, []
    if not rest.endswith(")"):
        raise UnknownType(f"type {type_name[:60]} has no closing bracket")
    arguments, depth, start, body = [], 0, 0, rest[:-1]
    for match in re.finditer(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]", body):
        symbol = match.group()
        depth += (symbol == "(") - (symbol == ")")
        if symbol == "," and not depth:
            arguments.append(body[start : match.start()].strip())
            start = match.end()
    return name, [*arguments, body[start:].strip()] if body.strip() else []


def _element_type(argument: str) -> str:
    """`name Type` or `Type` of a Tuple's or Nested's argument, to `Type`."""
    named = re.match(r"(?:`(?:[^`\\]|\\.)*`|\w+)\s+(?=\S)", argument)
    return argument[named.end() :] if named else argument


def _without_nullable(type_name: str) -> str:
    name, arguments = _parse(type_name)
    return arguments[0] if name == "Nullable" else type_name


def header(columns: Sequence[Column]) -> bytes:
    """A block with columns and no rows."""
    return b"".join(
        [wire.varint(len(columns)), wire.varint(0), *(wire.text(name) + wire.text(kind) for name, kind in columns)]
    )


def strings(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """A block of String columns."""
    out = [wire.varint(len(names)), wire.varint(len(rows))]
    for index, name in enumerate(names):
        out += [wire.text(name), wire.text("String"), *(wire.text(row[index]) for row in rows)]
    return b"".join(out)


def split(data: bytes) -> list[tuple[Shape, bytes]]:
    """The blocks that lie end to end in `data`."""
    left = memoryview(data)
    taken = 0

    def source(count: int) -> bytes:
        nonlocal taken
        piece = bytes(left[taken : taken + count])
        taken += len(piece)
        return piece

    reader = wire.Reader(source)
    blocks = []
    while reader.peek() is not None or taken < len(left):
        pieces: list[bytes] = []
        reader.record(pieces.append)
        shape = skip_block(reader)
        reader.stop_recording()
        blocks.append((shape, b"".join(pieces)))
    return blocks


def names_and_types(data: bytes) -> tuple[Column, ...]:
    """The columns at the head of format RowBinaryWithNamesAndTypes: their number, all names, all types."""
    left = iter([data])
    reader = wire.Reader(lambda _: next(left, b""))
    count = reader.varint(MAX_COLUMNS)
    names = [reader.text(MAX_NAME_BYTES) for _ in range(count)]
    return tuple(zip(names, [reader.text(MAX_NAME_BYTES) for _ in range(count)], strict=True))
