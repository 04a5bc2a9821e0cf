"""Instagram's ids: a media's number tells when it was made, and its shortcode is that number in base 64.

The layout is the one Instagram described for its ids (instagram-engineering.com, "Sharding & IDs at Instagram"):
41 bits of milliseconds since its own epoch, 13 bits of shard, 10 bits of sequence.
"""

from __future__ import annotations

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_EPOCH_MS = 1_314_220_021_721


def encode(pk: int) -> str:
    """3865659729796199935 -> "DWllQsJCPX_"."""
    code = ""
    while pk:
        pk, digit = divmod(pk, 64)
        code = _ALPHABET[digit] + code
    return code


def decode(code: str) -> int:
    """The number of a shortcode. Raises ValueError for a character outside of the alphabet."""
    pk = 0
    for character in code:
        pk = pk * 64 + _ALPHABET.index(character)
    return pk


def media_pk(taken_at: int, owner_pk: int, sequence: int) -> int:
    """The number of a media made at this time (Unix seconds)."""
    return ((taken_at * 1000 - _EPOCH_MS) << 23) | ((owner_pk % 8192) << 10) | (sequence % 1024)
