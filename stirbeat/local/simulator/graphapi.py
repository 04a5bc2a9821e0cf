"""The Graph API's face: access_token, /vN.N/<ig-user id>?fields=business_discovery.username(h){...}."""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Mapping
from typing import Any

from tornado.httputil import HTTPServerRequest

from stirbeat.local.simulator import account, accounts, face, recorded

_PATH = re.compile(r"/v\d+\.\d+/(\w{1,40})/?", re.ASCII)
_FIELDS = re.compile(r"business_discovery\.username\(([^()]{1,60})\)\{(.*)\}", re.DOTALL)
_MEDIA = re.compile(r"\bmedia(?:\.limit\((\d+)\))?\{([^{}]*)\}")
_PROFILE_FUNCTION, _MEDIA_FUNCTION = "business_discovery_profile", "business_discovery_media"

_USER_FIELDS = frozenset(
    {"id", "username", "name", "biography", "website", "followers_count", "media_count", "profile_picture_url"}
)
_TYPES = {"image": "IMAGE", "video": "VIDEO", "reels": "VIDEO", "carousel": "CAROUSEL_ALBUM"}

# why -> (status, code, subcode, message); every one says OAuthException.
_ERRORS: dict[str, tuple[int, int, int | None, str]] = {
    "no_token": (400, 104, None, "An access token is required to request this resource."),
    "unknown_credential": (400, 190, None, "Invalid OAuth access token - Cannot parse access token"),
    "invalid_token": (400, 190, 463, "Error validating access token: Session has expired."),
    "rate_limited": (400, 17, 2446079, "(#17) User request limit reached"),
    "quota_exhausted": (403, 4, None, "(#4) Application request limit reached"),
    "not_found": (400, 110, 2207013, "Invalid user id"),
    "error_5xx": (503, 2, None, "Service temporarily unavailable"),
    "bad_request": (400, 100, None, "(#100) Tried accessing nonexisting field on node type (ShadowIGUser)"),
    "no_such_path": (400, 2500, None, "Unknown path components"),
}
_MESSAGES = {4: "(#4) Application request limit reached", 32: "(#32) Page request limit reached"}


class GraphApi:
    """One vendor's face; see face.Face."""

    name = "graphapi"

    def __init__(self, known: accounts.Accounts) -> None:
        self._accounts = known
        self._body = functools.lru_cache(accounts.KEPT)(self._discovery)

    def read(self, request: HTTPServerRequest, path: str) -> face.Asked:
        secret = face.argument(request, "access_token")
        if not secret and request.headers.get("authorization", "").startswith("Bearer "):
            secret = request.headers["authorization"].removeprefix("Bearer ")
        found, asked = _PATH.fullmatch(path), _FIELDS.fullmatch(face.argument(request, "fields"))
        if not found:
            return face.Asked("", secret)
        if not asked:
            return face.Asked(_PROFILE_FUNCTION, secret, account=found.group(1))
        handle, fields = asked.group(1).lower(), asked.group(2)
        function = _MEDIA_FUNCTION if _MEDIA.search(fields) else _PROFILE_FUNCTION
        return face.Asked(function, secret, handle, found.group(1), fields)

    def handle(self, asked: face.Asked) -> str:
        return asked.subject

    def answer(self, asked: face.Asked) -> face.Reply:
        if not asked.function:
            return _error("no_such_path")
        if not asked.subject:
            return _error("bad_request")
        found = self._accounts.by_handle(asked.subject)
        if found is None or not found.is_business:
            return _error("not_found", handle=asked.subject)
        body = recorded.body(self.name, asked.function, found.handle)
        if body is not None:
            return face.Reply(200, body, "ok")
        discovery = self._body(found.handle, asked.fields)
        if discovery is None:
            return _error("bad_request")
        return face.Reply(200, b'{"business_discovery":%s,"id":"%s"}' % (discovery, asked.account.encode()), "ok")

    def refuse(self, why: str, asked: face.Asked, spent: face.Spent, options: Mapping[str, Any]) -> face.Reply:
        if why == "unknown_credential" and not asked.secret:
            why = "no_token"
        headers = {}
        if why in {"rate_limited", "quota_exhausted"}:
            wait = options.get("retry_after_s") or spent.wait_s or 60.0
            headers = {"x-business-use-case-usage": _business_usage(asked, 100, math.ceil(wait / 60))}
        return _error(why, options.get("status"), options.get("code"), asked.subject, headers)

    def headers(self, asked: face.Asked, spent: face.Spent) -> dict[str, str]:
        share = min(100, int(spent.share * 100))
        return {
            "facebook-api-version": "v23.0",
            "x-app-usage": f'{{"call_count":{share // 4},"total_cputime":0,"total_time":{share // 8}}}',
            "x-business-use-case-usage": _business_usage(asked, share, 0),
        }

    def _discovery(self, handle: str, fields: str) -> bytes | None:
        one = self._accounts.by_handle(handle)
        media = _MEDIA.search(fields)
        names = {name for name in _MEDIA.sub("", fields).split(",") if name}
        if one is None or not names <= _USER_FIELDS:
            return None
        found = {name: value for name, value in _user(one).items() if name in names or name == "id"}
        if media:
            wanted = set(media.group(2).split(","))
            entries = one.media[: int(media.group(1) or 25)]
            if entries:
                data = [{name: value for name, value in _media(one).items() if name in wanted} for one in entries]
                found["media"] = {"data": data, "paging": {"cursors": {"after": f"QVFIU{entries[-1].pk}"}}}
        return face.dump(found)


