"""The pure parts: keys, backoff, order of candidates, what may be added."""

from __future__ import annotations

import collections
import math
import pickle
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stirbeat import errors
from stirbeat.credentials import backoff, checks, choose, snapshot, table, windows
from stirbeat.domain import limit, outcome, provider

SCOPE = limit.Scope


def declare(*limits: limit.Limit, name: str = "demo") -> provider.Provider:
    return provider.Provider(
        name=name,
        base_url="http://127.0.0.1:1",
        authorise=lambda call, _secret: call,
        classify=lambda _answer: outcome.OK,
        limits=limits,
        secret_fields=("token",),
        account_fields=("id",),
    )


def row(name: str, *, weight: int = 1, enabled: bool = True, app: str | None = None) -> table.Row:
    return table.Row(uuid.uuid4(), "demo", name, app, {}, b"", weight, enabled, 0, None, None)


def seen(*rows: table.Row) -> snapshot.Snapshot:
    return snapshot.Snapshot(0.0, {"demo": rows}, {one.id: one for one in rows}, {}, frozenset())


@given(st.text(max_size=10_000))
def test_whatever_the_target_its_key_is_short_and_plain(target: str) -> None:
    (window,) = windows.targeted(declare(limit.Limit(SCOPE.TARGET, 1, 60)), "profile", target)
    assert len(window.key) < 100
    assert window.key.decode().isprintable()


def test_different_targets_have_different_keys() -> None:
    one = declare(limit.Limit(SCOPE.TARGET, 1, 60))
    keys = {windows.targeted(one, "f", target)[0].key for target in ("a", "A", "a ", "a\0", "*", "a*", "{a}", "")}
    assert len(keys) == 8


@pytest.mark.parametrize("app", ["x}:y", "{x}", "*", "a:b", "a\nb", "🦊", "x" * 100])
def test_an_apps_name_cannot_reach_out_of_its_key(app: str) -> None:
    one = declare(limit.Limit(SCOPE.APP, 1, 60))
    key = windows.own(one, "f", "id", app)[0].key.decode()
    assert key.count("{") == key.count("}") == 1
    assert key.isascii()
    assert key.isprintable()
    assert key != windows.own(one, "f", "id", "other")[0].key.decode()


def test_every_key_begins_with_the_prefix_and_one_hash_tag_a_provider() -> None:
    one = declare(*(limit.Limit(scope, 5, 60) for scope in SCOPE))
    found = [
        *windows.shared(one, "f"),
        *windows.targeted(one, "f", "natgeo"),
        *windows.own(one, "f", "id", "app"),
    ]
    assert len({window.key for window in found}) == len(SCOPE)
    assert all(window.key.startswith(b"stirbeat:limit:{demo}:") for window in found)


def test_a_limit_on_some_functions_is_not_counted_for_others() -> None:
    one = declare(limit.Limit(SCOPE.CREDENTIAL, 100, 86_400, frozenset({"search"})))
    assert windows.own(one, "profile", "id", None) == []
    assert len(windows.own(one, "search", "id", None)) == 1


def test_two_limits_of_one_window_count_once_and_the_strictest_holds() -> None:
    one = declare(limit.Limit(SCOPE.PROVIDER, 5, 60), limit.Limit(SCOPE.PROVIDER, 3, 60))
    (window,) = windows.shared(one, "f")
    assert window.limit.calls == 3


def test_credentials_without_an_app_share_no_app_count() -> None:
    one = declare(limit.Limit(SCOPE.APP, 1, 60))
    assert windows.own(one, "f", "id1", None)[0].key != windows.own(one, "f", "id2", None)[0].key
    assert windows.own(one, "f", "id1", "a")[0].key == windows.own(one, "f", "id2", "a")[0].key


@pytest.mark.parametrize(
    ("given_s", "kept_s"),
    [
        (None, None),
        (math.nan, None),
        (-1, None),
        (0, 1.0),
        (0.2, 1.0),
        (30, 30.0),
        (1e12, 31 * 86_400.0),
        (math.inf, 31 * 86_400.0),
    ],
)
def test_a_servers_hint_is_believed_within_bounds(given_s: float | None, kept_s: float | None) -> None:
    assert backoff.hint_s(given_s) == kept_s


