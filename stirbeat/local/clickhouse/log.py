"""One line an event on standard error: time, name, fields. Never the text of a query, which may hold keys."""

from __future__ import annotations

import datetime
import json
import sys
import traceback


def event(name: str, **fields: object) -> None:
    """Write `name` and those fields that are not None."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    said = {"at": now, "event": name, **{key: value for key, value in fields.items() if value is not None}}
    sys.stderr.write(json.dumps(said) + "\n")
    sys.stderr.flush()


def place_of(error: BaseException) -> str:
    """Where `error` was raised, as `file:line` from the outermost call in; no values, which may hold keys."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
