"""The only HTTP client: asks a provider, with its credential, within its deadline.

It never follows a redirect, keeps no cookie, reads no proxy or netrc from the environment, and never sleeps on a
server's `Retry-After`: what to do next is decided from the outcome, by the caller.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import requests
import urllib3
from requests import adapters

from stirbeat import errors
from stirbeat.domain import exchange, outcome
from stirbeat.domain import provider as vendors
from stirbeat.providers import connection, deadline

# Bytes of one body after decompression; the largest answer known to us (a Shopify page) has about 5 MiB.
LARGEST_BODY = 32 * 1024 * 1024

# Idle connections kept for each host: as many as a worker has threads.
CONNECTIONS = 100

_CHUNK = 256 * 1024
_HEADERS = {"accept": "application/json", "accept-encoding": "gzip, deflate", "user-agent": "stirbeat"}


class NoAnswer(errors.ProviderFailed):
    """A provider gave no answer that could be classified; `outcome` says what that means."""

    def __init__(self, result: outcome.Outcome) -> None:
        super().__init__(result.reason)
        self.outcome = result

    def __reduce__(self) -> tuple[object, ...]:
        return (NoAnswer, (self.outcome,))


class Client:
    """Keeps connections. Thread-safe; make one in each process, after it was forked.

    simulator_url: where set, every call goes to <simulator_url>/<provider name>/... instead of to the vendor
    """

    def __init__(self, simulator_url: str = "", *, connections: int = CONNECTIONS) -> None:
        self._simulator_url = simulator_url.rstrip("/")
        self._adapter = _Adapter(connections)
        self._watchdog = deadline.Watchdog()

    def fetch(self, provider: vendors.Provider, call: exchange.Call, secret: Mapping[str, str]) -> exchange.Answer:
        """One exchange. Returns whatever was answered, also an error or a redirect: the provider classifies it.

        Raises NoAnswer where nothing usable came: no connection, broken, too large, or not whole within
        `provider.deadline_s` seconds. No text of it holds anything of the secret.
        """
        started = time.monotonic()
        result: exchange.Answer | outcome.Outcome
        try:
            request = self._prepare(provider, call, secret)
        except _Unusable as refusal:
            result = refusal.args[0]
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, TypeError) as error:
            result = _bad_request(f"the request could not be built ({type(error).__name__})")
        else:
            result = self._exchange(request, provider.deadline_s, started)
        # Raised outside of every `except`: the libraries' exceptions hold the URL, and with it an access token.
        if isinstance(result, outcome.Outcome):
            raise NoAnswer(result)
        return result

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _prepare(
        self, provider: vendors.Provider, call: exchange.Call, secret: Mapping[str, str]
    ) -> requests.PreparedRequest:
        if not call.path.startswith("/"):
            raise _Unusable(_bad_request("the path of a call must begin with /"))
        for field in provider.secret_fields:
            value = secret.get(field)
            if not value or not value.isascii() or not value.isprintable():
                raise _Unusable(_no_secret(field))
        authorised = provider.authorise(call, secret)
        base = f"{self._simulator_url}/{provider.name}" if self._simulator_url else provider.base_url
        request = requests.PreparedRequest()
        request.prepare(
            method=authorised.method,
            url=base + authorised.path,
            headers={**_HEADERS, **authorised.headers},
            params=dict(authorised.params),
            json=authorised.json,
        )
        return request

    def _exchange(
        self, request: requests.PreparedRequest, deadline_s: float, started: float
    ) -> exchange.Answer | outcome.Outcome:
        guard = self._watchdog.watch(deadline_s)
        connection.enter(guard)
        try:
            response = self._adapter.send(request, stream=True, timeout=deadline_s)
            body = _read(response.raw)
        except _TooLarge:
            return _upstream(f"the body is larger than {LARGEST_BODY} bytes")
        except (OSError, urllib3.exceptions.HTTPError) as error:
            if guard.expired or time.monotonic() >= guard.at or _is_timeout(error):
                return _upstream(f"no answer within {deadline_s:g} s")
            return _upstream(_why(error))
        except ValueError as error:
            return _upstream(f"the answer is no HTTP ({type(error).__name__})")
        finally:
            connection.enter(None)
            self._watchdog.forget(guard)
        # A body without a length ends where its connection ends: a cut one would pass for a whole one.
        if guard.expired:
            return _upstream(f"no answer within {deadline_s:g} s")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return exchange.Answer(response.status_code, headers, body, time.monotonic() - started)


class _Adapter(adapters.HTTPAdapter):
    def __init__(self, connections: int) -> None:
        retries = urllib3.Retry(0, read=False, respect_retry_after_header=False)
        super().__init__(pool_connections=64, pool_maxsize=connections, max_retries=retries)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": connection.Pool, "https": connection.SecurePool}


class _Unusable(Exception):
    """args[0] is the outcome."""


class _TooLarge(Exception):
    """The body exceeds LARGEST_BODY."""


def _read(raw: urllib3.BaseHTTPResponse) -> bytes:
    """The whole body, decompressed. The connection goes back to the pool only when all of it was read."""
    chunks: list[bytes] = []
    size = 0
    whole = False
    try:
        while chunk := raw.read(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > LARGEST_BODY:
                raise _TooLarge
            chunks.append(chunk)
        whole = True
    finally:
        if not whole:
            raw.close()
        raw.release_conn()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError)


def _why(error: Exception) -> str:
    """What broke, in words that cannot hold an address or a header."""
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return "the TLS connection failed"
    if isinstance(error, requests.ConnectionError) and _never_connected(error):
        return "no connection to the host"
    if isinstance(error, requests.exceptions.ContentDecodingError | urllib3.exceptions.DecodeError):
        return "the body cannot be decompressed"
    return "the connection broke before the answer was whole"


def _never_connected(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError)


def _upstream(reason: str) -> outcome.Outcome:
    return outcome.Outcome(outcome.Kind.UPSTREAM, reason=reason)


def _bad_request(reason: str) -> outcome.Outcome:
    return outcome.Outcome(outcome.Kind.BAD_REQUEST, try_next_provider=False, reason=reason)


def _no_secret(field: str) -> outcome.Outcome:
    return outcome.Outcome(
        outcome.Kind.TOKEN_INVALID,
        outcome.ChargeTo.CREDENTIAL,
        disable_credential=True,
        reason=f"the credential's {field} is missing or holds characters that HTTP cannot carry",
    )


class _WithoutQueries(logging.Filter):
    """urllib3 logs every address at DEBUG; an access token stands in its query."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(value.partition("?")[0] if isinstance(value, str) else value for value in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())
