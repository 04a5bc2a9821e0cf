"""The registry: ours and plugins', duplicates and mistakes refused with a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stirbeat import errors, registry
from stirbeat.domain import catalogue, flow, provider
from stirbeat.sync import job

PLATFORM = """
from stirbeat.domain import flow
PLATFORM = flow.Platform(name={name!r}, flows=())
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path for plugins, forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_plugin_of_one_module_adds_a_platform(place: Path) -> None:
    (place / "acme_one.py").write_text(PLATFORM.format(name="tiktok"))

    found = registry.collect("platforms", "PLATFORM", flow.Platform, ["acme_one"])

    assert list(found) == [*registry.collect("platforms", "PLATFORM", flow.Platform), "tiktok"]


def test_a_plugin_package_is_searched_room_by_room(place: Path) -> None:
    room = place / "acme_two" / "platforms"
    room.mkdir(parents=True)
    (place / "acme_two" / "__init__.py").write_text("")
    (room / "__init__.py").write_text("")
    (room / "tiktok.py").write_text(PLATFORM.format(name="tiktok"))

    assert "tiktok" in registry.collect("platforms", "PLATFORM", flow.Platform, ["acme_two"])
    assert "tiktok" not in registry.collect("providers", "PROVIDER", provider.Provider, ["acme_two"])
    assert job.collect(["acme_two"]) == job.collect(), "it has no room for sync jobs"


def test_two_constants_of_one_name_are_refused(place: Path) -> None:
    (place / "acme_three.py").write_text(PLATFORM.format(name="instagram"))

    with pytest.raises(errors.RegistryError, match=r"'instagram' is exported twice: by .* and by acme_three"):
        registry.collect("platforms", "PLATFORM", flow.Platform, ["acme_three"])


def test_a_constant_of_the_wrong_type_is_refused(place: Path) -> None:
    (place / "acme_four.py").write_text("PLATFORM = 'tiktok'\n")

    with pytest.raises(errors.RegistryError, match=r"acme_four\.PLATFORM must be a Platform, not a str"):
        registry.collect("platforms", "PLATFORM", flow.Platform, ["acme_four"])


def test_a_plugin_that_is_not_there_is_named() -> None:
    with pytest.raises(errors.RegistryError, match="plugin 'acme_none' of STIRBEAT_PLUGINS cannot be imported"):
        registry.collect("platforms", "PLATFORM", flow.Platform, ["acme_none"])


def test_a_missing_import_inside_a_plugin_is_told_as_it_is(place: Path) -> None:
    (place / "acme_five.py").write_text("import not_installed_anywhere\n")

    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        registry.collect("platforms", "PLATFORM", flow.Platform, ["acme_five"])


def test_an_unknown_flow_is_refused_with_what_there_is() -> None:
    with pytest.raises(errors.UnknownFlow, match=r"no flow 'instagram.refresh_all'; there are: .*refresh_posts"):
        catalogue.find_flow("instagram.refresh_all")
