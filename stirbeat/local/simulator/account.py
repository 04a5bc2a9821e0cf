"""An account and its media as they are, before any vendor's shape is put around them."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Media:
    """One post. kind: image | video | reels | carousel; taken_at: Unix seconds; counts that are hidden are None."""

    pk: int
    code: str
    graph_id: str
    kind: str
    taken_at: int
    caption: str
    likes: int | None
    comments: int
    views: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One account. pk is the private API's id, graph_id that of the Graph API, which sees only business accounts."""

    handle: str
    pk: int
    graph_id: str
    full_name: str
    biography: str
    category: str
    followers: int
    following: int
    posts_count: int
    is_verified: bool
    is_private: bool
    is_business: bool
    media: tuple[Media, ...]

    @property
    def picture(self) -> str:
        """Where its picture would be."""
        return f"https://scontent.cdninstagram.com/v/profile/{self.pk}.jpg"

    @property
    def website(self) -> str:
        """Where its own pages would be."""
        return f"https://{self.handle.replace('_', '-').strip('.-') or 'x'}.example/"


def picture(media: Media) -> str:
    """Where a media's still would be."""
    return f"https://scontent.cdninstagram.com/v/media/{media.code}.jpg"


def permalink(media: Media) -> str:
    """The media's page."""
    return f"https://www.instagram.com/{'reel' if media.kind == 'reels' else 'p'}/{media.code}/"
