"""Instagram through Lamadava (HikerAPI), version 1: flat accounts, and posts as a list of [medias, cursor]."""

from __future__ import annotations

from typing import Any

from stirbeat import errors
from stirbeat.domain import exchange, flow, records
from stirbeat.platforms.instagram import fields, private, reading

_TYPES = {1: "image", 2: "video", 8: "carousel"}
# Short videos, and those that run as an advertisement.
_REELS = frozenset({"clips", "ad"})


def ask_profile(context: flow.Context) -> exchange.Call:
    """An account by handle."""
    return exchange.Call("/v1/user/by/username", params={"username": reading.asked_handle(context)})


def read_profile(answer: exchange.Answer, context: flow.Context) -> flow.Parsed:
    """The account itself, without an envelope."""
    return private.read_profile(answer.json(), context)


def ask_posts(context: flow.Context) -> exchange.Call:
    """The newest posts, by pk; pinned ones come first."""
    return exchange.Call("/v1/user/medias/chunk", params={"user_id": private.pk(context)})


def read_posts(answer: exchange.Answer, context: flow.Context) -> flow.Parsed:
    """`[medias, cursor]`."""
    chunk = answer.json()
    if not isinstance(chunk, list) or not 1 <= len(chunk) <= 2:
        raise errors.ProviderFailed("the answer is no [medias, cursor]")
    posts = reading.posts(chunk[0], lambda media: read_post(media, context))
    reading.of_asked_account(posts, context)
    return flow.Parsed(posts, next_cursor=fields.filled(fields.at(chunk, 1)))


def read_post(media: dict[str, Any], context: flow.Context) -> records.Post:
    """One media object. Raises errors.InvalidRecord when it cannot be used."""
    shortcode = reading.post_key(media.get("code"))
    identity = fields.identity(media.get("pk"))
    owner = fields.handle(fields.at(media, "user", "username"))
    product = fields.filled(media.get("product_type"))
    kind = _kind(media, product)
    hidden = media.get("like_and_view_counts_disabled") is True
    still = (
        fields.address(media.get("thumbnail_url"))
        or fields.address(fields.at(media, "resources", 0, "thumbnail_url"))
        or fields.address(fields.at(media, "image_versions", 0, "url"))
    )
    return records.Post(
        reading.PLATFORM,
        key=shortcode,
        id=identity,
        profile_key=owner or reading.asked_handle(context),
        published_at=fields.moment(media.get("taken_at")) or fields.moment(media.get("taken_at_ts")),
        dimensions={
            "pk": identity,
            "type": kind,
            "product_type": product,
            "caption": fields.text(media.get("caption_text")),
            "permalink": f"https://www.instagram.com/{'reel' if kind == 'reels' else 'p'}/{shortcode}/",
            "thumbnail_url": still,
            "owner": owner or reading.asked_handle(context),
            "owner_id": fields.identity(fields.at(media, "user", "pk")),
            "coauthors": reading.coauthors(media.get("coauthor_producers")),
        },
        metrics={
            "likes": None if hidden else fields.shown(media.get("like_count")),
            "comments": fields.shown(media.get("comment_count")),
            "views": None if hidden else fields.views(media.get("play_count"), media.get("view_count")),
        },
    )


def _kind(media: dict[str, Any], product: str | None) -> str | None:
    kind = _TYPES.get(fields.count(media.get("media_type")) or 0)
    return "reels" if kind == "video" and product in _REELS else kind


SOURCE_PROFILE = flow.Source("lama", (flow.Step("user_by_username", call=ask_profile, parse=read_profile),))
SOURCE_POSTS = flow.Source(
    "lama",
    (
        flow.Step("user_by_username", call=ask_profile, parse=read_profile, skip=private.knows_pk),
        flow.Step("user_medias_chunk", call=ask_posts, parse=read_posts),
    ),
)
