"""`stirbeat submit`: ask for something."""

from __future__ import annotations

import json

import click

from stirbeat import errors, settings


def _named(pairs: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise errors.InvalidArgument(f"{pair[:80]!r} is no argument: write name=value, like handle=natgeo")
        given[name] = value
    return given


@click.command()
@click.argument("flow")
@click.argument("arguments", nargs=-1)
@click.option("--high", is_flag=True, help="Someone waits for it: ahead of the batch queues.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def GROUP(flow: str, arguments: tuple[str, ...], high: bool, as_json: bool) -> None:
    """Submit one request and print its id.

    \b
    stirbeat submit instagram.refresh_profile handle=natgeo
    stirbeat submit instagram.refresh_posts handle=natgeo --high
    """
    configured = settings.get()
    from stirbeat import app
    from stirbeat.pipeline import submit
    from stirbeat.store import engine

    [request_id] = submit.submit(
        engine.create(configured), app.app, flow, [_named(arguments)], plugins=configured.plugins, high=high
    )
    click.echo(json.dumps({"id": str(request_id)}) if as_json else str(request_id))
