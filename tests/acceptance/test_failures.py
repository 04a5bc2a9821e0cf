"""What a killed worker, a lost message and a service that goes away leave behind: nothing lost, nothing doubled."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter

import pytest
import sqlalchemy as sa

from stirbeat import client, errors
from stirbeat.domain import catalogue, outcome
from stirbeat.pipeline import janitor, run, tools
from stirbeat.store import ledger
from tests.acceptance import system as systems

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("warehouse")]

PROFILE = "instagram.refresh_profile"
POSTS = "instagram.refresh_posts"


def effects(system: systems.System, table: str) -> Counter[uuid.UUID]:
    """How often each request wrote its answer down."""
    with system.database.connect() as connection:
        return Counter(connection.execute(sa.text(f"select request_id from {table}")).scalars())


def test_sigkill_of_a_worker_in_the_middle_loses_nothing_and_doubles_nothing(system: systems.System) -> None:
    # given: answers that take a while, so that a worker holds many requests at any time
    system.simulator.put_plan(
        [{"provider": name, "kind": "slow", "delay_s": 0.3} for name in ("graphapi", "arraybobo", "lama")]
    )
    handles = [f"golden.runner{n}" for n in range(60)]
    ids = system.submit(PROFILE, handles) + system.submit(POSTS, handles)
    victim = system.cluster.processes["scrape_instagram-1"]

    # when: one of two workers is killed while it works, and another comes up later, as a supervisor would have it
    systems.until(lambda: len(_held_by(system, victim.pid)) >= 4, 30, "work under way")
    pid = victim.pid
    victim.kill()
    held = _held_by(system, pid)
    victim.start()
    system.wait(ids, 120)
    system.wait_for_events()

    # then
    assert held, "the kill was meant to hit requests that were being worked on"
    assert Counter(system.row(one)["status"] for one in ids) == {"COMPLETE": len(ids)}
    assert all(system.row(one)["attempts"] >= 2 for one in held), "what it held was taken over"
    assert effects(system, "profile_log")[ids[0]] == 1
    assert all(times == 1 for one, times in effects(system, "profile_log").items() if one in set(ids[:60]))
    for name, row in system.event_rows().items():
        assert (row["missing"], row["unexpected"]) == (0, 0), name


def test_the_janitor_sends_what_was_written_down_but_never_sent(system: systems.System) -> None:
    # given: a submitter died between the ledger and the broker, an hour ago
    system.simulator.put_plan([])
    declared = catalogue.find_flow(PROFILE)
    request = client.request_for(declared, {"handle": "lunar.summit"})
    late = client.request_for(declared, {"handle": "lunar.atlas"})
    ledger.submit(system.database, [request, late], expires_after_s=7200)
    with system.database.begin() as connection:
        connection.execute(
            sa.text("update scrape_request_log set next_at = now() - interval '1 hour' where status = 'PENDING'")
        )
        connection.execute(
            sa.text("update scrape_request_log set expires_at = now() - interval '1 minute' where id = :id"),
            {"id": late.id},
        )

    # when
    swept = janitor.sweep(tools.build(system.configured), system.app)

    # then
    assert (swept.requeued, swept.expired, swept.failed) == (1, 1, 0)
    system.wait([request.id, late.id])
    assert system.row(request.id)["status"] == "COMPLETE"
    assert system.row(late.id)["status"] == "EXPIRED"


def test_a_request_that_kills_its_worker_each_time_ends_some_day(system: systems.System) -> None:
    request = client.request_for(catalogue.find_flow(PROFILE), {"handle": "lunar.pixel"})
    ledger.submit(system.database, [request], expires_after_s=7200)
    with system.database.begin() as connection:
        connection.execute(
            sa.text(
                "update scrape_request_log set status = 'PROCESSING', lease_token = gen_random_uuid(), abandoned = :n,"
                " next_at = now() - interval '1 minute' where id = :id"
            ),
            {"id": request.id, "n": run.MOST_ABANDONED},
        )

    swept = janitor.sweep(tools.build(system.configured), system.app)

    assert swept.failed == 1
    row = system.row(request.id)
    assert (row["status"], row["error_kind"]) == ("FAILED", "abandoned")
    assert "executions of it did not end" in row["reason"]


def test_requests_wait_while_every_credential_is_limited_and_go_on_when_one_frees(system: systems.System) -> None:
    # given: only lama may be asked, and each of its credentials has just been told to rest
    credentials = tools.build(system.configured).credentials
    providers = catalogue.providers()
    for one in credentials.list():
        if one.provider != "lama":
            credentials.disable(one.provider, one.name, "not for this test")
    rest = outcome.Outcome(outcome.Kind.RATE_LIMITED, outcome.ChargeTo.CREDENTIAL, retry_after_s=8)
    with contextlib.suppress(errors.NoCredential):
        while True:
            credentials.settle(credentials.lease(providers["lama"], "user_by_username", str(uuid.uuid4())), rest)
    try:
        # when
        ids = system.submit(PROFILE, [f"urban.lens{n}" for n in range(4)])
        systems.until(lambda: all(system.row(one).get("hops") for one in ids), 20, "every request to be picked up")
        waiting = Counter(system.row(one)["status"] for one in ids)
        system.wait(ids)
    finally:
        for one in credentials.list():
            credentials.enable(one.provider, one.name)

    # then
    assert waiting == {"PENDING": 4}, "no worker sleeps on a wait"
    assert Counter(system.row(one)["status"] for one in ids) == {"COMPLETE": 4}
    noted = [hop["kind"] for one in ids for hop in system.row(one)["hops"]]
    assert "no_credential" in noted


def _held_by(system: systems.System, pid: int | None) -> list[uuid.UUID]:
    """The requests that the worker process works on."""
    with system.database.connect() as connection:
        query = sa.text("select id from scrape_request_log where status = 'PROCESSING' and worker like :worker")
        return list(connection.execute(query, {"worker": f"%:{pid}"}).scalars())
