"""Run rows on real Postgres: at most one open run a name, and a dead one is taken over."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from stirbeat import errors
from stirbeat.store import runs


def statuses(database: sa.Engine) -> list[tuple[str, str | None]]:
    with database.connect() as connection:
        found = connection.execute(sa.text("select status, reason from run order by started_at"))
        return [(one.status, one.reason) for one in found]


def test_a_second_run_of_the_same_name_is_refused_while_the_first_is_open(database: sa.Engine) -> None:
    with runs.opened(database, "transform", "core", lease_s=30) as run:
        run.details["models"] = 3
        with (
            pytest.raises(errors.RunInProgress, match="transform core is running already"),
            runs.opened(database, "transform", "core", lease_s=30),
        ):
            pytest.fail("two runs were open at once")
        with runs.opened(database, "transform", "daily", lease_s=30):
            pass

    assert sorted(statuses(database)) == [("COMPLETE", None), ("COMPLETE", None)]


def test_a_run_that_fails_is_recorded_with_its_reason(database: sa.Engine) -> None:
    with pytest.raises(ValueError, match="no such model"), runs.opened(database, "transform", "core", lease_s=30):
        raise ValueError("no such model")

    assert statuses(database) == [("FAILED", "no such model")]


def test_a_live_run_renews_its_lease(database: sa.Engine, count: Callable[[str], int]) -> None:
    with runs.opened(database, "transform", "core", lease_s=1):
        time.sleep(1.5)
        assert count("run where lease_until > now()") == 1


def test_the_run_of_a_dead_worker_is_abandoned_by_the_next(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            sa.text(
                "insert into run (id, kind, name, lease_until)"
                " values (gen_random_uuid(), 'transform', 'core', now() - interval '1 s')"
            )
        )

    with runs.opened(database, "transform", "core", lease_s=30):
        pass

    assert [status for status, _ in statuses(database)] == ["ABANDONED", "COMPLETE"]


def test_a_tick_is_overtaken_by_a_run_that_began_after_it_and_not_by_one_that_failed(database: sa.Engine) -> None:
    now = datetime.datetime.now(datetime.UTC)
    tick, later = now - datetime.timedelta(minutes=5), now + datetime.timedelta(minutes=5)
    with pytest.raises(ValueError, match="broken"), runs.opened(database, "transform", "core", lease_s=30):
        raise ValueError("broken")
    assert not runs.done_since(database, "transform", "core", tick)

    with runs.opened(database, "transform", "core", lease_s=30):
        assert runs.done_since(database, "transform", "core", tick)

    assert runs.done_since(database, "transform", "core", tick)
    assert not runs.done_since(database, "transform", "core", later)
    assert not runs.done_since(database, "transform", "daily", tick)


def test_an_order_that_comes_twice_runs_once(database: sa.Engine) -> None:
    order = uuid.uuid4()
    with runs.opened(database, "transform", "core", lease_s=30, run_id=order):
        pass

    with (
        pytest.raises(errors.RunInProgress, match="carried out before"),
        runs.opened(database, "transform", "core", lease_s=30, run_id=order),
    ):
        pytest.fail("the order was carried out twice")

    assert [status for status, _ in statuses(database)] == ["COMPLETE"]
