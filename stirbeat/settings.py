"""One frozen, validated value, read once from the environment.

`settings.get()` is the only door: every other module takes the value, never `os.environ`.
A variable that starts with `STIRBEAT_` and names no setting is refused, so a typing error cannot pass in silence.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import pydantic

from stirbeat import errors

PREFIX = "STIRBEAT_"

# Read by the launcher of the local stack, not by the system itself.
LAUNCHER_VARIABLES = frozenset({"STIRBEAT_LOCAL_FOLDER", "STIRBEAT_LOCAL_CLICKHOUSE_PASSWORD"})

Url = Annotated[pydantic.SecretStr, pydantic.Field(min_length=1)]

_WINDOW = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$")


class Settings(pydantic.BaseModel):
    """What a process needs to know of its surroundings. URLs carry passwords, so they are secrets too."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: Url = pydantic.Field(description="Postgres: postgresql+psycopg2://user:password@host:port/name")
    broker_url: Url = pydantic.Field(description="RabbitMQ: amqp://user:password@host:port/vhost")
    redis_url: Url = pydantic.Field(description="Redis: redis://:password@host:port/0")
    clickhouse_url: Url = pydantic.Field(
        description="ClickHouse, native protocol: clickhouse://user:password@host:port/database"
    )
    s3_endpoint_url: str = pydantic.Field(description="S3 endpoint: http(s)://host:port")
    s3_bucket: str = pydantic.Field(default="stirbeat", description="bucket for exports", min_length=3)
    s3_region: str = pydantic.Field(default="us-east-1", description="S3 region")
    s3_access_key_id: pydantic.SecretStr = pydantic.Field(description="S3 access key id")
    s3_secret_access_key: pydantic.SecretStr = pydantic.Field(description="S3 secret access key")
    clickhouse_s3_endpoint_url: str = pydantic.Field(
        default="",
        description="S3 endpoint as ClickHouse reaches it, where that differs from s3_endpoint_url",
    )
    secret_keys: pydantic.SecretStr = pydantic.Field(
        description="Fernet keys that encrypt credentials, comma-separated, the newest first"
    )
    simulator_url: str = pydantic.Field(
        default="", description="send every provider call to <this>/<provider>/... instead of to the vendor"
    )
    plugins: tuple[str, ...] = pydantic.Field(
        default=(),
        description="modules searched for platforms, providers, sync jobs and schedule rows, comma-separated",
    )
    pause_windows: tuple[str, ...] = pydantic.Field(
        default=("19:00-22:00",),
        description="HH:MM-HH:MM in UTC in which pausable rows do not fire, comma-separated",
    )
    flower_user: str = pydantic.Field(default="stirbeat", description="user name for Flower")
    flower_password: pydantic.SecretStr | None = pydantic.Field(default=None, description="password for Flower")
    flower_port: int = pydantic.Field(default=5555, ge=0, le=65535, description="port Flower listens on")
    flower_address: str = pydantic.Field(default="127.0.0.1", description="address Flower listens on")
    dbt_threads: int = pydantic.Field(default=2, ge=1, le=64, description="threads of one dbt run")
    dbt_folder: str = pydantic.Field(
        default="", description="folder of the dbt project; empty: dbt/ beside the package, else share/stirbeat/dbt"
    )
    work_folder: str = pydantic.Field(
        default="", description="folder for dbt targets and logs; empty: the system's temporary folder"
    )
    log_level: str = pydantic.Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="log level")
    scrape_concurrency: int = pydantic.Field(
        default=100, ge=1, le=1000, description="requests at a time in one scrape worker (threads)"
    )
    lease_s: int = pydantic.Field(
        default=90,
        ge=45,
        description="seconds after which a request whose worker says nothing is taken as orphaned",
    )

    @pydantic.field_validator("plugins", "pause_windows", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @pydantic.field_validator("pause_windows")
    @classmethod
    def _windows(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for window in value:
            if not _WINDOW.match(window):
                raise ValueError("must look like 19:00-22:00 (UTC)")
        return value

    @pydantic.field_validator("database_url", "broker_url", "redis_url", "clickhouse_url")
    @classmethod
    def _scheme(cls, value: pydantic.SecretStr, info: pydantic.ValidationInfo) -> pydantic.SecretStr:
        allowed = _SCHEMES[str(info.field_name)]
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in allowed or not parts.hostname:
            raise ValueError(f"must be a URL that starts with {allowed[0]}:// and names a host")
        return value

    @pydantic.field_validator("s3_endpoint_url", "clickhouse_s3_endpoint_url", "simulator_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("must be a URL that starts with http:// or https:// and names a host")
        return value.rstrip("/")

    @pydantic.field_validator("flower_password")
    @classmethod
    def _flower(cls, value: pydantic.SecretStr | None) -> pydantic.SecretStr | None:
        if value is not None and "," in value.get_secret_value():
            raise ValueError("must hold no comma: Flower takes what is after it for a second account")
        return value

    @property
    def s3_for_clickhouse(self) -> str:
        """The S3 endpoint as ClickHouse reaches it."""
        return self.clickhouse_s3_endpoint_url or self.s3_endpoint_url


_SCHEMES = {
    "database_url": ("postgresql+psycopg2", "postgresql"),
    "broker_url": ("amqp", "amqps"),
    "redis_url": ("redis", "rediss"),
    "clickhouse_url": ("clickhouse", "clickhouses"),
}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Build the settings from variables named STIRBEAT_<SETTING>.

    Raises errors.SettingsError with one message that names every variable that is unknown, missing or wrong.
    """
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    problems = [
        f"{name} is not a setting of stirbeat (see `stirbeat settings`)"
        for name in sorted(given)
        if name not in known and name not in LAUNCHER_VARIABLES
    ]
    values = {known[name]: value for name, value in given.items() if name in known}
    try:
        built = Settings(**values)
    except pydantic.ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False):
            field = str(detail["loc"][0])
            variable = PREFIX + field.upper()
            if detail["type"] == "missing":
                problems.append(f"{variable} is missing ({Settings.model_fields[field].description})")
            else:
                problems.append(f"{variable}: {detail['msg'].removeprefix('Value error, ')}")
        raise errors.SettingsError("; ".join(problems)) from None
    if problems:
        raise errors.SettingsError("; ".join(problems))
    return built


@functools.cache
def get() -> Settings:
    """The process's settings, read from the environment at the first call."""
    return from_environment(os.environ)


@dataclasses.dataclass(frozen=True, slots=True)
class Producer:
    """What a service needs that only sends requests: STIRBEAT_BROKER_URL, and STIRBEAT_PLUGINS where there are any."""

    broker_url: pydantic.SecretStr
    plugins: tuple[str, ...]


@functools.cache
def producer() -> Producer:
    """The settings of a process that only sends. Raises errors.SettingsError when the broker is not named."""
    url = os.environ.get("STIRBEAT_BROKER_URL", "")
    if not url:
        raise errors.SettingsError(
            "STIRBEAT_BROKER_URL is missing: set it, or hand an app to stirbeat.client.submit() that "
            "stirbeat.client.connect(broker_url) made"
        )
    plugins = tuple(part.strip() for part in os.environ.get("STIRBEAT_PLUGINS", "").split(",") if part.strip())
    return Producer(pydantic.SecretStr(url), plugins)


def sends_only() -> bool:
    """Whether this process is only told of the broker: it can send requests, and nothing else."""
    return "STIRBEAT_DATABASE_URL" not in os.environ
