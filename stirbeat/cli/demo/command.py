"""The demo, step by step: stack, credentials, processes, requests, events, dbt, sync, summary."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import click
import sqlalchemy as sa
from rich import console

from stirbeat import client, errors, settings
from stirbeat.cli import local
from stirbeat.cli.demo import cluster, facts, live, memory, page, scenario, seed, summary
from stirbeat.credentials import pool, redis_client, vault
from stirbeat.local import stack
from stirbeat.local.simulator import client as simulators
from stirbeat.pipeline import submit
from stirbeat.store import engine, migrate
from stirbeat.warehouse import client as warehouses
from stirbeat.warehouse import schema

POLL_S = 0.5
WIDTH = 140  # columns, where the output is no terminal
STEPS = ("lock", "export", "load", "guard", "index", "swap", "record")
START_S = 90.0
REQUESTS_S = 300.0
EVENTS_S = 60.0
RUN_S = 180.0


@click.command()
@local.folder_option
@click.option("--handles", default=300, show_default=True, type=click.IntRange(2, 5000), help="Accounts to refresh.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the summary here too."
)
@click.option("--kill-worker", is_flag=True, help="SIGKILL a worker in the middle: nothing may be lost.")
@click.option("--hold/--no-hold", default=None, help="Keep all running until Enter [default: if a person watches].")
@local.provided_options
def GROUP(
    folder: Path,
    handles: int,
    json_file: Path | None,
    kill_worker: bool,
    hold: bool | None,
    **provided: str | None,
) -> None:
    """See the whole system work on real engines: 300 Instagram accounts, from submit to leaderboard.

    Exit status 0 only if every request reached its end, every event arrived exactly once, and the leaderboard
    equals what the stored profiles say.
    """
    out = console.Console()
    if not out.is_terminal:
        out.width = WIDTH
    given = {name: value for name, value in provided.items() if value}
    with live.Display(out) as display, contextlib.ExitStack() as cleanup:
        demo = _start(display, cleanup, folder, given)
        told = _run(demo, handles, kill_worker)
        display.close()
        page.show(out, told)
        if json_file is not None:
            json_file.write_text(json.dumps(told.to_json(), default=str, indent=1) + "\n", encoding="utf-8")
        if hold if hold is not None else out.is_terminal and sys.stdin.isatty():
            _hold(out, demo)
    sys.exit(0 if told.ok else 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Demo:
    """Everything that runs."""

    display: live.Display
    configured: settings.Settings
    key: str
    cluster: cluster.Cluster
    database: sa.Engine
    app: celery.Celery
    credentials: pool.Pool
    simulator: simulators.SimulatorClient
    warehouse: warehouses.Client
    memory: memory.Watch


def _start(display: live.Display, cleanup: contextlib.ExitStack, folder: Path, given: dict[str, str]) -> Demo:
    """Engines, tables, credentials, processes; each is stopped again when `cleanup` is closed."""
    display.stage("start the engines")
    engines = stack.Stack(folder, given)
    cleanup.callback(engines.stop)
    engines.start(timeout_s=START_S)
    configured = settings.from_environment(engines.environment)
    display.stage("bring the databases to this release")
    database = engine.create(configured)
    cleanup.callback(database.dispose)
    migrate.upgrade(database)
    schema.migrate(configured)
    display.stage("add credentials, tell the vendors of them and of their bad day")
    key = configured.secret_keys.get_secret_value()
    credentials = pool.Pool(database, redis_client.connect(configured), vault.Vault(configured.secret_keys))
    simulator = simulators.SimulatorClient(configured.simulator_url)
    cleanup.callback(simulator.close)
    seed.seed(credentials, simulator, key)
    display.stage("start workers, beat, relay, sink and Flower")
    processes = cluster.Cluster(engines.environment, folder.resolve())
    cleanup.callback(processes.stop)
    processes.start()
    watch = cleanup.enter_context(memory.Watch(lambda: _pids(engines, processes)))
    return Demo(
        display=display,
        configured=configured,
        key=key,
        cluster=processes,
        database=database,
        app=client.connect(configured.broker_url.get_secret_value()),
        credentials=credentials,
        simulator=simulator,
        warehouse=cleanup.enter_context(warehouses.Client(configured)),
        memory=watch,
    )


def _run(demo: Demo, handles: int, kill_worker: bool) -> summary.Summary:
    """Submit, wait, build, sync; then look at everything."""
    demo.simulator.clear_calls()
    demo.simulator.put_plan(scenario.faults(handles))
    names = scenario.handles(handles)
    demo.display.stage(f"refresh profile and posts of {len(names)} accounts through three providers")
    ids = [
        request_id
        for flow in scenario.FLOWS
        for request_id in submit.submit(demo.database, demo.app, flow, [{"handle": name} for name in names])
    ]
    _wait_for_requests(demo, ids, kill_worker)
    demo.display.stage("carry the events to ClickHouse")
    _wait_for_events(demo, ids)
    transforms = []
    for selector in ("core", "daily"):
        demo.display.stage(f"dbt builds {selector}")
        transforms.append(_transform(demo, selector))
    demo.display.stage("bring the leaderboard from ClickHouse through S3 to Postgres")
    synced = _long_run(demo, "sync", "leaderboard", {"job": "leaderboard"})
    demo.display.stage("look at everything")
    told = _summarise(demo, ids, transforms, synced)
    demo.display.stage("")
    return dataclasses.replace(told, seconds=demo.display.seconds())


def _wait_for_requests(demo: Demo, ids: list[uuid.UUID], kill_worker: bool) -> None:
    victim = next(name for name in demo.cluster.processes if name.startswith("scrape_")) if kill_worker else None
    for standing in _watch(demo, ids, REQUESTS_S):
        if victim is not None and standing.finished >= len(ids) // 4:
            demo.cluster.processes[victim].kill()
            victim = None
        if standing.finished == len(ids):
            return


def _wait_for_events(demo: Demo, ids: list[uuid.UUID]) -> None:
    written = sum(map(len, facts.events_written(demo.database).values()))
    for standing in _watch(demo, ids, EVENTS_S):
        if standing.waiting_events == 0 and facts.events_stored(demo.warehouse) >= written:
            return


def _watch(demo: Demo, ids: list[uuid.UUID], most_s: float) -> Iterator[facts.Standing]:
    """How far the requests are, again and again, until the time is up."""
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        standing = facts.standing(demo.database, ids)
        crashed = [child.name for child in demo.cluster.crashed()]
        demo.display.progress(standing, len(ids), facts.events_stored(demo.warehouse), crashed)
        yield standing
        time.sleep(POLL_S)


def _transform(demo: Demo, selector: str) -> dict[str, Any]:
    done = _long_run(demo, "transform", selector, {"selector": selector})
    return {
        "name": selector,
        "status": done["status"],
        "models_and_tests": len(done["details"].get("nodes", ())),
        "seconds": done["seconds"],
        "reason": done["reason"],
    }


def _long_run(demo: Demo, kind: str, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    """Send the task and wait for a run that began after this moment. The beat may have begun one just before: then the
    task is sent again once that one is over."""
    since: datetime.datetime = facts.rows(demo.database, "now")[0]["now"]
    deadline = time.monotonic() + RUN_S
    sent = 0.0
    while time.monotonic() < deadline:
        found = facts.rows(demo.database, "run", kind=kind, name=name, since=since)
        # A sync's figures are written a moment after its swap.
        if (
            found
            and found[0]["status"] != "RUNNING"
            and (found[0]["status"] != "COMPLETE" or "seconds" in found[0]["details"])
        ):
            return found[0]
        if not found and time.monotonic() - sent > 10:
            demo.app.send_task(f"{kind}.run", kwargs=arguments)
            sent = time.monotonic()
        time.sleep(POLL_S / 2)
    raise errors.RunFailed(f"{kind} {name} did not end within {RUN_S:.0f} s; see the log of the worker `runs`")


def _summarise(
    demo: Demo, ids: list[uuid.UUID], transforms: list[dict[str, Any]], synced: dict[str, Any]
) -> summary.Summary:
    outcomes = facts.rows(demo.database, "outcomes", ids=ids)
    events = summary.events_of(demo.database, demo.warehouse)
    spent = summary.credential_rows(demo.credentials, demo.simulator, demo.key)
    generations = facts.rows(demo.database, "generation")
    live_rows = next((one for one in generations if one["live"]), {"rows": 0, "generation": 0})
    built = all(one["status"] == "COMPLETE" for one in transforms) and synced["status"] == "COMPLETE"
    reasons = [str(one["reason"]) for one in (*transforms, synced) if one["reason"]]
    return summary.Summary(
        requests=len(ids),
        seconds={},
        outcomes=outcomes,
        hops=facts.rows(demo.database, "hops", ids=ids),
        credentials=spent,
        events=events,
        transforms=transforms,
        sync={
            "table": "leaderboard",
            "status": synced["status"],
            "rows": live_rows["rows"],
            "generation": live_rows["generation"],
            "seconds": synced["seconds"],
            "steps": dict(sorted(synced["details"].get("seconds", {}).items(), key=lambda step: STEPS.index(step[0]))),
            "bytes": synced["details"].get("bytes"),
        },
        generations=generations,
        top_ten=facts.rows(demo.database, "top_ten"),
        memory_mb=demo.memory.peak_mb(),
        checks=[
            summary.outcome_check(outcomes, len(ids)),
            summary.event_check(events, facts.standing(demo.database, ids).waiting_events),
            summary.Check("dbt and the sync ran", built, "; ".join(reasons) or "3 runs"),
            summary.leaderboard_check(demo.database),
        ],
        flower={"url": demo.cluster.flower_url, "user": demo.configured.flower_user},
    )


def _hold(out: console.Console, demo: Demo) -> None:
    password = demo.configured.flower_password
    out.print(
        f"\nFlower shows every task and hop: [bold]{demo.cluster.flower_url}[/]\n"
        f"  user {demo.configured.flower_user}, password {password.get_secret_value() if password else ''}\n"
        "Everything still runs. Press Enter to stop it.",
        highlight=False,
    )
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        out.input()


def _pids(engines: stack.Stack, processes: cluster.Cluster) -> dict[str, list[int]]:
    """Process ids of the engines and of our own processes, for the memory they hold."""
    return {
        "engines": [status.pid for status in engines.status() if status.pid is not None],
        "processes": [child.pid for child in processes.processes.values() if child.pid is not None],
    }
