"""The arguments of a flow: what is accepted, in which form it goes on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

from stirbeat import errors


def _same(text: str) -> str:
    return text


@dataclasses.dataclass(frozen=True, slots=True)
class Argument:
    """One text argument.

    pattern: the whole normalised value must match it
    about: completes "<name> must be ..." for people
    normalise: brings the forms people type (an @ before a handle, capitals) to the one that is stored
    """

    name: str
    pattern: re.Pattern[str]
    about: str
    longest: int = 200
    normalise: Callable[[str], str] = _same

    def accept(self, value: object) -> str:
        """The normalised value. Raises errors.InvalidArgument with a sentence that says what is wrong."""
        if not isinstance(value, str):
            raise errors.InvalidArgument(f"{self.name} must be {self.about}, not a {type(value).__name__}")
        if len(value) > self.longest:
            raise errors.InvalidArgument(f"{self.name} must be {self.about}; this one has {len(value)} characters")
        normal = self.normalise(value)
        if not self.pattern.fullmatch(normal):
            raise errors.InvalidArgument(f"{self.name} must be {self.about}, not {value!r}")
        return normal


def accept(declared: Sequence[Argument], given: Mapping[str, object]) -> dict[str, str]:
    """The normalised arguments of a request: exactly the declared ones.

    Raises errors.InvalidArgument for one that is missing, unknown or malformed.
    """
    names = [argument.name for argument in declared]
    unknown = sorted(f"{name!r:.60}" for name in given if name not in names)
    if unknown:
        raise errors.InvalidArgument(f"unknown argument {', '.join(unknown)}; this flow takes {', '.join(names)}")
    missing = [name for name in names if name not in given]
    if missing:
        raise errors.InvalidArgument(f"missing argument {', '.join(missing)}; this flow takes {', '.join(names)}")
    return {argument.name: argument.accept(given[argument.name]) for argument in declared}
