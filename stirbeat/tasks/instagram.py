"""Instagram's flows as tasks.

from stirbeat.tasks import instagram
instagram.refresh_profile.delay(handle="natgeo")
"""

from __future__ import annotations

from stirbeat.tasks import base

refresh_profile = base.flow_task("instagram.refresh_profile")
refresh_posts = base.flow_task("instagram.refresh_posts")
