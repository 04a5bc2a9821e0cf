"""The ledger on real Postgres: who may work, what is written together, what a killed worker leaves behind."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from stirbeat import errors
from stirbeat.domain import records, requests
from stirbeat.store import effects, ledger
from stirbeat.store.models.ledger import Status

HOUR = 3600


def asked(turn: int = 0, *, redelivered: bool = False, request_id: uuid.UUID | None = None) -> requests.Request:
    return requests.Request(
        id=request_id or uuid.uuid4(),
        flow="instagram.refresh_profile",
        platform="instagram",
        target="natgeo",
        arguments={"handle": "natgeo"},
        turn=turn,
        redelivered=redelivered,
    )


def take(database: sa.Engine, request: requests.Request, lease_s: int = 60) -> requests.Claim | None:
    return ledger.claim(database, request, expires_after_s=HOUR, lease_s=lease_s, worker="w")


def taken(database: sa.Engine, request: requests.Request, lease_s: int = 60) -> requests.Claim:
    claim = take(database, request, lease_s)
    assert claim is not None
    return claim


def told(at: datetime.datetime | None = None, **metrics: int | None) -> effects.Told:
    profile = records.Profile(
        "instagram", "natgeo", id="787132", handle="natgeo", dimensions={"full_name": "N G"}, metrics=metrics
    )
    post = records.Post("instagram", "DWllQsJCPX_", profile_key="natgeo", metrics={"likes": 7})
    return effects.Told("lama", at or datetime.datetime.now(datetime.UTC), (profile, post))


def row(database: sa.Engine, request_id: uuid.UUID) -> sa.RowMapping:
    with database.connect() as connection:
        return (
            connection.execute(sa.text("select * from scrape_request_log where id = :id"), {"id": request_id})
            .mappings()
            .one()
        )


def metrics(database: sa.Engine) -> dict[str, int]:
    with database.connect() as connection:
        return dict(connection.execute(sa.text("select metrics from profile")).scalar_one())


def test_a_submitted_request_is_claimed_by_its_message_and_ends_complete(
    database: sa.Engine, count: Callable[[str], int]
) -> None:
    request = asked()
    ledger.submit(database, [request], expires_after_s=HOUR)
    assert row(database, request.id)["status"] == "PENDING"

    claim = taken(database, request)
    hop = requests.Hop("lama", "user_by_username", "ok", credential="a", ms=12)
    ledger.finish(database, claim, [hop], status=Status.COMPLETE, told=told(followers=10))

    stored = row(database, request.id)
    assert stored["status"] == "COMPLETE"
    assert stored["attempts"] == 1
    assert [requests.Hop.from_json(one) for one in stored["hops"]] == [hop]
    assert (count("profile"), count("post"), count("profile_log"), count("post_log")) == (1, 1, 1, 1)
    with database.connect() as connection:
        names = connection.execute(sa.text("select name from outbox order by id")).scalars().all()
        same = connection.execute(sa.text("select count(*) from outbox o join profile_log l on l.id = o.event_id"))
        assert same.scalar_one() == 1
    assert names == ["profile_log", "post_log", "scrape_log"]


def test_a_bare_message_of_a_foreign_producer_writes_its_row_when_it_is_picked_up(database: sa.Engine) -> None:
    request = asked()

    claim = taken(database, request)

    assert row(database, request.id)["status"] == "PROCESSING"
    assert 0 < claim.seconds_left <= HOUR


def test_only_one_of_many_executions_gets_the_claim(database: sa.Engine) -> None:
    request = asked()
    won: list[requests.Claim] = []
    barrier = threading.Barrier(8)

    def contend() -> None:
        barrier.wait()
        claim = take(database, request)
        if claim is not None:
            won.append(claim)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1


def test_a_second_copy_of_the_message_is_dropped_while_the_first_is_worked_on_and_after_it(database: sa.Engine) -> None:
    request = asked()
    claim = taken(database, request)

    assert take(database, request) is None
    ledger.finish(database, claim, [], status=Status.FAILED, error_kind="not_found", reason="gone")
    assert take(database, request) is None
    assert take(database, asked(request_id=request.id, redelivered=True)) is None


def test_a_redelivered_message_takes_the_work_over_and_the_old_execution_can_store_nothing(
    database: sa.Engine, count: Callable[[str], int]
) -> None:
    request = asked()
    old = taken(database, request)

    new = taken(database, asked(request_id=request.id, redelivered=True))

    with pytest.raises(errors.LeaseLost):
        ledger.finish(database, old, [], status=Status.COMPLETE, told=told(followers=1))
    with pytest.raises(errors.LeaseLost):
        ledger.defer(database, old, [], wait_s=1)
    assert count("profile") == 0
    assert count("outbox") == 0
    ledger.finish(database, new, [], status=Status.COMPLETE, told=told(followers=2))
    assert metrics(database) == {"followers": 2}


def test_an_execution_whose_lease_is_over_is_replaced(database: sa.Engine) -> None:
    request = asked()
    taken(database, request, lease_s=0)

    assert take(database, request) is not None


def test_after_a_hop_only_the_next_message_is_taken(database: sa.Engine) -> None:
    request = asked()
    turn = ledger.defer(database, taken(database, request), [requests.Hop("graphapi", "f", "upstream")], wait_s=0)

    assert turn == 1
    assert take(database, request) is None
    claim = taken(database, asked(turn, request_id=request.id))
    assert [hop.provider for hop in claim.hops] == ["graphapi"]


def test_facts_that_a_hop_paid_for_come_with_the_next_claim(database: sa.Engine) -> None:
    request = asked()
    turn = ledger.defer(database, taken(database, request), [], wait_s=0, learned={"pk": "787132"})

    claim = taken(database, asked(turn, request_id=request.id))

    assert claim.known == {"pk": "787132"}


def test_a_consumer_killed_between_the_ledger_and_the_next_message_loses_nothing_and_doubles_nothing(
    database: sa.Engine,
) -> None:
    request = asked()
    ledger.defer(database, taken(database, request), [], wait_s=0)

    # given: the next message may or may not have been sent; the old one is delivered again
    claim = taken(database, asked(0, request_id=request.id, redelivered=True))

    # then: it goes on, and the other message, if there is one, is stale, now and later
    assert take(database, asked(1, request_id=request.id)) is None
    turn = ledger.defer(database, claim, [], wait_s=0)
    assert turn == 3
    assert take(database, asked(1, request_id=request.id)) is None
    assert take(database, asked(turn, request_id=request.id)) is not None


def test_unknown_never_overwrites_known_and_an_older_answer_only_fills_gaps(database: sa.Engine) -> None:
    now = datetime.datetime.now(datetime.UTC)
    earlier = now - datetime.timedelta(minutes=5)
    for at, values in (
        (now, {"followers": 100, "following": None}),
        (now + datetime.timedelta(seconds=1), {"followers": None, "posts_count": 5}),
        (earlier, {"followers": 1, "following": 9}),
    ):
        claim = taken(database, asked())
        ledger.finish(database, claim, [], status=Status.COMPLETE, told=told(at, **values))

    assert metrics(database) == {"followers": 100, "posts_count": 5, "following": 9}


def test_a_record_told_twice_in_one_answer_is_stored_once(database: sa.Engine, count: Callable[[str], int]) -> None:
    claim = taken(database, asked())
    twice = effects.Told("lama", claim.now, (*told(followers=1).records, *told(followers=2).records))

    ledger.finish(database, claim, [], status=Status.COMPLETE, told=twice)

    assert metrics(database) == {"followers": 2}
    assert count("profile_log") == 1


def test_what_cannot_be_stored_as_a_whole_is_not_stored_at_all(
    database: sa.Engine, count: Callable[[str], int]
) -> None:
    request = asked()
    claim = taken(database, request)
    with database.begin() as connection:  # the log row of this very event is there already
        taken_id = uuid.uuid5(request.id, "profile/natgeo")
        connection.execute(
            sa.text(
                "insert into profile_log"
                " (id, request_id, platform, profile_key, source, observed_at, dimensions, metrics)"
                " values (:id, :id, 'x', 'x', 'x', now(), '{}', '{}')"
            ),
            {"id": taken_id},
        )

    with pytest.raises(sa.exc.IntegrityError):
        ledger.finish(database, claim, [], status=Status.COMPLETE, told=told(followers=1))

    assert count("profile") == 0
    assert count("outbox") == 0
    assert row(database, request.id)["status"] == "PROCESSING"


def test_the_stores_knowledge_of_the_target_comes_with_the_claim(database: sa.Engine) -> None:
    claim = taken(database, asked())
    ledger.finish(database, claim, [], status=Status.COMPLETE, told=told(followers=1))

    known = taken(database, asked()).known

    assert known["profile_id"] == "787132"
    assert known["full_name"] == "N G"


def test_a_refused_message_is_in_the_ledger_once_whatever_its_arguments_held(
    database: sa.Engine, count: Callable[[str], int]
) -> None:
    request_id = uuid.uuid4()
    for _ in range(2):
        ledger.refuse(
            database, request_id, flow="instagram.refresh_profile", arguments={"handle": "\x00" * 9000}, reason="no"
        )

    assert count("scrape_request_log") == 1
    stored = row(database, request_id)
    assert (stored["status"], stored["reason"]) == ("FAILED", "no")


def test_orphans_are_those_of_dead_workers_and_those_whose_message_is_long_due(database: sa.Engine) -> None:
    dead, alive, lost, waiting = asked(), asked(), asked(), asked()
    taken(database, dead, lease_s=0)
    taken(database, alive)
    ledger.submit(database, [lost, waiting], expires_after_s=HOUR)
    with database.begin() as connection:
        connection.execute(
            sa.text("update scrape_request_log set next_at = now() - interval '1 hour' where id = :id"),
            {"id": lost.id},
        )

    found = {orphan.id: orphan for orphan in ledger.orphans(database, lost_after_s=900, most=100)}

    assert set(found) == {dead.id, lost.id}
    assert found[dead.id].turn == 1, "the dead execution must not be able to go on"
    assert found[lost.id].turn == 0, "the message may still be in a deep queue"
    assert ledger.orphans(database, lost_after_s=900, most=100) == []


def test_an_orphan_is_ended_once_with_its_event(database: sa.Engine, count: Callable[[str], int]) -> None:
    request = asked()
    taken(database, request, lease_s=0)
    [orphan] = ledger.orphans(database, lost_after_s=900, most=100)

    first = ledger.end_orphan(database, orphan, status=Status.FAILED, error_kind="abandoned", reason="too many")
    second = ledger.end_orphan(database, orphan, status=Status.FAILED, error_kind="abandoned", reason="too many")

    assert (first, second) == (True, False)
    assert row(database, request.id)["error_kind"] == "abandoned"
    assert count("outbox where name = 'scrape_log'") == 1


def test_a_database_that_is_gone_is_said_to_be_gone() -> None:
    nowhere = sa.create_engine("postgresql+psycopg2://stirbeat:secret-word@127.0.0.1:1/x")

    with pytest.raises(errors.ServiceUnavailable, match="Postgres does not answer") as caught:
        take(nowhere, asked())

    assert caught.value.service == "postgres"
    assert "secret-word" not in str(caught.value)
