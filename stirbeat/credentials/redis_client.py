"""The Redis client of a process: bounded waits everywhere, enough connections for every thread."""

from __future__ import annotations

import redis
from redis import backoff, retry

from stirbeat import settings

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 2.0
# For a free connection. With one connection a thread nobody waits; this bounds the rest.
POOL_WAIT_S = 5.0
# Beside the scraping threads: beat's, the janitor's and the command line's.
SPARE_CONNECTIONS = 8
HEALTH_CHECK_S = 30


def connect(configured: settings.Settings) -> redis.Redis:
    """A client on the configured Redis, for any number of threads up to `scrape_concurrency`; connects when first used.

    A dead connection (Redis was restarted) is opened anew once. An answer that does not come in time is not asked for
    again: the first command may have been carried out.
    """
    # A blocking pool: were there ever more threads than connections, they wait instead of failing.
    pool: redis.BlockingConnectionPool = redis.BlockingConnectionPool.from_url(
        configured.redis_url.get_secret_value(),
        max_connections=configured.scrape_concurrency + SPARE_CONNECTIONS,
        timeout=POOL_WAIT_S,
        protocol=2,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_S,
        retry=retry.Retry(backoff.ConstantBackoff(0.05), 1, supported_errors=(redis.ConnectionError,)),
    )
    return redis.Redis(connection_pool=pool)
