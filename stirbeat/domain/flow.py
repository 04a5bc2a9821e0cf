"""Platforms, flows and sources: what can be asked, and who can answer it in which order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from stirbeat import errors
from stirbeat.domain import arguments, exchange, records

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What a step may build its call from.

    arguments: the request's validated arguments
    account: public attributes of the leased credential (an account id), never its secret
    known: facts learned before: from the store (the profile's id) or from an earlier step of the same source
    """

    arguments: Mapping[str, str]
    account: Mapping[str, str] = dataclasses.field(default_factory=dict)
    known: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    """What an answer held: records, facts for the next step, and where the next page begins."""

    records: tuple[records.Record, ...] = ()
    known: Mapping[str, str] = dataclasses.field(default_factory=dict)
    next_cursor: str | None = None


def _never(_context: Context) -> bool:
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One call of a provider function, and how its answer is read.

    call: context -> call
    parse: (answer, context) -> parsed; raises errors.ProviderFailed when the answer is not of the expected shape
    skip: True when what the step would find out is known already
    """

    function: str
    call: Callable[[Context], exchange.Call]
    parse: Callable[[exchange.Answer, Context], Parsed]
    skip: Callable[[Context], bool] = _never


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A provider (by name) and the steps that answer a flow through it."""

    provider: str
    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """One thing that can be asked of a platform.

    target: the argument that says whom it is about; per-target limits and duplicate suppression count by it
    sources: in the order in which they are tried
    expires_after_s: seconds after submit at which nobody waits for the answer any more
    most_hops: exchanges that one request may use; with the waits between rounds, three sources last 40 minutes
    """

    platform: str
    name: str
    about: str
    arguments: tuple[arguments.Argument, ...]
    target: str
    sources: tuple[Source, ...]
    expires_after_s: int = 24 * 3600
    most_hops: int = 40

    @property
    def key(self) -> str:
        """ "instagram.refresh_profile": the flow's name everywhere, and the name of its Celery task."""
        return f"{self.platform}.{self.name}"

    def accept(self, given: Mapping[str, object]) -> dict[str, str]:
        """The validated arguments. Raises errors.InvalidArgument."""
        return arguments.accept(self.arguments, given)


@dataclasses.dataclass(frozen=True, slots=True)
class Platform:
    """A platform and its flows. Exported as PLATFORM by a module of `stirbeat.platforms` or of a plugin."""

    name: str
    flows: tuple[Flow, ...]

    def __post_init__(self) -> None:
        for name in (self.name, *(flow.name for flow in self.flows)):
            if not _NAME.fullmatch(name):
                raise errors.RegistryError(f"{name!r} is no name for a platform or flow: use lower_case letters")
        if any(flow.platform != self.name for flow in self.flows):
            raise errors.RegistryError(f"platform {self.name!r} exports a flow of another platform")
