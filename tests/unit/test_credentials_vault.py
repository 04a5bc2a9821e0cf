"""The vault: what it seals, what it refuses, what it never shows."""

from __future__ import annotations

import pickle
import uuid

import pydantic
import pytest
from cryptography import fernet
from hypothesis import given
from hypothesis import strategies as st

from stirbeat import errors
from stirbeat.credentials import lease, vault

OLD, NEW = fernet.Fernet.generate_key().decode(), fernet.Fernet.generate_key().decode()


def safe(*keys: str) -> vault.Vault:
    return vault.Vault(pydantic.SecretStr(",".join(keys)))


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=4))
def test_any_text_comes_back_as_it_was(secret: dict[str, str]) -> None:
    assert safe(NEW).decrypt(safe(NEW).encrypt(secret)) == secret


def test_what_is_sealed_does_not_hold_the_secret_in_the_clear() -> None:
    assert b"s3cret" not in safe(NEW).encrypt({"key": "s3cret"})


def test_a_new_key_in_front_still_opens_what_the_old_one_sealed() -> None:
    sealed = safe(OLD).encrypt({"key": "s3cret"})
    assert safe(NEW, OLD).decrypt(sealed) == {"key": "s3cret"}


def test_rotation_seals_anew_with_the_newest_key_and_only_once() -> None:
    sealed = safe(OLD).encrypt({"key": "s3cret"})
    both = safe(NEW, OLD)
    rotated = both.rotate(sealed)
    assert safe(NEW).decrypt(rotated) == {"key": "s3cret"}
    assert both.rotate(rotated) == rotated


def test_a_wrong_key_is_told_in_one_sentence_without_the_sealed_text() -> None:
    sealed = safe(OLD).encrypt({"key": "s3cret"})
    with pytest.raises(errors.VaultError, match="STIRBEAT_SECRET_KEYS") as told:
        safe(NEW).decrypt(sealed)
    assert sealed.decode() not in str(told.value)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("damaged", [b"", b"x", b"\x00" * 200, b"gAAAAA" + b"B" * 100])
def test_damaged_bytes_are_a_vault_error(damaged: bytes) -> None:
    with pytest.raises(errors.VaultError):
        safe(NEW).decrypt(damaged)


@pytest.mark.parametrize("plain", [b"[]", b"not json", b'{"key": 1}', b'"s3cret"'])
def test_a_sealed_value_that_is_no_mapping_is_refused_without_showing_it(plain: bytes) -> None:
    with pytest.raises(errors.VaultError) as told:
        safe(NEW).decrypt(fernet.Fernet(NEW).encrypt(plain))
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    "keys",
    ["", " , ", "short", f"{NEW},nonsense", NEW[:-2]],
    ids=["empty", "only a comma", "short", "one good, one not", "cut off"],
)
def test_malformed_keys_are_a_settings_error_that_does_not_repeat_them(keys: str) -> None:
    with pytest.raises(errors.SettingsError, match="STIRBEAT_SECRET_KEYS") as told:
        safe(keys)
    for part in keys.split(","):
        assert not part.strip() or part.strip() not in str(told.value)


def test_a_secret_that_is_far_too_long_is_refused() -> None:
    with pytest.raises(errors.VaultError, match="bytes"):
        safe(NEW).encrypt({"key": "x" * 70_000})


def test_a_vault_shows_no_key_and_is_not_pickled() -> None:
    assert NEW not in repr(safe(NEW))
    with pytest.raises(errors.VaultError):
        pickle.dumps(safe(NEW))


def test_a_lease_shows_no_secret_whatever_is_done_to_it() -> None:
    sealed = safe(NEW).encrypt({"key": "s3cret"})
    leased = lease.Lease(uuid.uuid4(), "main", "graphapi", "profile", "app", {"id": "17"}, sealed, safe(NEW))

    assert leased.secret() == {"key": "s3cret"}
    shown = [repr(leased), str(leased), f"{leased}", pickle.dumps(leased).decode("latin-1")]
    assert all("s3cret" not in text and sealed.decode() not in text for text in shown)

    copy = pickle.loads(pickle.dumps(leased))
    assert copy == leased
    with pytest.raises(errors.VaultError, match="without its secret"):
        copy.secret()
