"""What Instagram's readers make of answers: unknown stays unknown, bad entries are left out, mix-ups are refused."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from stirbeat import errors
from stirbeat.domain import exchange, flow, records
from stirbeat.platforms.instagram import HANDLE, PLATFORM, arraybobo, fields, graphapi, lama

PAYLOADS = pathlib.Path(__file__).parents[1] / "payloads" / "instagram"
CONTEXT = flow.Context({"handle": "natgeo"}, account={"ig_user_id": "178414"}, known={"pk": "787132"})
READERS: dict[str, Callable[[exchange.Answer, flow.Context], flow.Parsed]] = {
    f"{source.provider}-{step.function}": step.parse
    for one in PLATFORM.flows
    for source in one.sources
    for step in source.steps
}


def _answer(body: Any) -> exchange.Answer:
    return exchange.Answer(200, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def _recorded(name: str) -> Any:
    return json.loads((PAYLOADS / name).read_text())


def _chunk(*changes: dict[str, Any]) -> list[Any]:
    media = _recorded("hikerapi-user_medias_chunk-1.json")[0][0]
    return [[{**media, "code": f"code{number}", **change} for number, change in enumerate(changes)], None]


def _posts(body: Any, context: flow.Context = CONTEXT) -> list[records.Post]:
    return [post for post in lama.read_posts(_answer(body), context).records if isinstance(post, records.Post)]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("natgeo", "natgeo"),
        ("@NatGeo", "natgeo"),
        ("a.b_c9", "a.b_c9"),
        ("X" * 30, "x" * 30),
        ("@" + "y" * 30, "y" * 30),
    ],
)
def test_a_handle_is_accepted_in_the_forms_people_type(typed: str, stored: str) -> None:
    assert HANDLE.accept(typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "@",
        "@@natgeo",
        "nat geo",
        " natgeo",
        "natgeo\n",
        "nat-geo",
        "x" * 31,
        "x" * 10_000,
        "'; drop table profiles; --",
        "nat\x00geo",
        "n\u00e4tgeo",
        # The Kelvin sign becomes a plain k when it is lowered.
        "nat\u212aeo",
        "natgeo/../x",
        "username(x)",
        7,
        None,
        ["natgeo"],
    ],
)
def test_anything_else_is_refused_with_a_sentence(typed: object) -> None:
    with pytest.raises(errors.InvalidArgument, match="handle must be an Instagram handle"):
        HANDLE.accept(typed)


def test_the_graph_api_is_asked_for_public_fields_of_the_handle_by_the_credentials_own_account() -> None:
    call = graphapi.ask_profile(CONTEXT)

    assert call.path == "/v23.0/178414"
    assert call.params["fields"].startswith("business_discovery.username(natgeo){id,username,")
    assert not {"is_verified", "follows_count", "ig_id"} & set(call.params["fields"].replace("{", ",").split(","))


@pytest.mark.parametrize("account", [{}, {"ig_user_id": ""}, {"ig_user_id": "1/../me"}, {"ig_user_id": "me"}])
def test_a_credential_whose_account_is_no_number_builds_no_call(account: dict[str, str]) -> None:
    with pytest.raises(errors.ProviderFailed, match="ig_user_id"):
        graphapi.ask_profile(flow.Context({"handle": "natgeo"}, account=account))


@pytest.mark.parametrize("ask", [lama.ask_posts, arraybobo.ask_posts])
@pytest.mark.parametrize("pk", ["", "1&x=2", "abc"])
def test_posts_are_not_asked_for_without_a_pk(ask: Callable[[flow.Context], exchange.Call], pk: str) -> None:
    with pytest.raises(errors.ProviderFailed, match="pk is not known"):
        ask(flow.Context({"handle": "natgeo"}, known={"pk": pk}))


def test_both_namespaces_of_ids_are_kept() -> None:
    about = flow.Context({"handle": "facebookfordevelopers"})
    (graph,) = graphapi.read_profile(_answer(_recorded("graphapi-business_discovery_profile-2.json")), about).records
    parsed = lama.read_profile(_answer(_recorded("hikerapi-user_by_username-1.json")), CONTEXT)
    (private,) = parsed.records

    assert (graph.id, graph.dimensions["graph_id"], graph.dimensions.get("pk")) == (
        "17841407673135339",
        "17841407673135339",
        None,
    )
    assert (private.id, private.dimensions["pk"], private.dimensions.get("graph_id")) == ("787132", "787132", None)
    assert parsed.known == {"pk": "787132"}


def test_an_account_that_was_not_asked_for_is_refused() -> None:
    other = flow.Context({"handle": "someone.else"}, known={"pk": "787132"})
    recorded = {
        "lama-user_by_username": "hikerapi-user_by_username-1.json",
        "lama-user_medias_chunk": "hikerapi-user_medias_chunk-1.json",
        "arraybobo-info_username": "arraybobo-info_username-1.json",
        "arraybobo-posts": "arraybobo-posts-1.json",
        "graphapi-business_discovery_profile": "graphapi-business_discovery_profile-2.json",
    }
    for name, file in recorded.items():
        with pytest.raises(errors.ProviderFailed, match=r"instead of 'someone\.else'"):
            READERS[name](_answer(_recorded(file)), other)


def test_a_post_of_a_co_author_is_kept_under_its_owner() -> None:
    theirs = {"pk": "1", "username": "NatGeoTV"}
    together = {"user": theirs, "coauthor_producers": [{"username": "natgeo"}]}

    posts = _posts(_chunk({}, together))
    alone = _posts(_chunk(together))

    assert [post.profile_key for post in posts] == ["natgeo", "natgeotv"]
    assert [post.profile_key for post in alone] == ["natgeotv"]


def test_a_post_without_an_owner_is_of_the_handle_that_was_asked_for() -> None:
    (post,) = _posts(_chunk({"user": None}))

    assert (post.profile_key, post.dimensions["owner"], post.dimensions["owner_id"]) == ("natgeo", "natgeo", None)


@pytest.mark.parametrize(
    ("change", "likes", "views"),
    [
        ({}, 35895, None),
        ({"play_count": 0, "view_count": 77}, 35895, 77),
        ({"play_count": 9, "view_count": 77}, 35895, 9),
        ({"like_count": -1}, None, None),
        ({"like_count": None}, None, None),
        ({"like_count": "12"}, 12, None),
        ({"like_count": 0}, 0, None),
        ({"like_count": 3, "play_count": 500, "like_and_view_counts_disabled": True}, None, None),
        ({"like_count": True, "play_count": 1.5}, None, None),
        ({"like_count": 2**70, "play_count": float("nan")}, None, None),
    ],
)
def test_a_hidden_count_is_unknown_and_never_zero(change: dict[str, Any], likes: int | None, views: int | None) -> None:
    (post,) = _posts(_chunk(change))

    assert (post.metrics["likes"], post.metrics["views"]) == (likes, views)


def test_one_bad_post_is_left_out_and_the_others_are_kept() -> None:
    body = _chunk({}, {"code": None}, {"code": 7}, {"code": "x" * 500}, {"code": "a\x00b"}, {})
    body[0] += [None, "text", [], 5]

    assert [post.key for post in _posts(body)] == ["code0", "code5"]


def test_a_post_that_comes_twice_is_taken_once() -> None:
    assert len(_posts(_chunk({"code": "same"}, {"code": "same"}))) == 1


def test_a_list_without_one_good_post_is_a_schema_failure_but_an_empty_one_is_not() -> None:
    with pytest.raises(errors.ProviderFailed, match="none of 2 posts can be read"):
        lama.read_posts(_answer(_chunk({"code": None}, {"code": 7})), CONTEXT)

    assert lama.read_posts(_answer([[], None]), CONTEXT) == flow.Parsed()
    assert lama.read_posts(_answer([[], ""]), CONTEXT).next_cursor is None


def test_an_account_without_posts_is_no_failure_at_the_other_vendors_either() -> None:
    nothing = {"data": {"user": {"edge_owner_to_timeline_media": {"count": 0, "edges": [], "page_info": {}}}}}

    assert arraybobo.read_posts(_answer(nothing), CONTEXT).records == ()
    assert graphapi.read_posts(_answer({"business_discovery": {"username": "natgeo"}}), CONTEXT).records == ()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"media_type": 1, "product_type": "feed"}, "image"),
        ({"media_type": 2, "product_type": "feed"}, "video"),
        ({"media_type": 2, "product_type": "igtv"}, "video"),
        ({"media_type": 2, "product_type": "clips"}, "reels"),
        ({"media_type": 2, "product_type": "ad"}, "reels"),
        ({"media_type": 8, "product_type": "carousel_container"}, "carousel"),
        ({"media_type": "2", "product_type": "clips"}, "reels"),
        ({"media_type": 99}, None),
        ({"media_type": None}, None),
    ],
)
def test_a_post_has_a_type_only_where_the_answer_tells(change: dict[str, Any], kind: str | None) -> None:
    (post,) = _posts(_chunk(change))

    assert post.dimensions["type"] == kind


@pytest.mark.parametrize(
    ("permalink", "key"),
    [
        ("https://www.instagram.com/p/CSr71Gzlqo4/", "CSr71Gzlqo4"),
        ("https://www.instagram.com/reel/DWllQsJCPX_/", "DWllQsJCPX_"),
        ("https://www.instagram.com/natgeo/reel/DWllQsJCPX_/?x=1", "DWllQsJCPX_"),
        ("https://www.instagram.com/tv/B-x9/", "B-x9"),
    ],
)
def test_the_graph_api_tells_the_shortcode_in_the_permalink_only(permalink: str, key: str) -> None:
    body = {"business_discovery": {"media": {"data": [{"id": "178", "permalink": permalink, "media_type": "VIDEO"}]}}}

    (post,) = graphapi.read_posts(_answer(body), CONTEXT).records

    assert (post.key, post.id) == (key, "178")


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2021-08-17T19:00:42+0000", "2021-08-17T19:00:42+00:00"),
        ("2026-04-01T13:00:03Z", "2026-04-01T13:00:03+00:00"),
        ("2026-04-01T13:00:03", "2026-04-01T13:00:03+00:00"),
        ("2026-04-01T18:30:03+05:30", "2026-04-01T13:00:03+00:00"),
        (1775048403, "2026-04-01T13:00:03+00:00"),
        (1775048403.0, "2026-04-01T13:00:03+00:00"),
        ("yesterday", None),
        ("0001-01-01T00:00:00+23:59", None),
        (10**30, None),
        (float("inf"), None),
        (float("nan"), None),
        (-5, None),
        (0, None),
        (True, None),
        ([], None),
    ],
)
def test_a_time_is_in_utc_or_unknown(value: Any, moment: str | None) -> None:
    found = fields.moment(value)

    assert (found.isoformat() if found else None) == moment


def test_text_can_be_stored_whatever_it_was() -> None:
    assert fields.text("a\x00b") == "ab"
    assert fields.text("half \ud83d of a pair") == "half ? of a pair"
    assert len(fields.text("x" * 1_000_000) or "") == 10_000
    assert (fields.text(""), fields.filled(""), fields.text(5)) == ("", None, None)
    assert fields.address("javascript:alert(1)") is None


def test_unknown_and_empty_are_told_apart() -> None:
    user = {**_recorded("hikerapi-user_by_username-1.json"), "biography": "", "category_name": "", "is_verified": None}
    del user["following_count"]

    (profile,) = lama.read_profile(_answer(user), CONTEXT).records

    assert profile.dimensions["biography"] == ""
    assert profile.dimensions["category"] is None
    assert profile.dimensions["is_verified"] is None
    assert profile.metrics["following"] is None
    assert "following" not in records.known(profile.metrics)


# Any JSON, and any recorded body with any part of it replaced by any JSON.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([-1, 0, 2**63, 10**40, "natgeo", "\ud800", "a\x00b", "2026-04-01T13:00:03Z", "https://x/p/A/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FILES = {
    "graphapi-business_discovery_profile": "graphapi-business_discovery_profile-2.json",
    "graphapi-business_discovery_media": "graphapi-business_discovery_media-1.json",
    "arraybobo-info_username": "arraybobo-info_username-1.json",
    "arraybobo-posts": "arraybobo-posts-1.json",
    "lama-user_by_username": "hikerapi-user_by_username-1.json",
    "lama-user_medias_chunk": "hikerapi-user_medias_chunk-1.json",
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in _places(part, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return part
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(copy[path[0]], path[1:], part)
    return copy


def _check(name: str, body: bytes, context: flow.Context) -> None:
    try:
        parsed = READERS[name](exchange.Answer(200, {}, body), context)
    except errors.ProviderFailed:
        return
    assert parsed.next_cursor is None or isinstance(parsed.next_cursor, str)
    assert all(isinstance(value, str) for value in parsed.known.values())
    for record in parsed.records:
        assert record.key
        # Whatever is kept can be stored as UTF-8 and as JSON that Postgres takes.
        text = json.dumps([dict(record.dimensions), dict(record.metrics)], allow_nan=False, ensure_ascii=False)
        assert "\\u0000" not in text
        text.encode()
        record.key.encode()
        if isinstance(record, records.Post) and record.published_at:
            assert record.published_at.utcoffset() == datetime.timedelta(0)
        for metric in ("likes", "views"):
            found = record.metrics.get(metric)
            assert found is None or found >= 0


@pytest.mark.parametrize("name", sorted(READERS))
@hypothesis.settings(max_examples=60, deadline=None, database=None)
@hypothesis.given(value=JSON)
def test_any_json_is_read_or_refused(name: str, value: Any) -> None:
    _check(name, json.dumps(value).encode(), CONTEXT)


@pytest.mark.parametrize("name", sorted(READERS))
@hypothesis.settings(max_examples=150, deadline=None, database=None)
@hypothesis.given(data=st.data())
def test_a_recorded_body_with_any_part_replaced_is_read_or_refused(name: str, data: st.DataObject) -> None:
    body = _recorded(FILES[name])
    handle = {"graphapi": "facebookfordevelopers", "arraybobo": "harbour.lights", "lama": "natgeo"}[name.split("-")[0]]
    for _ in range(data.draw(st.integers(1, 3))):
        body = _replaced(body, data.draw(st.sampled_from(_places(body))), data.draw(JSON))
    _check(name, json.dumps(body).encode(), flow.Context({"handle": handle}))


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[" * 200_000,
        b"9" * 10_000,
        b"\xff\xff",
        b'"\\ud800"',
        b"NaN",
        b"<html>" * 1000,
        b"[[1],2,3]",
    ],
)
def test_what_is_no_answer_is_refused(name: str, body: bytes) -> None:
    with pytest.raises(errors.ProviderFailed):
        READERS[name](exchange.Answer(200, {}, body), CONTEXT)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_body_cut_anywhere_is_refused(name: str) -> None:
    whole = (PAYLOADS / FILES[name]).read_bytes().rstrip()
    for end in range(0, len(whole) - 1, max(1, len(whole) // 50)):
        with pytest.raises(errors.ProviderFailed):
            READERS[name](exchange.Answer(200, {}, whole[:end]), CONTEXT)


def test_a_huge_answer_is_read_in_bounded_time() -> None:
    media = _recorded("hikerapi-user_medias_chunk-1.json")[0][0]
    many = [[{**media, "code": f"c{number}", "caption_text": "x" * 5000} for number in range(2000)], None]

    parsed = lama.read_posts(_answer(many), CONTEXT)

    assert len(parsed.records) == 200
