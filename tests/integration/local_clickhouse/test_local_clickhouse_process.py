"""The process: start, stop, kill, and what each leaves in the data folder."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from clickhouse_driver import errors

PASSWORD = "STIRBEAT_LOCAL_CLICKHOUSE_PASSWORD"


def run(*arguments, **environment):
    command = [sys.executable, "-m", "stirbeat.local.clickhouse", *arguments]
    root = str(pathlib.Path(__file__).parents[3])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": root, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_sigterm_ends_running_queries_and_the_process_with_status_0(own_server, background, wait_until):
    server = own_server()
    client = server.client(database="kept")
    client.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.execute("INSERT INTO t SELECT number FROM numbers(1000)")
    endless = [
        background(lambda: server.client().execute("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)")),
        background(
            lambda: server.client(database="kept").execute("INSERT INTO t SELECT number FROM numbers(1000000000000)")
        ),
    ]
    wait_until(lambda: client.execute("SELECT count() FROM system.processes") == [(3,)])
    status, seconds = server.stop()
    assert status == 0
    assert seconds < 5
    for each in endless:
        assert each.join(5).error is not None
    again = own_server().client(database="kept")
    assert again.execute("SELECT count() >= 1000 FROM t") == [(1,)]


def test_sigint_stops_it_too(own_server):
    server = own_server()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(5) == 0


def test_a_folder_left_by_a_kill_in_mid_insert_opens_again_with_its_data(own_server, background, wait_until):
    server = own_server()
    client = server.client(database="kept")
    client.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.execute("INSERT INTO t VALUES", [(number,) for number in range(1000)])
    filling = background(
        lambda: server.client(database="kept").execute("INSERT INTO t SELECT number FROM system.numbers")
    )
    wait_until(lambda: client.execute("SELECT count() FROM t") > [(1000,)])
    (server.folder / "spool" / "half.native").write_bytes(b"half")
    server.kill()
    filling.join(5)

    again = own_server()
    client = again.client(database="kept")
    assert again.start_seconds < 5
    assert client.execute("SELECT count() >= 1000, countIf(n < 1000) >= 1000 FROM t") == [(1, 1)]
    client.execute("INSERT INTO t VALUES", [(5,)])
    client.execute("OPTIMIZE TABLE t FINAL")
    assert list((again.folder / "spool").iterdir()) == [], "what was half-received is still there"


def test_a_folder_that_another_server_has_open_is_refused_and_that_server_goes_on(own_server):
    server = own_server()
    client = server.client()
    client.execute("SELECT 1")
    spooled = server.folder / "spool" / "of-the-first.native"
    spooled.write_bytes(b"x")
    second = run("--data", str(server.folder), "--port", "0", **{PASSWORD: "x"})
    assert second.returncode == 1
    assert "cannot_start" in second.stderr
    assert spooled.exists()
    assert client.execute("SELECT 1") == [(1,)]


def test_a_taken_port_is_said(server, tmp_path):
    second = run("--data", str(tmp_path / "data"), "--port", str(server.port), **{PASSWORD: "x"})
    assert second.returncode == 1
    assert "Address already in use" in second.stderr


def test_it_does_not_start_without_a_password(tmp_path):
    refused = run("--data", str(tmp_path / "data"), "--port", "0")
    assert refused.returncode == 2
    assert PASSWORD in refused.stderr
    assert not (tmp_path / "data").exists()


def test_queries_together_stay_under_the_memory_limit(own_server):
    server = own_server("--memory-mib", "600")
    with pytest.raises(errors.ServerException) as raised:
        server.client().execute("SELECT groupArray(toString(number)) FROM numbers(200000000)")
    assert raised.value.code == 241
    assert server.memory_mib("VmHWM") < 1000
    assert server.client().execute("SELECT 1") == [(1,)]


def test_idle_it_uses_no_processor(own_server):
    server = own_server()
    server.client().execute("SELECT 1")
    time.sleep(0.3)

    def ticks():
        fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(1)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    print(f"resident idle {server.memory_mib():.0f} MiB, processor idle {used:.1%}, start {server.start_seconds:.2f} s")
    assert used < 0.1
