"""The leaderboard that dbt builds in ClickHouse equals what Postgres says of the same answers, row by row."""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from stirbeat import settings
from stirbeat.warehouse import batch, client, schema, sql, transform

pytestmark = pytest.mark.services

START = datetime.datetime(2025, 10, 1, tzinfo=datetime.UTC)
COLUMNS = (
    "platform, profile_key, handle, profile_id, full_name, category, is_verified, profile_pic_url, followers, "
    "following, posts_count, posts_known, avg_likes, avg_comments, engagement_rate, followers_rank, engagement_rank, "
    "observed_at"
)
NAMES = ("Ann", "", "Zoë 🐈", 'O\'Brien \\ "x"', "名前", "%s :a {{ b }}", "line\nbreak\ttab")


@dataclasses.dataclass
class Known:
    """What the store would know after merging every answer in the order of time."""

    profiles: dict[tuple[str, str], dict[str, Any]] = dataclasses.field(default_factory=dict)
    posts: dict[tuple[str, str], dict[str, Any]] = dataclasses.field(default_factory=dict)


def _some(chance: random.Random, values: dict[str, Any]) -> dict[str, Any]:
    """Each value is unknown now and then."""
    return {name: value for name, value in values.items() if chance.random() < 0.7}


def _count(chance: random.Random, most: int) -> int | float:
    return chance.choice(
        [0, 1, 7, chance.randrange(most), chance.randrange(100) + chance.choice([0.0, 0.25, 0.5, 0.99])]
    )


def _profile(chance: random.Random) -> dict[str, Any]:
    return {
        "profile_key": f"{chance.choice(['a', 'B', 'é', '_', 'z'])}{chance.randrange(25)}",
        "profile_id": chance.choice([None, "17841400000000000"]),
        "handle": chance.choice([None, "Handle", "other.handle"]),
        "source": "graphapi",
        "dimensions": _some(
            chance,
            {
                "full_name": chance.choice(NAMES),
                "category": chance.choice(NAMES),
                "is_verified": chance.random() < 0.5,
                "profile_pic_url": "https://example.com/a?b=c&d=%20",
                "languages": ["en", "de"],
            },
        ),
        "metrics": _some(
            chance,
            {
                "followers": chance.choice([0, 3, 1000, 1000, 10**12, _count(chance, 10**9)]),
                "following": _count(chance, 5000),
                "posts_count": _count(chance, 5000),
            },
        ),
    }


def _post(chance: random.Random) -> dict[str, Any]:
    return {
        "post_key": f"post{chance.randrange(300)}",
        "post_id": None,
        "profile_key": chance.choice([None, f"{chance.choice(['a', 'B', 'é', '_', 'z'])}{chance.randrange(25)}"]),
        "published_at": None,
        "source": "lama",
        "dimensions": _some(chance, {"type": "image", "caption": chance.choice(NAMES)}),
        "metrics": _some(chance, {"likes": _count(chance, 10**8), "comments": _count(chance, 10**6)}),
    }


def _merge(known: dict[str, Any], event: dict[str, Any]) -> None:
    for name, value in event.items():
        if isinstance(value, dict):
            known[name] = known.get(name, {}) | value
        elif value is not None or name not in known:
            known[name] = value
    known["observed_at"] = event["event_timestamp"]


def _answers(seed: int, events: int) -> tuple[list[batch.Message], Known]:
    chance = random.Random(seed)
    known = Known()
    messages = []
    for step in range(events):
        name = chance.choice(["profile_log", "post_log", "post_log"])
        event = _profile(chance) if name == "profile_log" else _post(chance)
        event |= {
            "event_id": str(uuid.UUID(int=chance.getrandbits(128))),
            "event_timestamp": (START + datetime.timedelta(hours=step, microseconds=step)).isoformat(),
            "request_id": str(uuid.UUID(int=chance.getrandbits(128))),
            "platform": chance.choice(["instagram", "youtube"]),
        }
        kept, key = (known.profiles, "profile_key") if name == "profile_log" else (known.posts, "post_key")
        _merge(kept.setdefault((event["platform"], event[key]), {}), event)
        messages.append(batch.Message(name, json.dumps(event).encode()))
    return messages, known


def _write(database: sa.Engine, known: Known) -> None:
    with database.begin() as connection:
        for table, kept in (("profile", known.profiles), ("post", known.posts)):
            described = sa.Table(table, sa.MetaData(), autoload_with=connection)
            wanted = {column.name for column in described.columns}
            rows = [{name: value for name, value in row.items() if name in wanted} for row in kept.values()]
            connection.execute(described.insert(), rows)


def test_mart_leaderboard_equals_the_stored_profiles_and_posts(
    configured: settings.Settings, database: sa.Engine
) -> None:
    # given answers in which values come and go, that reach the warehouse out of order and partly twice
    messages, known = _answers(seed=20251121, events=2500)
    _write(database, known)
    schema.migrate(configured)
    chance = random.Random(1)
    arriving = [*messages, *chance.sample(messages, 500)]
    chance.shuffle(arriving)
    with client.Client(configured) as warehouse:
        for start in range(0, len(arriving), 700):
            batch.store(warehouse, arriving[start : start + 700])

        # when dbt builds the staging and the mart
        core = transform.run(configured, ["tag:core"])
        daily = transform.run(configured, ["tag:daily"])

        # then both are well and the mart is what Postgres reckons from its tables
        assert core.ok, core.problem
        assert daily.ok, daily.problem
        assert {node.name for node in core.nodes if node.status == "success"} == {"stg_profile_log", "stg_post_log"}
        assert [node.name for node in daily.nodes if node.status == "success"] == ["mart_leaderboard"]
        built = warehouse.execute(f"select {COLUMNS} from mart_leaderboard order by platform, profile_key")
    with database.connect() as connection:
        expected = [tuple(row) for row in connection.execute(sql.load("leaderboard_expected"))]
    assert len(expected) > 100
    assert built == expected
    # and the data was worth comparing
    for column in ("full_name", "is_verified", "avg_likes", "engagement_rate", "engagement_rank"):
        values = [row[COLUMNS.split(", ").index(column)] for row in expected]
        assert None in values
        assert len({value for value in values if value is not None}) > 1
