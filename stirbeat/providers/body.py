"""What an error's body says, read without trust."""

from __future__ import annotations

import json
import re
from typing import Any

from stirbeat.domain import exchange

# Errors are short; a body beyond this is data and is not read a second time only to be classified, in bytes.
LONGEST_ERROR = 8 * 1024

_LONGEST_REASON = 160
# Vendors quote tokens in their messages ("Malformed access token EAA..."); words never get this long.
_COULD_BE_SECRET = re.compile(r"[\w\-|.=+/%~:]{20,}")
_NOT_PRINTED = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd]+")


def fields(answer: exchange.Answer) -> dict[str, Any]:
    """The object in a short body, {} where there is none."""
    if len(answer.body) > LONGEST_ERROR:
        return {}
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def message(found: dict[str, Any], *names: str) -> str:
    """The first of these fields that is text, else ""."""
    for name in names:
        value = found.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def whole(value: object) -> int | None:
    """A code that is a whole number, or text of one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    return None


def reason(status: int, text: str) -> str:
    """A line for people: the status and the vendor's words, with whatever could be a secret taken out."""
    plain = _COULD_BE_SECRET.sub("...", _NOT_PRINTED.sub(" ", text[: 4 * _LONGEST_REASON])).strip()
    return f"HTTP {status}: {plain[:_LONGEST_REASON]}" if plain else f"HTTP {status}"
