"""The demo as a person runs it: twice in the same folder, the second time with a worker killed in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]


def demo(folder: Path, *options: str) -> dict[str, Any]:
    told = folder / "demo.json"
    told.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STIRBEAT_")}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "stirbeat", "demo", "--folder", str(folder / "stack")),
            *("--handles", "40", "--json", str(told), "--no-hold", *options),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "All is well" in done.stdout
    return dict(json.loads(told.read_text()))


def test_the_demo_is_well_twice_in_the_same_folder_also_with_a_worker_killed(tmp_path: Path) -> None:
    first = demo(tmp_path)
    second = demo(tmp_path, "--kill-worker")

    assert first["ok"]
    assert second["ok"]
    assert [check["holds"] for check in first["checks"] + second["checks"]] == [True] * (2 * len(first["checks"]))
    assert first["requests"] == second["requests"] == 80
    assert second["sync"]["generation"] == first["sync"]["generation"] + 1
    assert sum(not one["live"] for one in second["generations"]) == 1, "the previous generation is kept"
    failed = {row["error_kind"] for row in first["outcomes"] if row["status"] == "FAILED"}
    assert "not_found" in failed, "an account that no vendor has"
    kinds = {hop["kind"] for hop in first["hops"]}
    assert {"ok", "upstream"} <= kinds, "Graph is down for a stretch"
    assert first["top_ten"][0]["handle"] == "natgeo"
