"""The view of the credentials: how old it may be, and who waits for a new one."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import pytest

from stirbeat import errors
from stirbeat.credentials import snapshot

OLD_S = snapshot.USABLE_S + 30


class Source:
    """Stands for the table of credentials: slow, countable, and away on demand."""

    def __init__(self) -> None:
        self.reads = 0
        self.away = False

    def read(self) -> tuple[list[Any], list[Any]]:
        time.sleep(0.1)
        self.reads += 1
        if self.away:
            raise errors.ServiceUnavailable(service="postgres")
        return [], []


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def views(source: Source) -> snapshot.Snapshots:
    found = snapshot.Snapshots(source, None)  # type: ignore[arg-type]
    found.current()
    return found


def grow_old(views: snapshot.Snapshots, by_s: float) -> None:
    last = views.last
    assert last is not None
    views._last = dataclasses.replace(last, read_at=last.read_at - by_s)
    views._due = 0.0


def ask(views: snapshot.Snapshots, threads: int) -> list[snapshot.Snapshot | errors.ServiceUnavailable]:
    found: list[snapshot.Snapshot | errors.ServiceUnavailable] = []

    def one() -> None:
        try:
            found.append(views.current())
        except errors.ServiceUnavailable as error:
            found.append(error)

    running = [threading.Thread(target=one) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return found


def test_after_a_pause_every_thread_waits_for_the_new_view_and_one_reads_it(
    views: snapshot.Snapshots, source: Source
) -> None:
    grow_old(views, OLD_S)

    found = ask(views, 8)

    assert found == [views.last] * 8
    assert source.reads == 2


def test_a_view_that_is_only_just_due_is_used_while_another_thread_reads(
    views: snapshot.Snapshots, source: Source
) -> None:
    before = views.last
    grow_old(views, snapshot.FRESH_S)
    old = views.last

    found = ask(views, 8)

    assert sum(one is old for one in found) == 7
    assert views.last is not before
    assert source.reads == 2


def test_without_postgres_an_old_view_serves_for_a_minute_and_then_no_longer(
    views: snapshot.Snapshots, source: Source
) -> None:
    source.away = True
    grow_old(views, 30)
    assert ask(views, 4) == [views.last] * 4

    grow_old(views, OLD_S)
    assert all(isinstance(one, errors.ServiceUnavailable) for one in ask(views, 4))
