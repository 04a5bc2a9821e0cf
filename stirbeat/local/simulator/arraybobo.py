"""ArrayBobo's face behind RapidAPI's gateway: X-RapidAPI-Key and -Host, /ig/info_username/, /ig/posts/."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from tornado.httputil import HTTPServerRequest

from stirbeat.local.simulator import account, accounts, face

HOST = "instagram-scraper-2022.p.rapidapi.com"

_FUNCTIONS = {"/ig/info_username/": ("info_username", "user"), "/ig/posts/": ("posts", "id_user")}
_TYPES = {"image": "GraphImage", "video": "GraphVideo", "reels": "GraphVideo", "carousel": "GraphSidecar"}
# Limits as long as this are a plan's quota rather than a burst limit, in seconds.
_QUOTA_S = 3600
_BAD_KEY = "Invalid API key. Go to https://docs.rapidapi.com/docs/keys for more info."


class ArrayBobo:
    """One vendor's face; see face.Face."""

    name = "arraybobo"

    def __init__(self, known: accounts.Accounts) -> None:
        self._accounts = known
        self._profile = functools.lru_cache(accounts.KEPT)(lambda handle: self._render(handle, _profile))
        self._posts = functools.lru_cache(accounts.KEPT)(lambda handle: self._render(handle, _posts))

    def read(self, request: HTTPServerRequest, path: str) -> face.Asked:
        function, subject = _FUNCTIONS.get(path, ("", ""))
        if request.headers.get("x-rapidapi-host", "") != HOST:
            function = ""
        secret = request.headers.get("x-rapidapi-key", "")
        return face.Asked(function, secret, face.argument(request, subject).lower() if subject else "")

    def handle(self, asked: face.Asked) -> str:
        if asked.function == "info_username":
            return asked.subject
        found = self._accounts.by_pk(asked.subject)
        return found.handle if found else ""

    def answer(self, asked: face.Asked) -> face.Reply:
        if not asked.function:
            return _gateway(404, "Endpoint or API does not exist", "no_such_path")
        if not asked.subject:
            return face.Reply(400, face.dump({"message": "a parameter is missing"}), "bad_request")
        if asked.function == "info_username":
            found = self._accounts.by_handle(asked.subject)
            return face.Reply(200, self._profile(found.handle), "ok") if found else _nobody()
        found = self._accounts.by_pk(asked.subject)
        return face.Reply(200, self._posts(found.handle), "ok") if found else _nobody()

    def refuse(self, why: str, asked: face.Asked, spent: face.Spent, options: Mapping[str, Any]) -> face.Reply:
        wait = options.get("retry_after_s") or spent.wait_s or 1.0
        if why == "unknown_credential":
            return _gateway(401, _BAD_KEY, why)
        if why == "invalid_token":
            return _gateway(401, "Blocked User. Please contact your API provider.", why)
        if why == "quota_exhausted" or (why == "rate_limited" and spent.period_s >= _QUOTA_S):
            text = "You have exceeded the DAILY quota for Requests on your current plan, BASIC. Upgrade your plan."
            reset = {"x-ratelimit-requests-remaining": "0", "x-ratelimit-requests-reset": str(math.ceil(wait))}
            return _gateway(429, text, why, reset)
        if why == "rate_limited":
            return _gateway(429, "Too many requests", why, {"retry-after": str(math.ceil(wait))})
        if why == "not_found":
            return _nobody()
        status = options.get("status") or 503
        return face.Reply(
            status, face.dump({"message": "The API is unreachable, please contact the API provider"}), why
        )

    def headers(self, asked: face.Asked, spent: face.Spent) -> dict[str, str]:
        return {
            "server": "RapidAPI-1.2.8",
            "x-rapidapi-version": "1.2.8",
            "x-rapidapi-region": "AWS - us-east-1",
            "x-ratelimit-requests-limit": str(spent.limit),
            "x-ratelimit-requests-remaining": str(max(0, spent.limit - spent.calls)),
            "x-ratelimit-requests-reset": str(math.ceil(spent.period_s)),
        }

    def _render(self, handle: str, shape: Any) -> bytes:
        return face.dump(shape(self._accounts.by_handle(handle)))


def _gateway(status: int, message: str, outcome: str, headers: Mapping[str, str] | None = None) -> face.Reply:
    return face.Reply(
        status, face.dump({"message": message}), outcome, {"x-rapidapi-proxy-response": "true", **(headers or {})}
    )


def _nobody() -> face.Reply:
    return face.Reply(404, face.dump({"message": "User not found", "status": "fail"}), "not_found")


def _profile(one: account.Account) -> dict[str, Any]:
    return {
        "user": {
            "pk": one.pk,
            "username": one.handle,
            "full_name": one.full_name,
            "is_private": one.is_private,
            "profile_pic_url": one.picture,
            "hd_profile_pic_url_info": {"url": one.picture, "width": 1080, "height": 1080},
            "is_verified": one.is_verified,
            "media_count": one.posts_count,
            "follower_count": one.followers,
            "following_count": one.following,
            "biography": one.biography,
            "external_url": one.website,
            "account_type": 2 if one.is_business else 1,
            "is_business": one.is_business,
            "category": one.category if one.is_business else None,
            "public_email": "",
            "contact_phone_number": "",
        },
        "status": "ok",
    }


def _posts(one: account.Account) -> dict[str, Any]:
    # Of a private account the web shows how many posts there are, and none of them.
    edges = [] if one.is_private else [{"node": _node(one, media)} for media in one.media]
    more = not one.is_private and len(edges) < one.posts_count
    page = {"has_next_page": more, "end_cursor": f"QVFE{one.media[-1].pk}" if more else ""}
    media = {"count": one.posts_count, "page_info": page, "edges": edges}
    return {"data": {"user": {"edge_owner_to_timeline_media": media}}, "status": "ok"}


def _node(one: account.Account, media: account.Media) -> dict[str, Any]:
    video = media.kind in {"video", "reels"}
    node: dict[str, Any] = {
        "__typename": _TYPES[media.kind],
        "id": str(media.pk),
        "shortcode": media.code,
        "dimensions": {"height": 1350, "width": 1080},
        "display_url": account.picture(media),
        "is_video": video,
        "edge_media_to_caption": {"edges": [{"node": {"text": media.caption}}]},
        "edge_media_to_comment": {"count": media.comments},
        "comments_disabled": False,
        "taken_at_timestamp": media.taken_at,
        # A hidden count is -1.
        "edge_media_preview_like": {"count": -1 if media.likes is None else media.likes},
        "owner": {"id": str(one.pk), "username": one.handle},
        "thumbnail_src": account.picture(media),
    }
    if video:
        node["product_type"] = "clips" if media.kind == "reels" else "feed"
        node["video_view_count"] = media.views or 0
    return node
