"""Free loopback ports.

They are taken from below the range the kernel hands to outgoing connections: a port from inside that range can be
given to any connection in the seconds between choosing it and the service listening on it.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from stirbeat.local import errors

HOST = "127.0.0.1"
LOWEST = 20_000
FALLBACK_HIGHEST = 32_767  # one below Linux' default net.ipv4.ip_local_port_range
TRIES = 2_000

_chosen: set[int] = set()
_lock = threading.Lock()


def free(port: int) -> bool:
    """Whether a service could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(names: Iterable[str], remembered: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the remembered one if it is still free, else a new one."""
    with _lock:
        ports: dict[str, int] = {}
        for name in names:
            known = remembered.get(name)
            ports[name] = known if known is not None and free(known) and known not in ports.values() else _new()
        return ports


def _new() -> int:
    highest = _highest()
    for _ in range(TRIES):
        port = random.randint(LOWEST, highest)  # noqa: S311 - nothing secret about a port
        if port not in _chosen and free(port):
            _chosen.add(port)
            return port
    raise errors.LocalServiceError("local stack", f"no free port on {HOST} between {LOWEST} and {highest}")


def _highest() -> int:
    try:
        lowest_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return FALLBACK_HIGHEST
    return lowest_ephemeral - 1 if lowest_ephemeral > LOWEST + 1_000 else 65_535
