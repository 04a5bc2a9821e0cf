"""The recorded bodies that ship with the simulator, and the accounts they are about."""

from __future__ import annotations

import datetime
import functools
import importlib.resources
import json
from typing import Any

from stirbeat.local.simulator import account, invention, shortcode

# (provider, function, handle) -> file in `recorded/`; vendors published them, see the rows of the same names in the
# project's tests/payloads/expected.json.
_FILES = {
    ("lama", "user_by_username", "natgeo"): "hikerapi-user_by_username-1.json",
    ("lama", "user_medias_chunk", "natgeo"): "hikerapi-user_medias_chunk-1.json",
    ("graphapi", "business_discovery_profile", "facebookfordevelopers"): "graphapi-business_discovery_profile-2.json",
    ("graphapi", "business_discovery_media", "facebookfordevelopers"): "graphapi-business_discovery_media-1.json",
}


@functools.cache
def body(provider: str, function: str, handle: str) -> bytes | None:
    """The recorded body, None where there is none."""
    file = _FILES.get((provider, function, handle))
    if file is None:
        return None
    return importlib.resources.files("stirbeat.local.simulator").joinpath("recorded", file).read_bytes()


def _json(provider: str, function: str, handle: str) -> Any:
    return json.loads(body(provider, function, handle) or b"null")


@functools.cache
def accounts() -> dict[str, account.Account]:
    """The accounts of the recorded bodies, for the vendors of which there is no recording of them."""
    return {"natgeo": _natgeo(), "facebookfordevelopers": _facebookfordevelopers()}


def _natgeo() -> account.Account:
    invented = invention.account_of("natgeo")
    user = _json("lama", "user_by_username", "natgeo")
    medias, _cursor = _json("lama", "user_medias_chunk", "natgeo")
    return account.Account(
        handle="natgeo",
        pk=user["pk"],
        graph_id=invented.graph_id,
        full_name=user["full_name"],
        biography=user["biography"],
        category=invented.category,
        followers=user["follower_count"],
        following=user["following_count"],
        posts_count=user["media_count"],
        is_verified=True,
        is_private=False,
        is_business=True,
        media=tuple(
            account.Media(
                pk=int(media["pk"]),
                code=media["code"],
                graph_id=f"178{media['pk'][-14:]}",
                kind="carousel" if media["media_type"] == 8 else "reels",
                taken_at=media["taken_at_ts"],
                caption=media["caption_text"],
                likes=media["like_count"],
                comments=media["comment_count"],
                views=None,
            )
            for media in medias
        ),
    )


def _facebookfordevelopers() -> account.Account:
    invented = invention.account_of("facebookfordevelopers")
    user = _json("graphapi", "business_discovery_profile", "facebookfordevelopers")["business_discovery"]
    media = _json("graphapi", "business_discovery_media", "facebookfordevelopers")["business_discovery"]["media"][
        "data"
    ]
    codes = [entry["permalink"].rstrip("/").rpartition("/")[2] for entry in media]
    return account.Account(
        handle="facebookfordevelopers",
        pk=invented.pk,
        graph_id=user["id"],
        full_name=user["name"],
        biography=user["biography"],
        category=invented.category,
        followers=user["followers_count"],
        following=invented.following,
        posts_count=user["media_count"],
        is_verified=True,
        is_private=False,
        is_business=True,
        media=tuple(
            account.Media(
                pk=shortcode.decode(code),
                code=code,
                graph_id=entry["id"],
                kind="image",
                taken_at=int(datetime.datetime.fromisoformat(entry["timestamp"]).timestamp()),
                caption=entry["caption"],
                likes=entry["like_count"],
                comments=entry["comments_count"],
                views=None,
            )
            for code, entry in zip(codes, media, strict=True)
        ),
    )
