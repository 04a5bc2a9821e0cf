"""What the readers of all vendors' answers share: the guard against mixed-up accounts, and lists with bad entries."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from stirbeat import errors
from stirbeat.domain import flow, records
from stirbeat.platforms.instagram import fields

PLATFORM = "instagram"

# Posts of one answer that are read; vendors give 12 to 50 a page.
MOST_POSTS = 200

_SHORTCODE = re.compile(r"[A-Za-z0-9_-]{1,60}")


def asked_handle(context: flow.Context) -> str:
    """The handle that the request is about."""
    return context.arguments["handle"]


def same_account(answered: Any, context: flow.Context) -> str:
    """The answered handle. Raises errors.ProviderFailed when it is none, or another than the one asked for."""
    found, asked = fields.handle(answered), asked_handle(context)
    if found is None:
        raise errors.ProviderFailed("the answer names no account")
    if found != asked:
        raise errors.ProviderFailed(f"the answer is about {found[:40]!r} instead of {asked!r}")
    return found


def profile(**values: Any) -> records.Profile:
    """A profile. Raises errors.ProviderFailed where the values break the model: then there is nothing to keep."""
    try:
        return records.Profile(PLATFORM, **values)
    except errors.InvalidRecord as error:
        raise errors.ProviderFailed(str(error)) from error


def posts(entries: Any, read: Callable[[dict[str, Any]], records.Post]) -> tuple[records.Post, ...]:
    """The posts of a list. One that cannot be read is left out, and one that comes twice is taken once.

    Raises errors.ProviderFailed when it is no list, or none of its entries can be read.
    """
    if not isinstance(entries, list):
        raise errors.ProviderFailed("the answer holds no list of posts")
    found: dict[str, records.Post] = {}
    problem = ""
    for entry in entries[:MOST_POSTS]:
        try:
            post = read(entry if isinstance(entry, dict) else {})
        except errors.SkipRecord as error:
            problem = str(error)
            continue
        found.setdefault(post.key, post)
    if entries and not found:
        raise errors.ProviderFailed(f"none of {len(entries)} posts can be read: {problem}")
    return tuple(found.values())


def coauthors(entries: Any) -> list[str] | None:
    """Handles of a post's co-authors, None where the answer does not say."""
    if not isinstance(entries, list):
        return None
    return [name for entry in entries[:20] if (name := fields.handle(fields.at(entry, "username")))]


def of_asked_account(found: Sequence[records.Post], context: flow.Context) -> None:
    """Posts must have to do with the account that was asked for: an outdated pk leads to a stranger's.

    One post of it, or one with it as co-author, is enough. Raises errors.ProviderFailed.
    """
    asked = asked_handle(context)
    for post in found:
        together = post.dimensions.get("coauthors")
        if post.profile_key == asked or (isinstance(together, list) and asked in together):
            return
    if found:
        raise errors.ProviderFailed(f"the posts are of {str(found[0].profile_key)[:40]!r} instead of {asked!r}")


def post_key(value: Any) -> str:
    """A shortcode. Raises errors.InvalidRecord when it is none."""
    if isinstance(value, str) and _SHORTCODE.fullmatch(value):
        return value
    raise errors.InvalidRecord("a post without a shortcode")
