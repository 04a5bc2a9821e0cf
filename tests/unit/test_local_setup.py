"""scripts/bootstrap.sh: what it does again and what it does not. Its Python is a recorder, so nothing is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Services that run elsewhere, so that no Debian package is asked for.
ELSEWHERE = {"STIRBEAT_BROKER_URL": "x", "STIRBEAT_REDIS_URL": "x", "STIRBEAT_DATABASE_URL": "x"}
RECORDER = """\
#!/bin/sh
echo "$*" >>"{calls}"
case "$*" in
-V) echo Python 3.12.0 ;;
"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip install"*) {pip} ;;
esac
"""


class Project:
    """A copy of the set-up in a folder of its own, with a Python that only records how it is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = path / "calls"
        shutil.copytree(ROOT / "scripts", path / "scripts")
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, path / name)
        programs = path / "programs"
        programs.mkdir()
        # There, so that it is not installed: the tests of the rest of the system may run anywhere.
        self._program(programs / "pgbouncer", "#!/bin/sh\n")
        self.python("true")
        self.environ = ELSEWHERE | {
            "PATH": f"{programs}:/usr/bin:/bin",
            "PYTHON": str(path / "python"),
        }

    def python(self, pip: str) -> None:
        """Say what `pip install` does."""
        self._program(self.path / "python", RECORDER.format(calls=self.calls, pip=pip))

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "scripts/bootstrap.sh"],
            cwd=self.path,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def count(self, word: str) -> int:
        return self.calls.read_text().count(word) if self.calls.exists() else 0

    @staticmethod
    def _program(file: Path, text: str) -> None:
        file.write_text(text)
        file.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_second_run_does_nothing_and_is_quick(project: Project) -> None:
    # given
    first = project.run()
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "set-up: ready"
    begun = time.monotonic()

    # when
    second = project.run()

    # then
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert time.monotonic() - begun < 1
    assert (project.count("-m venv"), project.count("-m pip install")) == (1, 1)


def test_a_change_of_the_requirements_installs_again_into_the_same_environment(project: Project) -> None:
    # given
    project.run()
    with (project.path / "setup.cfg").open("a") as file:
        file.write("# changed\n")

    # when
    again = project.run()

    # then
    assert again.returncode == 0
    assert (project.count("-m venv"), project.count("-m pip install")) == (1, 2)


def test_a_set_up_that_was_killed_is_made_afresh(project: Project) -> None:
    # given a kill while pip works
    project.python("sleep 600")
    running = subprocess.Popen(
        ["/bin/sh", "scripts/bootstrap.sh"],
        cwd=project.path,
        env=project.environ,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 10
    while project.count("-m pip install") == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    (project.path / ".venv" / "half").write_text("")
    project.python("true")

    # when
    again = project.run()

    # then
    assert again.returncode == 0, again.stderr
    assert "interrupted" in again.stdout
    assert not (project.path / ".venv" / "half").exists()
    assert project.run().stdout == ""


def test_a_failure_of_pip_is_shown_and_tried_again_without_starting_over(project: Project) -> None:
    # given
    project.python("echo no such version; exit 1")

    # when
    failed = project.run()

    # then
    assert failed.returncode == 1
    assert "no such version" in failed.stderr
    assert ".venv/pip.log" in failed.stderr
    project.python("true")
    shutil.copy(project.path / "python", project.path / ".venv" / "bin" / "python")
    assert project.run().returncode == 0
    assert project.count("-m venv") == 1


def test_two_at_once_take_turns(project: Project) -> None:
    # given
    project.python("sleep 0.5")
    argv = ["/bin/sh", "scripts/bootstrap.sh"]

    # when
    both = [
        subprocess.Popen(argv, cwd=project.path, env=project.environ, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=30)[0] for each in both]

    # then
    assert [each.returncode for each in both] == [0, 0]
    assert (project.count("-m venv"), project.count("-m pip install")) == (1, 1)
    assert sum("waiting for another set-up" in text for text in said) == 1


def test_an_unknown_option_is_refused(project: Project) -> None:
    # when
    said = subprocess.run(
        ["/bin/sh", "scripts/bootstrap.sh", "--fast"], cwd=project.path, capture_output=True, text=True, check=False
    )

    # then
    assert said.returncode == 2
    assert said.stderr.startswith("usage: ")
