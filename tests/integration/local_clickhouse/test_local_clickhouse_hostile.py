"""What is no native protocol, or lies about lengths: an error, a closed connection, and nothing else."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

import pytest

from stirbeat.local.clickhouse import wire

HUGE = wire.varint(2**60)
HELLO = wire.varint(0) + wire.text("ClickHouse x") + wire.varint(20) + wire.varint(10) + wire.varint(54468)
QUERY_HEAD = wire.varint(1) + wire.text("id") + b"\0"  # no client info


@pytest.fixture
def dial(server):
    opened = []

    def connect():
        opened.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def greeted(server, dial):
    def connect():
        known = server.client().connection
        sock = dial()
        sock.sendall(HELLO + wire.text("") + wire.text(known.user) + wire.text(known.password))
        assert sock.recv(65536)[0] == 0
        return sock

    return connect


def answer(sock):
    """All that comes until the server hangs up."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            received += piece
    return received


def exception_code(packet):
    assert packet[0] == 2
    return struct.unpack("<i", packet[1:5])[0]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS greeting
        b"\xff" * 100,
        b"\x00" + HUGE + b"x" * 1000,
        HELLO + HUGE + b"x" * 1000,
        b"\x00" + wire.text(b"\xff\xfe") + b"\0\0\0",
    ],
    ids=[
        "http",
        "tls",
        "ones",
        "name of 2^60 bytes",
        "database of 2^60 bytes",
        "no utf-8",
    ],
)
def test_a_greeting_that_is_none_is_answered_with_an_error_and_hung_up_on(server, dial, client, sent):
    before = server.memory_mib()
    sock = dial()
    sock.sendall(sent)
    assert exception_code(answer(sock)) == 101
    assert client.execute("SELECT 1") == [(1,)]
    assert server.memory_mib() - before < 50


@pytest.mark.parametrize(
    "sent",
    [
        wire.varint(1) + HUGE,
        QUERY_HEAD + HUGE,
        QUERY_HEAD + b"\0" + wire.varint(2) + wire.varint(0) + HUGE + b"x" * 100_000,
        QUERY_HEAD + b"".join(wire.text(f"s{n}") + b"\0" + wire.text("1") for n in range(2000)),
        QUERY_HEAD + b"\0" + wire.varint(2) + wire.varint(0) + wire.text("SELECT 1") + wire.varint(9),
        QUERY_HEAD + b"\0" + wire.varint(2) + wire.varint(0) + wire.text("SELECT 1") + b"\x02\0\0" + HUGE + HUGE,
        QUERY_HEAD + b"\0" + wire.varint(2) + wire.varint(0) + wire.text("SELECT 1") + b"\x02\0\x07",
        wire.varint(77),
        wire.varint(5),
        b"\xff" * 11,
    ],
    ids=[
        "id of 2^60 bytes",
        "setting of 2^60 bytes",
        "query of 2^60 bytes",
        "2000 settings",
        "no data after the query",
        "2^60 columns",
        "unknown block info",
        "unknown packet",
        "tables status",
        "endless number",
    ],
)
def test_lies_after_a_proper_greeting_end_the_connection_and_no_more(server, greeted, client, sent):
    before = server.memory_mib()
    sock = greeted()
    sock.sendall(sent)
    assert exception_code(answer(sock)) == 101
    assert client.execute("SELECT 1") == [(1,)]
    assert server.memory_mib() - before < 50


def test_rows_without_end_are_given_up_when_the_client_leaves_and_leave_no_file(server, greeted, client):
    client.execute("CREATE TABLE target (s String) ENGINE = MergeTree ORDER BY s")
    spool = server.folder / "spool"
    lying = greeted()
    lying.sendall(
        QUERY_HEAD
        + b"\0"
        + wire.varint(2)
        + wire.varint(0)
        + wire.text(f"INSERT INTO {client.connection.database}.target VALUES")
        + b"\x02\0\0\0\0"
    )
    assert lying.recv(65536)[0] == 1
    lying.sendall(b"\x02\0\0" + wire.varint(1) + wire.varint(1) + wire.text("s") + wire.text("String") + HUGE)
    lying.sendall(os.urandom(3_000_000))
    assert list(spool.iterdir())
    lying.close()
    deadline = time.monotonic() + 5
    while list(spool.iterdir()):
        assert time.monotonic() < deadline, "the half-received rows are still there"
        time.sleep(0.02)
    assert client.execute("SELECT count() FROM target") == [(0,)]


def test_a_greeting_cut_short_is_let_go(dial, client):
    sock = dial()
    sock.sendall(HELLO)
    sock.shutdown(socket.SHUT_WR)
    assert answer(sock) == b""
    assert client.execute("SELECT 1") == [(1,)]


def test_silent_clients_do_not_keep_others_out(server, dial, client):
    for _ in range(40):
        dial()
    assert client.execute("SELECT 1") == [(1,)]
