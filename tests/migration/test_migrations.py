"""The migrations build exactly what the models describe, and can be undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import autogenerate
from alembic.runtime import migration

from stirbeat.store import migrate
from stirbeat.store.models import Base


def _differences(database: sa.Engine) -> list[object]:
    with database.connect() as connection:
        context = migration.MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(autogenerate.compare_metadata(context, Base.metadata))


def _objects(database: sa.Engine) -> set[tuple[str, str]]:
    """Every relation, type and function that is not Postgres's own, but alembic's table."""
    query = """
        select c.relkind::text, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relname not like 'alembic%'
        union all
        select 'function', p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'public'
    """
    with database.connect() as connection:
        return {(row[0], row[1]) for row in connection.execute(sa.text(query))}


def test_upgrading_an_empty_database_gives_what_the_models_describe(database: sa.Engine) -> None:
    assert _differences(database) == []
    with database.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
    assert tables == {*Base.metadata.tables, "alembic_version"}


def test_downgrading_leaves_nothing_behind_and_upgrading_again_gives_the_same(database: sa.Engine) -> None:
    before = _objects(database)
    assert before

    migrate.downgrade(database)

    assert _objects(database) == set()
    migrate.upgrade(database)
    assert _objects(database) == before
    assert _differences(database) == []


def test_upgrading_twice_changes_nothing(database: sa.Engine) -> None:
    before = _objects(database)

    migrate.upgrade(database)

    assert _objects(database) == before
