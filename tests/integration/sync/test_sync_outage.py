"""A service goes away in the middle: the run says which, readers keep their rows, the next run works."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import sqlalchemy as sa

from stirbeat import errors, settings
from stirbeat.sync import bucket, clickhouse, context, export, job, progress, run

Ask = Callable[[str], list[tuple[Any, ...]]]
Wiring = Callable[[str], tuple[Any, str]]
MANY = "SELECT concat('k', toString(number)), number, repeat('x', 200) FROM numbers(50000)"


@pytest.fixture
def swapped(surroundings: context.Context, small: job.Job, fill: Callable[..., None]) -> job.Job:
    """The job, with a first generation of ten rows in front of readers, and many rows waiting."""
    fill(10)
    run.run(small, surroundings)
    fill(query=MANY)
    return small


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A source that ClickHouse reads for hours."""
    file = tmp_path / "endless.sql"
    file.write_text(
        "-- no row comes out of it\nSELECT toString(number) AS k, toInt64(number) AS n, '' AS note"
        "\nFROM numbers(1000000000000) WHERE cityHash64(number) = 0;\n"
    )
    return file


def whole(swapped: job.Job, surroundings: context.Context, ask: Ask) -> None:
    """Readers have the first generation; with everything back the next run works and leaves nothing behind."""
    assert ask("select count(*) from small") == [(10,)]
    assert run.run(swapped, surroundings).rows == 50000
    assert ask("select relname from pg_class where relname like 'small%' and relkind = 'r' order by 1") == [
        ("small",),
        ("small__g1",),
    ]
    assert surroundings.bucket.folders(f"{bucket.PREFIX}/small") == {}


def _interrupt(now: progress.Progress) -> None:
    if now.step == "export" and now.rows:
        raise KeyboardInterrupt


def running(surroundings: context.Context) -> list[str]:
    """Exports that ClickHouse is working on, by their ids."""
    with surroundings.warehouse.connect() as client:
        asked = "SELECT query_id FROM system.processes WHERE query LIKE 'INSERT%%' AND position(query, %(bucket)s) > 0"
        return [row[0] for row in client.execute(asked, {"bucket": surroundings.bucket.name})]


@pytest.mark.parametrize("moment", ["before", "within the load"])
def test_s3_away(
    moment: str,
    swapped: job.Job,
    surroundings: context.Context,
    configured: settings.Settings,
    wire: Wiring,
    ask: Ask,
) -> None:
    # given S3 behind a wire
    cable, url = wire(configured.s3_endpoint_url)
    through = bucket.connect(configured.model_copy(update={"s3_endpoint_url": url}))
    via = dataclasses.replace(through, seen_by_clickhouse=configured.s3_endpoint_url)

    def tell(now: progress.Progress) -> None:
        if now.step == "load" and now.bytes:
            cable.cut()

    if moment == "before":
        cable.cut()

    # when
    with pytest.raises(errors.ServiceUnavailable) as caught:
        run.run(swapped, dataclasses.replace(surroundings, bucket=via), tell)

    # then
    assert caught.value.service == "s3"
    whole(swapped, surroundings, ask)


def test_s3_away_from_clickhouse(
    swapped: job.Job,
    surroundings: context.Context,
    configured: settings.Settings,
    wire: Wiring,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "S3_ATTEMPTS", 3)
    cable, url = wire(configured.s3_endpoint_url)
    cable.cut()
    with pytest.raises(errors.ServiceUnavailable, match="S3 does not answer ClickHouse") as caught:
        run.run(
            swapped,
            dataclasses.replace(
                surroundings, bucket=dataclasses.replace(surroundings.bucket, seen_by_clickhouse=url), export_s=10
            ),
        )
    assert caught.value.service == "s3"
    whole(swapped, surroundings, ask)


def test_clickhouse_away(
    swapped: job.Job, surroundings: context.Context, clickhouse_url: str, wire: Wiring, ask: Ask
) -> None:
    cable, url = wire(clickhouse_url)
    cable.cut()
    with pytest.raises(errors.ServiceUnavailable) as caught:
        run.run(swapped, dataclasses.replace(surroundings, warehouse=clickhouse.Warehouse(pydantic.SecretStr(url))))
    assert caught.value.service == "clickhouse"
    assert clickhouse_url.partition("@")[0].rpartition(":")[2] not in str(caught.value)
    whole(swapped, surroundings, ask)


