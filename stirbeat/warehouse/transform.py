"""dbt as a child process: one run, its models' outcomes, and never a dbt that outlives its caller."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import stirbeat
from stirbeat import errors, settings
from stirbeat.warehouse import client, schema

logger = logging.getLogger(__name__)

ALWAYS_EXCLUDED = "tag:deprecated"

# The longest of the nightly runs took up to six hours (design.md).
TIMEOUT_S = 6 * 3600.0
GRACE_S = 10.0
LOOK_S = 1.0  # how often a running dbt is looked at

_SELECTOR = re.compile(r"[A-Za-z0-9_+@*.:/,][A-Za-z0-9_+@*.:/,-]{0,199}")
_OUTPUT_CHARACTERS = 4000
_BAD = frozenset({"error", "fail", "runtime error"})


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One model or test of a run.

    status: dbt's own word (success, pass, warn, error, fail, skipped); seconds: it took; message: dbt's, in full
    """

    unique_id: str
    status: str
    seconds: float
    message: str

    @property
    def name(self) -> str:
        """Its name without the kind and the project: "mart_leaderboard"."""
        return self.unique_id.split(".")[2] if self.unique_id.count(".") >= 2 else self.unique_id

    @property
    def failed(self) -> bool:
        """Whether it makes the run a failure; a skipped one follows from another that does."""
        return self.status in _BAD


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a run of dbt came to.

    exit_code: dbt's (0: all well; 1: a model or test failed; 2: it could not run)
    output: the end of what it printed
    """

    selectors: tuple[str, ...]
    exit_code: int
    seconds: float
    nodes: tuple[Node, ...]
    output: str

    @property
    def ok(self) -> bool:
        """Whether something was built and all of it is well."""
        return self.exit_code == 0 and bool(self.nodes)

    @property
    def problem(self) -> str:
        """One sentence on what went wrong, "" when nothing did."""
        if self.ok:
            return ""
        failed = [f"{node.name}: {' '.join(node.message.split())[:300]}" for node in self.nodes if node.failed]
        if failed:
            return "; ".join(failed)
        if self.exit_code == 0:
            return f"nothing in the dbt project is selected by {' '.join(self.selectors)}"
        return f"dbt ended with status {self.exit_code}: {self.output[-500:].strip()}"


def run(
    configured: settings.Settings,
    selectors: Sequence[str],
    *,
    full_refresh: bool = False,
    timeout_s: float = TIMEOUT_S,
    lost: threading.Event | None = None,
) -> Result:
    """`dbt build` what the selectors name ("tag:core", "+mart_leaderboard"), never what is deprecated.

    lost: when it is set, somebody else does this work by now, and dbt is stopped

    A failed model is in the result, not raised. The child is ended when this function is left, however it is left, and
    by the kernel when the calling thread dies.

    Raises errors.InvalidArgument for a malformed selector, errors.SettingsError without a dbt project or dbt itself,
    errors.ServiceUnavailable when ClickHouse is away, errors.LeaseLost, and errors.Fatal when the time is up.
    """
    chosen = _checked(selectors)
    project = project_folder(configured)
    schema.migrate(configured)  # the sources exist even before the first event
    parent = configured.work_folder or None
    if parent is not None:
        Path(parent).mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="stirbeat-dbt-", dir=parent))
    try:
        exit_code = _supervise(
            _command(configured, project, work, chosen, full_refresh), configured, work, timeout_s, lost
        )
        output = _tail(work / "output")
        if exit_code != 0 and "No module named dbt" in output:
            raise errors.SettingsError("dbt is not installed: pip install stirbeat[dbt]")
        return Result(chosen, exit_code, time.monotonic() - started, _nodes(work), output)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def project_folder(configured: settings.Settings) -> Path:
    """Where dbt_project.yml is: the setting, else dbt/ beside the package (a checkout), else share/stirbeat/dbt under
    the interpreter's prefix (installed).

    Raises errors.SettingsError when it is in none of them.
    """
    beside = Path(stirbeat.__file__).resolve().parents[1] / "dbt"
    installed = Path(sys.prefix) / "share" / "stirbeat" / "dbt"
    candidates = [Path(configured.dbt_folder)] if configured.dbt_folder else [beside, installed]
    for candidate in candidates:
        if (candidate / "dbt_project.yml").is_file():
            return candidate.resolve()
    looked = " or ".join(str(candidate) for candidate in candidates)
    raise errors.SettingsError(f"no dbt_project.yml in {looked}: set STIRBEAT_DBT_FOLDER to the dbt project's folder")


def _checked(selectors: Sequence[str]) -> tuple[str, ...]:
    if not selectors:
        raise errors.InvalidArgument("name at least one dbt selector, such as tag:core")
    for selector in selectors:
        if not _SELECTOR.fullmatch(selector):
            raise errors.InvalidArgument(f"{selector!r:.80} is no dbt selector: write it like tag:core or +model_name")
    return tuple(selectors)


def _command(
    configured: settings.Settings, project: Path, work: Path, selectors: Sequence[str], full_refresh: bool
) -> list[str]:
    return [
        *(sys.executable, "-m", "stirbeat.warehouse.leash", str(os.getpid())),
        *(sys.executable, "-W", "ignore::RuntimeWarning:runpy", "-m", "dbt.cli.main"),
        *("--no-send-anonymous-usage-stats", "--no-partial-parse", "--no-use-colors", "--log-level-file", "none"),
        *("--log-path", str(work / "logs"), "build", "--target-path", str(work / "target")),
        *("--project-dir", str(project), "--profiles-dir", str(project), "--threads", str(configured.dbt_threads)),
        *("--select", *selectors, "--exclude", ALWAYS_EXCLUDED),
        *(("--full-refresh",) if full_refresh else ()),
    ]


def _environment(configured: settings.Settings, work: Path) -> dict[str, str]:
    """All that dbt sees. The password travels under the prefix that dbt keeps out of its logs."""
    url = urlsplit(configured.clickhouse_url.get_secret_value())
    secure = url.scheme == "clickhouses"
    return {
        "PATH": os.defpath,
        "HOME": str(work),
        "TMPDIR": str(work),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(stirbeat.__file__).resolve().parents[1]),
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_CLICKHOUSE_HOST": url.hostname or "",
        "DBT_CLICKHOUSE_PORT": str(url.port or (9440 if secure else 9000)),
        "DBT_CLICKHOUSE_SECURE": str(secure),
        "DBT_CLICKHOUSE_USER": unquote(url.username or "default"),
        "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": unquote(url.password or ""),
        "DBT_CLICKHOUSE_DATABASE": client.database_of(configured),
        "DBT_CLICKHOUSE_THREADS": str(configured.dbt_threads),
    }


def _supervise(
    command: Sequence[str],
    configured: settings.Settings,
    work: Path,
    timeout_s: float,
    lost: threading.Event | None,
) -> int:
    with (work / "output").open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=work,
            env=_environment(configured, work),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return _waited(child, timeout_s, lost)
        finally:
            _end_group(child)


def _waited(child: subprocess.Popen[bytes], timeout_s: float, lost: threading.Event | None) -> int:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(min(LOOK_S, max(0.01, deadline - time.monotonic())))
        if lost is not None and lost.is_set():
            raise errors.LeaseLost("another run took this one's place; dbt was stopped")
    raise errors.Fatal(f"dbt ran longer than {timeout_s:.0f} s and was stopped")


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started: SIGTERM, a grace, SIGKILL."""
    if child.poll() is None:
        logger.warning("stopping dbt (process %d)", child.pid)
        _signal_group(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    _signal_group(child, signal.SIGKILL)
    child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _nodes(work: Path) -> tuple[Node, ...]:
    try:
        found = json.loads((work / "target" / "run_results.json").read_bytes())
    except FileNotFoundError:
        return ()  # dbt did not get that far
    return tuple(
        Node(
            unique_id=str(each["unique_id"]),
            status=str(each["status"]),
            seconds=float(each["execution_time"]),
            message=str(each.get("message") or ""),
        )
        for each in found["results"]
    )


def _tail(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    return text[-_OUTPUT_CHARACTERS:]
