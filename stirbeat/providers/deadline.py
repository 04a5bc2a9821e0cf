"""Deadlines that hold against any server: one thread watches every exchange and cuts the socket of a late one.

Socket timeouts count from the last byte, so a server that sends a byte a second holds a thread for ever. Here an
exchange has a `Guard`; when its time is over the watchdog shuts the connection down, and the blocked read returns.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

# How late a deadline may be noticed, in seconds.
TICK_S = 0.1


class Guard:
    """The deadline of one exchange (`at`, on time.monotonic's clock), and the connection it is using.

    It holds its own duplicate of the socket's descriptor. So it can never cut a stranger: a closed and reused number
    does not matter, nor that http.client forgets the socket of a `Connection: close` answer while its body is read.
    """

    __slots__ = ("_descriptor", "_lock", "at", "expired")

    def __init__(self, at: float) -> None:
        self.at = at
        self.expired = False
        self._descriptor = -1
        self._lock = threading.Lock()

    def remaining_s(self) -> float:
        """Seconds that are left. Raises TimeoutError when there are none."""
        left = self.at - time.monotonic()
        if left <= 0 or self.expired:
            raise TimeoutError("the deadline has passed")
        return left

    def hold(self, descriptor: int) -> None:
        """The exchange uses this socket from now on. Raises TimeoutError when it is too late."""
        with self._lock:
            if self.expired:
                raise TimeoutError("the deadline has passed")
            self._drop()
            self._descriptor = os.dup(descriptor)

    def let_go(self) -> None:
        """The exchange is done with its socket, which may serve another one now."""
        with self._lock:
            self._drop()

    def expire(self) -> None:
        """Cut the connection, if there is one."""
        with self._lock:
            self.expired = True
            if self._descriptor >= 0:
                descriptor, self._descriptor = self._descriptor, -1
                with contextlib.suppress(OSError), socket.socket(fileno=descriptor) as connection:
                    connection.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Watchdog:
    """Expires guards. Its thread starts with the first one (also in a forked child) and sleeps while there are none."""

    def __init__(self) -> None:
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, seconds: float) -> Guard:
        """A guard that expires in so many seconds, unless it is forgotten before."""
        guard = Guard(time.monotonic() + seconds)
        with self._lock:
            self._guards.add(guard)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="http-deadlines", daemon=True)
                self._thread.start()
        if not self._work.is_set():
            self._work.set()
        return guard

    def forget(self, guard: Guard) -> None:
        """The exchange is over."""
        with self._lock:
            self._guards.discard(guard)
        guard.let_go()

    def _run(self) -> None:
        while True:
            self._work.clear()
            with self._lock:
                now = time.monotonic()
                late = [guard for guard in self._guards if guard.at <= now]
                self._guards.difference_update(late)
                idle = not self._guards
            for guard in late:
                guard.expire()
            if idle:
                self._work.wait()
            else:
                time.sleep(TICK_S)
