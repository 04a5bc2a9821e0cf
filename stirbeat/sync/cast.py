"""From a ClickHouse type and a Postgres type to the ClickHouse expression whose TabSeparated text COPY reads exactly.

Pure. What cannot be carried exactly is refused here, before any row moves. Two losses are inherent and are accepted:
Postgres text and jsonb hold no NUL, which is stripped, and bytes that are no UTF-8 become U+FFFD; `bytea` keeps both.
UInt64 into bigint is allowed and checked by COPY itself, which refuses the load above 2^63-1.
"""

from __future__ import annotations

import re

from stirbeat.sync import clickhouse_type

# Settings the expressions rely on; every export pins them.
SETTINGS = {
    "date_time_output_format": "iso",
    "format_tsv_null_representation": "\\N",
    "output_format_tsv_crlf_end_of_line": 0,
    "bool_true_representation": "true",
    "bool_false_representation": "false",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_64bit_floats": 0,
    "output_format_json_quote_decimals": 0,
    "output_format_json_quote_denormals": 1,  # NaN and Inf would become null without a word
    "output_format_json_escape_forward_slashes": 0,
}

_INTEGER_BITS = re.compile(r"^(U?)Int(8|16|32|64|128|256)$")
_POSTGRES_BITS = {"smallint": 16, "integer": 32, "bigint": 64}
_NUMERIC = re.compile(r"^numeric\((\d+),(\d+)\)$")
_MICROSECONDS = 6  # digits after the point that a Postgres timestamp keeps
_STRUCTURED = frozenset({"Array", "Map", "Tuple", "Nested", "JSON"})
_TEXTUAL = frozenset({"String", "FixedString", "Enum8", "Enum16", "UUID", "IPv4", "IPv6"})
# Keeps every escape of a JSON text but \u0000, which jsonb refuses. Read from left to right, so that an escaped
# backslash before "u0000" is seen as what it is.
_JSON_NUL = (
    r"(\\\\[^u]|\\\\u(?:000[1-9a-fA-F]|00[1-9a-fA-F][0-9a-fA-F]|0[1-9a-fA-F][0-9a-fA-F]{2}"
    r"|[1-9a-fA-F][0-9a-fA-F]{3}))|\\\\u0000"
)


class CannotCarry(ValueError):
    """This pair of types has no exact way; the message says what to do."""


def expression(source: str, source_type: str, target_type: str) -> str:
    """ClickHouse SQL that turns `source`, an expression of `source_type`, into text for a `target_type` column.

    Raises CannotCarry when no exact way exists.
    """
    parsed = clickhouse_type.parse(source_type)
    if target_type.endswith("[]"):
        return _array(source, parsed, source_type, target_type.removesuffix("[]"))
    if target_type == "jsonb":
        return _jsonb(source, parsed, source_type)
    return _scalar(source, parsed, target_type) or _refuse(source_type, target_type)


def _refuse(source_type: str, target_type: str, hint: str = "") -> str:
    raise CannotCarry(
        f"{source_type} cannot be carried exactly into {target_type}; "
        + (hint or "choose another Postgres type, or convert it in the column's expression")
    )


def _scalar(source: str, kind: clickhouse_type.Type, target: str) -> str:
    """The expression for one value, or "" where the pair does not fit."""
    if kind.name in _TEXTUAL or _INTEGER_BITS.match(kind.name) or kind.name in {"Bool", "Decimal"}:
        if target == "text":
            return _text(source)
        if target == "bytea":
            return f"concat('\\\\x', hex({source}))" if kind.name in {"String", "FixedString"} else ""
    if kind.name == "UUID":
        return source if target == "uuid" else ""
    if kind.name in {"IPv4", "IPv6"}:
        return source if target == "inet" else ""
    if kind.name == "Bool":
        return source if target == "boolean" else ""
    if kind.name.startswith("Float"):
        return _float(source, kind.name, target)
    if kind.name.startswith("Date"):
        return _moment(source, kind, target)
    if kind.name == "Decimal":
        return source if _decimal_fits(kind, target) else ""
    return source if _integer_fits(kind.name, target) else ""


def _text(source: str) -> str:
    # A NULL stays NULL: every function here hands it through.
    return f"toValidUTF8(replaceAll(toString({source}), '\\0', ''))"


def _float(source: str, name: str, target: str) -> str:
    if target == "real":
        return source if name == "Float32" else ""
    if target == "double precision" and name in {"Float32", "Float64"}:
        # The shortest text of a Float32 is another number when it is read as a double.
        return f"toFloat64({source})" if name == "Float32" else source
    return ""


def _moment(source: str, kind: clickhouse_type.Type, target: str) -> str:
    if kind.name in {"Date", "Date32"}:
        return source if target == "date" else ""
    if target not in {"timestamp", "timestamptz"} or kind.name not in {"DateTime", "DateTime64"}:
        return ""
    if kind.name == "DateTime64" and int(kind.arguments[0]) > _MICROSECONDS:
        return _refuse(
            f"DateTime64({kind.arguments[0]})", target, "Postgres keeps microseconds: use toDateTime64(x, 6, 'UTC')"
        )
    return source


def _integer_fits(name: str, target: str) -> bool:
    found = _INTEGER_BITS.match(name)
    if not found:
        return False
    if target == "numeric":
        return True
    unsigned, bits = bool(found[1]), int(found[2])
    room = _POSTGRES_BITS.get(target, 0)
    return bits < room or (bits == room and not unsigned) or (unsigned and bits == room == 64)


def _decimal_fits(kind: clickhouse_type.Type, target: str) -> bool:
    if target == "numeric":
        return True
    found = _NUMERIC.match(target)
    if not found:
        return False
    precision, scale = (int(argument) for argument in kind.arguments)
    return int(found[2]) >= scale and int(found[1]) - int(found[2]) >= precision - scale


def _jsonb(source: str, kind: clickhouse_type.Type, source_type: str) -> str:
    if kind.name == "String":
        return _text(source)  # COPY refuses what is no JSON
    if kind.name not in _STRUCTURED:
        return _refuse(source_type, "jsonb")
    return f"replaceRegexpAll(toValidUTF8(toJSONString({source})), '{_JSON_NUL}', '\\\\1')"


def _array(source: str, kind: clickhouse_type.Type, source_type: str, element_target: str) -> str:
    if kind.name != "Array":
        return _refuse(source_type, element_target + "[]")
    inner = kind.inner()
    if inner.name in _STRUCTURED or element_target == "jsonb":
        return _refuse(source_type, element_target + "[]", "use jsonb, which keeps empty and uneven inner arrays")
    element = _scalar("x", inner, element_target) or _refuse(source_type, element_target + "[]")
    if inner.name.startswith("DateTime"):
        # Inside an expression the ISO setting does not apply: UTC is written out.
        element = "concat(toString(toTimeZone(x, 'UTC')), 'Z')"
    text = f"toString({element})"
    if element_target in {"text", "bytea"}:
        text = f"concat('\"', replaceAll(replaceAll({text}, '\\\\', '\\\\\\\\'), '\"', '\\\\\"'), '\"')"
    if inner.nullable:
        text = f"ifNull({text}, 'NULL')"
    return f"concat('{{', arrayStringConcat(arrayMap(x -> {text}, {source}), ','), '}}')"
