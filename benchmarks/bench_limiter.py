"""How many decisions a second the limiter makes, beside bare Redis in the same run.

    python -m benchmarks.bench_limiter [--processes 2] [--threads 4] [--seconds 4] [--json FILE]

Uses the services named by STIRBEAT_REDIS_URL and STIRBEAT_DATABASE_URL if both are set (keys and tables of its own
there), else starts a Redis and a Postgres. Each line is one kind of work, done by all processes and threads at once:

- `lease`: the whole of `Pool.lease` (choice among 5 credentials, 6 windows: credential a minute and a day, app an hour,
  function a minute, target a minute, provider a second), every call admitted
- `refused`: the same where one window is full
- `no-op`: an EVALSHA of a script that does nothing, with as many keys and arguments as a lease
- `incr`: one INCR a call; `incr x6`: a pipeline of INCR and EXPIRE over 6 keys, what naive fixed windows cost
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from stirbeat import errors, settings
from stirbeat.credentials import pool, redis_client, vault
from stirbeat.domain import limit, outcome, provider
from stirbeat.local import stack
from stirbeat.store import engine, migrate

PLENTY = 10**6
ELSEWHERE = "http://127.0.0.1:1"
ROUNDS = 6
KINDS = ("lease", "refused", "no-op", "incr", "incr x6")


def declared(name: str, per_second: int) -> provider.Provider:
    """A provider with a realistic stack of windows."""
    scope = limit.Scope
    return provider.Provider(
        name=name,
        base_url=ELSEWHERE,
        authorise=lambda call, _secret: call,
        classify=lambda _answer: outcome.OK,
        limits=(
            limit.Limit(scope.CREDENTIAL, PLENTY, 60),
            limit.Limit(scope.CREDENTIAL, PLENTY, 86_400),
            limit.Limit(scope.APP, PLENTY, 3_600),
            limit.Limit(scope.FUNCTION, PLENTY, 60, frozenset({"profile"})),
            limit.Limit(scope.TARGET, PLENTY, 60),
            limit.Limit(scope.PROVIDER, per_second, 1 if per_second == PLENTY else 3_600),
        ),
    )


OPEN = declared("bench", PLENTY)
FULL = declared("benchfull", 1)


def work(kind: str, configured: settings.Settings) -> Callable[[int], object]:
    """One unit of a kind of work, in this process."""
    client = redis_client.connect(configured)
    leases = pool.Pool(engine.create(configured), client, vault.Vault(configured.secret_keys))
    no_op = client.register_script("return 1")
    keys = [f"stirbeat:bench:{number}" for number in range(6)]
    # As a lease of 5 candidates with 3 windows of their own and 3 that they share.
    no_op_keys = [f"stirbeat:bench:{number}:{'k' * 50}".encode() for number in range(1 + 3 + 15)]
    no_op_arguments = [b"x" * 40] * (4 + 5)

    def refused(_number: int) -> None:
        with contextlib.suppress(errors.NoCredential):
            leases.lease(FULL, "profile", "natgeo")

    def pipeline(_number: int) -> None:
        with client.pipeline(transaction=False) as commands:
            for key in keys:
                commands.incr(key)
                commands.expire(key, 60)
            commands.execute()

    return {
        "lease": lambda number: leases.lease(OPEN, "profile", f"handle{number % 1000}"),
        "refused": refused,
        "no-op": lambda _number: no_op(keys=no_op_keys, args=no_op_arguments),
        "incr": lambda _number: client.incr(keys[0]),
        "incr x6": pipeline,
    }[kind]


def child(threads: int, seconds: float, gate: Any, answers: Any) -> None:
    """Do every kind of work in turn, ROUNDS times; answer with kind, calls, seconds and CPU seconds of each turn."""
    ones = {kind: work(kind, settings.get()) for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, one in ones.items():
            one(0)
            gate.wait()
            answers.put((kind, *turn(one, threads, seconds / ROUNDS)))


def turn(one: Callable[[int], object], threads: int, seconds: float) -> tuple[int, float, float]:
    """One kind of work on all threads: calls, seconds, CPU seconds."""
    counts = [0] * threads

    def run(index: int) -> None:
        number = 0
        while time.perf_counter() < begun + seconds:
            one(number * threads + index)
            number += 1
        counts[index] = number

    running = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    begun, used = time.perf_counter(), time.process_time()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts), time.perf_counter() - begun, time.process_time() - used


def measure(processes: int, threads: int, seconds: float) -> dict[str, dict[str, float]]:
    """For each kind: calls a second of all processes together (the median round and the best), and CPU of the client.

    The kinds take turns in short rounds, so that whatever else the machine does falls on all of them alike.
    """
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(processes), context.Queue()
    running = [context.Process(target=child, args=(threads, seconds, gate, answers)) for _ in range(processes)]
    for process in running:
        process.start()
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    totals: dict[str, list[float]] = {kind: [0, 0.0] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            told = [answers.get(timeout=seconds + 60) for _ in running]
            assert {one[0] for one in told} == {kind}
            rates[kind].append(sum(calls / lasted for _kind, calls, lasted, _cpu in told))
            totals[kind][0] += sum(calls for _kind, calls, _lasted, _cpu in told)
            totals[kind][1] += sum(cpu for *_rest, cpu in told)
    for process in running:
        process.join()
    return {
        kind: {
            "calls_s": statistics.median(rates[kind]),
            "best_calls_s": max(rates[kind]),
            "cpu_ms": 1000 * totals[kind][1] / max(totals[kind][0], 1),
        }
        for kind in KINDS
    }


@contextlib.contextmanager
def services() -> Iterator[None]:
    """Redis and Postgres for this run: the environment's, or ones of our own."""
    if "STIRBEAT_REDIS_URL" in os.environ and "STIRBEAT_DATABASE_URL" in os.environ:
        yield
        return
    unused = {
        "STIRBEAT_BROKER_URL": "amqp://nobody@127.0.0.1:1/none",
        "STIRBEAT_CLICKHOUSE_URL": "clickhouse://nobody@127.0.0.1:1/none",
        "STIRBEAT_S3_ENDPOINT_URL": ELSEWHERE,
        "STIRBEAT_S3_ACCESS_KEY_ID": "none",
        "STIRBEAT_S3_SECRET_ACCESS_KEY": "none",
        "STIRBEAT_SIMULATOR_URL": ELSEWHERE,
    }
    with tempfile.TemporaryDirectory() as folder, stack.Stack(Path(folder) / "stack", unused, durable=False) as started:
        os.environ.update(started.environment)
        yield


