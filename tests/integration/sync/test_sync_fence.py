"""Who may swap: one run at a time, and never one that was overtaken."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from stirbeat import errors
from stirbeat.sync import context, job, lock, progress, restore, run, throttle

Ask = Callable[[str], list[tuple[Any, ...]]]


def at(step: str, act: Callable[[], object]) -> progress.Report:
    """A report that acts once, when the run begins this step."""
    done: list[bool] = []

    def tell(now: progress.Progress) -> None:
        if now.step == step and not done:
            done.append(True)
            act()

    return tell


def test_a_second_run_is_refused_while_the_first_is_alive(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given a run, and another of another job for the same table
    fill(5)
    other = dataclasses.replace(small, name="other")
    refused: list[str] = []

    def again() -> None:
        for wanted in (small, other):
            with pytest.raises(errors.RunInProgress) as caught:
                run.run(wanted, surroundings)
            refused.append(str(caught.value))

    # when
    result = run.run(small, surroundings, at("load", again))

    # then
    assert len(refused) == 2
    assert str(result.run_id) in refused[0]
    assert ask("select name, status from run") == [("small", "COMPLETE")]


@pytest.mark.parametrize("step", ["export", "load", "guard", "index", "swap"])
def test_a_run_that_slept_past_its_lease_changes_nothing(
    step: str, surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given a run that is overtaken, its lease being over, by a whole other one
    fill(5)

    def overtaken() -> None:
        ask("update run set lease_until = now() - interval '1 second' where status = 'RUNNING'")
        run.run(small, surroundings)

    # when
    with pytest.raises(errors.LeaseLost, match="changed nothing"):
        run.run(small, surroundings, at(step, overtaken))

    # then
    assert ask("select status, reason from run order by started_at") == [
        ("ABANDONED", "its lease ran out without a word"),
        ("COMPLETE", None),
    ]
    assert ask("select generation, fence from sync_target") == [(1, 2)]
    assert ask("select relname from pg_class where relname like 'small%' and relkind = 'r'") == [("small",)]


def test_the_fence_alone_stops_a_swap_whose_run_row_says_nothing(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given a newer fence, and a run row that still calls this run open
    fill(5)
    with pytest.raises(errors.LeaseLost, match="changed nothing"):
        run.run(small, surroundings, at("swap", lambda: ask("update sync_target set fence = fence + 1")))
    assert ask("select to_regclass('small'), (select generation from sync_target)") == [(None, 0)]


def test_the_lease_of_a_long_run_is_renewed(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given a lease shorter than the run
    fill(5)
    short = dataclasses.replace(surroundings, lease_s=1)
    run.run(small, short, at("guard", lambda: ask("select pg_sleep(1.6)")))
    assert ask("select status, heartbeat_at > started_at + interval '1 second' from run") == [("COMPLETE", True)]


def test_a_restore_voids_the_run_that_is_under_way(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given two generations
    fill(5)
    run.run(small, surroundings)
    fill(6)
    run.run(small, surroundings)

    # when
    with pytest.raises(errors.LeaseLost):
        run.run(small, surroundings, at("index", lambda: restore.restore(surroundings, small)))

    # then
    assert ask("select count(*) from small") == [(5,)]


def test_redis_throttles_and_a_flush_in_mid_run_harms_nothing(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask, redis_client: redis.Redis
) -> None:
    # given
    fill(5)
    with_redis = dataclasses.replace(surroundings, redis=redis_client)

    def crowd() -> None:
        with pytest.raises(errors.RunInProgress, match="another sync of small"):
            run.run(small, with_redis)
        redis_client.flushdb()
        with pytest.raises(errors.RunInProgress, match="already running"):
            run.run(small, with_redis)

    # when
    run.run(small, with_redis, at("index", crowd))

    # then
    assert ask("select status from run") == [("COMPLETE",)]
    assert redis_client.keys("stirbeat:sync:*") == []


def test_the_redis_lock_of_a_run_longer_than_it_is_renewed(
    surroundings: context.Context,
    small: job.Job,
    fill: Callable[..., None],
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given
    monkeypatch.setattr(throttle, "TTL_S", 1)
    fill(5)
    held: list[int] = []

    def look() -> None:
        time.sleep(2)
        held.append(redis_client.exists("stirbeat:sync:small"))

    # when, then
    run.run(small, dataclasses.replace(surroundings, redis=redis_client), at("guard", look))
    assert held == [1]


def test_a_sync_goes_on_without_redis(surroundings: context.Context, small: job.Job, fill: Callable[..., None]) -> None:
    fill(5)
    away = throttle.connect("redis://127.0.0.1:1/0")
    assert run.run(small, dataclasses.replace(surroundings, redis=away)).rows == 5


def test_claims_at_the_same_moment_give_one_winner(database: sa.Engine, small: job.Job) -> None:
    def claim(_: int) -> bool:
        try:
            lock.claim(database, small, 30)
        except errors.RunInProgress:
            return False
        return True

    with futures.ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(claim, range(6))) == 1
