"""Encrypts and decrypts the secrets of credentials.

Fernet is AES-128-CBC with HMAC-SHA256 (https://github.com/fernet/spec). The first key encrypts, all of them decrypt: a
new key is put in front, the rows are rotated, and then the old key can go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pydantic
from cryptography import fernet

from stirbeat import errors

# A secret is a handful of tokens; anything longer is a mistake (a file piped into the wrong command).
MOST_BYTES = 64 * 1024


class Vault:
    """Seals a mapping of text to text. Holds keys: it has no repr of them and cannot be pickled."""

    __slots__ = ("_all", "_newest")

    def __init__(self, keys: pydantic.SecretStr) -> None:
        """Take the keys as the setting `secret_keys` has them: comma-separated, the newest first.

        Raises errors.SettingsError if there is none or one is malformed.
        """
        parts = [part.strip() for part in keys.get_secret_value().split(",") if part.strip()]
        if not parts:
            raise errors.SettingsError(
                "STIRBEAT_SECRET_KEYS holds no key; make one with "
                "`python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'`"
            )
        ring = []
        for number, part in enumerate(parts, 1):
            try:
                ring.append(fernet.Fernet(part))
            except ValueError:  # its message may repeat the key
                raise errors.SettingsError(
                    f"STIRBEAT_SECRET_KEYS: key {number} is no Fernet key (32 random bytes in url-safe base64)"
                ) from None
        self._newest = ring[0]
        self._all = fernet.MultiFernet(ring)

    def encrypt(self, secret: Mapping[str, str]) -> bytes:
        """Seal a secret with the newest key. Raises errors.VaultError if it is not text to text or far too long."""
        if not all(isinstance(name, str) and isinstance(value, str) for name, value in secret.items()):
            raise errors.VaultError("a secret must map names to text")
        plain = json.dumps(dict(secret), sort_keys=True).encode()
        if len(plain) > MOST_BYTES:
            raise errors.VaultError(f"a secret may have {MOST_BYTES} bytes, this one has {len(plain)}")
        return self._newest.encrypt(plain)

    def decrypt(self, sealed: bytes) -> Mapping[str, str]:
        """Open a sealed secret. Raises errors.VaultError if none of the keys opens it."""
        try:
            plain = self._all.decrypt(bytes(sealed))
        except (fernet.InvalidToken, TypeError):
            raise errors.VaultError(
                "a stored secret cannot be decrypted: it was sealed with none of the keys in STIRBEAT_SECRET_KEYS"
            ) from None
        try:
            secret = json.loads(plain)
        except ValueError:  # its message may repeat the secret
            secret = None
        if not isinstance(secret, dict) or not all(isinstance(value, str) for value in secret.values()):
            raise errors.VaultError("a stored secret is not a mapping of names to text; add the credential anew")
        return secret

    def rotate(self, sealed: bytes) -> bytes:
        """The same secret under the newest key; the very same bytes if it is under it already.

        Raises errors.VaultError if none of the keys opens it.
        """
        token = bytes(sealed)
        try:
            self._newest.decrypt(token)
        except fernet.InvalidToken:
            return self.encrypt(self.decrypt(token))
        return token

    def __repr__(self) -> str:
        return "Vault()"

    def __reduce__(self) -> tuple[object, ...]:
        raise errors.VaultError("a vault holds keys and is not sent anywhere")
