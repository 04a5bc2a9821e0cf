"""The deadline of a fetch holds against servers that never come to an end."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from stirbeat.domain import exchange, outcome, provider
from stirbeat.providers import deadline, http

DEADLINE_S = 0.5
# What the design promises: the thread is free within 2 s of the deadline. Here it is held to less.
LATE_S = 1.0

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
Serve = Callable[[socket.socket], None]


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    return data


@pytest.fixture
def serve() -> Iterator[Callable[[Serve], str]]:
    """Starts a server that hands each connection to a function; gives its address."""
    stop = threading.Event()
    listeners: list[socket.socket] = []

    def start(handle: Serve) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                handle(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    connection, _ = listener.accept()
                    threading.Thread(target=run, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stop.set()
    for listener in listeners:
        listener.close()


def _vendor(address: str, *, scheme: str = "http", deadline_s: float = DEADLINE_S) -> provider.Provider:
    return provider.Provider(
        name="vendor",
        base_url=f"{scheme}://{address}",
        authorise=lambda call, _secret: call,
        classify=lambda _answer: outcome.OK,
        limits=(),
        secret_fields=(),
        deadline_s=deadline_s,
    )


def _drip(connection: socket.socket, data: bytes, pause_s: float = 0.05) -> None:
    for position in range(len(data)):
        connection.sendall(data[position : position + 1])
        time.sleep(pause_s)


def _silent(connection: socket.socket) -> None:
    time.sleep(10)


def _silent_after_request(connection: socket.socket) -> None:
    _request(connection)
    time.sleep(10)


def _dripping_head(connection: socket.socket) -> None:
    _request(connection)
    _drip(connection, HEAD + b"x-padding: " + b"x" * 400)


def _dripping_body(connection: socket.socket) -> None:
    _request(connection)
    connection.sendall(HEAD + b"content-length: 400\r\n\r\n")
    _drip(connection, b"x" * 400)


def _dripping_body_of_a_closing_connection(connection: socket.socket) -> None:
    _request(connection)
    connection.sendall(HEAD + b"connection: close\r\ncontent-length: 400\r\n\r\n")
    _drip(connection, b"x" * 400)


def _dripping_body_without_length(connection: socket.socket) -> None:
    _request(connection)
    connection.sendall(HEAD + b"connection: close\r\n\r\n")
    _drip(connection, b"x" * 400)


def _dripping_chunks(connection: socket.socket) -> None:
    _request(connection)
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(200):
        connection.sendall(b"1\r\nx\r\n")
        time.sleep(0.05)


def _endless_body(connection: socket.socket) -> None:
    _request(connection)
    connection.sendall(HEAD + b"\r\n")
    for _ in range(400):
        connection.sendall(b"x" * 1024)
        time.sleep(0.02)


@pytest.mark.parametrize(
    "behaviour",
    [
        _silent_after_request,
        _dripping_head,
        _dripping_body,
        _dripping_body_of_a_closing_connection,
        _dripping_body_without_length,
        _dripping_chunks,
        _endless_body,
    ],
)
def test_the_thread_is_free_soon_after_the_deadline(serve: Callable[[Serve], str], behaviour: Serve) -> None:
    client = http.Client()
    vendor = _vendor(serve(behaviour))

    started = time.monotonic()
    with pytest.raises(http.NoAnswer) as caught:
        client.fetch(vendor, exchange.Call("/x"), {})
    took = time.monotonic() - started

    assert took + 0.05 >= DEADLINE_S
    assert took < DEADLINE_S + LATE_S
    assert caught.value.outcome.kind is outcome.Kind.UPSTREAM
    assert caught.value.outcome.reason == "no answer within 0.5 s"
    assert caught.value.outcome.charge_to is outcome.ChargeTo.NONE


@pytest.mark.parametrize(
    "behaviour", [_silent, lambda connection: _drip(connection, b"\x16\x03\x03\x40\x00" + b"x" * 400)]
)
def test_a_tls_handshake_that_never_ends_is_cut_too(serve: Callable[[Serve], str], behaviour: Serve) -> None:
    vendor = _vendor(serve(behaviour), scheme="https")

    started = time.monotonic()
    with pytest.raises(http.NoAnswer) as caught:
        http.Client().fetch(vendor, exchange.Call("/x"), {})

    assert time.monotonic() - started < DEADLINE_S + LATE_S
    assert "0.5 s" in caught.value.outcome.reason or "TLS" in caught.value.outcome.reason


def test_a_name_that_does_not_resolve_in_time_frees_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def slow(host: str, *args: object) -> object:
        if host == "vendor.invalid":
            time.sleep(3)
        return real(host, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    started = time.monotonic()
    with pytest.raises(http.NoAnswer, match=r"no answer within 0\.5 s"):
        http.Client().fetch(_vendor("vendor.invalid"), exchange.Call("/x"), {})

    assert time.monotonic() - started < DEADLINE_S + LATE_S


def test_an_address_that_swallows_connections_frees_the_thread() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as fill:
        for _ in range(4):
            stuck = fill.enter_context(socket.socket())
            stuck.setblocking(False)
            stuck.connect_ex(listener.getsockname())
        time.sleep(0.05)

        started = time.monotonic()
        with pytest.raises(http.NoAnswer, match=r"no answer within 0\.5 s"):
            http.Client().fetch(_vendor(f"127.0.0.1:{listener.getsockname()[1]}"), exchange.Call("/x"), {})

        assert time.monotonic() - started < DEADLINE_S + LATE_S


def test_a_hundred_threads_that_are_held_are_all_freed(serve: Callable[[Serve], str]) -> None:
    client, vendor = http.Client(), _vendor(serve(_dripping_body))
    took: list[float] = []

    def work() -> None:
        started = time.monotonic()
        with pytest.raises(http.NoAnswer):
            client.fetch(vendor, exchange.Call("/x"), {})
        took.append(time.monotonic() - started)

    threads = [threading.Thread(target=work) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(took) == 100
    assert max(took) < DEADLINE_S + 2.0


def test_a_connection_that_went_back_to_the_pool_is_not_cut_by_the_deadline_of_its_last_exchange(
    serve: Callable[[Serve], str],
) -> None:
    connections: list[int] = []

    def keep_alive(connection: socket.socket) -> None:
        connections.append(1)
        while _request(connection):
            time.sleep(0.1)
            connection.sendall(HEAD + b"content-length: 2\r\n\r\n{}")

    client, vendor = http.Client(), _vendor(serve(keep_alive))

    # Together longer than the deadline of each, on one connection.
    for _ in range(12):
        assert client.fetch(vendor, exchange.Call("/x"), {}).body == b"{}"

    assert len(connections) == 1


def test_exchanges_that_run_late_never_break_those_that_share_their_connections(
    serve: Callable[[Serve], str],
) -> None:
    # given one pool, a server that answers at about the deadline of the hasty, and a patient vendor on the same host
    def keep_alive(connection: socket.socket) -> None:
        while _request(connection):
            time.sleep(random.uniform(0.0, 0.3))
            connection.sendall(HEAD + b"content-length: 2\r\n\r\n{}")

    address = serve(keep_alive)
    client, hasty, patient = http.Client(), _vendor(address, deadline_s=0.15), _vendor(address, deadline_s=20)
    results: list[bool] = []
    failures: list[Exception] = []

    def work(vendor: provider.Provider) -> None:
        for _ in range(15):
            try:
                results.append(client.fetch(vendor, exchange.Call("/x"), {}).body == b"{}")
            except http.NoAnswer as error:
                if vendor is patient:
                    failures.append(error)

    threads = [threading.Thread(target=work, args=(vendor,)) for vendor in (hasty, patient) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then no deadline of the one was ever felt by the other
    assert failures == []
    assert all(results)
    assert 8 * 15 < len(results) < 16 * 15


def test_a_late_watchdog_never_cuts_a_socket_that_another_exchange_uses() -> None:
    # given a socket whose descriptor number was closed and given to a stranger
    guard = deadline.Guard(time.monotonic() + 60)
    ours, peer = socket.socketpair()
    guard.hold(ours.fileno())
    number = ours.fileno()
    ours.close()
    stranger, friend = socket.socketpair()
    assert number in {stranger.fileno(), friend.fileno()}

    # when the deadline of the old exchange passes
    guard.expire()

    # then the stranger still works, and the old connection is cut
    stranger.sendall(b"hello")
    assert friend.recv(5) == b"hello"
    assert peer.recv(1) == b""
    for one in (stranger, friend, peer):
        one.close()


def test_a_guard_that_let_go_cuts_nothing() -> None:
    guard = deadline.Guard(time.monotonic() + 60)
    ours, peer = socket.socketpair()
    guard.hold(ours.fileno())
    guard.let_go()

    guard.expire()

    ours.sendall(b"x")
    assert peer.recv(1) == b"x"
    with pytest.raises(TimeoutError):
        guard.hold(ours.fileno())
    ours.close()
    peer.close()


def test_no_descriptor_is_left_behind_by_late_and_by_good_exchanges(serve: Callable[[Serve], str]) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def answer(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\n{}")

    client = http.Client()
    good, late = _vendor(serve(answer)), _vendor(serve(_silent_after_request), deadline_s=0.15)
    client.fetch(good, exchange.Call("/x"), {})
    before = descriptors()

    for _ in range(5):
        client.fetch(good, exchange.Call("/x"), {})
        with pytest.raises(http.NoAnswer):
            client.fetch(late, exchange.Call("/x"), {})

    client.close()
    # The server's own ends of the late ones are still open: one each.
    assert descriptors() <= before + 5 + 1
