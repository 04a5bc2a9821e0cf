"""Reading strangers' JSON: every function takes any value and gives one of our types, or None for "unknown"."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

_LONGEST_TEXT = 10_000
_LONGEST_ADDRESS = 4_000
_DIGITS = re.compile(r"[0-9]{1,30}")
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_LARGEST_COUNT = 2**63 - 1


def at(value: Any, *path: str | int) -> Any:
    """The value at a path of keys and positions, None where there is none."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and len(value) > step:
            value = value[step]
        else:
            return None
    return value


def text(value: Any) -> str | None:
    """Text that Postgres can store: no NUL, no half of a surrogate pair; very long text is cut."""
    if not isinstance(value, str):
        return None
    plain = value[:_LONGEST_TEXT].replace("\x00", "")
    try:
        plain.encode()
    except UnicodeEncodeError:
        plain = plain.encode("utf-8", "replace").decode()
    return plain


def filled(value: Any) -> str | None:
    """Text that says something: vendors send "" for many a thing they do not know."""
    return text(value) or None


def address(value: Any) -> str | None:
    """An http(s) address."""
    if not isinstance(value, str) or not value.startswith(("https://", "http://")) or len(value) > _LONGEST_ADDRESS:
        return None
    return text(value)


def handle(value: Any) -> str | None:
    """A handle as it is stored."""
    return value.lower() if isinstance(value, str) and 0 < len(value) <= 60 and value.isprintable() else None


def identity(value: Any) -> str | None:
    """A numeric id as text; vendors give it as number or text, from one endpoint to the next."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**30:
        return str(value)
    return value if isinstance(value, str) and _DIGITS.fullmatch(value) else None


def count(value: Any) -> int | None:
    """A whole number, also as text. Negative ones are kept: whoever judges the data's quality shall see them."""
    if isinstance(value, bool):
        return None
    whole_text = isinstance(value, str) and _WHOLE.fullmatch(value)
    whole_float = isinstance(value, float) and math.isfinite(value) and value.is_integer()
    if not (whole_text or whole_float or isinstance(value, int)):
        return None
    found = int(value)
    return found if abs(found) <= _LARGEST_COUNT else None


def shown(value: Any) -> int | None:
    """A count that its owner may hide; Instagram then answers -1 or leaves it out."""
    found = count(value)
    return found if found is not None and found >= 0 else None


def views(*values: Any) -> int | None:
    """The first of the view counts that is above 0: 0 on a video means "not counted here"."""
    return next((found for value in values if (found := count(value)) is not None and found > 0), None)


def flag(value: Any) -> bool | None:
    """True, False, or None for anything else."""
    return value if isinstance(value, bool) else None


def moment(value: Any) -> datetime.datetime | None:
    """A time in UTC, from ISO 8601 (with Z, +00:00 or +0000; without a zone it is UTC) or seconds since 1970."""
    try:
        if isinstance(value, str):
            found = datetime.datetime.fromisoformat(value)
            if found.tzinfo is None:
                found = found.replace(tzinfo=datetime.UTC)
            return found.astimezone(datetime.UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.datetime.fromtimestamp(value, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
