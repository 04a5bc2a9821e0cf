"""Settings: one message that names every variable that is wrong, and no secret in any text."""

from __future__ import annotations

import pytest

from stirbeat import errors, settings

GOOD = {
    "STIRBEAT_DATABASE_URL": "postgresql+psycopg2://u:hidden-word@db/x",
    "STIRBEAT_BROKER_URL": "amqp://u:hidden-word@mq/v",
    "STIRBEAT_REDIS_URL": "redis://:hidden-word@r/0",
    "STIRBEAT_CLICKHOUSE_URL": "clickhouse://u:hidden-word@ch/d",
    "STIRBEAT_S3_ENDPOINT_URL": "http://s3:8333/",
    "STIRBEAT_S3_ACCESS_KEY_ID": "hidden-word",
    "STIRBEAT_S3_SECRET_ACCESS_KEY": "hidden-word",
    "STIRBEAT_SECRET_KEYS": "hidden-word",
}


def test_the_environment_becomes_one_frozen_value() -> None:
    built = settings.from_environment({**GOOD, "STIRBEAT_PLUGINS": "a.b, c", "HOME": "/"})

    assert built.plugins == ("a.b", "c")
    assert built.s3_endpoint_url == "http://s3:8333"
    assert built.s3_for_clickhouse == "http://s3:8333"
    with pytest.raises(ValueError, match="frozen"):
        built.s3_bucket = "x"  # type: ignore[misc]


def test_every_problem_is_named_in_one_message() -> None:
    given = {**GOOD, "STIRBEAT_DATABSE_URL": "x", "STIRBEAT_BROKER_URL": "http://mq", "STIRBEAT_PAUSE_WINDOWS": "19-22"}
    del given["STIRBEAT_REDIS_URL"]

    with pytest.raises(errors.SettingsError) as caught:
        settings.from_environment(given)

    message = str(caught.value)
    assert "STIRBEAT_DATABSE_URL is not a setting" in message
    assert "STIRBEAT_BROKER_URL: must be a URL that starts with amqp://" in message
    assert "STIRBEAT_REDIS_URL is missing (Redis:" in message
    assert "STIRBEAT_PAUSE_WINDOWS: must look like 19:00-22:00" in message


@pytest.mark.parametrize("name", sorted(GOOD))
def test_no_secret_is_in_any_text(name: str) -> None:
    built = settings.from_environment(GOOD)
    assert "hidden-word" not in repr(built) + str(built) + built.model_dump_json()

    with pytest.raises(errors.SettingsError) as caught:
        settings.from_environment(
            {**GOOD, name: "" if "S3_" in name or "KEYS" in name else "hidden-word", "STIRBEAT_X": ""}
        )
    assert "hidden-word" not in str(caught.value)


def test_a_missing_environment_names_all_that_is_required() -> None:
    with pytest.raises(errors.SettingsError) as caught:
        settings.from_environment({})

    assert all(f"{name} is missing" in str(caught.value) for name in GOOD)
