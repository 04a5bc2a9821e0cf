"""How long a cooldown lasts. Pure."""

from __future__ import annotations

import math

# After the first, second and every further failure in a row, where the server gives no hint; as in the old system.
STEPS_S = (600, 1800, 3600)
# A server's hint is believed up to a month: monthly quotas exist, clocks and units go wrong.
LONGEST_HINT_S = 31 * 24 * 3600.0
SHORTEST_HINT_S = 1.0

# From this share of its limit on, a credential rests between calls so that the vendor need not throttle it.
USAGE_HIGH = 0.8
REST_S = 5.0
LONGEST_REST_S = 60.0


def hint_s(retry_after_s: float | None) -> float | None:
    """The server's hint in seconds within sane bounds; None if it gave none that makes sense."""
    if retry_after_s is None or math.isnan(retry_after_s) or retry_after_s < 0:
        return None
    return min(max(retry_after_s, SHORTEST_HINT_S), LONGEST_HINT_S)


def rest_s(usage: float | None) -> float:
    """Seconds to rest at this share of the limit: 0 below 0.8, then from 5 up to 60 at 1.0.

    The vendor's window moves meanwhile. A rest is kept in Redis only: losing it costs at most one throttled answer.
    """
    if usage is None or math.isnan(usage) or usage < USAGE_HIGH:
        return 0.0
    share = min((usage - USAGE_HIGH) / (1.0 - USAGE_HIGH), 1.0)
    return REST_S + share * (LONGEST_REST_S - REST_S)
