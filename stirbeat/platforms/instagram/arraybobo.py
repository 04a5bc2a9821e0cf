"""Instagram through ArrayBobo: accounts in the private API's shape, posts in the web's GraphQL shape."""

from __future__ import annotations

from typing import Any

from stirbeat.domain import exchange, flow, records
from stirbeat.platforms.instagram import fields, private, reading

_TYPES = {"Image": "image", "Video": "video", "Sidecar": "carousel"}


def ask_profile(context: flow.Context) -> exchange.Call:
    """An account by handle."""
    return exchange.Call("/ig/info_username/", params={"user": reading.asked_handle(context)})


def read_profile(answer: exchange.Answer, context: flow.Context) -> flow.Parsed:
    """`{user: {pk: ...}}`."""
    return private.read_profile(fields.at(answer.json(), "user"), context)


def ask_posts(context: flow.Context) -> exchange.Call:
    """The newest 12 posts, by pk."""
    return exchange.Call("/ig/posts/", params={"id_user": private.pk(context)})


def read_posts(answer: exchange.Answer, context: flow.Context) -> flow.Parsed:
    """`data.user.edge_owner_to_timeline_media`: edges of nodes, and where the next page begins."""
    media = fields.at(answer.json(), "data", "user", "edge_owner_to_timeline_media")
    posts = reading.posts(fields.at(media, "edges"), lambda edge: _post(fields.at(edge, "node"), context))
    reading.of_asked_account(posts, context)
    more = fields.at(media, "page_info", "has_next_page") is not False
    return flow.Parsed(posts, next_cursor=fields.filled(fields.at(media, "page_info", "end_cursor")) if more else None)


def _post(node: Any, context: flow.Context) -> records.Post:
    shortcode = reading.post_key(fields.at(node, "shortcode"))
    owner = fields.handle(fields.at(node, "owner", "username"))
    product = fields.filled(node.get("product_type"))
    kind = _kind(node, product)
    hidden = node.get("like_and_view_counts_disabled") is True
    return records.Post(
        reading.PLATFORM,
        key=shortcode,
        id=fields.identity(node.get("id")),
        profile_key=owner or reading.asked_handle(context),
        published_at=fields.moment(node.get("taken_at_timestamp")),
        dimensions={
            "pk": fields.identity(node.get("id")),
            "type": kind,
            "product_type": product,
            "caption": fields.text(fields.at(node, "edge_media_to_caption", "edges", 0, "node", "text")),
            "permalink": f"https://www.instagram.com/{'reel' if kind == 'reels' else 'p'}/{shortcode}/",
            "thumbnail_url": fields.address(node.get("thumbnail_src")) or fields.address(node.get("display_url")),
            "owner": owner or reading.asked_handle(context),
            "owner_id": fields.identity(fields.at(node, "owner", "id")),
            "coauthors": reading.coauthors(node.get("coauthor_producers")),
        },
        metrics={
            "likes": None if hidden else fields.shown(fields.at(node, "edge_media_preview_like", "count")),
            "comments": fields.shown(fields.at(node, "edge_media_to_comment", "count")),
            "views": None if hidden else fields.views(node.get("video_play_count"), node.get("video_view_count")),
        },
    )


def _kind(node: dict[str, Any], product: str | None) -> str | None:
    # __typename is GraphImage or XDTGraphImage, by the age of the web page that the vendor reads.
    name = str(node.get("__typename")).removeprefix("XDT").removeprefix("Graph")
    kind = _TYPES.get(name) or ("video" if node.get("is_video") is True else None)
    return "reels" if kind == "video" and product == "clips" else kind


SOURCE_PROFILE = flow.Source("arraybobo", (flow.Step("info_username", call=ask_profile, parse=read_profile),))
SOURCE_POSTS = flow.Source(
    "arraybobo",
    (
        flow.Step("info_username", call=ask_profile, parse=read_profile, skip=private.knows_pk),
        flow.Step("posts", call=ask_posts, parse=read_posts),
    ),
)
