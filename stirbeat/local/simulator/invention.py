"""Plausible accounts out of a handle alone: the same handle gives the same account on every machine, in every run."""

from __future__ import annotations

import datetime
import hashlib
import random

from stirbeat.local.simulator import account, shortcode

# The newest media is made before this time, whatever the clock says: runs can be compared.
EPOCH = int(datetime.datetime(2026, 4, 10, tzinfo=datetime.UTC).timestamp())

MEDIA = 12

# Handles that begin so are special, for tests that need such an account.
MISSING = "missing"
PRIVATE = "private"
PERSONAL = "personal"

_CATEGORIES = (
    "Photographer",
    "Artist",
    "Travel Company",
    "Musician/Band",
    "Digital creator",
    "Restaurant",
    "Nonprofit",
)
_WORDS = (
    "light",
    "harbour",
    "north",
    "garden",
    "paper",
    "river",
    "copper",
    "winter",
    "market",
    "signal",
    "stone",
    "sail",
)
_KINDS = ("reels", "reels", "reels", "carousel", "carousel", "image", "image", "video")
_HIDDEN = 0.04


def exists(handle: str) -> bool:
    """Whether there is such an account."""
    return not handle.startswith(MISSING)


def account_of(handle: str, epoch: int = EPOCH) -> account.Account:
    """The account of a handle. Followers are log-normal: a median of 16,000, one in fifty near a million."""
    seed = hashlib.blake2b(handle.encode(), digest_size=16).digest()
    dice = random.Random(seed)  # noqa: S311 (not for secrets)
    followers = min(int(10 ** dice.gauss(4.2, 0.85)) + 50, 400_000_000)
    pk = 1_000_000_000 + int.from_bytes(seed[:8], "big") % 60_000_000_000
    return account.Account(
        handle=handle,
        pk=pk,
        graph_id=str(17_841_400_000_000_000 + int.from_bytes(seed[8:], "big") % 9_000_000_000),
        full_name=f"{dice.choice(_WORDS).title()} {handle.replace('.', ' ').replace('_', ' ').strip().title()}".strip(),
        biography=f"{dice.choice(_WORDS).title()}, {dice.choice(_WORDS)} and {dice.choice(_WORDS)} \N{SPARKLES}",
        category=dice.choice(_CATEGORIES),
        followers=followers,
        following=dice.randint(20, 2_000),
        posts_count=dice.randint(MEDIA, 4_000),
        is_verified=followers > 500_000,
        is_private=handle.startswith(PRIVATE),
        is_business=not handle.startswith((PRIVATE, PERSONAL)),
        media=_media(dice, pk, followers, epoch),
    )


def _media(dice: random.Random, owner_pk: int, followers: int, epoch: int) -> tuple[account.Media, ...]:
    taken_at = epoch
    found = []
    for sequence in range(MEDIA):
        taken_at -= int(3600 * dice.lognormvariate(3.6, 0.8)) + 60
        kind = dice.choice(_KINDS)
        likes = int(followers * dice.lognormvariate(-3.6, 0.7)) + 3
        hidden = dice.random() < _HIDDEN
        views = int(likes * dice.uniform(8, 30)) + 1 if kind in {"reels", "video"} else None
        pk = shortcode.media_pk(taken_at, owner_pk, sequence)
        found.append(
            account.Media(
                pk=pk,
                code=shortcode.encode(pk),
                graph_id=str(17_800_000_000_000_000 + pk % 99_000_000_000_000),
                kind=kind,
                taken_at=taken_at,
                caption=f"{dice.choice(_WORDS).title()} and {dice.choice(_WORDS)} #{dice.choice(_WORDS)}",
                likes=None if hidden else likes,
                comments=int(likes * dice.uniform(0.002, 0.03)),
                views=None if hidden else views,
            )
        )
    return tuple(found)
