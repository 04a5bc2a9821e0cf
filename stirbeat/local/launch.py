"""Become a service: `launch.py PARENT_PID DEATH_SIGNAL USER -- ARGV...` (USER is `-` to stay who we are).

Runs as a file under `python -I -S`, so it imports nothing but the standard library. It drops to USER, asks the kernel
for DEATH_SIGNAL when the parent dies (after the change of user, which clears that wish; see prctl(2),
PR_SET_PDEATHSIG), and replaces itself by ARGV: no extra process stays behind.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Drop to the user, tie the process to its parent, exec."""
    parent, death_signal, user = int(arguments[0]), int(arguments[1]), arguments[2]
    argv = arguments[4:]
    environment = given_environment()  # now: after the change of user, /proc would not show it any more
    libc = ctypes.CDLL(None, use_errno=True)
    if user != "-":
        entry = pwd.getpwnam(user)
        groups = [group.gr_gid for group in grp.getgrall() if user in group.gr_mem]
        os.setgroups([entry.pw_gid, *groups])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(f"cannot tie the process to its parent: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the wish was registered
        sys.exit("the parent is gone")
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


def given_environment() -> dict[str, str]:
    """The environment exactly as it was given: Python itself adds LC_CTYPE to it under the C locale (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        entries = [entry.partition(b"=") for entry in file.read().split(b"\0") if entry]
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in entries}


if __name__ == "__main__":
    main(sys.argv[1:])
