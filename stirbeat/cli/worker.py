"""`stirbeat worker`: one worker process of a group, as the routing declares it."""

from __future__ import annotations

import uuid

import click

from stirbeat import routing, settings
from stirbeat.domain import catalogue


def _groups() -> dict[str, routing.Group]:
    flows = catalogue.flows(settings.get().plugins)
    return {group.name: group for group in routing.groups(flows)}


@click.command()
@click.option("--group", metavar="NAME", help="Which group of queues to work on (see --list).")
@click.option("--concurrency", type=click.IntRange(1, 1000), help="Tasks at a time; else what the group declares.")
@click.option("--name", help="Name of this worker, unique among all; else the group and a random end.")
@click.option("--list", "listing", is_flag=True, help="List the groups with their queues, pool and concurrency.")
def GROUP(group: str | None, concurrency: int | None, name: str | None, listing: bool) -> None:
    """Run one worker of a group until SIGTERM, which lets it finish what it has begun.

    \b
    stirbeat worker --group scrape_instagram
    stirbeat worker --group runs --concurrency 1
    """
    groups = _groups()
    default = settings.get().scrape_concurrency
    if listing:
        for one in groups.values():
            click.echo(f"{one.name:24} {one.pool:8} {one.concurrency or default:4}  {', '.join(one.queues)}")
        return
    if group not in groups:
        raise click.UsageError(f"--group must be one of {', '.join(groups)}, not {group!r}")
    wanted = groups[group]
    from stirbeat import app  # it reads every setting: only when a worker really starts

    app.app.worker_main(
        [
            "worker",
            f"--queues={','.join(wanted.queues)}",
            f"--pool={wanted.pool}",
            f"--concurrency={concurrency or wanted.concurrency or default}",
            f"--hostname={name or f'{group}-{uuid.uuid4().hex[:6]}'}@%h",
            f"--loglevel={settings.get().log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )
