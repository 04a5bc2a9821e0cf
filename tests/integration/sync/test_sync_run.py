"""A sync through the real engines: what readers of the target get, and what is written down."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from stirbeat import settings
from stirbeat.sync import bucket, context, progress, run
from stirbeat.sync.jobs import leaderboard

MART = """
CREATE TABLE {name} (
    platform String, profile_key String, handle Nullable(String), profile_id Nullable(String),
    full_name Nullable(String), category LowCardinality(Nullable(String)), is_verified Nullable(Bool),
    profile_pic_url Nullable(String), followers UInt64, following Nullable(Int64), posts_count Nullable(UInt32),
    posts_known Int64, avg_likes Nullable(Float64), avg_comments Nullable(Float64), engagement_rate Nullable(Float64),
    followers_rank UInt64, engagement_rank Nullable(UInt64), observed_at DateTime64(6, 'UTC')
) ENGINE = MergeTree ORDER BY (platform, profile_key)
"""
FILL = """
INSERT INTO {name} SELECT
    'instagram', concat('p', toString(number)), concat('handle', toString(number)), toString(number),
    'Name\tof\\n\\\\ ' || char(0) || unhex('FF') || toString(number), if(number % 3 = 0, NULL, 'art'), number % 2 = 0,
    NULL, 1000000 - number, NULL, number, 3, number / 7, NULL, 1.5, number + 1, NULL,
    toDateTime64('2026-01-02 03:04:05.123456', 6, 'UTC') + number
FROM numbers({first}, {rows})
"""


@pytest.fixture
def surroundings(configured: settings.Settings, database: sa.Engine) -> context.Context:
    """The engines, with a mart of 1000 profiles."""
    built = context.build(configured, throttled=False, engine=database)
    with built.warehouse.connect() as client:
        client.execute(MART.format(name="mart_leaderboard"))
    fill(built, 1000)
    return built


def fill(built: context.Context, rows: int, first: int = 0) -> None:
    with built.warehouse.connect() as client:
        client.execute("TRUNCATE TABLE mart_leaderboard")
        client.execute(FILL.format(name="mart_leaderboard", rows=rows, first=first))


def ask(built: context.Context, query: str) -> list[tuple[object, ...]]:
    with built.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_the_first_run_creates_the_target_with_its_key_and_indexes(surroundings: context.Context) -> None:
    # given no target; when
    told: list[progress.Progress] = []
    result = run.run(leaderboard.JOB, surroundings, told.append)

    # then
    assert (result.rows, result.generation, result.bytes > 0) == (1000, 1, True)
    assert ask(surroundings, "select count(*), count(distinct profile_key), min(followers_rank) from leaderboard") == [
        (1000, 1000, 1)
    ]
    assert ask(
        surroundings,
        "select full_name, category, is_verified, avg_likes, observed_at::text from leaderboard where profile_key='p7'",
    ) == [("Name\tof\n\\ \ufffd7", "art", False, 1.0, "2026-01-02 03:04:12.123456+00")]
    assert ask(surroundings, "select indexname from pg_indexes where tablename = 'leaderboard' order by 1") == [
        ("ix_leaderboard_handle",),
        ("ix_leaderboard_platform_engagement_rank",),
        ("ix_leaderboard_platform_followers_rank",),
        ("leaderboard_pkey",),
    ]
    assert list(dict.fromkeys(one.step for one in told)) == list(progress.STEPS)
    assert set(result.seconds) == set(progress.STEPS)
    assert surroundings.bucket.folders(f"{bucket.PREFIX}/leaderboard") == {}
    assert ask(surroundings, "select status, details->>'generation', details->>'bytes' from run") == [
        ("COMPLETE", "1", str(result.bytes))
    ]


def test_the_next_run_swaps_and_keeps_the_previous_generation_only(surroundings: context.Context) -> None:
    # given
    run.run(leaderboard.JOB, surroundings)

    # when
    fill(surroundings, 900, first=5)
    second = run.run(leaderboard.JOB, surroundings)
    fill(surroundings, 800, first=7)
    third = run.run(leaderboard.JOB, surroundings)

    # then
    assert (second.generation, third.generation) == (2, 3)
    assert ask(surroundings, "select (select count(*) from leaderboard), (select count(*) from leaderboard__g2)") == [
        (800, 900)
    ]
    assert ask(surroundings, "select generation, relation, rows from sync_generation order by 1") == [
        (1, None, 1000),
        (2, "leaderboard__g2", 900),
        (3, "leaderboard", 800),
    ]
    assert ask(surroundings, "select indexname from pg_indexes where tablename = 'leaderboard__g2' order by 1") == [
        ("ix_leaderboard_handle__g2",),
        ("ix_leaderboard_platform_engagement_rank__g2",),
        ("ix_leaderboard_platform_followers_rank__g2",),
        ("leaderboard_pkey__g2",),
    ]
