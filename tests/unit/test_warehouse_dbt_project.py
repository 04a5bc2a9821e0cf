"""The dbt project's descriptions stay in step with the catalogue of events and with what the models select."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import yaml

from stirbeat import events
from stirbeat.warehouse import schema

MODELS = pathlib.Path(__file__).resolve().parents[2] / "dbt" / "models"


def described(path: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    """name -> columns of everything that a file describes."""
    found = yaml.safe_load(path.read_text())
    nodes = found.get("models", []) + [table for source in found.get("sources", []) for table in source["tables"]]
    return {node["name"]: node["columns"] for node in nodes}


def test_every_event_of_the_catalogue_is_a_source_with_all_its_columns() -> None:
    sources = described(MODELS / "sources.yml")
    assert {name: [column["name"] for column in columns] for name, columns in sources.items()} == {
        event.name: [*(field.name for field in event.columns), schema.EXTRA, schema.INSERTED_AT]
        for event in events.CATALOGUE.values()
    }


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.sql")), ids=lambda path: path.stem)
def test_every_model_describes_exactly_the_columns_that_it_selects(path: pathlib.Path) -> None:
    last = path.read_text().rpartition("\nselect\n")[2].partition("\nfrom ")[0]
    lines = [line.strip().rstrip(",") for line in last.splitlines() if re.match(r"^    [\w{)]", line)]
    selected = [re.sub(r".* as ", "", line) for line in lines if not line.endswith("(")]

    [yml] = path.parent.glob("*.yml")

    assert [column["name"] for column in described(yml)[path.stem]] == selected


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.yml")), ids=lambda path: path.stem)
def test_every_column_is_described(path: pathlib.Path) -> None:
    for name, columns in described(path).items():
        for column in columns:
            assert len(column["description"]) > 5, f"{name}.{column['name']}"