def _business_usage(asked: face.Asked, percent: int, minutes: int) -> str:
    return (
        f'{{"{asked.account or "0"}":[{{"type":"instagram","call_count":{percent},"total_cputime":0,'
        f'"total_time":{percent // 2},"estimated_time_to_regain_access":{minutes}}}]}}'
    )


def _error(
    why: str,
    status: int | None = None,
    code: int | None = None,
    handle: str = "",
    headers: Mapping[str, str] | None = None,
) -> face.Reply:
    usual, usual_code, subcode, message = _ERRORS[why]
    error: dict[str, Any] = {
        "message": _MESSAGES.get(code or 0, message),
        "type": "OAuthException",
        "code": code or usual_code,
    }
    if subcode is not None and code is None:
        error["error_subcode"] = subcode
    if why == "not_found":
        error |= {"is_transient": False, "error_user_title": "Cannot find User"}
        error["error_user_msg"] = f"The user with username: {handle} cannot be found."
    if why in {"rate_limited", "quota_exhausted", "error_5xx"}:
        error["is_transient"] = True
    error["fbtrace_id"] = "AsimulatedTraceIdOfMeta"
    return face.Reply(status or usual, face.dump({"error": error}), why, headers or {})


def _user(one: account.Account) -> dict[str, Any]:
    return {
        "id": one.graph_id,
        "username": one.handle,
        "name": one.full_name,
        "biography": one.biography,
        "website": one.website,
        "followers_count": one.followers,
        "media_count": one.posts_count,
        "profile_picture_url": one.picture,
    }


def _media(media: account.Media) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(media.taken_at, datetime.UTC)
    found: dict[str, Any] = {
        "id": media.graph_id,
        "caption": media.caption,
        "comments_count": media.comments,
        "media_type": _TYPES[media.kind],
        "media_product_type": "REELS" if media.kind == "reels" else "FEED",
        "permalink": account.permalink(media),
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S+0000"),
    }
    # A hidden count is left out.
    if media.likes is not None:
        found["like_count"] = media.likes
    if media.views is not None:
        found["view_count"] = media.views
    if media.kind in {"video", "reels"}:
        found["thumbnail_url"] = account.picture(media)
    else:
        found["media_url"] = account.picture(media)
    return found
