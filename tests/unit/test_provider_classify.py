"""Every answer of every provider has one outcome: the rules, row by row, and whatever else may come."""

from __future__ import annotations

import datetime
import email.utils
import json
import time
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from stirbeat import registry
from stirbeat.domain import exchange, outcome, provider
from stirbeat.providers import arraybobo, graphapi, headers, lama, rapidapi

PROVIDERS = registry.collect("providers", "PROVIDER", provider.Provider)
SECRET = "EAAB0123456789abcdefSECRET0123456789"


def _answer(status: int, body: Any, **header: str) -> exchange.Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return exchange.Answer(status, {name.replace("_", "-"): value for name, value in header.items()}, raw)


def _graph(
    code: Any, subcode: Any = None, message: str = "", status: int = 400, header: dict[str, str] | None = None
) -> outcome.Outcome:
    error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    return graphapi.classify(_answer(status, {"error": error}, **(header or {})))


def _seen(found: outcome.Outcome) -> tuple[str, str, bool, bool]:
    return found.kind.value, found.charge_to.value, found.try_next_provider, found.disable_credential


@pytest.mark.parametrize(
    ("code", "subcode", "message", "expected"),
    [
        (4, None, "(#4) Application request limit reached", ("rate_limited", "app", True, False)),
        (341, None, "", ("rate_limited", "app", True, False)),
        (17, 2446079, "", ("rate_limited", "credential", True, False)),
        (32, None, "", ("rate_limited", "credential", True, False)),
        (613, None, "", ("rate_limited", "credential", True, False)),
        (80002, None, "", ("rate_limited", "credential", True, False)),
        (10, None, "", ("permission", "credential", True, False)),
        (200, None, "", ("permission", "credential", True, False)),
        (299, None, "", ("permission", "credential", True, False)),
        (190, 460, "", ("token_invalid", "credential", True, True)),
        (190, None, "", ("token_invalid", "credential", True, True)),
        ("190", "460", "", ("token_invalid", "credential", True, True)),
        (102, None, "", ("token_invalid", "credential", True, True)),
        (104, None, "", ("token_invalid", "credential", True, True)),
        # The text is localised: it must not matter.
        (110, 2207013, "Identifiant invalide", ("not_found", "none", True, False)),
        (110, None, "", ("not_found", "none", True, False)),
        (100, 33, "does not exist, cannot be loaded due to missing permissions", ("not_found", "none", True, False)),
        (100, None, "This endpoint requires the 'x' permission", ("permission", "credential", True, False)),
        (100, None, "(#100) Tried accessing nonexisting field", ("bad_request", "none", False, False)),
        (100, 1234, "needs a permission", ("bad_request", "none", False, False)),
        (1, None, "", ("upstream", "none", True, False)),
        (2, None, "", ("upstream", "none", True, False)),
        (999_999, None, "", ("upstream", "none", True, False)),
    ],
)
def test_the_graph_api_is_classified_by_code(
    code: Any, subcode: Any, message: str, expected: tuple[str, str, bool, bool]
) -> None:
    found = _graph(code, subcode, message)

    assert _seen(found) == expected
    assert found.code == str(code)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"id": "1"}, ("ok", "none", False, False)),
        (200, {"error": {"code": 190}}, ("token_invalid", "credential", True, True)),
        (500, b"<html>", ("upstream", "none", True, False)),
        (429, b"", ("rate_limited", "credential", True, False)),
        (302, b"", ("upstream", "none", True, False)),
        (400, {"error": {"code": True}}, ("upstream", "none", True, False)),
        (400, {"error": {"code": {"deep": 1}}}, ("upstream", "none", True, False)),
        (400, {"error": "text"}, ("upstream", "none", True, False)),
    ],
)
def test_a_graph_answer_without_a_code_goes_by_its_status(
    status: int, body: Any, expected: tuple[str, str, bool, bool]
) -> None:
    assert _seen(graphapi.classify(_answer(status, body))) == expected


def _business(minutes: Any) -> str:
    return json.dumps({"17841": [{"type": "instagram", "call_count": 100, "estimated_time_to_regain_access": minutes}]})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, None),
        ({"x_business_use_case_usage": _business(19)}, 1140.0),
        ({"x_business_use_case_usage": _business(0)}, None),
        ({"x_business_use_case_usage": _business("soon")}, None),
        ({"x_business_use_case_usage": "{"}, None),
        ({"x_business_use_case_usage": "[[]]"}, None),
        ({"retry_after": "30", "x_business_use_case_usage": _business(19)}, 30.0),
    ],
)
def test_the_graph_api_tells_minutes_until_access_is_regained(header: dict[str, str], expected: float | None) -> None:
    assert _graph(17, header=header).retry_after_s == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, None),
        ({"x_app_usage": '{"call_count": 28, "total_time": 25, "total_cputime": 81}'}, 0.81),
        ({"x_app_usage": '{"call_count": 5}', "x_business_use_case_usage": _business(0)}, 1.0),
        ({"x_app_usage": '{"call_count": 250}'}, 1.0),
        ({"x_app_usage": '{"call_count": true, "total_time": "9", "total_cputime": NaN}'}, None),
        ({"x_app_usage": "[" * 5000}, None),
    ],
)
def test_the_graph_api_tells_its_usage(header: dict[str, str], expected: float | None) -> None:
    assert graphapi.usage(_answer(200, {}, **header)) == expected


