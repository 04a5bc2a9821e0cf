"""One child process: its log, its environment, its readiness, its end, and its death with its parent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stirbeat.local import errors, process, procfs

ROOT = Path(process.__file__).parents[2]
ENVIRON = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Callable[..., process.Process]]:
    """Describes a child that runs a shell script; what was started is stopped at the end."""
    made: list[process.Process] = []

    def make(script: str, **options: object) -> process.Process:
        log = tmp_path / "logs" / "child.log"
        child = process.Process("child", ["/bin/sh", "-c", script], ENVIRON, log, **options)  # type: ignore[arg-type]
        made.append(child)
        return child

    yield make
    for child in made:
        child.kill()


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def pid_in(file: Path) -> int:
    """The process id a script writes to a file (whole only with its line end)."""
    assert wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def test_output_goes_to_a_log_that_only_its_owner_reads(shell: Callable[..., process.Process]) -> None:
    # given
    child = shell("echo to stdout; echo to stderr >&2; exit 3")

    # when
    child.start()

    # then
    assert wait_until(lambda: child.poll() == 3)
    assert child.log_tail() == "to stdout\nto stderr"
    assert stat.S_IMODE(child.log.stat().st_mode) == 0o600


def test_a_tail_shows_this_run_only(shell: Callable[..., process.Process]) -> None:
    # given a log that an earlier run has written to
    child = shell("echo $$")
    child.start()
    assert wait_until(lambda: child.poll() == 0)
    first = child.log_tail()

    # when
    child.start()
    assert wait_until(lambda: child.poll() == 0)

    # then
    assert child.log_tail() != first
    assert len(child.log_tail().splitlines()) == 1
    assert child.log.read_text().startswith(first)


def test_nothing_of_our_environment_is_inherited(
    shell: Callable[..., process.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("A_SECRET_OF_THE_PARENT", "hunter2")
    child = shell("exec env")

    # when
    child.start()

    # then
    assert wait_until(lambda: child.poll() == 0)
    assert [line for line in child.log_tail().splitlines() if not line.startswith("PWD=")] == ["PATH=/usr/bin:/bin"]


def test_waiting_ends_as_soon_as_the_check_passes(shell: Callable[..., process.Process], tmp_path: Path) -> None:
    # given
    sign = tmp_path / "ready"
    child = shell(f"sleep 0.3; : > {sign}; exec sleep 60", ready=sign.exists)
    child.start()

    # when
    child.wait_ready(10)

    # then
    assert sign.exists()
    assert child.poll() is None


def test_a_child_that_ends_too_early_is_told_with_its_status_and_its_last_words(
    shell: Callable[..., process.Process],
) -> None:
    # given
    child = shell("echo the disk is full; exit 7", ready=lambda: False)
    child.start()

    # when
    with pytest.raises(errors.LocalServiceError) as raised:
        child.wait_ready(10)

    # then
    assert raised.value.service == "child"
    assert "exit status 7" in raised.value.reason
    assert "the disk is full" in str(raised.value)
    assert str(child.log) in str(raised.value)


def test_a_child_that_never_answers_is_waited_for_in_vain_but_not_for_long(
    shell: Callable[..., process.Process],
) -> None:
    # given
    def refuse() -> bool:
        raise process.NotReady("still loading")

    child = shell("exec sleep 60", ready=refuse)
    child.start()
    begun = time.monotonic()

    # when
    with pytest.raises(errors.LocalServiceError, match=r"not ready after 1 s \(still loading\)"):
        child.wait_ready(1)

    # then
    assert time.monotonic() - begun < 3


def test_a_program_that_does_not_exist_is_named(shell: Callable[..., process.Process], tmp_path: Path) -> None:
    # given
    child = process.Process("child", ["/no/such/program"], ENVIRON, tmp_path / "log", ready=lambda: False)

    # when
    child.start()
    with pytest.raises(errors.LocalServiceError) as raised:
        child.wait_ready(5)

    # then
    assert "cannot run /no/such/program: No such file or directory" in str(raised.value)


def test_a_stop_is_clean_where_the_child_allows_it(shell: Callable[..., process.Process], tmp_path: Path) -> None:
    # given
    ready = tmp_path / "ready"
    child = shell(f"trap 'echo bye; exit 0' TERM; : > {ready}; while :; do sleep 0.05; done", ready=ready.exists)
    child.start()
    child.wait_ready(5)

    # when
    child.stop()
    child.stop()  # a second time changes nothing

    # then
    assert child.poll() == 0
    assert child.log_tail() == "bye"
    assert not child.crashed


def test_a_child_that_ignores_the_stop_is_killed_with_its_own_children(
    shell: Callable[..., process.Process], tmp_path: Path
) -> None:
    # given
    file = tmp_path / "grandchild"
    child = shell(f"trap '' TERM; sleep 600 & echo $! > {file}; while :; do sleep 1; done", stop_timeout_s=0.3)
    child.start()
    grandchild = pid_in(file)
    begun = time.monotonic()

    # when
    child.stop()

    # then
    assert child.poll() == -signal.SIGKILL
    assert time.monotonic() - begun < 3
    assert wait_until(lambda: not procfs.alive(grandchild))


def test_what_a_crashed_child_leaves_of_its_group_is_ended(
    shell: Callable[..., process.Process], tmp_path: Path
) -> None:
    # given
    file = tmp_path / "grandchild"
    child = shell(f"sleep 600 & echo $! > {file}; wait")
    child.start()
    grandchild = pid_in(file)
    assert child.pid is not None

    # when
    os.kill(child.pid, signal.SIGKILL)

    # then
    assert wait_until(lambda: child.crashed)
    assert wait_until(lambda: not procfs.alive(grandchild))


def test_a_child_outlives_the_thread_that_started_it(shell: Callable[..., process.Process]) -> None:
    # given
    child = shell("exec sleep 60")
    starter = threading.Thread(target=child.start)

    # when
    starter.start()
    starter.join()
    time.sleep(0.5)

    # then
    assert child.poll() is None


PARENT = """
import sys, time
from pathlib import Path
from stirbeat.local import process
child = process.Process("child", ["/bin/sleep", "600"], {}, Path(sys.argv[1]) / "log")
child.start()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    # given a process that has started a child
    argv = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(argv, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert wait_until(lambda: (Path("/proc") / str(child) / "comm").read_text() == "sleep\n")

        # when
        parent.kill()
        parent.wait()

    # then
    assert wait_until(lambda: not procfs.alive(child))


def test_a_process_id_given_away_again_is_not_taken_for_the_old_process() -> None:
    # given
    ours = procfs.identity(os.getpid())
    assert ours is not None

    # then
    assert procfs.same(ours)
    assert not procfs.same(procfs.Identity(ours.pid, ours.start_ticks - 1))
