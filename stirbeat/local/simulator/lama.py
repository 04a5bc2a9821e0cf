"""Lamadava's (HikerAPI's) face: x-access-key, /v1/user/by/username, /v1/user/medias/chunk."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from typing import Any

from tornado.httputil import HTTPServerRequest

from stirbeat.local.simulator import account, accounts, face, recorded

_FUNCTIONS = {
    "/v1/user/by/username": ("user_by_username", "username"),
    "/v1/user/medias/chunk": ("user_medias_chunk", "user_id"),
}
_TYPES = {"image": 1, "video": 2, "reels": 2, "carousel": 8}
_PRODUCTS = {"image": "feed", "video": "feed", "reels": "clips", "carousel": "carousel_container"}

_ERRORS = {
    "unknown_credential": (401, "Invalid access key", "Unauthorized"),
    "invalid_token": (401, "Access key is blocked", "Unauthorized"),
    "rate_limited": (429, "Too many requests", "RateLimit"),
    "quota_exhausted": (402, "Top up your account", "InsufficientFunds"),
    "not_found": (404, "Target user not found", "UserNotFound"),
    "private": (403, "Private account", "PrivateAccount"),
    "error_5xx": (503, "Service temporarily unavailable", "ServiceUnavailable"),
    "bad_request": (422, "Field required", "ValidationError"),
    "no_such_path": (404, "Not Found", "NotFound"),
}


class Lama:
    """One vendor's face; see face.Face."""

    name = "lama"

    def __init__(self, known: accounts.Accounts) -> None:
        self._accounts = known
        self._profile = functools.lru_cache(accounts.KEPT)(lambda handle: self._render(handle, _profile))
        self._chunk = functools.lru_cache(accounts.KEPT)(lambda handle: self._render(handle, _chunk))

    def read(self, request: HTTPServerRequest, path: str) -> face.Asked:
        function, subject = _FUNCTIONS.get(path, ("", ""))
        secret = request.headers.get("x-access-key", "") or face.argument(request, "access_key")
        return face.Asked(function, secret, face.argument(request, subject).lower() if subject else "")

    def handle(self, asked: face.Asked) -> str:
        if asked.function == "user_by_username":
            return asked.subject
        found = self._accounts.by_pk(asked.subject)
        return found.handle if found else ""

    def answer(self, asked: face.Asked) -> face.Reply:
        if not asked.function:
            return _error("no_such_path")
        if not asked.subject:
            return _error("bad_request")
        by_handle = asked.function == "user_by_username"
        found = self._accounts.by_handle(asked.subject) if by_handle else self._accounts.by_pk(asked.subject)
        if found is None:
            return _error("not_found")
        if found.is_private and not by_handle:
            return _error("private")
        body = recorded.body(self.name, asked.function, found.handle)
        if body is None:
            body = self._profile(found.handle) if by_handle else self._chunk(found.handle)
        return face.Reply(200, body, "ok")

    def refuse(self, why: str, asked: face.Asked, spent: face.Spent, options: Mapping[str, Any]) -> face.Reply:
        return _error(why, options.get("status"))

    def headers(self, asked: face.Asked, spent: face.Spent) -> dict[str, str]:
        return {"x-hiker-info": "reqs=1"}

    def _render(self, handle: str, shape: Any) -> bytes:
        return face.dump(shape(self._accounts.by_handle(handle)))


def _error(why: str, status: int | None = None) -> face.Reply:
    usual, detail, kind = _ERRORS[why]
    return face.Reply(status or usual, face.dump({"detail": detail, "exc_type": kind}), why)


def _profile(one: account.Account) -> dict[str, Any]:
    return {
        "pk": one.pk,
        "username": one.handle,
        "full_name": one.full_name,
        "is_private": one.is_private,
        "profile_pic_url": one.picture,
        "profile_pic_url_hd": None,
        "is_verified": one.is_verified,
        "media_count": one.posts_count,
        "follower_count": one.followers,
        "following_count": one.following,
        "biography": one.biography,
        "external_url": one.website,
        "account_type": 2 if one.is_business else 1,
        "is_business": one.is_business,
        "public_email": "",
        "business_category_name": None,
        "category_name": one.category if one.is_business else None,
        "category": "",
    }


def _chunk(one: account.Account) -> list[Any]:
    medias = [_media(one, media) for media in one.media]
    return [medias, f"{one.media[-1].pk}_{one.pk}" if len(medias) < one.posts_count else None]


def _media(one: account.Account, media: account.Media) -> dict[str, Any]:
    hidden = media.likes is None
    video = media.kind in {"video", "reels"}
    still = account.picture(media)
    return {
        "pk": str(media.pk),
        "id": f"{media.pk}_{one.pk}",
        "code": media.code,
        "taken_at": datetime.datetime.fromtimestamp(media.taken_at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "taken_at_ts": media.taken_at,
        "media_type": _TYPES[media.kind],
        "product_type": _PRODUCTS[media.kind],
        "thumbnail_url": None if media.kind == "carousel" else still,
        "user": {
            "pk": str(one.pk),
            "id": str(one.pk),
            "username": one.handle,
            "full_name": one.full_name,
            "profile_pic_url": one.picture,
            "is_private": one.is_private,
            "is_verified": one.is_verified,
        },
        "comment_count": media.comments,
        "comments_disabled": False,
        # A hidden count comes as a small number that means nothing, with the flag below.
        "like_count": 3 if hidden else media.likes,
        "play_count": media.views or 0,
        "has_liked": False,
        "caption_text": media.caption,
        "usertags": [],
        "sponsor_tags": [],
        "video_url": f"https://scontent.cdninstagram.com/v/media/{media.code}.mp4" if video else None,
        "view_count": 0,
        "video_duration": 21.5 if video else 0.0,
        "title": "",
        "resources": [{"thumbnail_url": still, "media_type": 1}] if media.kind == "carousel" else [],
        "image_versions": [{"height": 1333, "width": 750, "url": still}],
        "like_and_view_counts_disabled": hidden,
        "coauthor_producers": [],
        "is_paid_partnership": False,
    }
