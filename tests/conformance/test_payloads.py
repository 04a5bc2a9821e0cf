"""Every recorded body is read as its row says, and every step of every source has one."""

from __future__ import annotations

import datetime
import json
import pathlib
from typing import Any

import pytest

from stirbeat import registry
from stirbeat.domain import exchange, flow, provider, records
from stirbeat.platforms.instagram import lama as instagram_lama

PAYLOADS = pathlib.Path(__file__).parents[1] / "payloads"
ROWS: list[dict[str, Any]] = [
    row for name in ("expected.json", "expected_own.json") for row in json.loads((PAYLOADS / name).read_text())
]
PLATFORMS = registry.collect("platforms", "PLATFORM", flow.Platform)
PROVIDERS = registry.collect("providers", "PROVIDER", provider.Provider)

# File names carry the vendor's trade name, or that of the gateway before it.
PROVIDER_OF = {"hikerapi": "lama", "rapidapi": "arraybobo"}
# Bodies of the private API's media that no step asks for alone yet; the reader of a list's entries reads them.
ENTRY_READERS = {("lama", "media_by_code"): instagram_lama.read_post}
DEFAULT_HANDLE = "natgeo"


def _name(row: dict[str, Any]) -> tuple[str, str, str]:
    platform, _, file = row["file"].partition("/")
    vendor, function, _ = file.removesuffix(".json").split("-")
    return platform, PROVIDER_OF.get(vendor, vendor), function


def _answer(row: dict[str, Any]) -> exchange.Answer:
    return exchange.Answer(row["http_status"], row["headers"], (PAYLOADS / row["file"]).read_bytes())


def _steps(platform: str, vendor: str) -> dict[str, flow.Step]:
    return {
        step.function: step
        for one in PLATFORMS[platform].flows
        for source in one.sources
        if source.provider == vendor
        for step in source.steps
    }


def _parse(row: dict[str, Any]) -> flow.Parsed:
    platform, vendor, function = _name(row)
    request = row["request"]
    context = flow.Context({"handle": request.get("handle", DEFAULT_HANDLE)}, known={"pk": request.get("user_id", "")})
    if (vendor, function) in ENTRY_READERS:
        return flow.Parsed((ENTRY_READERS[vendor, function](_answer(row).json(), context),))
    return _steps(platform, vendor)[function].parse(_answer(row), context)


def _seen_profile(profile: records.Profile, parsed: flow.Parsed) -> dict[str, object]:
    return {
        "handle": profile.handle,
        "id": profile.id,
        "next_cursor": parsed.next_cursor,
        **parsed.known,
        **profile.dimensions,
        **profile.metrics,
    }


def _seen_post(post: records.Post) -> dict[str, object]:
    timestamp = post.published_at.strftime("%Y-%m-%dT%H:%M:%SZ") if post.published_at else None
    return {"id": post.id, "shortcode": post.key, "timestamp": timestamp, **post.dimensions, **post.metrics}


def _ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["file"] for row in rows]


DATA = [row for row in ROWS if row["kind"] != "error"]
ERRORS = [row for row in ROWS if row["kind"] == "error"]


@pytest.mark.parametrize("row", DATA, ids=_ids(DATA))
def test_a_recorded_body_is_read_as_its_row_says(row: dict[str, Any]) -> None:
    _, vendor, _ = _name(row)
    assert PROVIDERS[vendor].classify(_answer(row)).ok

    parsed = _parse(row)

    expected = dict(row["expect"])
    posts = [record for record in parsed.records if isinstance(record, records.Post)]
    if row["kind"] == "profile":
        (profile,) = (record for record in parsed.records if isinstance(record, records.Profile))
        seen = _seen_profile(profile, parsed)
        assert profile.key == expected["handle"]
    elif row["kind"] == "post":
        (post,) = posts
        seen = _seen_post(post)
        assert post.profile_key == expected.get("owner")
    else:
        assert len(posts) == expected.pop("count")
        assert parsed.next_cursor == expected.pop("next_cursor")
        wanted = expected.pop("posts")
        seen = {}
        assert [
            {key: _seen_post(post)[key] for key in want} for post, want in zip(posts, wanted, strict=True)
        ] == wanted
        assert all(post.published_at.utcoffset() == datetime.timedelta(0) for post in posts if post.published_at)
    assert {key: seen.get(key) for key in expected} == expected


@pytest.mark.parametrize("row", ERRORS, ids=_ids(ERRORS))
def test_a_recorded_error_has_the_outcome_its_row_says(row: dict[str, Any]) -> None:
    _, vendor, _ = _name(row)

    found = PROVIDERS[vendor].classify(_answer(row))

    expected = row["expect"]
    assert found.kind.value == expected["error"]
    assert found.charge_to.value == expected["charge_to"]
    assert found.retry_after_s == expected["retry_after_s"]
    assert found.try_next_provider == expected["try_next_provider"]
    assert found.disable_credential == expected["disable_credential"]
    if "code" in expected:
        assert found.code == str(expected["code"])
    if "subcode" in expected:
        assert str(expected["subcode"]) in found.reason


def test_every_step_of_every_source_has_a_recorded_body() -> None:
    recorded = {_name(row) for row in DATA}
    asked = {
        (platform.name, source.provider, step.function)
        for platform in PLATFORMS.values()
        for one in platform.flows
        for source in one.sources
        for step in source.steps
    }
    assert asked - recorded == set()


def test_every_body_has_a_row_and_every_row_a_body() -> None:
    bodies = {str(path.relative_to(PAYLOADS)) for path in PAYLOADS.glob("*/*.json")}
    assert bodies == {row["file"] for row in ROWS}


def test_every_source_names_a_provider_that_exists_and_functions_its_limits_know() -> None:
    for platform in PLATFORMS.values():
        for one in platform.flows:
            for source in one.sources:
                limits = PROVIDERS[source.provider].limits
                for step in source.steps:
                    assert any(step.function in limit.functions for limit in limits), (source.provider, step.function)


def test_every_function_named_by_a_limit_is_asked_by_some_step() -> None:
    asked = {
        (source.provider, step.function)
        for platform in PLATFORMS.values()
        for one in platform.flows
        for source in one.sources
        for step in source.steps
    }
    named = {
        (name, function) for name, one in PROVIDERS.items() for limit in one.limits for function in limit.functions
    }
    assert named - asked == set()
