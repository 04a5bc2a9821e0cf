"""One thread that forks every child.

The kernel sends a child its parent-death signal when the *thread* that forked it ends (prctl(2)), so children must not
be forked from the short-lived threads that start services in parallel. This thread lives as long as the process.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Callable
from concurrent import futures

_Work = tuple[Callable[[], "subprocess.Popen[bytes]"], "futures.Future[subprocess.Popen[bytes]]"]

_lock = threading.Lock()
_queue: queue.SimpleQueue[_Work] = queue.SimpleQueue()
_owner_pid = 0


def spawn(make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Call `make` in the spawner thread and return its process; exceptions come back to the caller."""
    global _owner_pid, _queue
    with _lock:
        if _owner_pid != os.getpid():  # first use, or the first after a fork, which copies no threads
            _owner_pid = os.getpid()
            _queue = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(_queue,), name="spawner", daemon=True).start()
    result: futures.Future[subprocess.Popen[bytes]] = futures.Future()
    _queue.put((make, result))
    return result.result()


def _serve(work: queue.SimpleQueue[_Work]) -> None:
    while True:
        make, result = work.get()
        try:
            result.set_result(make())
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            result.set_exception(error)