def test_an_export_whose_wire_breaks_is_not_started_again_beside_itself(
    swapped: job.Job, surroundings: context.Context, clickhouse_url: str, wire: Wiring, ask: Ask, endless: Path
) -> None:
    # given an export that would take far longer than the test
    slow = dataclasses.replace(swapped, source=endless)
    cable, url = wire(clickhouse_url)

    def cut() -> None:
        while not running(surroundings):
            pass
        cable.cut()

    # when the wire breaks while the query runs, so that nobody can end it
    threading.Thread(target=cut, daemon=True).start()
    with pytest.raises(errors.ServiceUnavailable):
        run.run(slow, dataclasses.replace(surroundings, warehouse=clickhouse.Warehouse(pydantic.SecretStr(url))))

    # then there was one attempt
    assert ask("select count(*) from run where details ? 'attempt' and status = 'FAILED'") == [(1,)]
    whole(swapped, surroundings, ask)


def test_an_export_that_an_earlier_run_left_behind_is_ended_first(
    swapped: job.Job, surroundings: context.Context, ask: Ask, endless: Path
) -> None:
    # given a run that failed, and its query, which goes on nevertheless
    with pytest.raises(KeyboardInterrupt):
        run.run(dataclasses.replace(swapped, source=endless), surroundings, _interrupt)
    ((query_id, key),) = ask("select details->>'attempt', details->>'key' from run where status = 'FAILED'")
    ended: list[str] = []

    def go_on() -> None:
        try:
            surroundings.warehouse.execute(
                f"INSERT INTO FUNCTION s3('{surroundings.bucket.url(key)}', 'TabSeparated') {endless.read_text()}"[:-2],
                query_id=query_id,
                settings={},
                progress=lambda read, total: None,
            )
        except errors.StirbeatError as error:
            ended.append(str(error))

    stray = threading.Thread(target=go_on, daemon=True)
    stray.start()
    while not running(surroundings):
        pass

    # when
    whole(swapped, surroundings, ask)

    # then
    stray.join(10)
    assert len(ended) == 1
    assert "394" in ended[0]


def test_an_interrupted_export_is_gone_from_clickhouse_before_the_run_ends(
    swapped: job.Job, surroundings: context.Context, ask: Ask, endless: Path
) -> None:
    # given
    slow = dataclasses.replace(swapped, source=endless)

    # when
    with pytest.raises(KeyboardInterrupt):
        run.run(slow, surroundings, _interrupt)

    # then
    assert running(surroundings) == []
    assert ask("select status, reason from run order by started_at desc limit 1") == [
        ("FAILED", "interrupted by KeyboardInterrupt")
    ]
    whole(swapped, surroundings, ask)


def test_postgres_away_within_the_load(
    swapped: job.Job, surroundings: context.Context, database_url: str, wire: Wiring, ask: Ask
) -> None:
    # given
    cable, url = wire(database_url)
    engine = sa.create_engine(url)

    def tell(now: progress.Progress) -> None:
        if now.step == "load" and now.bytes:
            cable.cut()

    # when
    with pytest.raises(errors.ServiceUnavailable) as caught:
        run.run(swapped, dataclasses.replace(surroundings, engine=engine), tell)
    engine.dispose()

    # then the run row is still open, and the next run is not held up by it: its lease is over or its holder is gone
    assert caught.value.service == "postgres"
    ask("update run set lease_until = now() where status = 'RUNNING'")
    whole(swapped, surroundings, ask)


def test_postgres_restarting_within_the_load_is_not_taken_for_a_refusal(
    swapped: job.Job, surroundings: context.Context, ask: Ask
) -> None:
    def tell(now: progress.Progress) -> None:
        if now.step == "load" and now.bytes:
            ask("select pg_terminate_backend(pid) from pg_stat_activity where query like 'COPY%'")

    with pytest.raises(errors.ServiceUnavailable) as caught:
        run.run(swapped, surroundings, tell)
    assert caught.value.service == "postgres"
    whole(swapped, surroundings, ask)
