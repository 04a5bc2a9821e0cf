"""What a provider told: profiles and posts in the dimension/metric model.

Unknown is None and is left out of what is stored, so it never overwrites what is known. Ids are text, times are UTC.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import TypeAlias

from stirbeat import errors

Dimension: TypeAlias = "str | bool | int | float | list[str] | None"
Metric: TypeAlias = "int | float | None"

_LONGEST_KEY = 200
# Postgres stores a count as bigint; no platform counts beyond it.
_LARGEST_COUNT = 2**63 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """One account on a platform.

    key: the platform's natural key (Instagram: the lower-case handle; YouTube: channel id; Shopify: shop domain)
    id: the platform's own id as text, None where the provider gives none or one of its own namespace
    dimensions: what describes it; metrics: what is counted (followers, following, posts_count, ...)

    Raises errors.InvalidRecord when a value breaks the model.
    """

    platform: str
    key: str
    id: str | None = None
    handle: str | None = None
    dimensions: Mapping[str, Dimension] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.key, self.id, self.dimensions, self.metrics)


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """One post of an account.

    key: the platform's natural key (Instagram: shortcode; YouTube: video id)
    profile_key: key of the profile that published it, None where the answer does not say
    published_at: aware datetime in UTC, or None

    Raises errors.InvalidRecord when a value breaks the model.
    """

    platform: str
    key: str
    id: str | None = None
    profile_key: str | None = None
    published_at: datetime.datetime | None = None
    dimensions: Mapping[str, Dimension] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.key, self.id, self.dimensions, self.metrics)
        if self.published_at is not None and self.published_at.utcoffset() != datetime.timedelta(0):
            raise errors.InvalidRecord(f"post {self.key!r}: published_at must be in UTC")


Record: TypeAlias = Profile | Post


def known(values: Mapping[str, object]) -> dict[str, object]:
    """The values without the unknown ones: what is written down."""
    return {name: value for name, value in values.items() if value is not None}


def _check(key: str, identity: str | None, dimensions: Mapping[str, Dimension], metrics: Mapping[str, Metric]) -> None:
    if not isinstance(key, str) or not key or len(key) > _LONGEST_KEY or "\x00" in key:
        raise errors.InvalidRecord(f"a record's key must be 1 to {_LONGEST_KEY} characters of text, not {key!r:.80}")
    if identity is not None and not isinstance(identity, str):
        raise errors.InvalidRecord(f"record {key!r}: ids are text, not {type(identity).__name__}")
    for name, value in metrics.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise errors.InvalidRecord(f"record {key!r}: metric {name} must be a number, not {value!r:.80}")
        if value != value or abs(value) > _LARGEST_COUNT:
            raise errors.InvalidRecord(f"record {key!r}: metric {name} is out of range: {value!r:.80}")
    for name, dimension in dimensions.items():
        if isinstance(dimension, str) and "\x00" in dimension:
            raise errors.InvalidRecord(f"record {key!r}: dimension {name} holds a NUL character")
