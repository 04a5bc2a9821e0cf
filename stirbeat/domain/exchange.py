"""One HTTP exchange with a provider: the call and its answer, as values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from stirbeat import errors


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a provider, before its authorisation is added. `path` is relative to the provider's host."""

    path: str
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    json: Any = None
    method: str = "GET"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are lower-case; `elapsed_s` is the whole exchange in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes = dataclasses.field(repr=False)
    elapsed_s: float = 0.0

    def json(self) -> Any:
        """The body as JSON.

        Raises errors.ProviderFailed when it is not JSON (also when it is nested too deep to be read).
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise errors.ProviderFailed(f"HTTP {self.status}: the body is not JSON") from error
