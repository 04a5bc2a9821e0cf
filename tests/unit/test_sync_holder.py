"""Telling a dead process from a live one, and from one of which nothing is known."""

from __future__ import annotations

import os
import subprocess
import sys

from stirbeat.sync import holder


def test_this_process_lives() -> None:
    assert not holder.surely_dead(holder.this())


def test_a_process_that_ended_is_dead_and_so_is_one_whose_pid_was_given_anew() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert holder.surely_dead(holder.this() | {"pid": str(child.pid)})
    assert holder.surely_dead(holder.this() | {"started": "1"})


def test_a_zombie_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        while not holder.surely_dead(holder.this() | {"pid": str(pid)}):
            pass
    finally:
        os.waitpid(pid, 0)


def test_of_another_machine_or_namespace_nothing_is_sure() -> None:
    assert not holder.surely_dead(holder.this() | {"space": "elsewhere", "pid": "999999999"})
    assert not holder.surely_dead({})
    assert not holder.surely_dead(holder.this() | {"pid": "x"})