def test_a_token_that_meta_quotes_is_not_repeated() -> None:
    for code in (190, 100, 10, 1):
        found = _graph(code, message=f"Malformed access token {SECRET}")
        assert SECRET not in repr(found)
        assert "EAAB" not in repr(found)


GATEWAY = {"x_rapidapi_proxy_response": "true"}
MONTHLY = "You have exceeded the MONTHLY quota for Requests on your current plan, BASIC. Upgrade your plan."


@pytest.mark.parametrize(
    ("status", "message", "header", "expected", "wait"),
    [
        (200, "", {}, ("ok", "none", False, False), None),
        (429, "Too many requests", {"retry_after": "12"}, ("rate_limited", "credential", True, False), 12.0),
        (429, "Too many requests", {}, ("rate_limited", "credential", True, False), None),
        (429, "", {}, ("rate_limited", "credential", True, False), None),
        (
            429,
            MONTHLY,
            {**GATEWAY, "x_ratelimit_requests_reset": "86000"},
            ("quota_exhausted", "credential", True, False),
            86000.0,
        ),
        (429, MONTHLY.replace("MONTHLY", "DAILY"), GATEWAY, ("quota_exhausted", "credential", True, False), None),
        (401, "Invalid API key.", GATEWAY, ("token_invalid", "credential", True, True), None),
        (403, "Invalid API key.", GATEWAY, ("token_invalid", "credential", True, True), None),
        (403, "You are not subscribed to this API.", {}, ("permission", "credential", True, False), None),
        (403, "private", {}, ("permission", "none", True, False), None),
        (404, "User not found", {}, ("not_found", "none", True, False), None),
        (404, "Endpoint '/x' does not exist", GATEWAY, ("upstream", "none", True, False), None),
        (400, "User not found", {}, ("not_found", "none", True, False), None),
        (400, "user is required", {}, ("bad_request", "none", False, False), None),
        (422, "", {}, ("bad_request", "none", False, False), None),
        (500, "", {}, ("upstream", "none", True, False), None),
        (503, "", {"retry_after": "7"}, ("upstream", "none", True, False), 7.0),
        (504, "", GATEWAY, ("upstream", "none", True, False), None),
        (301, "", {}, ("upstream", "none", True, False), None),
    ],
)
def test_rapidapi_is_classified_by_status_and_its_own_words(
    status: int, message: str, header: dict[str, str], expected: tuple[str, str, bool, bool], wait: float | None
) -> None:
    found = rapidapi.classify(_answer(status, {"message": message}, **header))

    assert (_seen(found), found.retry_after_s) == (expected, wait)


@pytest.mark.parametrize("body", [{"user": None}, {"data": {"user": None}}, {"user": None, "status": "ok"}])
def test_an_empty_user_around_status_200_is_nobody(body: Any) -> None:
    assert _seen(arraybobo.classify(_answer(200, body))) == ("not_found", "none", True, False)


@pytest.mark.parametrize("body", [{"user": {"pk": 1}}, {"data": {"user": {}}}, [], b"", b"x"])
def test_any_other_answer_with_status_200_is_read(body: Any) -> None:
    assert arraybobo.classify(_answer(200, body)).ok


def test_rapidapi_tells_its_usage_by_what_remains() -> None:
    def used(limit: str, remaining: str) -> float | None:
        header = {"x_ratelimit_requests_limit": limit, "x_ratelimit_requests_remaining": remaining}
        return rapidapi.usage(_answer(200, {}, **header))

    assert used("1000", "150") == pytest.approx(0.85)
    assert used("1000", "0") == 1.0
    assert used("1000", "2000") == 0.0
    assert [used("0", "0"), used("x", "1"), used("10", ""), used("inf", "1"), used("nan", "1")] == [None] * 5


@pytest.mark.parametrize(
    ("status", "body", "expected", "wait"),
    [
        (200, [[], None], ("ok", "none", False, False), None),
        (401, {"detail": "x"}, ("token_invalid", "credential", True, True), None),
        (402, {"detail": "Top up"}, ("quota_exhausted", "credential", True, False), None),
        (403, {"detail": "Private account"}, ("permission", "none", True, False), None),
        (403, {"detail": "Invalid access key"}, ("token_invalid", "credential", True, True), None),
        (404, {"detail": "x", "exc_type": "UserNotFound"}, ("not_found", "none", True, False), None),
        (429, {"detail": "x"}, ("rate_limited", "credential", True, False), 2.0),
        (400, {}, ("bad_request", "none", False, False), None),
        (422, {}, ("bad_request", "none", False, False), None),
        (307, b"", ("upstream", "none", True, False), None),
        (408, b"", ("upstream", "none", True, False), None),
        (500, b"", ("upstream", "none", True, False), None),
        (503, b"", ("upstream", "none", True, False), None),
        (504, b"", ("upstream", "none", True, False), None),
    ],
)
def test_lama_is_classified_by_status(
    status: int, body: Any, expected: tuple[str, str, bool, bool], wait: float | None
) -> None:
    found = lama.classify(_answer(status, body))

    assert (_seen(found), found.retry_after_s) == (expected, wait)


