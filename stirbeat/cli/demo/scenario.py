"""What the demo asks for, with which credentials, and which faults the vendors show meanwhile. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

FLOWS = ("instagram.refresh_profile", "instagram.refresh_posts")

# Recorded answers exist for these; all others are accounts the simulator makes up, always the same ones.
RECORDED = ("natgeo", "facebookfordevelopers")

# An account that no vendor has, one that the Graph API does not show, and a private one.
PECULIAR = ("missing.person", "personal.diary", "private.garden")

_FIRST = ("wild", "urban", "slow", "tiny", "north", "golden", "quiet", "daily", "lunar", "salt")
_SECOND = ("kitchen", "atlas", "studio", "runner", "garden", "lens", "thread", "harbor", "pixel", "summit")


@dataclasses.dataclass(frozen=True, slots=True)
class Credential:
    """A credential of the demo. Its secret is made from the stack's own key, so it is the same in the next run."""

    provider: str
    name: str
    account: Mapping[str, str]
    field: str
    app: str | None = None

    def secret(self, key: str) -> str:
        """The secret, for the vendor and for the vault."""
        return hashlib.sha256(f"{key}/{self.provider}/{self.name}".encode()).hexdigest()


CREDENTIALS = (
    *(
        Credential("graphapi", f"graph-{n}", {"ig_user_id": f"1784140{n:010d}"}, "access_token", app=f"app-{n % 2 + 1}")
        for n in range(1, 9)
    ),
    *(Credential("arraybobo", f"rapid-{n}", {}, "key") for n in range(1, 8)),
    *(Credential("lama", f"lama-{n}", {}, "key") for n in range(1, 9)),
)

# One token was revoked by its owner: the vendor refuses it, the credential is disabled until a person acts.
REVOKED = ("graphapi", "graph-8")


def handles(count: int) -> list[str]:
    """So many handles: the recorded ones, the peculiar ones, then made-up ones, all different."""
    made = (f"{first}.{second}{n or ''}" for n in range(1 + count // 100) for first in _FIRST for second in _SECOND)
    return [*RECORDED, *PECULIAR, *made][:count]


def vendors(key: str, revoked: tuple[str, str] | None = REVOKED) -> dict[str, dict[str, Any]]:
    """What the simulator is told of the credentials: their secrets and states. revoked: provider and name."""
    told: dict[str, dict[str, Any]] = {}
    for one in CREDENTIALS:
        state = "invalid" if (one.provider, one.name) == revoked else "ok"
        told.setdefault(one.provider, {})[one.secret(key)] = {"state": state, "limits": [[60, 60]]}
    return told


def faults(count: int) -> list[dict[str, Any]]:
    """The vendors' bad day, for so many handles: every kind of fault, each on a share of the calls."""
    return [
        {"provider": "graphapi", "kind": "down", "after_calls": count // 6, "for_calls": count // 4},
        {"provider": "graphapi", "kind": "rate_limited", "after_calls": 60, "for_calls": 1, "code": 4},
        {"provider": "arraybobo", "kind": "rate_limited", "every": 40, "retry_after_s": 12},
        {"provider": "arraybobo", "kind": "error_5xx", "every": 17},
        {"provider": "arraybobo", "kind": "slow", "every": 23, "delay_s": 1.5},
        {"provider": "lama", "kind": "malformed", "after_calls": 10, "for_calls": count // 20},
        {"provider": "lama", "kind": "drip", "after_calls": count // 5, "for_calls": 3},
        {"provider": "lama", "kind": "not_found", "handles": ["slow.pixel"]},
    ]
