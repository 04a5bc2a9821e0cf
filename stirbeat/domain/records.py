"""What a provider told: profiles and posts in the dimension/metric model.

Unknown is None and is left out of what is stored, so it never overwrites what is known. Ids are text, times are UTC.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
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
        _check(self.key, (self.id, self.handle), self.metrics)


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
        _check(self.key, (self.id, self.profile_key), self.metrics)
        if self.published_at is not None and self.published_at.utcoffset() != datetime.timedelta(0):
            raise errors.InvalidRecord(f"post {self.key!r}: published_at must be in UTC")


Record: TypeAlias = Profile | Post


def known(values: Mapping[str, Dimension]) -> dict[str, Dimension]:
    """The values without the unknown ones, in the form in which they can be written down.

    Vendors pass on what people typed: a NUL or half of a surrogate pair, which neither Postgres nor ClickHouse can
    hold, is left out of a text; a number that is none is unknown.
    """
    written = {name: _storable(value) for name, value in values.items()}
    return {name: value for name, value in written.items() if value is not None}


def _storable(value: Dimension) -> Dimension:
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [str(_storable(item)) for item in value]
    return value


def _check(key: str, others: Sequence[str | None], metrics: Mapping[str, Metric]) -> None:
    for text in (key, *(other for other in others if other is not None)):
        if not _is_name(text):
            raise errors.InvalidRecord(
                f"record {key!r:.80}: keys and ids are 1 to {_LONGEST_KEY} characters of text, not {text!r:.80}"
            )
    for metric, value in metrics.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise errors.InvalidRecord(f"record {key!r}: metric {metric} must be a number, not {value!r:.80}")
        if not abs(value) <= _LARGEST_COUNT:  # NaN is not either
            raise errors.InvalidRecord(f"record {key!r}: metric {metric} is out of range: {value!r:.80}")


def _is_name(text: object) -> bool:
    """Text that can identify something in every store."""
    if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST_KEY or "\x00" in text:
        return False
    return text.encode("utf-8", "ignore").decode("utf-8") == text
