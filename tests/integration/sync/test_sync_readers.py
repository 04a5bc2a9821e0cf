"""Readers during swaps: no error, no empty read, no long wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from stirbeat.sync import context, job, run

SWAPS = 30
LONGEST_WAIT_S = 1.0


class Reader(threading.Thread):
    """Reads again and again in its own way, and notes what went wrong and how long the longest read took."""

    def __init__(self, url: str, way: str) -> None:
        super().__init__(name=way, daemon=True)
        self._connection = psycopg2.connect(url)
        self._way = way
        self.stop = threading.Event()
        self.reads, self.empty, self.longest = 0, 0, 0.0
        self.errors: list[str] = []

    def run(self) -> None:
        cursor = self._connection.cursor()
        self._connection.autocommit = self._way != "repeatable read"
        if self._way == "prepared":
            cursor.execute("PREPARE look AS SELECT count(*), count(n) FROM small")
        while not self.stop.is_set():
            try:
                self._read(cursor)
            except psycopg2.Error as error:
                self.errors.append(str(error))
                self._connection.rollback()
        self._connection.close()

    def _read(self, cursor: Any) -> None:
        if self._way == "repeatable read":
            # The snapshot is older than the next swap, whose table must be visible to it nevertheless.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT 1")
            time.sleep(0.02)
        began = time.monotonic()
        cursor.execute(
            {
                "prepared": "EXECUTE look",
                "view": "SELECT count(*), count(n) FROM seen_again",
                "join": "SELECT count(*), count(v.n) FROM seen v JOIN small t USING (k)",
            }.get(self._way, "SELECT count(*), count(n) FROM small")
        )
        rows, _ = cursor.fetchone()
        self.longest = max(self.longest, time.monotonic() - began)
        self.reads += 1
        self.empty += rows == 0
        if not self._connection.autocommit:
            self._connection.commit()


@pytest.mark.timeout(120)
def test_thirty_swaps_are_seen_by_no_reader(
    surroundings: context.Context,
    small: job.Job,
    fill: Callable[..., None],
    ask: Callable[[str], list[tuple[Any, ...]]],
    database_url: str,
) -> None:
    # given readers of every kind
    fill(2000)
    run.run(small, surroundings)
    ask("create view seen as select k, n from small where n >= 0")
    ask("create view seen_again as select * from seen")
    dsn = database_url.replace("+psycopg2", "")
    readers = [Reader(dsn, way) for way in ("simple", "prepared", "repeatable read", "view", "join")]
    for reader in readers:
        reader.start()

    # when
    for _ in range(SWAPS):
        run.run(small, surroundings)
    for reader in readers:
        reader.stop.set()
        reader.join()

    # then
    assert [(reader.name, reader.errors[:1], reader.empty) for reader in readers] == [
        (reader.name, [], 0) for reader in readers
    ]
    assert all(reader.reads > SWAPS for reader in readers)
    assert max(reader.longest for reader in readers) < LONGEST_WAIT_S
    assert ask("select generation from sync_target") == [(SWAPS + 1,)]
