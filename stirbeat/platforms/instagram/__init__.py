"""Instagram: what can be asked of it, and who answers in which order."""

from __future__ import annotations

import re

from stirbeat.domain import arguments, flow
from stirbeat.platforms.instagram import arraybobo, graphapi, lama


def _plain(handle: str) -> str:
    # Only ASCII is lowered: some foreign letters become a plain one (the Kelvin sign a k) and would name a stranger.
    return handle.removeprefix("@").lower() if handle.isascii() else handle


HANDLE = arguments.Argument(
    "handle",
    pattern=re.compile(r"[a-z0-9._]{1,30}"),
    about="an Instagram handle (1 to 30 letters a-z, digits, dots or underscores, with or without a leading @)",
    normalise=_plain,
)

PLATFORM = flow.Platform(
    "instagram",
    flows=(
        flow.Flow(
            "instagram",
            "refresh_profile",
            about="the account's description and counts",
            arguments=(HANDLE,),
            target="handle",
            sources=(graphapi.SOURCE_PROFILE, arraybobo.SOURCE_PROFILE, lama.SOURCE_PROFILE),
        ),
        flow.Flow(
            "instagram",
            "refresh_posts",
            about="the account's newest posts and their counts",
            arguments=(HANDLE,),
            target="handle",
            sources=(graphapi.SOURCE_POSTS, arraybobo.SOURCE_POSTS, lama.SOURCE_POSTS),
        ),
    ),
)
