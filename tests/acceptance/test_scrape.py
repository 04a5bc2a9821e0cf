"""From submit to ClickHouse, through real workers, relay and sink."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from typing import Any

import celery
import pytest
import sqlalchemy as sa

from stirbeat import client, errors
from stirbeat.cli.demo import scenario
from stirbeat.local.simulator import client as simulators
from tests.acceptance import system as systems

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("warehouse")]

PROFILE = "instagram.refresh_profile"
POSTS = "instagram.refresh_posts"


@pytest.fixture(autouse=True)
def _vendors_are_well(system: systems.System) -> None:
    system.simulator.put_plan([])


def profile(system: systems.System, handle: str) -> dict[str, Any]:
    with system.database.connect() as connection:
        found = connection.execute(sa.text("select * from profile where profile_key = :key"), {"key": handle})
        return dict(found.mappings().one())


def test_requests_end_in_stored_profiles_and_posts_and_in_events(system: systems.System) -> None:
    # given
    handles = ["natgeo", "facebookfordevelopers", "wild.kitchen", "urban.atlas", "slow.studio"]

    # when
    ids = system.submit(PROFILE, handles) + system.submit(POSTS, handles)
    system.wait(ids)
    system.wait_for_events()

    # then
    assert Counter(system.row(one)["status"] for one in ids) == {"COMPLETE": 10}
    natgeo = profile(system, "natgeo")
    assert natgeo["metrics"]["followers"] == 274988955
    assert natgeo["dimensions"]["full_name"] == "National Geographic"
    with system.database.connect() as connection:
        posts = dict(
            connection.execute(sa.text("select profile_key, count(*) from post group by 1")).all()  # type: ignore[arg-type]
        )
    assert posts["natgeo"] == 3
    assert posts["facebookfordevelopers"] == 2
    assert set(posts) == set(handles)
    for name, row in system.event_rows().items():
        assert (row["missing"], row["unexpected"]) == (0, 0), name
        assert row["written"] > 0, name


def test_a_provider_that_is_down_is_passed_by_one_hop_and_the_hops_are_in_the_ledger(system: systems.System) -> None:
    system.simulator.put_plan(
        [{"provider": "graphapi", "kind": "down"}, {"provider": "arraybobo", "kind": "error_5xx"}]
    )

    [one] = system.submit(PROFILE, ["golden.lens"])
    system.wait([one])

    row = system.row(one)
    assert [(hop["provider"], hop["kind"]) for hop in row["hops"]] == [
        ("graphapi", "upstream"),
        ("arraybobo", "upstream"),
        ("lama", "ok"),
    ]
    assert row["status"] == "COMPLETE"
    assert row["attempts"] == 3, "one hop is one execution of the same task id"


def test_flower_asks_for_a_password_and_shows_every_hop_with_its_reason(system: systems.System) -> None:
    # given: both hops in one process; Flower takes events as they come, and those of two workers may cross
    system.simulator.put_plan([{"provider": "graphapi", "kind": "error_5xx"}])
    [one] = system.submit(PROFILE, ["quiet.lens"], high=True)
    system.wait([one])

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{system.cluster.flower_url}/api/tasks")
    password = system.configured.flower_password
    assert password is not None
    token = base64.b64encode(f"{system.configured.flower_user}:{password.get_secret_value()}".encode()).decode()
    request = urllib.request.Request(
        f"{system.cluster.flower_url}/api/task/info/{one}", headers={"Authorization": f"Basic {token}"}
    )

    def shown() -> dict[str, Any]:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return dict(json.load(answer))

    systems.until(lambda: shown()["state"] == "SUCCESS", 30, "Flower to show the success")
    told = shown()
    assert told["retries"] == 1
    assert "graphapi upstream: HTTP 5" in told["kwargs"], "the message carries what was tried before"
    assert "arraybobo ok" in told["result"]


def test_what_a_customer_waits_for_is_done_by_workers_of_its_own(system: systems.System) -> None:
    # given: the batch workers are busy for a while
    system.simulator.put_plan(
        [{"provider": name, "kind": "slow", "delay_s": 1.0} for name in ("graphapi", "arraybobo", "lama")]
    )
    batch = system.submit(PROFILE, [f"urban.harbor{n}" for n in range(80)])

    # when
    begun = time.monotonic()
    [high] = system.submit(PROFILE, ["tiny.pixel"], high=True)
    system.wait([high], 10)
    took = time.monotonic() - begun
    left = sum(system.row(one)["status"] in {"PENDING", "PROCESSING"} for one in batch)
    system.simulator.put_plan([])
    system.wait(batch)

    # then
    assert system.row(high)["high"]
    assert left > 0, f"it was answered after {took:.1f} s, ahead of the batch"


def test_no_secret_is_in_what_a_worker_tells_of_its_configuration(system: systems.System) -> None:
    told = json.dumps(system.app.control.inspect(timeout=10).conf(), default=str)

    assert "broker_url" in told
    for name in ("STIRBEAT_DATABASE_URL", "STIRBEAT_REDIS_URL", "STIRBEAT_BROKER_URL", "STIRBEAT_CLICKHOUSE_URL"):
        password = urllib.parse.urlsplit(system.environment[name]).password
        assert password
        assert password not in told, name
    for name in ("STIRBEAT_SECRET_KEYS", "STIRBEAT_S3_SECRET_ACCESS_KEY", "STIRBEAT_FLOWER_PASSWORD"):
        assert system.environment[name] not in told, name


def test_a_handle_nobody_knows_fails_once_every_provider_said_so(system: systems.System) -> None:
    system.simulator.put_plan([{"provider": name, "kind": "not_found"} for name in ("graphapi", "arraybobo", "lama")])

    [one] = system.submit(PROFILE, ["lunar.lens"])
    system.wait([one])

    row = system.row(one)
    assert (row["status"], row["error_kind"]) == ("FAILED", "not_found")
    assert [hop["provider"] for hop in row["hops"]] == ["graphapi", "arraybobo", "lama"]


def test_an_invalid_token_disables_its_credential_and_the_request_goes_on(system: systems.System) -> None:
    system.simulator.clear_calls()
    system.simulator.put_plan([{"provider": "lama", "kind": "invalid_token", "for_calls": 1}])
    with system.database.begin() as connection:
        connection.execute(sa.text("update credential set enabled = false where provider in ('graphapi', 'arraybobo')"))
    try:
        time.sleep(3)  # the workers' snapshots of the credentials are two seconds old at most
        [one] = system.submit(PROFILE, ["tiny.thread"])
        system.wait([one])
        with system.database.connect() as connection:
            disabled = connection.execute(
                sa.text("select name, reason from credential where provider = 'lama' and not enabled")
            ).all()
    finally:
        with system.database.begin() as connection:
            connection.execute(sa.text("update credential set enabled = true"))
        time.sleep(3)

    assert system.row(one)["status"] == "COMPLETE"
    assert len(disabled) == 1
    spent = system.simulator.calls()
    assert spent.count(provider="lama") == 2
    assert spent.count(provider="graphapi") == 0


def test_another_service_calls_delay_with_nothing_but_the_brokers_address(system: systems.System) -> None:
    code = "from stirbeat.tasks import instagram; print(instagram.refresh_profile.delay(handle='@Daily.Atlas'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"STIRBEAT_BROKER_URL": system.environment["STIRBEAT_BROKER_URL"], "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    one = uuid.UUID(done.stdout.strip())
    system.wait([one])

    assert system.row(one)["params"] == {"handle": "daily.atlas"}
    assert profile(system, "daily.atlas")["handle"] == "daily.atlas"


def test_a_service_with_the_published_queue_configuration_sends_by_name(system: systems.System) -> None:
    app = celery.Celery("theirs", set_as_current=False)
    app.config_from_object(client.configuration(system.environment["STIRBEAT_BROKER_URL"]))

    sent = app.send_task(PROFILE, kwargs={"handle": "daily.lens"}, task_id="their-own-id-7")

    assert sent.id == "their-own-id-7"
    systems.until(lambda: bool(_by_target(system, "daily.lens")), 30, "the request to be in the ledger")
    [row] = _by_target(system, "daily.lens")
    system.wait([row["id"]])
    assert system.row(row["id"])["status"] == "COMPLETE"


@pytest.mark.parametrize("handle", ["two words", "x" * 10_000, "a'; drop table profile; --", "nat\x00geo", 7])
def test_a_request_that_is_refused_at_submit_queues_nothing(system: systems.System, handle: object) -> None:
    before = _requests(system)

    with pytest.raises(errors.InvalidArgument, match="handle must be"):
        client.submit(system.app, PROFILE, handle=handle)
    with pytest.raises(errors.InvalidArgument, match="handle must be"):
        system.submit(PROFILE, ["natgeo", handle])  # type: ignore[list-item]

    assert _requests(system) == before


def test_an_unknown_flow_is_refused_with_what_there_is(system: systems.System) -> None:
    with pytest.raises(errors.UnknownFlow, match=r"no flow 'tiktok\.refresh_profile'; there are: instagram\."):
        client.submit(system.app, "tiktok.refresh_profile", handle="natgeo")


def test_what_a_foreign_producer_queues_anyway_fails_once_in_the_ledger_and_blocks_nothing(
    system: systems.System,
) -> None:
    hostile: list[tuple[list[object], dict[str, object]]] = [
        ([], {"handle": "two words"}),
        ([], {"handle": "x" * 10_000}),
        ([], {"handle": "a'; drop table profile; --"}),
        ([], {"handle": "nat\x00geo"}),
        ([], {"handle": {"$ne": None}}),
        ([], {}),
        ([], {"handle": "natgeo", "depth": 3}),
        ([], {"handle": "natgeo", "_turn": "one"}),
        (["natgeo", "too", "many"], {}),
    ]
    sent = [uuid.UUID(system.app.send_task(PROFILE, args=args, kwargs=kwargs).id) for args, kwargs in hostile]
    [good] = system.submit(PROFILE, ["salt.kitchen"])

    system.wait([good, *sent])

    assert system.row(good)["status"] == "COMPLETE"
    for one in sent:
        row = system.row(one)
        assert (row["status"], row["error_kind"], row["attempts"]) == ("FAILED", "bad_request", 0), row["reason"]
        assert row["reason"]


def test_messages_no_worker_can_take_go_to_the_dead_letter_queue(system: systems.System) -> None:
    system.dead()
    queue = "instagram_refresh_profile"
    task = {"id": "x", "task": PROFILE, "lang": "py"}
    system.publish(queue, b"\xff\xfe no json", content_type="application/json", content_encoding="utf-8")
    system.publish(queue, b"{ broken", content_type="application/json", content_encoding="utf-8", headers=task)
    system.publish(queue, "[[], {}, {}]", content_type="application/json", headers={**task, "task": "no.such.task"})
    system.publish(queue, b"\x80\x04.", content_type="application/x-python-serialize", content_encoding="binary")
    [good] = system.submit(PROFILE, ["salt.lens"])

    system.wait([good])

    found: list[Any] = []
    systems.until(lambda: bool(found.extend(system.dead()) or len(found) >= 4), 20, "four dead letters")
    assert len(found) == 4
    assert all(worker.pid for name, worker in system.cluster.processes.items() if name.startswith("scrape_"))


def test_what_was_spent_is_what_the_vendors_counted(system: systems.System) -> None:
    system.simulator.clear_calls()
    ids = system.submit(PROFILE, [f"north.pixel{n}" for n in range(8)])
    system.wait(ids)

    hops = [hop for one in ids for hop in system.row(one)["hops"] if hop["kind"] != "no_credential"]
    report = system.simulator.calls()
    assert report.total == len(hops)
    key = system.configured.secret_keys.get_secret_value()
    for one in scenario.CREDENTIALS:
        ours = sum(hop["credential"] == one.name and hop["provider"] == one.provider for hop in hops)
        assert report.count(provider=one.provider, credential=simulators.fingerprint(one.secret(key))) == ours


def _requests(system: systems.System) -> int:
    with system.database.connect() as connection:
        return int(connection.execute(sa.text("select count(*) from scrape_request_log")).scalar_one())


def _by_target(system: systems.System, target: str) -> list[dict[str, Any]]:
    with system.database.connect() as connection:
        found = connection.execute(sa.text("select * from scrape_request_log where target = :t"), {"t": target})
        return [dict(row) for row in found.mappings()]
