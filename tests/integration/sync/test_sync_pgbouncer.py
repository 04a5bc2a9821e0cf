"""The whole of a sync through PgBouncer in transaction mode, where no session state holds."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from stirbeat import errors, settings
from stirbeat.local import ports
from stirbeat.local.services import base, pgbouncer
from stirbeat.store import engine as store_engine
from stirbeat.sync import context, job, progress, restore, run


@pytest.fixture
def pooled(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], configured: settings.Settings
) -> Iterator[sa.Engine]:
    """The store's engine through a PgBouncer with the local stack's settings."""
    folder = tmp_path_factory.mktemp("pgbouncer")
    folder.chmod(0o700)
    place = base.Place(
        folder=folder,
        log=folder / "pgbouncer.log",
        ports=ports.choose(pgbouncer.Pgbouncer.port_names, {}),
        secrets={"id": uuid.uuid4().hex},
        given=environment,
        durable=False,
    )
    pool = pgbouncer.Pgbouncer(place)
    with pool.prepare() as child:
        child.wait_ready(20)
        through = settings.from_environment(environment | pool.environment())
        engine = store_engine.create(through, pool_size=3)
        yield engine
        engine.dispose()
    pool.discard()


def test_syncs_and_restores_work_through_transaction_pooling(
    surroundings: context.Context,
    small: job.Job,
    fill: Callable[..., None],
    ask: Callable[[str], list[tuple[Any, ...]]],
    pooled: sa.Engine,
) -> None:
    # given
    through = dataclasses.replace(surroundings, engine=pooled)
    fill(10)
    run.run(small, through)
    ask("create view seen as select count(*) as rows from small")
    refused: list[str] = []

    def again(now: progress.Progress) -> None:
        if now.step == "index" and not refused:
            with pytest.raises(errors.RunInProgress) as caught:
                run.run(small, through)
            refused.append(str(caught.value))

    # when
    fill(11)
    run.run(small, through, again)

    # then
    assert len(refused) == 1
    assert ask("select rows from seen") == [(11,)]
    assert restore.restore(through, small) == 1
    assert ask("select rows from seen") == [(10,)]
    with pooled.connect() as connection:
        path, timeout = connection.exec_driver_sql(
            "select current_setting('search_path'), current_setting('lock_timeout')"
        ).one()
    assert ("public" in str(path), timeout) == (True, "0")
