"""The beat as processes, on real Redis and RabbitMQ: one sends, a dead one is replaced, no tick is lost or doubled.

Cron has no seconds, so tests do not wait for ticks: they set a row's past in Redis back to before its last tick.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import json
import os
import signal
import sys
import time
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from celery.beat import SchedulingError
from redbeat import schedulers

from stirbeat import errors, settings
from stirbeat.local import process
from stirbeat.schedule import cron, entry, scheduler, timetable

UTC = datetime.UTC
YEARLY = {"name": "yearly", "cron": "0 0 1 1 *", "task": "tests.yearly", "catch_up": "once"}
SCHEDULER = "stirbeat.schedule.scheduler:Scheduler"
LOCK_TIMEOUT_S = 3
LOOP_S = 0.3

APP = """
import json, pathlib
import celery, kombu
from celery.schedules import schedule
from stirbeat.schedule import row, timetable

given = json.loads(pathlib.Path(__file__).with_name("given.json").read_text())
app = celery.Celery("beat_test", set_as_current=False)
app.conf.update(given["conf"])
app.conf.task_queues = [kombu.Queue(given["conf"]["task_default_queue"], durable=True)]
app.conf.beat_schedule = timetable.to_celery(row.Row(**one) for one in given["rows"]) | {
    name: {"task": "tests." + name, "schedule": schedule(seconds)} for name, seconds in given["intervals"].items()
}
"""


class Bench:
    """A Celery app of the test's own, its beats, and what they sent."""

    def __init__(self, folder: Path, environment: dict[str, str], redis_url: str) -> None:
        self.folder = folder
        self.name = f"beat_{uuid.uuid4().hex[:8]}"
        self.client = redis.Redis.from_url(redis_url, decode_responses=True)
        self.environment = environment
        self.beats: list[process.Process] = []
        self.conf: dict[str, Any] = {
            "broker_url": environment["STIRBEAT_BROKER_URL"],
            "broker_transport_options": {"confirm_publish": True},
            "task_default_queue": self.name,
            "task_ignore_result": True,
            "beat_max_loop_interval": LOOP_S,
            "redbeat_redis_url": redis_url,
            "redbeat_redis_options": {},
            "redbeat_key_prefix": f"{self.name}:",
            "redbeat_lock_timeout": LOCK_TIMEOUT_S,
        }

    def app(self, *rows: dict[str, Any], intervals: dict[str, float] | None = None, **conf: Any) -> Any:
        """Write the app for beats that start from now on, and build it here as well."""
        given = {"conf": self.conf | conf, "rows": rows, "intervals": intervals or {}}
        (self.folder / "given.json").write_text(json.dumps(given))
        source = self.folder / "beat_app.py"
        source.write_text(APP)
        spec = importlib.util.spec_from_file_location("beat_app", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        schedulers.ensure_conf(module.app)
        return module.app

    def beat(self, *arguments: str, **more: str) -> process.Process:
        """Start a beat process: of the test's app, or `python arguments...`."""
        number = len(self.beats) + 1
        root = Path(__file__).resolve().parents[2]
        ours = ("-m", "celery", "-A", "beat_app", "beat", "--loglevel=INFO", f"--scheduler={SCHEDULER}")
        argv = [sys.executable, *(arguments or ours)]
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{self.folder}:{root}",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.folder),
            **self.environment,
            **more,
        }
        started = process.Process(
            f"beat {number}", argv, environ, self.folder / f"beat{number}.log", cwd=self.folder, stop_timeout_s=10
        )
        started.start()
        self.beats.append(started)
        return started

    def set_last_run(self, app: Any, name: str, last_run_at: datetime.datetime) -> None:
        """Write a row's past, as if a beat had run it then."""
        fields = app.conf.beat_schedule[name]
        made = entry.Entry(name=name, app=app, last_run_at=last_run_at, **fields)
        key = made.key
        self.client.hset(key, "meta", made.meta)
        if not self.client.hexists(key, "definition"):
            made.save()
        self.client.zadd(app.redbeat_conf.schedule_key, {key: made.score})

    def last_run(self, name: str) -> datetime.datetime:
        meta = entry.Entry.decode_meta(self.client.hget(f"{self.name}:{name}", "meta"))
        last: datetime.datetime = meta["last_run_at"]
        return last

    def sent(self) -> list[kombu.Message]:
        """What has arrived since the last call."""
        found: list[kombu.Message] = []
        with kombu.Connection(self.conf["broker_url"]) as connection:
            queue = kombu.Queue(self.name, kombu.Exchange(self.name), durable=True)(connection.default_channel)
            queue.declare()
            while (message := queue.get(no_ack=True)) is not None:
                found.append(message)
        return found

    def wait(self, said: str, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        """What the condition returns once it is true. Fails with the beats' last words."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.05)
        logs = "\n".join(f"{beat.name}: {beat.log_tail()}" for beat in self.beats)
        return pytest.fail(f"{said}: not within {timeout_s:.0f} s\n{logs}")

    def close(self) -> None:
        for beat in self.beats:
            beat.send_signal(signal.SIGCONT)
            beat.stop()
        with (
            kombu.Connection(self.conf["broker_url"]) as connection,
            contextlib.closing(connection.channel()) as channel,
        ):
            channel.queue_delete(self.name)
            channel.exchange_delete(self.name)
        for key in self.client.scan_iter(f"{self.name}:*"):
            self.client.delete(key)
        self.client.close()


def names(messages: list[kombu.Message]) -> list[str]:
    return [message.headers["stirbeat_row"] for message in messages]


def years_ago(years: int) -> datetime.datetime:
    return datetime.datetime.now(UTC) - datetime.timedelta(days=366 * years)


@pytest.fixture
def bench(
    tmp_path: Path, stack_environment: dict[str, str], redis_url: str, redis_client: redis.Redis
) -> Iterator[Bench]:
    made = Bench(tmp_path, stack_environment | {"STIRBEAT_REDIS_URL": redis_url}, redis_url)
    yield made
    made.close()


@pytest.fixture
def leader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], scheduler.Scheduler]]:
    """Makes a scheduler in this process that holds the lock."""
    made: list[scheduler.Scheduler] = []

    def make(app: Any) -> scheduler.Scheduler:
        built = scheduler.Scheduler(app)
        schedulers.acquire_distributed_beat_lock(sender=types.SimpleNamespace(scheduler=built))
        made.append(built)
        return built

    yield make
    for built in made:
        built.close()


def test_a_missed_tick_is_sent_once_and_a_paused_row_not_at_all(bench: Bench) -> None:
    # given two rows whose last tick was missed, one of which is in its pause window now
    now = datetime.datetime.now(UTC)
    window = f"{now - datetime.timedelta(hours=1):%H:%M}-{now + datetime.timedelta(hours=1):%H:%M}"
    app = bench.app(
        YEARLY, {**YEARLY, "name": "paused", "pausable": True}, {**YEARLY, "name": "skips", "catch_up": "skip"}
    )
    for name in ("yearly", "paused", "skips"):
        bench.set_last_run(app, name, years_ago(3))
    # when a beat starts
    bench.beat(STIRBEAT_PAUSE_WINDOWS=window)
    got = bench.wait("a message", bench.sent)
    time.sleep(4 * LOOP_S)
    # then the other one is sent once, for its latest tick only, under the tick's own id
    got += bench.sent()
    assert names(got) == ["yearly"]
    tick = cron.latest(cron.parse(YEARLY["cron"]), now)
    assert got[0].headers["id"] == str(entry.tick_id("yearly", tick))
    assert got[0].headers["stirbeat_tick"] == tick.isoformat()
    assert bench.last_run("yearly") >= now
    assert bench.last_run("paused") < now


def test_a_new_row_waits_for_its_first_tick(bench: Bench) -> None:
    bench.app(YEARLY)
    bench.beat()
    bench.wait("the row in Redis", lambda: bench.client.exists(f"{bench.name}:yearly"))
    time.sleep(4 * LOOP_S)
    assert bench.sent() == []


def test_of_two_beats_one_sends_and_after_its_death_the_other(bench: Bench) -> None:
    # given two beats and a row a second
    app = bench.app(YEARLY, intervals={"second": 1.0})
    first = bench.beat()
    bench.wait("the first beat's lock", lambda: bench.client.exists(app.redbeat_conf.lock_key))
    second = bench.beat()
    bench.wait("the first beat's messages", bench.sent)
    # when they run together
    began = time.monotonic()
    time.sleep(4)
    together = names(bench.sent())
    # then one beat's worth is sent
    assert 2 <= together.count("second") <= (time.monotonic() - began) + 1
    assert "Sending due task" not in second.log.read_text()
    # when the first is killed, and a tick falls due while there is no beat
    first.kill()
    died = time.monotonic()
    before = bench.sent()
    bench.set_last_run(app, "yearly", years_ago(3))
    after = bench.wait("the second beat's messages", bench.sent, timeout_s=LOCK_TIMEOUT_S + 10)
    took_s = time.monotonic() - died
    # then the second takes over when the lock runs out, and sends the tick once
    time.sleep(2)
    after += bench.sent()
    assert took_s < LOCK_TIMEOUT_S + 5
    assert names(after).count("yearly") == 1
    assert names(before).count("yearly") == 0
    assert "Sending due task" in second.log.read_text()


def test_a_beat_that_was_frozen_past_its_lock_sends_nothing_more_and_ends(bench: Bench) -> None:
    # given a beat that stops in its tracks while it has the lock
    app = bench.app(YEARLY)
    frozen = bench.beat()
    bench.wait("the row in Redis", lambda: bench.client.exists(f"{bench.name}:yearly"))
    standby = bench.beat()
    frozen.send_signal(signal.SIGSTOP)
    # when the standby has taken over, a tick is due, and the first beat wakes up
    bench.wait("the take-over", lambda: "Acquired lock" in standby.log.read_text())
    bench.set_last_run(app, "yearly", years_ago(3))
    frozen.send_signal(signal.SIGCONT)
    # then the first ends with an error, for its supervisor to start again, and the tick is sent once
    assert bench.wait("the end of the first beat", lambda: frozen.poll() is not None)
    assert frozen.poll() != 0
    time.sleep(4 * LOOP_S)
    assert names(bench.sent()) == ["yearly"]
    assert standby.poll() is None


def test_a_standby_changes_nothing_before_it_takes_over(bench: Bench) -> None:
    # given a beat of the new release, with a row the old one does not have
    app = bench.app(YEARLY, {**YEARLY, "name": "brand_new"})
    new = bench.beat()
    bench.wait("the new row", lambda: bench.client.exists(f"{bench.name}:brand_new"))
    # when a beat of the old release starts as standby
    bench.app(YEARLY)
    old = bench.beat()
    bench.wait("its start", lambda: "beat: Starting" in old.log.read_text())
    time.sleep(2)
    # then the new timetable stands
    assert bench.client.exists(f"{bench.name}:brand_new")
    assert bench.client.smembers(app.redbeat_conf.statics_key) == {"yearly", "brand_new"}
    # when the new beat stops, which frees the lock at once
    new.stop()
    bench.wait(
        "the old timetable", lambda: not bench.client.exists(f"{bench.name}:brand_new"), timeout_s=LOCK_TIMEOUT_S
    )
    # then no trace of the row that left is kept
    assert bench.client.zrange(app.redbeat_conf.schedule_key, 0, -1) == [f"{bench.name}:yearly"]


def test_the_traits_come_back_from_redis_and_stay_out_of_the_message(bench: Bench, leader) -> None:
    traits = {"pausable": False, "catch_up": "skip", "budget_s": 77}
    app = bench.app({**YEARLY, **traits, "kwargs": {"selector": "core"}})
    bench.set_last_run(app, "yearly", years_ago(3))
    beat = leader(app)
    beat.tick()
    known = entry.Entry.stored("yearly", app)
    assert known is not None
    assert (known.pausable, known.catch_up, known.budget_s) == (False, "skip", 77)
    assert known.schedule == cron.parse(YEARLY["cron"])
    beat.apply_async(known, producer=beat.producer)
    (message,) = bench.sent()
    assert message.payload[1] == {"selector": "core"}
    assert not {"pausable", "catch_up", "budget_s"} & (message.headers.keys() | message.properties.keys())
    # and the next generation of the entry, which Celery copies attribute by attribute, has them too
    again = entry.Entry.stored("yearly", app)
    assert again is not None
    assert (again.catch_up, again.budget_s, again.total_run_count) == ("skip", 77, 1)
    assert again.options == {}


def test_a_tick_that_rabbitmq_did_not_take_is_sent_when_it_is_back(bench: Bench, leader) -> None:
    # given a beat that cannot reach its broker (nothing listens on that port)
    away = bench.app(YEARLY, broker_url="amqp://guest:guest@127.0.0.1:1//", task_publish_retry=False)
    bench.set_last_run(away, "yearly", years_ago(3))
    beat = leader(away)
    beat.install()
    before = bench.last_run("yearly")
    missed = entry.Entry.stored("yearly", away)
    # when it tries to send
    with pytest.raises(SchedulingError):
        beat.apply_async(missed)
    # then the tick is not noted as done, and a beat that reaches the broker sends it
    assert bench.last_run("yearly") == before
    beat.close()
    leader(bench.app(YEARLY)).tick()
    assert names(bench.sent()) == ["yearly"]
    assert bench.last_run("yearly") > before


def test_a_beat_whose_lock_is_gone_neither_sends_nor_notes(bench: Bench, leader) -> None:
    app = bench.app(YEARLY)
    bench.set_last_run(app, "yearly", years_ago(3))
    beat = leader(app)
    beat.install()
    bench.client.set(app.redbeat_conf.lock_key, "another beat")
    before = bench.last_run("yearly")
    known = entry.Entry.stored("yearly", app)
    assert known is not None
    with pytest.raises(errors.LeaseLost):
        beat.apply_async(known, producer=beat.producer)
    with pytest.raises(errors.LeaseLost):
        beat._note(known.advanced(datetime.datetime.now(UTC)))
    assert bench.sent() == []
    assert bench.last_run("yearly") == before


@pytest.mark.parametrize(
    ("field", "garbage"),
    [
        ("definition", "{not json"),
        ("definition", '{"name": "yearly", "from_the_future": 1}'),
        ("meta", "[]"),
        ("meta", '{"last_run_at": {"__type__": "datetime", "year": "x"}}'),
    ],
)
def test_what_redis_holds_of_a_row_may_be_garbage(bench: Bench, leader, field: str, garbage: str) -> None:
    app = bench.app(YEARLY)
    bench.set_last_run(app, "yearly", years_ago(3))
    bench.client.hset(f"{bench.name}:yearly", field, garbage)
    leader(app).tick()
    healed = entry.Entry.stored("yearly", app)
    assert healed is not None
    assert healed.task == "tests.yearly"
    assert healed.last_run_at is not None
    assert bench.sent() == []


def test_a_disabled_row_stays_disabled_and_a_changed_one_keeps_its_past(bench: Bench, leader) -> None:
    app = bench.app(YEARLY, {**YEARLY, "name": "off"})
    ran = datetime.datetime.now(UTC) - datetime.timedelta(hours=5)
    bench.set_last_run(app, "yearly", ran)
    beat = leader(app)
    beat.install()
    off = entry.Entry.stored("off", app)
    assert off is not None
    off.enabled = False
    off.save()
    beat.close()
    changed = bench.app({**YEARLY, "cron": "0 0 2 2 *"}, {**YEARLY, "name": "off"})
    leader(changed).install()
    yearly, off = entry.Entry.stored("yearly", changed), entry.Entry.stored("off", changed)
    assert yearly is not None
    assert off is not None
    assert yearly.last_run_at == ran
    assert yearly.schedule == cron.parse("0 0 2 2 *")
    assert not off.enabled


def test_a_pausable_row_asks_the_settings_for_its_windows(
    bench: Bench, leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.datetime.now(UTC)
    app = bench.app({**YEARLY, "pausable": True})
    bench.set_last_run(app, "yearly", years_ago(3))
    leader(app).install()
    known = entry.Entry.stored("yearly", app)
    assert known is not None
    for shift_h, due in ((-1, False), (2, True)):
        begin = now + datetime.timedelta(hours=shift_h)
        window = f"{begin:%H:%M}-{begin + datetime.timedelta(hours=2):%H:%M}"
        configured = settings.from_environment(bench.environment | {"STIRBEAT_PAUSE_WINDOWS": window})
        monkeypatch.setattr(settings, "get", lambda configured=configured: configured)
        assert known.is_due()[0] is due


def test_beats_without_a_lock_are_refused(bench: Bench) -> None:
    app = bench.app(YEARLY, redbeat_lock_key=None)
    with pytest.raises(errors.SettingsError, match="redbeat_lock_key"):
        scheduler.Scheduler(app)


def test_our_own_beat_installs_our_own_timetable_and_stops_when_asked(bench: Bench) -> None:
    # given the command that production runs
    rows = {one.name: one for one in timetable.rows()}
    beat = bench.beat("-c", "from stirbeat.cli import main; main.main()", "beat")
    # when it has the lock
    bench.wait("every row", lambda: bench.client.scard("stirbeat:beat::statics") == len(rows))
    bench.wait("the last row", lambda: bench.client.zcard("stirbeat:beat::schedule") == len(rows))
    # then Redis holds every row with its traits, and none of them but the janitor is about to fire
    for name, one in rows.items():
        held = entry.Entry.decode_definition(bench.client.hget(f"stirbeat:beat:{name}", "definition"))
        assert held["schedule"] == one.schedule
        kept = {field: held[field] for field in ("task", "kwargs", "pausable", "catch_up", "budget_s")}
        assert kept == {
            "task": one.task,
            "kwargs": dict(one.kwargs),
            "pausable": one.pausable,
            "catch_up": one.catch_up,
            "budget_s": one.budget_s,
        }
    # when it is asked to stop
    beat.send_signal(signal.SIGTERM)
    bench.wait("its end", lambda: beat.poll() is not None)
    # then it ends in peace and a standby need not wait for its lock to run out
    assert beat.poll() == 0
    assert not bench.client.exists("stirbeat:beat::lock")
    assert "Traceback" not in beat.log.read_text()
    assert "Warning" not in beat.log.read_text()
