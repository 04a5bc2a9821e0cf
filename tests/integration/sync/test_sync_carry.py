"""What belongs to the target stays with its name through a swap, or the swap is refused naming what would be lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from stirbeat import errors
from stirbeat.sync import context, job, restore, run, suitable, swap

Ask = Callable[[str], list[tuple[Any, ...]]]
ROLE = "pg_monitor"  # there in every cluster; making one needs more rights than the tests have


@pytest.fixture
def swapped(surroundings: context.Context, small: job.Job, fill: Callable[..., None]) -> job.Job:
    """The job, with a first generation of ten rows in front of readers."""
    fill(10)
    run.run(small, surroundings)
    return small


def test_views_grants_comments_and_options_are_carried(
    swapped: job.Job, surroundings: context.Context, fill: Callable[..., None], ask: Ask
) -> None:
    # given nested views, one behind a security barrier, with grants of their own
    ask(
        "create view over_six with (security_barrier=true, check_option=local) as"
        ' select k, n as "N %" from small where n > 6'
    )
    ask('create view nested as select "N %" + 1 as m from over_six')
    ask("create view joined as select a.k from small a join over_six b using (k)")
    ask(f"grant select on over_six, nested to {ROLE}")
    ask(f"grant select on small to {ROLE} with grant option")
    ask(f"grant update (note) on small to {ROLE}")
    ask("alter default privileges grant delete on tables to public")
    ask("comment on table small is 'it''s 100% %s'")
    ask("comment on column small.n is 'a number'")
    ask("alter table small set (fillfactor = 80)")
    acl = (
        "select relname, relacl::text, reloptions::text from pg_class where relname in ('small', 'over_six', 'nested')"
    )
    before = sorted(ask(acl))
    views = ask("select viewname, definition from pg_views where schemaname = 'public' order by 1")

    # when
    fill(10, first=5)
    run.run(swapped, surroundings)

    # then
    assert sorted(ask(acl)) == before
    assert ask("select viewname, definition from pg_views where schemaname = 'public' order by 1") == views
    assert ask("select max(m), count(*) from nested") == [(15, 8)]
    assert ask("select count(*) from joined") == [(8,)]
    assert ask("select obj_description('small'::regclass), col_description('small'::regclass, 2)") == [
        ("it's 100% %s", "a number")
    ]
    assert ask("select col_description('small'::regclass, 3)") == [("free text",)]
    assert ask(f"select has_column_privilege('{ROLE}', 'small', 'note', 'update')") == [(True,)]
    assert ask("select has_table_privilege('public', 'small', 'delete')") == [(False,)]

    # and all the way back
    restore.restore(surroundings, swapped)
    assert sorted(ask(acl)) == before
    assert ask("select max(m) from nested") == [(10,)]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("create table child (k text references small)", "constraint child_k_fkey on table child depends on it"),
        ("create materialized view frozen as select n from small", "materialized view frozen depends on it"),
        ("create function total() returns bigint language sql begin atomic select sum(n) from small; end", "total"),
        ("create table rows_of (r small)", "column r of table rows_of depends on it"),
        ("alter table small add constraint positive check (n >= 0)", "check constraint positive"),
        ("alter table small enable row level security", "row level security"),
        ("create publication p for table small", "publication p"),
        ("alter table small replica identity full", "replica identity"),
        ("alter table small alter note set default 'x'", "column note has a default"),
        ("create index by_hand on small (note)", "index by_hand is not declared"),
        ("create statistics s on k, n from small", "extended statistics"),
        ("alter table small add mine text", "column mine is not in the job"),
        (
            "create function f() returns trigger language plpgsql as 'begin return new; end';"
            "create trigger t before insert on small for each row execute function f()",
            "trigger t",
        ),
    ],
    ids=lambda value: value.split(" ")[1] if " " in value and value.startswith(("create", "alter")) else "",
)
def test_what_cannot_be_carried_is_named_by_check_and_refused_by_run(
    made: str, says: str, swapped: job.Job, surroundings: context.Context, fill: Callable[..., None], ask: Ask
) -> None:
    # given
    assert suitable.check(surroundings, swapped) == []
    ask(made)

    # when
    problems = suitable.check(surroundings, swapped)
    fill(11)
    with pytest.raises(errors.Fatal, match="nothing was changed"):
        run.run(swapped, surroundings)

    # then
    assert [problem for problem in problems if says in problem]
    assert ask("select count(*) from small") == [(10,)]


def test_an_index_that_the_job_no_longer_declares_goes_with_the_next_swap(
    swapped: job.Job, surroundings: context.Context, ask: Ask
) -> None:
    run.run(dataclasses.replace(swapped, indexes=()), surroundings)
    assert ask("select indexname from pg_indexes where tablename = 'small'") == [("small_pkey",)]


def test_names_of_63_bytes_stay_apart_and_come_back(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given two targets whose first 62 bytes are the same, and an index name to match
    fill(3)
    long = [dataclasses.replace(small, target="é" * 31 + last, name=f"long_{last}") for last in "ab"]

    # when each is swapped twice, and the first restored
    for _ in range(2):
        for wanted in long:
            run.run(wanted, surroundings)
    live = (
        "select tablename, indexname from pg_indexes where tablename ilike 'ééé%' and tablename !~ '__' order by 1, 2"
    )
    indexes = ask(live)
    restore.restore(surroundings, long[0])

    # then
    tables = ask("select relname from pg_class where relname like 'ééé%' and relkind = 'r'")
    assert len(tables) == 4
    assert {("é" * 31 + "a",), ("é" * 31 + "b",)} < set(tables)
    assert ask(live) == indexes
    assert len(set(indexes)) == 4


def test_a_table_that_was_there_before_becomes_generation_zero(
    surroundings: context.Context, small: job.Job, fill: Callable[..., None], ask: Ask
) -> None:
    # given a table of the application's own, with other indexes' names
    ask("create table small (n bigint, k text constraint my_key primary key, note text)")
    ask("insert into small select g, 'old' || g from generate_series(1, 40) g")

    # when there are too few new rows, then enough
    fill(19)
    with pytest.raises(errors.GuardRefused, match="19 rows after 40"):
        run.run(small, surroundings)
    fill(20)
    run.run(small, surroundings)

    # then it can come back
    assert ask("select count(*) from small") == [(20,)]
    assert restore.restore(surroundings, small, 0) == 0
    assert ask("select min(k), count(*) from small") == [("old1", 40)]
    assert ask("select indexname from pg_indexes where tablename = 'small'") == [("my_key",)]


def test_a_reader_that_never_lets_go_costs_the_swap_its_budget_and_nothing_else(
    swapped: job.Job,
    surroundings: context.Context,
    fill: Callable[..., None],
    ask: Ask,
    database: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a transaction that has read the table and stays open
    fill(11)
    monkeypatch.setattr(swap.swap, "__kwdefaults__", {**(swap.swap.__kwdefaults__ or {}), "budget_s": 1.0})
    with database.connect() as holder:
        holder.exec_driver_sql("select count(*) from small")

        # when
        with pytest.raises(errors.RetryLater, match="never free within 1 s"):
            run.run(swapped, surroundings)

        # then
        assert ask("select count(*) from small") == [(10,)]
    assert run.run(swapped, surroundings).rows == 11
