"""What `stirbeat credentials add` refuses, before any service is asked."""

from __future__ import annotations

import click.testing
import pytest
from cryptography import fernet

from stirbeat import errors, settings
from stirbeat.cli import credentials

NOWHERE = settings.from_environment(
    {
        "STIRBEAT_DATABASE_URL": "postgresql+psycopg2://nobody@127.0.0.1:1/none",
        "STIRBEAT_BROKER_URL": "amqp://nobody@127.0.0.1:1/none",
        "STIRBEAT_REDIS_URL": "redis://127.0.0.1:1/0",
        "STIRBEAT_CLICKHOUSE_URL": "clickhouse://nobody@127.0.0.1:1/none",
        "STIRBEAT_S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "STIRBEAT_S3_ACCESS_KEY_ID": "none",
        "STIRBEAT_S3_SECRET_ACCESS_KEY": "none",
        "STIRBEAT_SECRET_KEYS": fernet.Fernet.generate_key().decode(),
    }
)


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (["nobody", "n"], '{"key": "s3cret"}', "there is no provider 'nobody'; there are"),
        (["lama", "n"], "s3cret", "standard input must hold the secret"),
        (["lama", "n"], "", "the secret is empty"),
        (["lama", "n"], '{"key": 5}', "standard input must hold the secret"),
        (["lama", "n"], '["s3cret"]', "standard input must hold the secret"),
        (["lama", "n"], '{"key": "s3cret"', "standard input must hold the secret"),
        (["lama", "n"], "key=s3cret\nkey=s3cret2", "standard input must hold the secret"),
        (["lama", "n"], b"\xff\xfes3cret", "standard input must hold the secret"),
        (["lama", "n"], "{" * 60_000, "standard input must hold the secret"),
        (["lama", "n"], "key=" + "s3cret" * 20_000, "longer than 65536 bytes"),
        (["lama", "n"], '{"wrong": "s3cret"}', "the secret of a lama credential needs key"),
        (["lama", "n", "--account", "s"], "key=s3cret", "--account takes KEY=VALUE"),
        (["lama", "n", "--weight", "0"], "key=s3cret", "the weight must be a whole number from 1"),
        (["lama", "a\nb"], "key=s3cret", "name must be 1 to 100 printable characters"),
        (["graphapi", "n"], "other=s3cret", "needs"),
    ],
)
def test_bad_input_is_one_sentence_that_repeats_no_secret(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], stdin: str | bytes, sentence: str
) -> None:
    monkeypatch.setattr(settings, "get", lambda: NOWHERE)
    ended = click.testing.CliRunner().invoke(credentials.GROUP, ["add", *arguments], input=stdin)
    assert isinstance(ended.exception, errors.InvalidArgument)
    told = str(ended.exception)
    assert sentence in told
    assert "\n" not in told
    assert "s3cret" not in told + ended.output
