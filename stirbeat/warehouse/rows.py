"""A message's body -> a row of its event's table, or the reason why it cannot be one. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from stirbeat import errors, events
from stirbeat.warehouse import schema

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

# What ClickHouse's DateTime64 can hold (its documentation); beyond it, it would store another time in silence.
_FIRST_YEAR, _LAST_YEAR = 1900, 2299

_INTEGER = re.compile(r"(U?)Int(8|16|32|64)")
_WRAPPED = re.compile(r"(Nullable|LowCardinality)\((.*)\)")
_DATETIME64 = re.compile(r"DateTime64\(6, 'UTC'\)")

Convert = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One event, ready for its table: `values` stand in the order of `columns(table)`."""

    table: str
    event_id: uuid.UUID
    values: tuple[Any, ...]


class Poison(errors.SkipRecord):
    """A message that is no event of the catalogue. Its text is the reason."""


@functools.cache
def columns(table: str) -> tuple[str, ...]:
    """The columns that a row of this event fills, in order."""
    return (*(field.name for field in events.CATALOGUE[table].columns), schema.EXTRA)


def parse(name: str, body: bytes) -> Row:
    """The row that a message named `name` (its routing key) stands for.

    Raises Poison when the name is unknown, the body is no JSON object, or a field is missing or of the wrong type.
    Fields that the catalogue does not know are kept as JSON in the column `extra`.
    """
    event = events.CATALOGUE.get(name)
    if event is None:
        raise Poison("no event of this name is known")
    payload = _payload(body)
    values: list[Any] = []
    for field, convert in _converters(name):
        try:
            values.append(convert(payload.pop(field.name, None)))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Poison(f"{field.name}: {str(error)[:200] or type(error).__name__}") from error
    try:
        extra = _json_text(payload)
    except (ValueError, RecursionError) as error:
        raise Poison(f"the fields beyond the catalogue: {error}"[:200]) from error
    return Row(name, values[0], (*values, extra))


def _payload(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Poison(f"not JSON: {type(error).__name__} {error}"[:200]) from error
    if not isinstance(payload, dict):
        raise Poison(f"a JSON object is wanted, not {type(payload).__name__}")
    return payload


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


@functools.cache
def _converters(name: str) -> tuple[tuple[events.Field, Convert], ...]:
    return tuple((field, converter(field)) for field in events.CATALOGUE[name].columns)


def converter(field: events.Field) -> Convert:
    """What turns a field's JSON value into the driver's. Raises errors.RegistryError for a type that has none."""
    if field.json is not None:
        return functools.partial(_structure, dict if field.json == "object" else list)
    return _converter(field.type)


def _converter(kind: str) -> Convert:
    wrapped = _WRAPPED.fullmatch(kind)
    if wrapped and wrapped[1] == "Nullable":
        return functools.partial(_optional, _converter(wrapped[2]))
    if wrapped:
        return _converter(wrapped[2])
    integer = _INTEGER.fullmatch(kind)
    if integer:
        bits = int(integer[2])
        low, high = (0, (1 << bits) - 1) if integer[1] else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        return functools.partial(_whole, low, high)
    if _DATETIME64.fullmatch(kind):
        return _microseconds
    simple: Mapping[str, Convert] = {"String": _text, "UUID": _uuid, "Float64": _number, "Bool": _truth}
    if kind not in simple:
        raise errors.RegistryError(f"the sink cannot store ClickHouse type {kind}: give it a converter in rows.py")
    return simple[kind]


def _optional(convert: Convert, value: Any) -> Any:
    return None if value is None else convert(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is wanted, not {_kind(value)}")
    value.encode()  # a lone surrogate is JSON but no text; it would fail the whole batch later
    return value


def _uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(_text(value))


def _microseconds(value: Any) -> int:
    """Microseconds since 1970: what a DateTime64(6) holds."""
    moment = datetime.datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset from UTC")
    moment = moment.astimezone(datetime.UTC)
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"the year must be {_FIRST_YEAR} to {_LAST_YEAR}")
    return (moment - _EPOCH) // _MICROSECOND


def _whole(low: int, high: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a whole number is wanted, not {_kind(value)}")
    number: int = value
    if not low <= number <= high:
        raise ValueError(f"must be {low} to {high}")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number is wanted, not {_kind(value)}")
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false is wanted, not {_kind(value)}")
    return value


def _structure(kind: type, value: Any) -> str:
    if not isinstance(value, kind):
        raise TypeError(f"a JSON {'object' if kind is dict else 'list'} is wanted, not {_kind(value)}")
    return _json_text(value)


def _json_text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text.encode()
    return text


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
