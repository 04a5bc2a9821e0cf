"""A lease: the right to make one call with one credential."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping

from stirbeat import errors
from stirbeat.credentials import vault


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """One call's permission. Its tokens are spent already; it need not be given back, only settled.

    provider, function: names; app: name of the credential's app or None
    account: public attributes of the credential
    Copies that were pickled say who it was, and hold no secret, not even a sealed one.
    """

    credential_id: uuid.UUID
    name: str
    provider: str
    function: str
    app: str | None = None
    account: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    _sealed: bytes | None = dataclasses.field(default=None, repr=False, compare=False)
    _vault: vault.Vault | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def sealed(self) -> bytes | None:
        """The secret as it is stored, encrypted: tells whether it is still the same. None in a pickled copy."""
        return self._sealed

    def secret(self) -> Mapping[str, str]:
        """The secret in the clear, for as long as the caller keeps it.

        Raises errors.VaultError if it cannot be decrypted, or if this is a pickled copy.
        """
        if self._sealed is None or self._vault is None:
            raise errors.VaultError(f"this copy of the lease of {self.provider}/{self.name} came without its secret")
        return self._vault.decrypt(self._sealed)

    def __reduce__(self) -> tuple[object, ...]:
        public = (self.credential_id, self.name, self.provider, self.function, self.app, dict(self.account))
        return (type(self), public)
