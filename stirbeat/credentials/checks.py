"""What a credential may look like when it is added. Pure; no message repeats a secret."""

from __future__ import annotations

from collections.abc import Mapping

from stirbeat import errors
from stirbeat.domain import provider as providers

# Names are part of messages, tables and keys.
LONGEST_NAME = 100
LONGEST_VALUE = 1000
HIGHEST_WEIGHT = 1_000_000


def accept(
    provider: providers.Provider | str,
    name: str,
    secret: Mapping[str, str],
    account: Mapping[str, str],
    app: str | None,
    weight: int,
) -> None:
    """Raises errors.InvalidArgument, with one sentence, for the first thing that is wrong."""
    owner = provider if isinstance(provider, str) else provider.name
    _name("provider", owner)
    _name("credential's name", name)
    if app is not None:
        _name("app", app)
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= HIGHEST_WEIGHT:
        raise errors.InvalidArgument(
            f"the weight must be a whole number from 1 to {HIGHEST_WEIGHT}, not {weight!r:.40}"
        )
    for key, value in account.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise errors.InvalidArgument("an account attribute must be text with a name that is text")
        _name("name of an account attribute", key)
        if len(value) > LONGEST_VALUE or not _printable(value):
            raise errors.InvalidArgument(
                f"account attribute {key} must be at most {LONGEST_VALUE} printable characters"
            )
    if not secret:
        raise errors.InvalidArgument("the secret is empty; give it as JSON or as key=value lines")
    for key, value in secret.items():
        if not isinstance(key, str) or not isinstance(value, str) or not value:
            raise errors.InvalidArgument("every field of the secret must be text that is not empty")
    if not isinstance(provider, str):
        _fields("secret", provider.secret_fields, secret, owner)
        _fields("account", provider.account_fields, account, owner)


def _fields(what: str, needed: tuple[str, ...], given: Mapping[str, str], owner: str) -> None:
    missing = [field for field in needed if field not in given]
    if missing:
        raise errors.InvalidArgument(f"the {what} of a {owner} credential needs {', '.join(missing)}")


def _name(what: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME or not _printable(value):
        shown = f"{value!r:.40}"
        raise errors.InvalidArgument(f"the {what} must be 1 to {LONGEST_NAME} printable characters, not {shown}")


def _printable(text: str) -> bool:
    """No control characters, no half characters: what Postgres, Redis and a terminal all take."""
    return text.isprintable()
