"""Finds exported constants (PLATFORM, PROVIDER, JOB, ...) in our packages and in plugins.

A plugin is a module named by the setting `plugins`. For room `platforms` and constant `PLATFORM` these are searched:
every module of `stirbeat.platforms`, the plugin module itself, and every module of the plugin's own `platforms`
sub-package where it has one. Nothing else has to be registered.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TypeVar

from stirbeat import errors

T = TypeVar("T")


def collect(room: str, constant: str, kind: type[T], plugins: Sequence[str] = ()) -> dict[str, T]:
    """Every exported `constant` of the room, by its `name`, in module order, ours first.

    Raises errors.RegistryError when a plugin cannot be imported, a constant has the wrong type,
    or two constants have one name.
    """
    found: dict[str, T] = {}
    where: dict[str, str] = {}
    for module in _modules(room, plugins):
        value = getattr(module, constant, None)
        if value is None:
            continue
        if not isinstance(value, kind):
            raise errors.RegistryError(
                f"{module.__name__}.{constant} must be a {kind.__name__}, not a {type(value).__name__}"
            )
        name = str(value.name)  # type: ignore[attr-defined]
        if name in found:
            if found[name] is value:
                continue
            raise errors.RegistryError(
                f"{constant} {name!r} is exported twice: by {where[name]} and by {module.__name__}; rename one"
            )
        found[name] = value
        where[name] = module.__name__
    return found


def _modules(room: str, plugins: Sequence[str]) -> Iterator[ModuleType]:
    yield from _walk(f"stirbeat.{room}")
    for plugin in plugins:
        try:
            module = importlib.import_module(plugin)
        except ModuleNotFoundError as error:
            if error.name and plugin.startswith(error.name):
                raise errors.RegistryError(
                    f"plugin {plugin!r} of STIRBEAT_PLUGINS cannot be imported: no module named {error.name!r}"
                ) from error
            raise
        yield module
        if _exists(module, room):
            yield from _walk(f"{plugin}.{room}")


def _exists(package: ModuleType, room: str) -> bool:
    """Whether the package has this sub-package; `room` may have dots ("sync.jobs")."""
    name = package.__name__
    for part in room.split("."):
        if not hasattr(importlib.import_module(name), "__path__"):
            return False
        name = f"{name}.{part}"
        if importlib.util.find_spec(name) is None:
            return False
    return True


def _walk(package_name: str) -> Iterator[ModuleType]:
    package = importlib.import_module(package_name)
    yield package
    for info in sorted(pkgutil.iter_modules(getattr(package, "__path__", [])), key=lambda info: info.name):
        yield importlib.import_module(f"{package_name}.{info.name}")
