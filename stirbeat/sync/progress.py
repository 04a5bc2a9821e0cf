"""What a run tells while it works."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

Step = Literal["lock", "export", "load", "guard", "index", "swap", "record"]
STEPS: tuple[Step, ...] = ("lock", "export", "load", "guard", "index", "swap", "record")


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is. `rows` and `bytes` are done in this step; `total_rows`, `total_bytes` are 0 where unknown."""

    step: Step
    rows: int = 0
    total_rows: int = 0
    bytes: int = 0
    total_bytes: int = 0


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Tell nobody."""
