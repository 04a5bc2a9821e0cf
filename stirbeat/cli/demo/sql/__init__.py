"""What the demo asks Postgres."""

from __future__ import annotations

import functools

from stirbeat.store import statement

load = functools.partial(statement.load, __name__)
