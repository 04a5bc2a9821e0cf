"""The fault plan strikes the calls it names, by count or by time, in the vendors' own manner."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator

import pytest

from stirbeat import errors
from stirbeat.domain import exchange, flow, outcome, provider
from stirbeat.local.simulator import client as simulator_client
from stirbeat.local.simulator import plan, server
from stirbeat.platforms.instagram import lama as instagram_lama
from stirbeat.providers import arraybobo, graphapi, http, lama

CONTEXT = flow.Context({"handle": "some.baker"}, account={"ig_user_id": "17841406338772941"})
CALL = exchange.Call("/v1/user/by/username", {"username": "some.baker"})
SECRET = {"key": "lama-good"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A simulator inside this process: the same server, on a loop of its own."""
    ready: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        simulator = server.Simulator()
        ready.append(f"http://127.0.0.1:{simulator.listen('127.0.0.1', 0)}")
        started.set()
        await stop.wait()
        await simulator.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait(10)
    yield ready[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()
    assert not thread.is_alive()


@pytest.fixture
def simulator(address: str) -> Iterator[simulator_client.SimulatorClient]:
    control = simulator_client.SimulatorClient(address)
    control.put_plan([])
    control.put_credentials({"lama": {"lama-good": {}}, "arraybobo": {"rapid-good": {}}, "graphapi": {"EAAgood": {}}})
    control.clear_calls()
    yield control
    control.put_plan([])
    control.close()


@pytest.fixture
def fetcher(address: str) -> Iterator[http.Client]:
    made = http.Client(address)
    yield made
    made.close()


def _short(deadline_s: float) -> provider.Provider:
    return dataclasses.replace(lama.PROVIDER, deadline_s=deadline_s)


def _statuses(fetcher: http.Client, calls: int, handle: str = "some.baker") -> list[int]:
    call = exchange.Call("/v1/user/by/username", {"username": handle})
    return [fetcher.fetch(lama.PROVIDER, call, SECRET).status for _ in range(calls)]


def test_a_rule_strikes_a_stretch_of_calls(simulator: simulator_client.SimulatorClient, fetcher: http.Client) -> None:
    simulator.put_plan([{"provider": "lama", "kind": "error_5xx", "after_calls": 2, "for_calls": 3}])

    assert _statuses(fetcher, 7) == [200, 200, 503, 503, 503, 200, 200]


def test_a_rule_strikes_every_nth_call(simulator: simulator_client.SimulatorClient, fetcher: http.Client) -> None:
    simulator.put_plan([{"provider": "lama", "kind": "error_5xx", "every": 3, "status": 504}])

    assert _statuses(fetcher, 6) == [200, 200, 504, 200, 200, 504]


def test_a_rule_with_a_probability_strikes_the_same_calls_each_time(
    simulator: simulator_client.SimulatorClient, fetcher: http.Client
) -> None:
    rounds = []
    for _ in range(2):
        simulator.put_plan([{"provider": "lama", "kind": "error_5xx", "probability": 0.3}])
        rounds.append(_statuses(fetcher, 60))

    assert rounds[0] == rounds[1]
    assert 8 <= rounds[0].count(503) <= 30


def test_a_rule_strikes_between_two_times(simulator: simulator_client.SimulatorClient, fetcher: http.Client) -> None:
    simulator.put_plan([{"provider": "lama", "kind": "error_5xx", "from_s": 0.2, "to_s": 0.5}])
    before = _statuses(fetcher, 1)
    time.sleep(0.25)
    within = _statuses(fetcher, 1)
    time.sleep(0.3)

    assert [*before, *within, *_statuses(fetcher, 1)] == [200, 503, 200]


def test_a_rule_strikes_only_the_handles_and_functions_it_names(
    simulator: simulator_client.SimulatorClient, fetcher: http.Client
) -> None:
    simulator.put_plan(
        [
            {"provider": "lama", "kind": "not_found", "handles": ["gone.away"]},
            {"provider": "lama", "kind": "error_5xx", "function": "user_medias_chunk"},
        ]
    )

    assert _statuses(fetcher, 2) == [200, 200]
    assert _statuses(fetcher, 1, "gone.away") == [404]
    chunk = exchange.Call("/v1/user/medias/chunk", {"user_id": "787132"})
    assert fetcher.fetch(lama.PROVIDER, chunk, SECRET).status == 503


@pytest.mark.parametrize(
    ("kind", "expected", "charged"),
    [
        ("error_5xx", outcome.Kind.UPSTREAM, {"none"}),
        ("not_found", outcome.Kind.NOT_FOUND, {"none"}),
        ("invalid_token", outcome.Kind.TOKEN_INVALID, {"credential"}),
        ("rate_limited", outcome.Kind.RATE_LIMITED, {"credential"}),
    ],
)
def test_every_vendor_refuses_in_its_own_words(
    simulator: simulator_client.SimulatorClient,
    fetcher: http.Client,
    kind: str,
    expected: outcome.Kind,
    charged: set[str],
) -> None:
    simulator.put_plan([{"provider": name, "kind": kind} for name in ("graphapi", "arraybobo", "lama")])
    graph = exchange.Call("/v23.0/17", {"fields": "business_discovery.username(some.baker){id}"})
    rapid = exchange.Call("/ig/info_username/", {"user": "some.baker"})

    found = [
        graphapi.classify(fetcher.fetch(graphapi.PROVIDER, graph, {"access_token": "EAAgood"})),
        arraybobo.classify(fetcher.fetch(arraybobo.PROVIDER, rapid, {"key": "rapid-good"})),
        lama.classify(fetcher.fetch(lama.PROVIDER, CALL, SECRET)),
    ]

    assert {one.kind for one in found} == {expected}
    assert {one.charge_to.value for one in found} == charged


def test_a_rate_limit_carries_the_vendors_own_hint(
    simulator: simulator_client.SimulatorClient, fetcher: http.Client
) -> None:
    simulator.put_plan(
        [
            {"provider": "graphapi", "kind": "rate_limited", "retry_after_s": 90, "code": 4},
            {"provider": "arraybobo", "kind": "rate_limited", "retry_after_s": 12},
        ]
    )
    graph = exchange.Call("/v23.0/17", {"fields": "business_discovery.username(some.baker){id}"})
    rapid = exchange.Call("/ig/info_username/", {"user": "some.baker"})

    app = graphapi.classify(fetcher.fetch(graphapi.PROVIDER, graph, {"access_token": "EAAgood"}))
    gateway = arraybobo.classify(fetcher.fetch(arraybobo.PROVIDER, rapid, {"key": "rapid-good"}))

    # Meta tells minutes, and code 4 is the whole app's.
    assert (app.code, app.charge_to, app.retry_after_s) == ("4", outcome.ChargeTo.APP, 120.0)
    assert gateway.retry_after_s == 12.0


def test_a_vendor_that_is_down_breaks_the_connection(
    simulator: simulator_client.SimulatorClient, fetcher: http.Client
) -> None:
    simulator.put_plan([{"provider": "lama", "kind": "down", "for_calls": 2}])

    for _ in range(2):
        with pytest.raises(http.NoAnswer, match="broke"):
            fetcher.fetch(lama.PROVIDER, CALL, SECRET)
    assert fetcher.fetch(lama.PROVIDER, CALL, SECRET).status == 200
    assert simulator.calls().by_outcome == {"fault:down": 2, "ok": 1}


@pytest.mark.parametrize("kind", ["silent", "drip"])
def test_a_vendor_that_never_ends_runs_into_the_deadline(
    simulator: simulator_client.SimulatorClient, fetcher: http.Client, kind: str
) -> None:
    simulator.put_plan([{"provider": "lama", "kind": kind, "for_calls": 1, "delay_s": 0.2}])

    started = time.monotonic()
    with pytest.raises(http.NoAnswer, match=r"no answer within 0\.5 s"):
        fetcher.fetch(_short(0.5), CALL, SECRET)

    assert time.monotonic() - started < 1.5
    assert fetcher.fetch(lama.PROVIDER, CALL, SECRET).status == 200


def test_a_slow_vendor_answers_in_the_end(simulator: simulator_client.SimulatorClient, fetcher: http.Client) -> None:
    simulator.put_plan([{"provider": "lama", "kind": "slow", "delay_s": 0.3}])

    answer = fetcher.fetch(lama.PROVIDER, CALL, SECRET)

    assert answer.status == 200
    assert 0.3 <= answer.elapsed_s < 2
    assert simulator.calls().by_outcome == {"fault:slow": 1}


def test_a_malformed_answer_is_never_read_as_an_account(
    simulator: simulator_client.SimulatorClient, fetcher: http.Client
) -> None:
    simulator.put_plan([{"provider": "lama", "kind": "malformed"}])

    for _ in range(8):
        answer = fetcher.fetch(lama.PROVIDER, CALL, SECRET)
        assert answer.status == 200
        with pytest.raises(errors.ProviderFailed):
            instagram_lama.read_profile(answer, CONTEXT)


def test_a_bad_credential_is_refused_before_any_fault(
    simulator: simulator_client.SimulatorClient, fetcher: http.Client
) -> None:
    simulator.put_plan([{"provider": "lama", "kind": "malformed"}])

    assert fetcher.fetch(lama.PROVIDER, CALL, {"key": "never-heard-of"}).status == 401


def test_it_serves_more_than_a_thousand_calls_a_second_of_its_own_time() -> None:
    rules = plan.Plan()
    rules.put(plan.GIVEN.validate_python([{"provider": "lama", "kind": "down", "every": 1000}] * 5))

    started = time.process_time()
    for _ in range(2000):
        rules.find("lama", "user_by_username", "some.baker")

    # The plan's share of a call: a twentieth of the millisecond that a call may cost.
    assert (time.process_time() - started) / 2000 < 0.00005
