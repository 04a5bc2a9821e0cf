"""`dbt build` with the native driver, as a subprocess, twice over the same data."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

MODEL = """
{{ config(materialized='table', engine='MergeTree()', order_by='(n)') }}
select number as n, concat('row ', toString(number)) as label from numbers(1000)
"""

INCREMENTAL = """
{{ config(materialized='incremental', engine='MergeTree()', order_by='(n)', unique_key='n') }}
select n, label from {{ ref('rows') }}
{% if is_incremental() %} where n >= 990 {% endif %}
"""

VIEW = "{{ config(materialized='view') }} select count() as total from {{ ref('rows') }}"

SCHEMA = """
version: 2
models:
  - name: rows
    columns:
      - name: label
        data_tests: [not_null]
      - name: n
        data_tests: [not_null, unique]
"""

PROJECT = """
name: tiny
version: '1.0'
profile: tiny
model-paths: [models]
seed-paths: [seeds]
"""


@pytest.fixture
def project(tmp_path, server, database):
    profile = {
        "type": "clickhouse",
        "driver": "native",
        "host": "127.0.0.1",
        "port": server.port,
        "user": "stirbeat",
        "password": "{{ env_var('DBT_ENV_SECRET_PASSWORD') }}",
        "schema": database,
        "threads": 2,
        "custom_settings": {"max_threads": 2},
    }
    (tmp_path / "profiles.yml").write_text(json.dumps({"tiny": {"target": "dev", "outputs": {"dev": profile}}}))
    (tmp_path / "dbt_project.yml").write_text(PROJECT)
    models = tmp_path / "models"
    models.mkdir()
    for name, text in {"rows.sql": MODEL, "grown.sql": INCREMENTAL, "total.sql": VIEW, "schema.yml": SCHEMA}.items():
        (models / name).write_text(text)
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "seed.csv").write_text("id,name\n1,one\n2,two\n")
    return tmp_path


def build(project, password):
    return subprocess.run(
        [str(pathlib.Path(sys.executable).parent / "dbt"), "build", "--profiles-dir", ".", "--no-use-colors"],
        cwd=project,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(project),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_ENV_SECRET_PASSWORD": password,
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_dbt_build_passes_twice_in_a_row(project, server, database, connect):
    client = server.client()
    for _ in range(2):
        built = build(project, client.connection.password)
        assert built.returncode == 0, built.stdout + built.stderr
        results = json.loads((project / "target" / "run_results.json").read_text())["results"]
        assert {each["status"] for each in results} == {"success", "pass"}
        assert len(results) == 7
    assert client.execute(f"SELECT count(), max(label) FROM {database}.rows") == [(1000, "row 999")]
    assert client.execute(f"SELECT count() FROM {database}.grown") == [(1000,)]
    assert client.execute(f"SELECT total FROM {database}.total") == [(1000,)]
    assert client.execute(f"SELECT * FROM {database}.seed ORDER BY id") == [(1, "one"), (2, "two")]
    leftovers = [name for (name,) in client.execute(f"SHOW TABLES FROM {database}") if "__dbt" in name]
    assert leftovers == []
    client.disconnect()
