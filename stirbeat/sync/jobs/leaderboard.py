"""Every profile with its size, its activity and its ranks within its platform."""

from __future__ import annotations

from stirbeat.sync.job import Column, Guards, Index, Job

JOB = Job(
    name="leaderboard",
    description="Profiles by platform, ranked by followers and by engagement",
    source="mart_leaderboard",
    target="leaderboard",
    columns=(
        Column("platform", "text", nullable=False),
        Column("profile_key", "text", nullable=False, description="the profile's key within its platform"),
        Column("handle", "text"),
        Column("profile_id", "text", description="the platform's own id"),
        Column("full_name", "text"),
        Column("category", "text"),
        Column("is_verified", "boolean"),
        Column("profile_pic_url", "text"),
        Column("followers", "bigint"),
        Column("following", "bigint"),
        Column("posts_count", "bigint", description="posts the platform counts for the profile"),
        Column("posts_known", "bigint", description="posts of it that stirbeat has seen; the averages are over them"),
        Column("avg_likes", "double precision"),
        Column("avg_comments", "double precision"),
        Column("engagement_rate", "double precision", description="percent, likes and comments a post by followers"),
        Column("followers_rank", "bigint", description="1 has the most followers of its platform"),
        Column("engagement_rank", "bigint", description="1 has the highest engagement rate of its platform"),
        Column("observed_at", "timestamptz", description="when the newest of these figures was seen"),
    ),
    key=("platform", "profile_key"),
    indexes=(
        Index(("platform", "followers_rank")),
        Index(("platform", "engagement_rank")),
        Index(("handle",)),
    ),
    guards=Guards(
        ranges={"followers": (0, None), "followers_rank": (1, None), "engagement_rank": (1, None)},
        minimum_rows=1,
    ),
)
