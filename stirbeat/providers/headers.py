"""Numbers in the headers of an answer, which are strangers' text: anything unusable is None."""

from __future__ import annotations

import datetime
import email.utils
import math
import time
from collections.abc import Mapping

# A wait beyond this is taken as nonsense, in seconds.
LONGEST_WAIT_S = 32 * 24 * 3600.0

# A reset beyond this is a time on the clock rather than seconds to wait: 2001-09-09 as a Unix timestamp.
_TIMESTAMP_FROM = 1_000_000_000


def number(headers: Mapping[str, str], name: str) -> float | None:
    """A header that is a plain number of zero or more."""
    try:
        value = float(headers.get(name, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds: it is given in seconds or as a date (RFC 9110, 10.2.3)."""
    value = number(headers, "retry-after")
    if value is None and "retry-after" in headers:
        try:
            moment = email.utils.parsedate_to_datetime(headers["retry-after"])
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=datetime.UTC)
            value = max(0.0, moment.timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            return None
    return sane_wait_s(value)


def reset_s(headers: Mapping[str, str], name: str) -> float | None:
    """A reset in seconds from now, where vendors give either that or a timestamp (seconds or milliseconds)."""
    value = number(headers, name)
    if value is None:
        return None
    if value > _TIMESTAMP_FROM * 1000:
        value /= 1000
    if value > _TIMESTAMP_FROM:
        value = max(0.0, value - time.time())
    return sane_wait_s(value)


def sane_wait_s(value: float | None) -> float | None:
    """The wait, or None where it is not between nothing and a month."""
    return value if value is not None and 0 <= value <= LONGEST_WAIT_S else None
