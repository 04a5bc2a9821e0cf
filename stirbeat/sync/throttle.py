"""A Redis lock a target: it keeps runs from crowding, and nothing depends on it.

With Redis flushed or away the run goes on; the claim in Postgres and the fencing token decide who may swap.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import redis
from redis import backoff, retry
from redis import exceptions as redis_errors

from stirbeat import errors

TTL_S = 15
TIMEOUT_S = 2
_log = logging.getLogger(__name__)


def connect(url: str) -> redis.Redis:
    """A client that gives up quickly: without Redis the sync goes on. Nothing is sent yet."""
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=retry.Retry(backoff.NoBackoff(), 0),
    )


@contextlib.contextmanager
def hold(client: redis.Redis | None, target: str) -> Iterator[Callable[[], None]]:
    """Hold the target's lock and give the function that renews it, to be called more often than every TTL_S.

    Raises errors.RunInProgress when another run holds it.
    """
    if client is None:
        yield lambda: None
        return
    lock = client.lock(f"stirbeat:sync:{target}", timeout=TTL_S, thread_local=False)
    try:
        free = lock.acquire(blocking=False)
    except redis_errors.RedisError as error:
        _log.warning("sync goes on without its Redis lock: %s", type(error).__name__)
        yield lambda: None
        return
    if not free:
        raise errors.RunInProgress(f"another sync of {target} is running", retry_after_s=TTL_S)
    try:
        yield lambda: _quietly(lambda: lock.extend(TTL_S, replace_ttl=True))
    finally:
        _quietly(lock.release)


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except redis_errors.RedisError as error:  # LockError is one: flushed, or another's by now
        _log.info("the Redis lock of a sync is gone: %s", type(error).__name__)
