"""An account as Instagram's private API shows it: several vendors pass this object on under their own envelopes."""

from __future__ import annotations

from typing import Any

from stirbeat import errors
from stirbeat.domain import flow
from stirbeat.platforms.instagram import fields, reading

# What a step that looked up an account tells the next one, and what the store knows of earlier ones.
PK = "pk"


def pk(context: flow.Context) -> str:
    """The account's id in the private API. Raises errors.ProviderFailed when nobody found it out."""
    found = fields.identity(context.known.get(PK))
    if found is None:
        raise errors.ProviderFailed("the account's pk is not known")
    return found


def knows_pk(context: flow.Context) -> bool:
    """Whether the look-up by handle can be saved."""
    return fields.identity(context.known.get(PK)) is not None


def read_profile(user: Any, context: flow.Context) -> flow.Parsed:
    """The profile, and its pk for the step after. Raises errors.ProviderFailed."""
    if not isinstance(user, dict):
        raise errors.ProviderFailed("the answer holds no user")
    handle = reading.same_account(user.get("username"), context)
    identity = fields.identity(user.get("pk")) or fields.identity(user.get("id"))
    picture = (
        fields.address(user.get("profile_pic_url_hd"))
        or fields.address(fields.at(user, "hd_profile_pic_url_info", "url"))
        or fields.address(user.get("profile_pic_url"))
    )
    category = (
        fields.filled(user.get("category_name"))
        or fields.filled(user.get("business_category_name"))
        or fields.filled(user.get("category"))
    )
    profile = reading.profile(
        key=handle,
        id=identity,
        handle=handle,
        dimensions={
            "pk": identity,
            "full_name": fields.text(user.get("full_name")),
            "biography": fields.text(user.get("biography")),
            "is_verified": fields.flag(user.get("is_verified")),
            "is_private": fields.flag(user.get("is_private")),
            "is_business": fields.flag(user.get("is_business")),
            "category": category,
            "profile_pic_url": picture,
            "external_url": fields.address(user.get("external_url")),
        },
        metrics={
            "followers": fields.count(user.get("follower_count")),
            "following": fields.count(user.get("following_count")),
            "posts_count": fields.count(user.get("media_count")),
        },
    )
    return flow.Parsed((profile,), known={PK: identity} if identity else {})
