"""The data folder of a stack: one owner at a time, private files, nothing lost by a damaged file. And its ports."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stirbeat.local import control, errors, folder, ports, procfs, supervisor

ROOT = Path(folder.__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from stirbeat.local import folder
folder.Folder(Path(sys.argv[1])).open()
print("held", flush=True)
time.sleep(600)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_process_is_told_who_holds_the_folder_and_gets_it_when_that_dies(tmp_path: Path) -> None:
    # given
    place = folder.Folder(tmp_path / "stack")
    argv = [sys.executable, "-c", HOLDER, str(place.path)]
    with subprocess.Popen(argv, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        # when, then
        assert place.locked()
        with pytest.raises(errors.FolderInUse, match=f"in use by process {holder.pid}"):
            place.open()
        assert control.report(place.path).phase == "held"

        holder.kill()
        holder.wait()
    place.open()
    place.close()
    assert not place.locked()


def test_secrets_are_made_once_and_kept_where_only_their_owner_reads_them(tmp_path: Path) -> None:
    # given
    place = folder.Folder(tmp_path / "stack")
    place.open()

    # when
    first = place.secrets()

    # then
    assert folder.Folder(place.path).secrets() == first
    assert mode(place.secrets_file) == 0o600
    assert mode(place.path) == 0o700
    assert len(set(first.values())) == len(first)
    place.close()


def test_a_lost_secret_is_made_anew_and_the_others_stay(tmp_path: Path) -> None:
    # given
    place = folder.Folder(tmp_path)
    first = place.secrets()
    folder.write_json(place.secrets_file, {name: value for name, value in first.items() if name != "redis"})

    # when
    second = place.secrets()

    # then
    assert second["redis"] != first["redis"]
    assert second | {"redis": ""} == first | {"redis": ""}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"phase": "up"}', '{"owner": {"pid": "x"}, "phase": "up"}'])
def test_a_damaged_status_file_does_not_keep_anyone_from_looking(tmp_path: Path, text: str) -> None:
    # given
    supervisor.status_file(tmp_path).write_text(text)

    # when
    now = control.report(tmp_path)

    # then
    assert not now.healthy
    assert now.phase in ("down", "killed")


def test_a_folder_that_is_not_there_is_down_and_stays_away(tmp_path: Path) -> None:
    # when
    now = control.report(tmp_path / "nowhere")

    # then
    assert now.phase == "down"
    assert "there is no folder" in control.down(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_place_of_the_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    # given
    file = tmp_path / "file"
    file.write_text("")

    # when, then
    with pytest.raises(errors.LocalServiceError, match=r"cannot use .*file as data folder"):
        control.up(file, {}, 5)


def test_a_killed_supervisor_is_told_from_one_that_went_down(tmp_path: Path) -> None:
    # given the last word of a supervisor that is no more, and nobody who holds the lock
    gone = {"pid": os.getpid(), "start_ticks": 1}
    folder.write_json(supervisor.status_file(tmp_path), {"phase": "up", "owner": gone, "services": []})

    # when
    now = control.report(tmp_path)

    # then
    assert now.phase == "killed"
    assert not procfs.same(procfs.Identity(**gone))


def test_ports_are_kept_while_they_are_free_and_replaced_when_they_are_taken() -> None:
    # given
    first = ports.choose(["a", "b", "c"], {})
    assert len(set(first.values())) == 3

    with socket.socket() as taken:
        taken.bind((ports.HOST, first["b"]))
        taken.listen()

        # when
        second = ports.choose(["a", "b", "c"], first)

    # then
    assert (second["a"], second["c"]) == (first["a"], first["c"])
    assert second["b"] != first["b"]


def test_two_names_never_get_one_port() -> None:
    # given a remembered state that says so
    port = ports.choose(["a"], {})["a"]

    # when
    chosen = ports.choose(["a", "b"], {"a": port, "b": port})

    # then
    assert chosen["a"] == port
    assert chosen["b"] != port
