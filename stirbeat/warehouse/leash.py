"""Run a program that dies with its parent: `python -m stirbeat.warehouse.leash PARENT_PID PROGRAM ARGUMENT...`

A worker that is killed cannot stop its dbt any more; so the kernel is asked to (prctl PR_SET_PDEATHSIG, Linux). Done
here and not in a preexec_fn, which is not safe to run in a process with threads. The parent is, to the kernel, the
thread that started this; it must live as long as the program should.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Ask for the signal, then become the program. Exits 1 when the parent is gone already."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
