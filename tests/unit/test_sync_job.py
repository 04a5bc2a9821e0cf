"""A job that contradicts itself is refused where it is declared, by a sentence."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

from stirbeat import errors
from stirbeat.sync import job
from stirbeat.sync.jobs import leaderboard

GOOD = job.Job(
    name="good",
    source="mart",
    target="good",
    columns=(job.Column("k", "text"), job.Column("n", "bigint")),
    key=("k",),
    indexes=(job.Index(("n",)),),
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "No"}, "small letters"),
        ({"name": "x" * 64}, "small letters"),
        ({"target": "a.b.c"}, "`table` or `schema.table`"),
        ({"target": "x" * 64}, "63 bytes"),
        ({"target": ""}, "`table` or `schema.table`"),
        ({"source": ""}, "its source must be"),
        ({"source": "a.b.c"}, "its source must be"),
        ({"source": Path("/nowhere/x.sql")}, "x.sql is not a readable"),
        ({"columns": ()}, "needs columns"),
        ({"columns": (job.Column("k", "text"), job.Column("k", "text"))}, "each with a name of its own"),
        ({"columns": (job.Column("k", "text; drop table x"),)}, "none of the Postgres types"),
        ({"columns": (job.Column("k" * 64, "text"),)}, "1 to 63 bytes"),
        ({"key": ()}, "at least one column"),
        ({"key": ("z",)}, "key names z"),
        ({"indexes": (job.Index(("z",)),)}, "an index names z"),
        ({"indexes": (job.Index(("n",)), job.Index(("n",)))}, "two indexes have one name"),
        ({"indexes": (job.Index(("n",), name="i__g1"),)}, "must have at most 39 bytes"),
        ({"indexes": (job.Index(("n",), name="i" * 40),)}, "must have at most 39 bytes"),
        ({"guards": job.Guards(ranges={"z": (0, 1)})}, "ranges names z"),
        ({"guards": job.Guards(accepted={"z": ("a",)})}, "accepted values names z"),
        ({"guards": job.Guards(max_shrink=1.5)}, "max_shrink"),
        ({"kept_generations": -1}, "kept_generations"),
    ],
)
def test_a_contradiction_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.RegistryError, match=says):
        dataclasses.replace(GOOD, **change)


def test_key_columns_are_never_null_and_others_are_when_they_may() -> None:
    assert [GOOD.required(column) for column in GOOD.columns] == [True, False]
    assert GOOD.required(job.Column("n", "bigint", nullable=False))


def test_ours_are_found_and_so_are_a_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a module of somebody else's that exports a job
    plugin = types.ModuleType("acme_plugin")
    plugin.JOB = GOOD  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_plugin", plugin)

    # when, then
    assert job.collect()["leaderboard"] is leaderboard.JOB
    assert job.find("good", ("acme_plugin",)) is GOOD
    with pytest.raises(errors.InvalidArgument, match="there are: good, leaderboard"):
        job.find("bad", ("acme_plugin",))


def test_a_plugins_job_may_not_take_a_name_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = types.ModuleType("acme_plugin")
    plugin.JOB = dataclasses.replace(GOOD, name="leaderboard")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_plugin", plugin)
    with pytest.raises(errors.RegistryError, match="exported twice"):
        job.collect(("acme_plugin",))


def test_the_leaderboard_takes_the_columns_that_its_mart_has() -> None:
    models = yaml.safe_load((Path(__file__).parents[2] / "dbt/models/marts/marts.yml").read_text())["models"]
    (mart,) = (model for model in models if model["name"] == leaderboard.JOB.source)
    assert [column["name"] for column in mart["columns"]] == [column.name for column in leaderboard.JOB.columns]