def test_lama_names_its_exception_as_the_code() -> None:
    assert lama.classify(_answer(404, {"exc_type": "UserNotFound"})).code == "UserNotFound"
    assert lama.classify(_answer(404, {"exc_type": f"no {SECRET}"})).code is None


def test_a_wait_is_read_as_seconds_date_or_timestamp_and_nonsense_is_dropped() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def after(text: str) -> float | None:
        return headers.retry_after_s({"retry-after": text})

    assert after("12") == 12.0
    assert after("0.5") == 0.5
    assert after(email.utils.format_datetime(soon, usegmt=True)) == pytest.approx(90, abs=2)
    assert after(email.utils.format_datetime(past, usegmt=True)) == 0.0
    assert [after(text) for text in ("", "-3", "soon", "nan", "inf", "1e300", "99999999999")] == [None] * 7
    assert headers.retry_after_s({}) is None
    assert headers.reset_s({"r": "3600"}, "r") == 3600.0
    assert headers.reset_s({"r": str(int(time.time()) + 600)}, "r") == pytest.approx(600, abs=2)
    assert headers.reset_s({"r": str(int((time.time() + 600) * 1000))}, "r") == pytest.approx(600, abs=2)


def test_authorisation_goes_where_each_vendor_wants_it_and_leaves_the_call_alone() -> None:
    call = exchange.Call("/x", {"a": "1"}, {"b": "2"})

    graph = graphapi.PROVIDER.authorise(call, {"access_token": "t"})
    rapid = arraybobo.PROVIDER.authorise(call, {"key": "k"})
    hiker = lama.PROVIDER.authorise(call, {"key": "k"})

    assert graph.params == {"a": "1", "access_token": "t"}
    assert rapid.headers == {"b": "2", "x-rapidapi-key": "k", "x-rapidapi-host": arraybobo.HOST}
    assert hiker.headers == {"b": "2", "x-access-key": "k"}
    assert (call.params, call.headers) == ({"a": "1"}, {"b": "2"})
    # The call with its secret in a header may end up in a log line.
    assert "x-access-key" not in repr(hiker)


def test_every_credential_goes_to_one_https_host() -> None:
    hosts = [one.base_url for one in PROVIDERS.values()]

    assert all(host.startswith("https://") and host.count("/") == 2 for host in hosts)
    assert len(set(hosts)) == len(hosts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "code", "error_subcode", "message", "detail", "exc_type", "user", "data"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after",
            "x-app-usage",
            "x-business-use-case-usage",
            "x-ratelimit-requests-limit",
            "x-ratelimit-requests-remaining",
            "x-ratelimit-requests-reset",
            "x-rapidapi-proxy-response",
        ]
    ),
    st.text(max_size=60) | JSON.map(json.dumps) | st.floats().map(str) | st.integers().map(str),
)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@hypothesis.settings(max_examples=150, deadline=None, database=None)
@hypothesis.given(
    status=st.integers(100, 599) | st.sampled_from([200, 400, 401, 403, 404, 429, 500]),
    found=HEADERS,
    body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_anything_at_all_has_an_outcome(name: str, status: int, found: dict[str, str], body: bytes) -> None:
    answer = exchange.Answer(status, found, body)

    result = PROVIDERS[name].classify(answer)
    share = PROVIDERS[name].usage(answer)

    assert isinstance(result, outcome.Outcome)
    assert share is None or 0.0 <= share <= 1.0
    assert result.retry_after_s is None or 0.0 <= result.retry_after_s <= headers.LONGEST_WAIT_S
    assert len(result.reason) < 220
    result.reason.encode()
    assert not result.ok or 200 <= status < 300
    # Only who is at fault is charged, and only a dead token waits for a person.
    assert not result.disable_credential or result.kind is outcome.Kind.TOKEN_INVALID
    if result.kind in {outcome.Kind.NOT_FOUND, outcome.Kind.BAD_REQUEST, outcome.Kind.UPSTREAM}:
        assert result.charge_to is outcome.ChargeTo.NONE
    assert result.try_next_provider == (result.kind not in {outcome.Kind.OK, outcome.Kind.BAD_REQUEST})


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"error":' * 50_000, b"9" * 5_000, b'{"error":{"code":' + b"9" * 4_000 + b"}}", b"\xff\xfe\x00"],
)
def test_hostile_bodies_have_an_outcome_too(name: str, body: bytes) -> None:
    for status in (200, 400, 403, 429, 500):
        assert isinstance(PROVIDERS[name].classify(exchange.Answer(status, {}, body)), outcome.Outcome)
