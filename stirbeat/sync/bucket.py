"""The S3 bucket between the warehouse and Postgres: one folder a run, one object an attempt."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import urllib3.exceptions

from stirbeat import errors, settings

SERVICE = "s3"
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS = 3
PREFIX = "exports"
_DELETE_AT_ONCE = 1000  # the most keys one DeleteObjects call takes
_REFUSED = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"})
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


@dataclasses.dataclass(frozen=True, slots=True)
class Object:
    """What S3 said of a finished object: its key, size in bytes and entity tag."""

    key: str
    bytes: int
    etag: str


@dataclasses.dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket. `seen_by_clickhouse` is the endpoint as the ClickHouse server reaches it."""

    client: Any  # boto3 makes its clients' types at run time
    name: str
    seen_by_clickhouse: str

    def url(self, key: str) -> str:
        """Where ClickHouse writes this key."""
        return f"{self.seen_by_clickhouse}/{self.name}/{key}"

    def head(self, key: str) -> Object:
        """The object as it stands now."""
        with _translated():
            answer = self.client.head_object(Bucket=self.name, Key=key)
            return Object(key, int(answer["ContentLength"]), str(answer["ETag"]))

    @contextlib.contextmanager
    def stream(self, found: Object) -> Iterator[Any]:
        """The object's body, to be read in pieces; refused where it is no longer the one that `head` saw."""
        with _translated():
            body = self.client.get_object(Bucket=self.name, Key=found.key, IfMatch=found.etag)["Body"]
            with contextlib.closing(body):
                yield body

    def folders(self, prefix: str) -> dict[str, datetime.datetime]:
        """The folders below `prefix/` that hold objects, each with the time its newest object was written."""
        newest: dict[str, datetime.datetime] = {}
        with _translated():
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"{prefix}/")
            for page in pages:
                for entry in page.get("Contents", ()):
                    folder = str(entry["Key"]).removeprefix(f"{prefix}/").partition("/")[0]
                    newest[folder] = max(entry["LastModified"], newest.get(folder, entry["LastModified"]))
        return newest

    def delete(self, prefix: str) -> int:
        """Delete every object below `prefix/`; how many there were."""
        deleted = 0
        with _translated():
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=f"{prefix}/", PaginationConfig={"PageSize": _DELETE_AT_ONCE}
            )
            for page in pages:
                keys = [{"Key": entry["Key"]} for entry in page.get("Contents", ())]
                if keys:
                    self.client.delete_objects(Bucket=self.name, Delete={"Objects": keys, "Quiet": True})
                deleted += len(keys)
        return deleted


def connect(configured: settings.Settings) -> Bucket:
    """The configured bucket. Nothing is sent yet."""
    client = boto3.client(
        "s3",
        endpoint_url=configured.s3_endpoint_url,
        region_name=configured.s3_region,
        aws_access_key_id=configured.s3_access_key_id.get_secret_value(),
        aws_secret_access_key=configured.s3_secret_access_key.get_secret_value(),
        config=botocore.config.Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            s3={"addressing_style": "path"},
        ),
    )
    return Bucket(client, configured.s3_bucket, configured.s3_for_clickhouse)


def run_prefix(job: str, run_id: object) -> str:
    """The folder of one run's objects."""
    return f"{PREFIX}/{job}/{run_id}"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _REFUSED:
            raise errors.SettingsError(
                "S3 refused the credentials; check STIRBEAT_S3_ACCESS_KEY_ID and STIRBEAT_S3_SECRET_ACCESS_KEY"
            ) from error
        if code in _MISSING:
            raise errors.RetryLater(f"S3 has no such object or bucket ({code}); the next run exports anew") from error
        raise errors.ServiceUnavailable(f"S3 answered with an error ({code})", service=SERVICE) from error
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
        raise errors.ServiceUnavailable(f"S3 does not answer: {type(error).__name__}", service=SERVICE) from error