def test_a_credential_rests_from_four_fifths_on_and_never_over_a_minute() -> None:
    assert [backoff.rest_s(usage) for usage in (None, math.nan, 0.0, 0.79)] == [0, 0, 0, 0]
    assert backoff.rest_s(0.8) == pytest.approx(5)
    assert backoff.rest_s(0.9) == pytest.approx(32.5)
    assert backoff.rest_s(1.0) == backoff.rest_s(7.0) == backoff.rest_s(math.inf) == pytest.approx(60)


def test_the_first_that_has_room_is_drawn_by_weight_among_those_that_have() -> None:
    # given: weights 1, 2, 3, 4, and the last one has no room
    plan = choose.plan(declare(), "f", seen(*(row(f"c{weight}", weight=weight) for weight in (1, 2, 3, 4))))
    firsts: collections.Counter[int] = collections.Counter()
    for _ in range(12_000):
        firsts[next(index for index in plan.shuffled([0, 1, 2, 3]) if index != 3)] += 1
    # then: 1 : 2 : 3
    assert [firsts[index] / 12_000 for index in range(3)] == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)


def test_disabled_credentials_are_no_candidates() -> None:
    plan = choose.plan(declare(), "f", seen(row("on"), row("off", enabled=False)))
    assert [one.name for one in plan.rows] == ["on"]
    assert plan.disabled == 1


def test_having_no_credential_is_told_with_the_command_that_helps() -> None:
    plan = choose.plan(declare(), "f", seen())
    assert "stirbeat credentials add demo NAME" in choose.nobody(declare(), plan)


def test_no_credential_survives_pickling_with_its_fields() -> None:
    copy = pickle.loads(pickle.dumps(errors.NoCredential("none", retry_after_s=2.5, permanent=True)))
    assert (str(copy), copy.retry_after_s, copy.permanent) == ("none", 2.5, True)


@pytest.mark.parametrize("name", ["", " ", "a\0b", "a\nb", "x" * 101, "\ud800", "\x1b[31m"])
def test_names_that_would_hurt_a_table_or_a_terminal_are_refused(name: str) -> None:
    for wrong in ((name, "n", None), ("demo", name, None), ("demo", "n", name)):
        with pytest.raises(errors.InvalidArgument, match="printable"):
            checks.accept(wrong[0], wrong[1], {"token": "t"}, {}, wrong[2], 1)


@pytest.mark.parametrize("weight", [0, -1, 10**9, True, 1.5])
def test_a_weight_is_a_whole_number_from_one(weight: int) -> None:
    with pytest.raises(errors.InvalidArgument, match="weight"):
        checks.accept("demo", "n", {"token": "t"}, {}, None, weight)


def test_the_fields_that_a_provider_needs_are_asked_for() -> None:
    with pytest.raises(errors.InvalidArgument, match="secret of a demo credential needs token"):
        checks.accept(declare(), "n", {"key": "s3cret"}, {"id": "1"}, None, 1)
    with pytest.raises(errors.InvalidArgument, match="account of a demo credential needs id"):
        checks.accept(declare(), "n", {"token": "s3cret"}, {}, None, 1)


def test_no_complaint_about_a_secret_repeats_it() -> None:
    for secret in ({}, {"key": ""}, {"key": ["s3cret"]}, {1: "s3cret"}):
        with pytest.raises(errors.InvalidArgument) as told:
            checks.accept("demo", "n", secret, {}, None, 1)  # type: ignore[arg-type]
        assert "s3cret" not in str(told.value)


def test_a_reason_is_brought_to_a_form_that_postgres_takes() -> None:
    assert table.readable("a\0b" + "x" * 1000) == "ab" + "x" * 298
    assert table.readable("half \ud800 character") == "half ? character"
