"""Builds the Celery app. Nothing below imports it.

`celery -A stirbeat.app ...` finds `app` here. Every flow that is declared, ours or a plugin's, has its task.
"""

from __future__ import annotations

import importlib
import pkgutil

import celery

from stirbeat import settings, tasks
from stirbeat.domain import catalogue
from stirbeat.tasks import base


def create() -> celery.Celery:
    """The app, configured from `celeryconfig.py`, with every task.

    Raises errors.SettingsError, errors.RegistryError.
    """
    configured = settings.get()
    built = celery.Celery("stirbeat", set_as_current=True)
    built.config_from_object("celeryconfig")
    built.steps["consumer"].add("stirbeat.tasks.consumer:DeadLetters")
    for module in pkgutil.iter_modules(tasks.__path__):
        if module.name != "consumer":  # Celery's worker imports it by name; it is of no use to anyone else
            importlib.import_module(f"{tasks.__name__}.{module.name}")
    for key in catalogue.flows(configured.plugins):
        if key not in built.tasks:
            base.flow_task(key, configured.plugins)
    built.finalize(auto=True)
    return built


app = create()
