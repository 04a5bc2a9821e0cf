"""The statements of this room."""

from __future__ import annotations

import functools

from stirbeat.store import statement

load = functools.partial(statement.load, __name__)
