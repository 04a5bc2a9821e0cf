"""Bytes of ClickHouse's native protocol: varints, strings and little-endian integers, read with limits.

A `Reader` never trusts a length it was sent: text has a limit given by the caller, and everything longer is
passed on in pieces, so that a hostile length costs the sender bandwidth and this process nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

PIECE = 1 << 16
"""Bytes asked of the source at a time."""

MAX_VARINT_BYTES = 10
"""A 64-bit number in groups of seven bits."""


class ProtocolError(Exception):
    """The peer sent what is not ClickHouse's native protocol; the connection cannot go on."""


class EndOfInput(Exception):
    """The peer closed the connection."""


class Reader:
    """Reads from `source(max_bytes) -> bytes`, where an empty answer means the end.

    Between `record()` and `stop_recording()` all bytes read are also given to a sink.
    """

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0
        self._sink: Callable[[bytes], object] | None = None
        self._recorded_to = 0

    def record(self, sink: Callable[[bytes], object]) -> None:
        """Give every byte read from here on to `sink` too."""
        self._sink = sink
        self._recorded_to = self._at

    def stop_recording(self) -> None:
        """Hand over what is still pending, and record no more."""
        self._hand_over()
        self._sink = None

    def peek(self) -> int | None:
        """The next byte if it has already arrived, else None."""
        return self._buffer[self._at] if self._at < len(self._buffer) else None

    def byte(self) -> int:
        if self._at >= len(self._buffer):
            self._refill()
        value = self._buffer[self._at]
        self._at += 1
        return value

    def varint(self, limit: int = (1 << 63) - 1) -> int:
        """An unsigned number of at most `limit`.

        Raises ProtocolError: longer than 64 bits, or above the limit.
        """
        value = 0
        for position in range(MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                if value > limit:
                    raise ProtocolError(f"a number or length of {value} was sent where at most {limit} is accepted")
                return value
        raise ProtocolError("a number longer than 64 bits was sent")

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes; the caller vouches that `count` is small enough to hold."""
        end = self._at + count
        if end <= len(self._buffer):
            piece = self._buffer[self._at : end]
            self._at = end
            return piece
        pieces = []
        while count:
            if self._at >= len(self._buffer):
                self._refill()
            piece = self._buffer[self._at : self._at + count]
            self._at += len(piece)
            count -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def skip(self, count: int) -> None:
        """Pass over `count` bytes, of which no more than a piece is held at a time."""
        while True:
            here = min(count, len(self._buffer) - self._at)
            self._at += here
            count -= here
            if not count:
                return
            self._refill()

    def skip_strings(self, count: int) -> None:
        """Pass over `count` strings. The inner loop works on local names: it runs once a value."""
        while count:
            buffer, at, end = self._buffer, self._at, len(self._buffer)
            while count and at < end:
                after = at + 1 + buffer[at]
                if buffer[at] >= 0x80 or after > end:
                    break
                at = after
                count -= 1
            self._at = at
            if count:
                self.skip(self.varint())
                count -= 1

    def text(self, limit: int) -> str:
        """A string of at most `limit` bytes, which must be UTF-8."""
        raw = self.take(self.varint(limit))
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a text was sent that is not UTF-8") from error

    def uint64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def _refill(self) -> None:
        self._hand_over()
        self._buffer = b""
        self._at = self._recorded_to = 0
        piece = self._source(PIECE)
        if not piece:
            raise EndOfInput
        self._buffer = piece

    def _hand_over(self) -> None:
        if self._sink is not None and self._at > self._recorded_to:
            self._sink(self._buffer[self._recorded_to : self._at])
            self._recorded_to = self._at


def varint(value: int) -> bytes:
    """An unsigned number as the protocol writes it."""
    out = bytearray()
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str | bytes) -> bytes:
    """A string with its length before it."""
    raw = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    return varint(len(raw)) + raw


def int32(value: int) -> bytes:
    return struct.pack("<i", value)
