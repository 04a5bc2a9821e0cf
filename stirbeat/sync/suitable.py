"""Whether a job can run at all: told by `sync check`, and looked at again under the locks of each swap."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from stirbeat import errors
from stirbeat.sync import catalog, context, export, index, job, postgres

# How Postgres spells the types that a declaration may shorten.
_SPELLED = {"timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone"}


def check(surroundings: context.Context, wanted: job.Job) -> list[str]:
    """Everything that stands against this job, a sentence each; empty when it can run. Changes nothing.

    Raises errors.ServiceUnavailable when an engine does not answer.
    """
    problems: list[str] = []
    try:
        export.selection(wanted, surroundings.warehouse)
    except errors.Fatal as error:
        problems.append(str(error))
    with postgres.transaction(surroundings.engine) as connection:
        return problems + target_problems(connection, wanted)


def require(wanted: job.Job, problems: Sequence[str]) -> None:
    """Raises errors.Fatal when there are problems with the target."""
    if problems:
        raise errors.Fatal(f"{wanted.relation.key} cannot be swapped: {'; '.join(problems)}; nothing was changed")


def target_problems(connection: sa.Connection, wanted: job.Job) -> list[str]:
    """What of the live target a swap would lose, break or change under its readers; nothing where it does not exist."""
    if not catalog.exists(connection, wanted.relation):
        return []
    return catalog.dependents(connection, wanted.relation, _declared(wanted), index.MARK) + _column_problems(
        connection, wanted
    )


def _declared(wanted: job.Job) -> list[str]:
    return [wanted.index_name(declared) for declared in wanted.indexes]


def _column_problems(connection: sa.Connection, wanted: job.Job) -> list[str]:
    live = catalog.columns(connection, wanted.relation)
    ours = {column.name: _spelled(column.type) for column in wanted.columns}
    lost = [
        f"column {name} is not in the job: declare it, or drop it from the table" for name in live if name not in ours
    ]
    viewed = bool(catalog.views(connection, wanted.relation))
    changed = [
        f"column {name} is {live[name]} but {kind} in the job, and views read the table: drop them first"
        for name, kind in ours.items()
        if viewed and name in live and live[name] != kind
    ]
    return lost + changed


def _spelled(kind: str) -> str:
    element = kind.removesuffix("[]")
    return _SPELLED.get(element, element) + kind[len(element) :]
