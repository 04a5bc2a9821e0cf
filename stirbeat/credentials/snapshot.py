"""A process's view of the credentials: read from Postgres at most every two seconds, whatever the rate of leases.

What must hold at once in all processes (cooldowns, counts) is in Redis; the view adds what Redis may have lost.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import threading
import time
import uuid
from collections.abc import Iterable, Mapping

from stirbeat import errors
from stirbeat.credentials import table, vault

_LOG = logging.getLogger(__name__)

FRESH_S = 2.0
# How old a view may be for those who come while another thread reads the next one.
TOLERABLE_S = 2 * FRESH_S
# How long those wait whose view is older, as it is after a pause. Longer means that Postgres hangs.
WAIT_S = 1.0
# How long leases go on without Postgres. Longer, and a credential that a person disabled would go on being used.
USABLE_S = 60.0
# Between attempts while Postgres is down, so that only one thread in a while waits for it.
RETRY_S = 2.0
# Between two readings that were made only to be sure that a credential is missing.
AGAIN_S = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read, `read_at` on this process's monotonic clock.

    by_provider: every credential of a provider; by_id: every credential
    unreadable: ids of those that our keys do not open
    cooldowns: subject -> backoff, also ended ones whose failures were followed by no success
    """

    read_at: float
    by_provider: Mapping[str, tuple[table.Row, ...]]
    by_id: Mapping[uuid.UUID, table.Row]
    cooldowns: Mapping[str, table.Cooldown]
    unreadable: frozenset[uuid.UUID]

    def cooling_s(self, subject: str) -> float:
        """Seconds that a subject had still to cool down when this was read."""
        known = self.cooldowns.get(subject)
        return 0.0 if known is None else known.cooling_s


class Snapshots:
    """The newest snapshot of this process. One thread reads at a time; the others use the last one meanwhile, or wait
    where that is too old."""

    def __init__(self, source: table.Table, safe: vault.Vault) -> None:
        self._source = source
        self._vault = safe
        self._reading = threading.Lock()
        self._last: Snapshot | None = None
        self._due = 0.0
        self._tried = 0.0
        self._changes = 0
        self._opened: dict[uuid.UUID, tuple[bytes, bool]] = {}

    @property
    def last(self) -> Snapshot | None:
        """The newest snapshot there is, of whatever age."""
        return self._last

    def current(self) -> Snapshot:
        """A snapshot of at most FRESH_S seconds, or up to USABLE_S while Postgres does not answer.

        Raises errors.ServiceUnavailable when there is none.
        """
        last = self._last
        if last is not None and time.monotonic() < self._due:
            return self._usable(last)
        if self._reading.acquire(timeout=self._patience_s(last)):
            try:
                return self._read()
            finally:
                self._reading.release()
        assert last is not None
        return self._usable(last)

    @staticmethod
    def _patience_s(last: Snapshot | None) -> float:
        """How long to wait for a thread that is reading: for ever when there is nothing to go on with (-1)."""
        if last is None:
            return -1
        return 0 if time.monotonic() - last.read_at < TOLERABLE_S else WAIT_S

    def newer(self, seen: Snapshot) -> Snapshot:
        """A snapshot younger than `seen`, for who would otherwise tell a caller that waiting is of no use.

        Reads at most every AGAIN_S; within that time, and while Postgres does not answer, it is `seen` again.
        """
        with self._reading:
            if self._last is not seen or time.monotonic() - self._tried < AGAIN_S:
                return self._last or seen
            self._due = 0.0
            return self._read()

    def changed(self) -> None:
        """The next lease of this process looks anew: something was written."""
        self._changes += 1
        self._due = 0.0

    def _read(self) -> Snapshot:
        if time.monotonic() < self._due:  # the thread we waited for has read it, or could not
            if self._last is None:
                raise errors.ServiceUnavailable(service="postgres")
            return self._usable(self._last)
        changes = self._changes
        started = self._tried = time.monotonic()
        try:
            rows, cooldowns = self._source.read()
        except errors.ServiceUnavailable:
            self._due = time.monotonic() + RETRY_S
            if self._last is None:
                raise
            _LOG.warning("Postgres does not answer; going on with the credentials as they were")
            return self._usable(self._last)
        grouped = itertools.groupby(rows, key=lambda row: row.provider)  # they come in order of provider
        by_provider = {provider: tuple(group) for provider, group in grouped}
        known = {cooldown.subject: cooldown for cooldown in cooldowns}
        by_id = {row.id: row for row in rows}
        self._last = Snapshot(started, by_provider, by_id, known, self._unreadable(rows))
        # What was changed while we read may not be in it.
        self._due = started + FRESH_S if changes == self._changes else 0.0
        return self._last

    def _usable(self, last: Snapshot) -> Snapshot:
        if time.monotonic() - last.read_at > USABLE_S:
            raise errors.ServiceUnavailable(
                f"Postgres has not told the credentials for {USABLE_S:.0f} s", service="postgres"
            )
        return last

    def _unreadable(self, rows: Iterable[table.Row]) -> frozenset[uuid.UUID]:
        """Ids of those that none of our keys opens; each sealed secret is tried once."""
        opened: dict[uuid.UUID, tuple[bytes, bool]] = {}
        for row in rows:
            known = self._opened.get(row.id)
            if known is None or known[0] != row.sealed:
                known = (row.sealed, self._opens(row))
            opened[row.id] = known
        self._opened = opened
        return frozenset(identity for identity, (_sealed, opens) in opened.items() if not opens)

    def _opens(self, row: table.Row) -> bool:
        try:
            self._vault.decrypt(row.sealed)
        except errors.VaultError as error:
            _LOG.error("credential %s/%s is left out: %s", row.provider, row.name, error)
            return False
        return True
