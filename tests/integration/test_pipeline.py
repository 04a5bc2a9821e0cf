"""One hop at a time, on real Postgres, Redis and HTTP: every verdict, and what it leaves in the ledger."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
import redis
import sqlalchemy as sa

from stirbeat import client, errors, settings
from stirbeat.cli.demo import seed
from stirbeat.credentials import pool, redis_client, vault
from stirbeat.domain import exchange, flow, records, requests
from stirbeat.local.simulator import client as simulators
from stirbeat.pipeline import run, tools
from stirbeat.store.models.ledger import Status

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("warehouse")]

PROFILE = "instagram.refresh_profile"


@pytest.fixture
def simulator(configured: settings.Settings) -> Iterator[simulators.SimulatorClient]:
    found = simulators.SimulatorClient(configured.simulator_url)
    found.put_plan([])
    yield found
    found.put_plan([])
    found.close()


@pytest.fixture
def with_(configured: settings.Settings, simulator: simulators.SimulatorClient) -> Iterator[tools.Tools]:
    built = tools.build(configured)
    seed.seed(built.credentials, simulator, configured.secret_keys.get_secret_value(), revoked=None)
    yield built
    built.database.dispose()
    built.http.close()


def asked(wanted: flow.Flow, handle: str = "natgeo") -> requests.Request:
    return client.request_for(wanted, {"handle": handle})


def row(with_: tools.Tools, request_id: uuid.UUID) -> sa.RowMapping:
    with with_.database.connect() as connection:
        query = sa.text("select * from scrape_request_log where id = :id")
        return connection.execute(query, {"id": request_id}).mappings().one()


def follow(with_: tools.Tools, wanted: flow.Flow, request: requests.Request, most: int = 20) -> run.Verdict:
    """Run hop after hop as the messages would, as long as there is no wait."""
    verdict = run.run(with_, wanted, request)
    while isinstance(verdict, run.Again) and verdict.wait_s == 0 and most:
        most -= 1
        verdict = run.run(with_, wanted, dataclasses.replace(request, turn=verdict.turn))
    return verdict


def with_parser(with_: tools.Tools, parse: Callable[..., flow.Parsed]) -> flow.Flow:
    """The profile flow, through lama alone, with another parser."""
    wanted = with_.flows[PROFILE]
    lama = next(source for source in wanted.sources if source.provider == "lama")
    step = dataclasses.replace(lama.steps[0], parse=parse)
    return dataclasses.replace(wanted, sources=(flow.Source("lama", (step,)),))


def test_the_first_provider_that_answers_completes_the_request(with_: tools.Tools) -> None:
    wanted = with_.flows[PROFILE]
    request = asked(wanted, "wild.kitchen")

    verdict = run.run(with_, wanted, request)

    assert isinstance(verdict, run.Done)
    assert verdict.status is Status.COMPLETE
    assert [hop.provider for hop in verdict.hops] == ["graphapi"]
    assert isinstance(run.run(with_, wanted, request), run.Dropped), "its message comes again"


def test_a_new_round_begins_after_a_wait_when_every_provider_is_down(
    with_: tools.Tools, simulator: simulators.SimulatorClient
) -> None:
    simulator.put_plan([{"provider": name, "kind": "error_5xx"} for name in ("graphapi", "arraybobo", "lama")])
    wanted = with_.flows[PROFILE]
    request = asked(wanted)

    verdict = follow(with_, wanted, request)

    assert isinstance(verdict, run.Again)
    assert verdict.wait_s >= 5
    assert [hop.provider for hop in verdict.hops] == ["graphapi", "arraybobo", "lama"]
    assert row(with_, request.id)["status"] == "PENDING"


def test_the_budget_of_hops_ends_a_request(with_: tools.Tools, simulator: simulators.SimulatorClient) -> None:
    simulator.put_plan([{"provider": name, "kind": "error_5xx"} for name in ("graphapi", "arraybobo", "lama")])
    wanted = dataclasses.replace(with_.flows[PROFILE], most_hops=2)

    verdict = follow(with_, wanted, asked(wanted))

    assert isinstance(verdict, run.Done)
    assert verdict.status is Status.FAILED
    assert verdict.reason == "the budget of 2 hops is used up"
    assert len(verdict.hops) == 2


def test_an_expired_request_is_not_worked_on(with_: tools.Tools, simulator: simulators.SimulatorClient) -> None:
    simulator.clear_calls()
    wanted = dataclasses.replace(with_.flows[PROFILE], expires_after_s=0)

    verdict = run.run(with_, wanted, asked(wanted))

    assert isinstance(verdict, run.Done)
    assert verdict.status is Status.EXPIRED
    assert simulator.calls().total == 0


def test_without_redis_nothing_is_asked_and_the_request_waits(
    with_: tools.Tools, configured: settings.Settings, simulator: simulators.SimulatorClient
) -> None:
    simulator.clear_calls()
    nowhere = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=1)
    limitless = pool.Pool(with_.database, nowhere, vault.Vault(configured.secret_keys))
    wanted = with_.flows[PROFILE]
    request = asked(wanted)

    verdict = run.run(dataclasses.replace(with_, credentials=limitless), wanted, request)

    assert isinstance(verdict, run.Again)
    assert verdict.wait_s >= 10
    assert "edis" in verdict.reason
    assert row(with_, request.id)["status"] == "PENDING"
    assert simulator.calls().total == 0, "limits fail closed"


def test_without_postgres_the_message_must_come_again(with_: tools.Tools) -> None:
    away = dataclasses.replace(with_, database=sa.create_engine("postgresql+psycopg2://x@127.0.0.1:1/x"))
    wanted = with_.flows[PROFILE]

    with pytest.raises(errors.ServiceUnavailable) as caught:
        run.run(away, wanted, asked(wanted))

    assert caught.value.service == "postgres"


def test_a_plugins_parser_that_fails_is_a_schema_failure_and_charges_nobody(with_: tools.Tools) -> None:
    def broken(_answer: exchange.Answer, _context: flow.Context) -> flow.Parsed:
        raise ZeroDivisionError("a bug")

    wanted = with_parser(with_, broken)
    request = asked(wanted)

    verdict = follow(with_, wanted, request)

    assert isinstance(verdict, run.Done)
    assert row(with_, request.id)["error_kind"] == "schema"
    assert all(one.failures == 0 and one.state == "ready" for one in with_.credentials.list() if one.provider == "lama")


def test_what_no_store_can_hold_is_left_out_of_a_text_and_the_rest_is_stored(with_: tools.Tools) -> None:
    def hostile(_answer: exchange.Answer, _context: flow.Context) -> flow.Parsed:
        described: dict[str, records.Dimension] = {
            "biography": "a\x00b\ud83dc",
            "tags": ["\x00", "\udfff", "ok"],
            "score": float("nan"),
        }
        return flow.Parsed((records.Profile("instagram", "natgeo", dimensions=described),))

    wanted = with_parser(with_, hostile)

    verdict = follow(with_, wanted, asked(wanted))

    assert isinstance(verdict, run.Done)
    assert verdict.status is Status.COMPLETE
    with with_.database.connect() as connection:
        stored = connection.execute(sa.text("select dimensions from profile where profile_key = 'natgeo'")).scalar_one()
    assert stored == {"biography": "abc", "tags": ["", "", "ok"]}


def test_with_no_credential_at_all_the_request_waits_for_a_person(
    with_: tools.Tools, configured: settings.Settings
) -> None:
    with with_.database.begin() as connection:
        connection.execute(sa.text("update credential set enabled = false"))
    fresh = pool.Pool(with_.database, redis_client.connect(configured), vault.Vault(configured.secret_keys))
    wanted = with_.flows[PROFILE]
    request = asked(wanted)

    verdict = run.run(dataclasses.replace(with_, credentials=fresh), wanted, request)

    assert isinstance(verdict, run.Again)
    assert verdict.wait_s >= 60
    assert [hop.kind for hop in verdict.hops] == ["no_credential"] * 3
    assert row(with_, request.id)["status"] == "PENDING"


def test_an_id_that_was_paid_for_is_not_asked_for_again_when_the_next_call_fails(
    with_: tools.Tools, simulator: simulators.SimulatorClient
) -> None:
    simulator.put_plan(
        [
            {"provider": "graphapi", "kind": "error_5xx"},
            {"provider": "arraybobo", "function": "posts", "kind": "error_5xx"},
        ]
    )
    simulator.clear_calls()
    wanted = with_.flows["instagram.refresh_posts"]

    verdict = follow(with_, wanted, asked(wanted, "wild.atlas"))

    assert isinstance(verdict, run.Done)
    assert verdict.status is Status.COMPLETE
    assert [hop.function for hop in verdict.hops] == ["business_discovery_media", "posts", "user_medias_chunk"]
    spent = simulator.calls()
    assert spent.count(provider="arraybobo", function="info_username") == 1
    assert spent.count(provider="lama", function="user_by_username") == 0


def test_a_request_waits_for_its_only_provider_and_goes_on_when_a_credential_frees(
    with_: tools.Tools, simulator: simulators.SimulatorClient
) -> None:
    # given: the only provider with credentials says it is too much, once for each of them
    with with_.database.begin() as connection:
        connection.execute(sa.text("delete from credential where provider <> 'lama' or name <> 'lama-1'"))
    simulator.put_plan([{"provider": "lama", "kind": "rate_limited", "for_calls": 1, "retry_after_s": 3}])
    wanted = with_.flows[PROFILE]
    fresh = dataclasses.replace(with_, credentials=tools.build(with_.configured).credentials)
    request = asked(wanted)

    # when: its messages come as they would, long enough
    verdict = run.run(fresh, wanted, request)
    for _ in range(40):
        if isinstance(verdict, run.Done):
            break
        assert isinstance(verdict, run.Again)
        time.sleep(0.25)
        verdict = run.run(fresh, wanted, dataclasses.replace(request, turn=verdict.turn))

    # then
    assert isinstance(verdict, run.Done)
    assert verdict.status is Status.COMPLETE
    assert [hop.kind for hop in verdict.hops if hop.kind != "no_credential"] == ["rate_limited", "ok"]
    assert len(verdict.hops) < 12, "waits do not fill the ledger"
