"""Instagram through Meta's Graph API (Business Discovery): one call answers a profile or its posts.

developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/business_discovery.
Only fields that are marked public there are asked for: one other field fails the whole call. So there is no
`is_verified`, no `follows_count`, and no id of the private API's namespace (`ig_id` ended with v21).
"""

from __future__ import annotations

import re
from typing import Any

from stirbeat import errors
from stirbeat.domain import exchange, flow, records
from stirbeat.platforms.instagram import fields, reading

# Released in May 2025; Meta serves a version for at least two years.
VERSION = "v23.0"
PROFILE_FIELDS = "id,username,name,biography,website,followers_count,media_count,profile_picture_url"
MEDIA_FIELDS = (
    "id,caption,comments_count,like_count,media_type,media_product_type,media_url,permalink,thumbnail_url,"
    "timestamp,view_count"
)
POSTS_A_PAGE = 25

_SHORTCODE = re.compile(r"instagram\.com/(?:[^/?#]+/)?(?:p|reel|reels|tv)/([\w-]{1,60})", re.ASCII)
_TYPES = {"IMAGE": "image", "VIDEO": "video", "CAROUSEL_ALBUM": "carousel"}


def _call(context: flow.Context, wanted: str) -> exchange.Call:
    account = context.account.get("ig_user_id", "")
    if not fields.identity(account):
        raise errors.ProviderFailed("the credential's ig_user_id is no number")
    asked = f"business_discovery.username({reading.asked_handle(context)}){{{wanted}}}"
    return exchange.Call(f"/{VERSION}/{account}", params={"fields": asked})


def ask_profile(context: flow.Context) -> exchange.Call:
    """The public fields of an account."""
    return _call(context, PROFILE_FIELDS)


def ask_posts(context: flow.Context) -> exchange.Call:
    """The newest posts of an account."""
    return _call(context, f"id,username,media.limit({POSTS_A_PAGE}){{{MEDIA_FIELDS}}}")


def read_profile(answer: exchange.Answer, context: flow.Context) -> flow.Parsed:
    """The outer id is the asking account, the inner one is whom it is about."""
    whole = answer.json()
    found = fields.at(whole, "business_discovery")
    handle = reading.same_account(fields.at(found, "username"), context)
    identity = fields.identity(found.get("id"))
    profile = reading.profile(
        key=handle,
        id=identity,
        handle=handle,
        dimensions={
            "graph_id": identity,
            "full_name": fields.text(found.get("name")),
            "biography": fields.text(found.get("biography")),
            "external_url": fields.address(found.get("website")),
            "profile_pic_url": fields.address(found.get("profile_picture_url")),
            # Business Discovery answers for business and creator accounts only.
            "is_business": True,
        },
        metrics={
            "followers": fields.count(found.get("followers_count")),
            "following": fields.count(found.get("follows_count")),
            "posts_count": fields.count(found.get("media_count")),
        },
    )
    asking = fields.identity(fields.at(whole, "id"))
    return flow.Parsed((profile,), known={"querying_account_id": asking} if asking else {})


def read_posts(answer: exchange.Answer, context: flow.Context) -> flow.Parsed:
    """A list of media; an account without any has no `media` at all."""
    found = fields.at(answer.json(), "business_discovery")
    if not isinstance(found, dict):
        raise errors.ProviderFailed("the answer holds no business_discovery")
    if "username" in found:
        reading.same_account(found["username"], context)
    media = found.get("media", {"data": []})
    posts = reading.posts(fields.at(media, "data"), lambda entry: _post(entry, context))
    return flow.Parsed(posts, next_cursor=fields.filled(fields.at(media, "paging", "cursors", "after")))


def _post(entry: dict[str, Any], context: flow.Context) -> records.Post:
    permalink = fields.address(entry.get("permalink"))
    shortcode = _SHORTCODE.search(permalink or "")
    identity = fields.identity(entry.get("id"))
    product = fields.filled(entry.get("media_product_type"))
    kind = _kind(entry, product, permalink or "")
    still = entry.get("thumbnail_url") or (entry.get("media_url") if kind in {"image", "carousel"} else None)
    return records.Post(
        reading.PLATFORM,
        key=reading.post_key(shortcode.group(1) if shortcode else None),
        id=identity,
        profile_key=reading.asked_handle(context),
        published_at=fields.moment(entry.get("timestamp")),
        dimensions={
            "graph_id": identity,
            "type": kind,
            "product_type": product.lower() if product else None,
            "caption": fields.text(entry.get("caption")),
            "permalink": permalink,
            "thumbnail_url": fields.address(still),
            "owner": reading.asked_handle(context),
        },
        metrics={
            "likes": fields.shown(entry.get("like_count")),
            "comments": fields.shown(entry.get("comments_count")),
            "views": fields.views(entry.get("view_count")),
        },
    )


def _kind(entry: dict[str, Any], product: str | None, permalink: str) -> str | None:
    kind = _TYPES.get(str(entry.get("media_type")))
    reels = product == "REELS" or (product is None and "/reel" in permalink)
    return "reels" if kind == "video" and reels else kind


SOURCE_PROFILE = flow.Source(
    "graphapi", (flow.Step("business_discovery_profile", call=ask_profile, parse=read_profile),)
)
SOURCE_POSTS = flow.Source("graphapi", (flow.Step("business_discovery_media", call=ask_posts, parse=read_posts),))
