"""Every account there is, by handle and by pk."""

from __future__ import annotations

import functools
import pathlib
import re

from stirbeat.local.simulator import account, invention, recorded

_HANDLE = re.compile(r"[a-z0-9._]{1,30}")
# Accounts and bodies kept ready; an older one is made again when it is asked for.
KEPT = 2048


class Accounts:
    """Finds accounts.

    A pk cannot be turned back into the handle it came from, so handles that were seen are written to `folder`: after a
    restart an account is still found by the pk that somebody stored.
    """

    def __init__(self, folder: pathlib.Path | None = None, epoch: int = invention.EPOCH) -> None:
        self._by_pk = {str(one.pk): one.handle for one in recorded.accounts().values()}
        self._seen = set(self._by_pk.values())
        self._make = functools.lru_cache(KEPT)(lambda handle: invention.account_of(handle, epoch))
        self._file = folder / "handles.txt" if folder else None
        if self._file and self._file.exists():
            for handle in self._file.read_text(encoding="ascii", errors="ignore").split():
                if _HANDLE.fullmatch(handle):
                    self._remember(handle)

    def by_handle(self, handle: str) -> account.Account | None:
        """The account, None where there is none of that name."""
        handle = handle.lower()
        if not _HANDLE.fullmatch(handle) or not invention.exists(handle):
            return None
        if handle not in self._seen:
            self._remember(handle)
            if self._file:
                with self._file.open("a", encoding="ascii") as lines:
                    lines.write(handle + "\n")
        return recorded.accounts().get(handle) or self._make(handle)

    def by_pk(self, pk: str) -> account.Account | None:
        """The account whose handle was asked for before."""
        handle = self._by_pk.get(pk)
        return self.by_handle(handle) if handle else None

    def _remember(self, handle: str) -> None:
        if handle not in self._seen:
            self._seen.add(handle)
            self._by_pk[str(self._make(handle).pk)] = handle