def prepare(configured: settings.Settings) -> None:
    """Five credentials for each provider, empty windows, and the full one filled."""
    database = engine.create(configured)
    migrate.upgrade(database)
    client = redis_client.connect(configured)
    for key in client.scan_iter("stirbeat:limit:{bench*", count=1000):
        client.delete(key)
    leases = pool.Pool(database, client, vault.Vault(configured.secret_keys))
    for one in (OPEN, FULL):
        for number in range(5):
            leases.add(one, f"c{number}", {"key": "none"}, app="bench", weight=1 + number, replace=True)
    leases.lease(FULL, "profile", "natgeo")
    with database.connect() as connection:
        assert connection.execute(sa.text("select count(*) from credential where provider = 'bench'")).scalar_one() == 5


def main() -> None:
    """Measure every kind and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each kind of work")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with services():
        prepare(settings.get())
        found = measure(options.processes, options.threads, options.seconds)
    out = sys.stdout
    out.write(f"{options.processes} processes x {options.threads} threads; {os.cpu_count()} cores, Redis on them too\n")
    out.write(f"{'':10}{'calls/s':>10}{'best':>8}{'client CPU ms':>15}{'of no-op':>10}{'of incr x6':>12}\n")
    for kind, figures in found.items():
        shares = [figures["calls_s"] / found[other]["calls_s"] for other in ("no-op", "incr x6")]
        out.write(
            f"{kind:10}{figures['calls_s']:10.0f}{figures['best_calls_s']:8.0f}{figures['cpu_ms']:15.3f}{shares[0]:10.2f}{shares[1]:12.2f}\n"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
