"""Who may be chosen for a call, in which order, and the sentence for when nobody may. Pure."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Iterable, Sequence

from stirbeat.credentials import limiter, snapshot, subjects, table, windows
from stirbeat.domain import provider


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What leases of one function of a provider have in common while a snapshot is current.

    shared, own: the windows of the call, and those of a candidate (the first one's stand for all)
    rows, candidates, cooling: usable credentials, the limiter's view of them, and how many seconds each had still to
    cool down when the snapshot was read
    """

    declared: provider.Provider
    seen: snapshot.Snapshot
    cooldowns: bytes
    provider_subject: str
    shared: tuple[windows.Window, ...]
    own: tuple[windows.Window, ...]
    rows: tuple[table.Row, ...]
    candidates: tuple[limiter.Candidate, ...]
    cooling: tuple[float, ...]
    disabled: int
    unreadable: int

    def cooling_s(self, now: float) -> list[float]:
        """For each candidate, the seconds until it has cooled down as far as Postgres knows; 0.0 if it may be asked."""
        passed = now - self.seen.read_at
        return [max(0.0, cooling_s - passed) for cooling_s in self.cooling]

    def shuffled(self, indexes: Sequence[int]) -> list[int]:
        """The indexes in a weighted random order: each next one is drawn by weight among those that are left.

        So the first of them that turns out to have room was drawn by weight among all that have room. Exponential keys
        do it in one sort (Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir").
        """
        if len(indexes) == 1:
            return list(indexes)
        return sorted(indexes, key=lambda index: random.expovariate(self.rows[index].weight))


def plan(declared: provider.Provider, function: str, seen: snapshot.Snapshot) -> Plan:
    """The plan for one function of a provider."""
    known = seen.by_provider.get(declared.name, ())
    enabled = [row for row in known if row.enabled]
    rows = tuple(row for row in enabled if row.id not in seen.unreadable)
    own = [windows.own(declared, function, str(row.id), row.app) for row in rows]
    wider = [_subjects(row, function) for row in rows]
    candidates = tuple(
        limiter.Candidate(tuple(window.key for window in windows_), json.dumps(subjects_).encode())
        for windows_, subjects_ in zip(own, wider, strict=True)
    )
    everybody = subjects.provider(declared.name)
    return Plan(
        declared=declared,
        seen=seen,
        cooldowns=windows.cooldowns(declared.name),
        provider_subject=everybody,
        shared=tuple(windows.shared(declared, function)),
        own=tuple(own[0]) if own else (),
        rows=rows,
        candidates=candidates,
        cooling=tuple(
            max(row.cooling_s or 0.0, *(seen.cooling_s(subject) for subject in (everybody, *subjects_)))
            for row, subjects_ in zip(rows, wider, strict=True)
        ),
        disabled=len(known) - len(enabled),
        unreadable=len(enabled) - len(rows),
    )


def _subjects(row: table.Row, function: str) -> tuple[str, ...]:
    identity = str(row.id)
    return (
        subjects.credential(identity),
        subjects.credential_function(identity, function),
        # A credential without an app has one subject twice: every candidate has as many.
        subjects.app(row.provider, row.app) if row.app is not None else subjects.credential(identity),
    )


def nobody(declared: provider.Provider, made: Plan) -> str:
    """Why waiting is of no use: there is no credential that could ever become free by itself."""
    if made.disabled + made.unreadable == 0:
        command = f"stirbeat credentials add {declared.name} NAME"
        return f"{declared.name}: no credential is configured; add one with `{command}`"
    parts = []
    if made.disabled:
        parts.append(f"{made.disabled} disabled")
    if made.unreadable:
        parts.append(f"{made.unreadable} that STIRBEAT_SECRET_KEYS does not open")
    return f"{declared.name}: no usable credential: {', '.join(parts)} (see `stirbeat credentials list`)"


class Refusal:
    """Adds up why nobody may call now, over all candidates."""

    def __init__(self, cooling_s: Iterable[float]) -> None:
        """Begin with the candidates that were not asked because they are cooling, so many seconds each."""
        waits = list(cooling_s)
        self.wait_s = min(waits, default=math.inf)
        self.cooling = len(waits)
        self.limited = 0
        self._window: windows.Window | None = None

    def add(self, decision: limiter.Decision, of: Sequence[windows.Window]) -> None:
        """Count a refusal of the limiter in; `of` are the windows that its cause is an index of."""
        self.cooling += decision.cooling
        self.limited += decision.limited
        if decision.wait_s < self.wait_s:
            self.wait_s = decision.wait_s
            self._window = None if decision.cause is None else of[decision.cause]

    def sentence(self, declared: provider.Provider, function: str) -> str:
        """For people: how many are limited and cooling, and when the first one is free."""
        counts = ((self.limited, "limited"), (self.cooling, "cooling down"))
        parts = ", ".join(f"{count} {state}" for count, state in counts if count)
        why = "" if self._window is None else f" ({self._window.limit})"
        return f"{declared.name} {function}: no credential now: {parts}; the first is free in {self.wait_s:.1f} s{why}"
