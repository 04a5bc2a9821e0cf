"""Everything that is declared: platforms, flows and providers, ours and the plugins'."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from stirbeat import errors, registry
from stirbeat.domain import flow, provider


@functools.cache
def platforms(plugins: tuple[str, ...] = ()) -> Mapping[str, flow.Platform]:
    """Every platform by name. Raises errors.RegistryError."""
    return registry.collect("platforms", "PLATFORM", flow.Platform, plugins)


@functools.cache
def providers(plugins: tuple[str, ...] = ()) -> Mapping[str, provider.Provider]:
    """Every provider by name. Raises errors.RegistryError."""
    return registry.collect("providers", "PROVIDER", provider.Provider, plugins)


@functools.cache
def flows(plugins: tuple[str, ...] = ()) -> Mapping[str, flow.Flow]:
    """Every flow by its key. Raises errors.RegistryError."""
    return {one.key: one for platform in platforms(plugins).values() for one in platform.flows}


def find_flow(key: str, plugins: tuple[str, ...] = ()) -> flow.Flow:
    """The flow of that key. Raises errors.UnknownFlow with what there is."""
    known = flows(plugins)
    if key not in known:
        raise errors.UnknownFlow(f"there is no flow {key[:80]!r}; there are: {', '.join(sorted(known))}")
    return known[key]
