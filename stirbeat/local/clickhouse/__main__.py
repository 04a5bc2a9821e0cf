"""`python -m stirbeat.local.clickhouse --data DIR --host 127.0.0.1 --port N --user stirbeat`

The password comes from STIRBEAT_LOCAL_CLICKHOUSE_PASSWORD, and the keys for `s3()` from AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY. Exit status: 0 after SIGTERM or SIGINT, 1 if it could not start, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys

from stirbeat.local.clickhouse import log

PASSWORD = "STIRBEAT_LOCAL_CLICKHOUSE_PASSWORD"  # noqa: S105  the variable's name
DEFAULT_MEMORY_MIB = 2048


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m stirbeat.local.clickhouse", description="Local ClickHouse (chDB).")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the data, made if missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one, which the log names")
    parser.add_argument("--user", default="stirbeat")
    parser.add_argument("--memory-mib", type=int, default=DEFAULT_MEMORY_MIB, help="what all queries may use together")
    options = parser.parse_args()
    password = os.environ.get(PASSWORD, "")
    if not password:
        parser.error(f"set {PASSWORD}: the server is never without a password")
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # no keys: fail, rather than ask the network for some

    # Imported only now: chDB takes a moment and memory, which a wrong command line need not wait for.
    from stirbeat.local.clickhouse import connection, engine, server

    try:
        opened = engine.Engine(options.data, options.memory_mib << 20)
        serving = server.Server(opened, connection.Login(options.user, password), options.host, options.port)
    except (engine.ServerError, OSError) as error:
        log.event("cannot_start", reason=str(error))
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: serving.stop())
    log.event("listening", host=options.host, port=serving.port, version=".".join(map(str, opened.version)))
    serving.serve()
    log.event("stopped")
    # Threads that a client left in the engine would keep the interpreter: the data is safe at any moment, so go.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
