"""The whole timetable: `beat_schedule.ROWS` and what plugins add to it, for the beat and for people."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

from stirbeat import errors
from stirbeat.schedule import row

# A top-level module beside celeryconfig.py, so that people find the timetable where Celery's users look for it.
TIMETABLE_MODULE = "beat_schedule"


def rows(plugins: Sequence[str] = ()) -> tuple[row.Row, ...]:
    """All rows, ours first, then each plugin's: the ROWS of the module itself and of its `schedule` module.

    Raises errors.RegistryError when a module cannot be imported, ROWS is no tuple of rows, or two rows share a name.
    """
    found: dict[str, row.Row] = {}
    where: dict[str, str] = {}
    for module in _modules(plugins):
        for one in _exported(module):
            if found.get(one.name) is one:  # a plugin's package hands on the ROWS of its schedule module
                continue
            if one.name in found:
                raise errors.RegistryError(
                    f"timetable row {one.name!r} is in {where[one.name]} and in {module.__name__}; rename one"
                )
            found[one.name] = one
            where[one.name] = module.__name__
    return tuple(found.values())


def to_celery(rows: Iterable[row.Row]) -> dict[str, dict[str, Any]]:
    """The value of Celery's setting `beat_schedule`. Only our own scheduler understands it: it carries the traits."""
    return {
        one.name: {
            "task": one.task,
            "schedule": one.schedule,
            "kwargs": dict(one.kwargs),
            "pausable": one.pausable,
            "catch_up": one.catch_up,
            "budget_s": one.budget_s,
        }
        for one in rows
    }


def _exported(module: ModuleType) -> tuple[row.Row, ...]:
    value = getattr(module, "ROWS", ())
    if not isinstance(value, tuple) or not all(isinstance(one, row.Row) for one in value):
        raise errors.RegistryError(f"{module.__name__}.ROWS must be a tuple of stirbeat.schedule.row.Row")
    return value


def _modules(plugins: Sequence[str]) -> Iterator[ModuleType]:
    yield _import(TIMETABLE_MODULE, "run from the project's folder or install stirbeat")
    for plugin in plugins:
        module = _import(plugin, "see STIRBEAT_PLUGINS")
        yield module
        if hasattr(module, "__path__") and importlib.util.find_spec(f"{plugin}.schedule") is not None:
            yield importlib.import_module(f"{plugin}.schedule")


def _import(name: str, hint: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise errors.RegistryError(f"the timetable's module {name!r} cannot be imported; {hint}") from error
        raise
