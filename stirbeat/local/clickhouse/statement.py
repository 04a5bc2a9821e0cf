"""What kind of statement a SQL text is, read from its tokens so that comments and quoted text never mislead.

Two statements are rewritten on the way: chDB gives every query an id of its own, so the id that a client chose
travels as the query's `log_comment`, and where a statement asks for `query_id` (KILL QUERY, a SELECT from
`system.processes`) it gets that instead.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

TAGGED_ID = "if(Settings['log_comment'] = '', query_id, Settings['log_comment'])"
"""The id the client chose, or chDB's own for a query that no client sent."""

TAGGED_PROCESSES = f"(SELECT * REPLACE ({TAGGED_ID} AS query_id) FROM system.processes)"  # noqa: S608  constants only

_TOKEN = re.compile(
    r"""
      (?P<skip> \s+ | --[^\n]* | \#[ !][^\n]* | /\*.*?\*/ )
    | (?P<text> '(?:[^'\\]|\\.|'')*' | (?P<heredoc>\$\w*\$).*?(?P=heredoc) )
    | (?P<name> `(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*" )
    | (?P<word> \w+ )
    | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)

_AFTER_TABLE = frozenset(
    (
        *(
            "AS",
            "FINAL",
            "SAMPLE",
            "PREWHERE",
            "WHERE",
            "GROUP",
            "HAVING",
            "WINDOW",
            "QUALIFY",
            "ORDER",
            "LIMIT",
            "OFFSET",
        ),
        *("JOIN", "LEFT", "RIGHT", "INNER", "FULL", "CROSS", "ANY", "ALL", "ASOF", "SEMI", "ANTI", "GLOBAL", "ARRAY"),
        *("PASTE", "ON", "USING", "UNION", "INTERSECT", "EXCEPT", "FETCH", "SETTINGS", "FORMAT"),
    )
)


class Kind(enum.Enum):
    SELECT = "select"
    """Streams rows."""
    READ = "read"
    """SHOW, EXISTS, DESCRIBE and the like: a few rows."""
    INSERT_BLOCKS = "insert"
    """INSERT whose rows the client sends after it, as blocks."""
    SET = "set"
    KILL = "kill"
    EMPTY = "empty"
    REFUSED = "refused"
    """What chDB would accept but not do as a server does."""
    RUN = "run"
    """Everything else: DDL, INSERT ... SELECT, INSERT with its values in the text."""


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words


@dataclass(frozen=True)
class Statement:
    kind: Kind
    sql: str
    """The text to run. Of INSERT_BLOCKS: up to SETTINGS, VALUES or FORMAT."""
    clause: str = ""
    """Of INSERT_BLOCKS: its SETTINGS clause, as written."""
    target: str = ""
    """Of INSERT_BLOCKS: the table or table function, as written."""
    columns: str = ""
    """Of INSERT_BLOCKS: what stands between the brackets after it, as written, or nothing."""
    names: tuple[str, ...] = ()
    """Of SET: the settings it sets."""
    reason: str = ""
    """Of REFUSED: what is wrong and what to do."""


def tokens(sql: str) -> Iterator[Token]:
    """Tokens without white space and comments."""
    for match in _TOKEN.finditer(sql):
        kind = "text" if match.lastgroup == "heredoc" else str(match.lastgroup)
        if kind != "skip":
            yield Token(kind, match.group(), match.start(), match.end())


def read(sql: str) -> Statement:
    """The statement in `sql`; a text that is no statement is RUN, so that the engine says what is wrong."""
    stream = tokens(sql)
    first = next((token for token in stream if token.text not in "(;"), None)
    if first is None:
        return Statement(Kind.EMPTY, sql)
    if first.kind != "word":
        return Statement(Kind.RUN, sql)
    word = first.text.upper()
    if word == "INSERT":
        return _insert(sql, stream)
    if word in ("SELECT", "FROM"):
        return Statement(Kind.SELECT, _with_tagged_processes(_without_semicolon(sql)))
    if word == "WITH":
        if any(token.is_word("INSERT") for token in stream):
            return Statement(Kind.RUN, sql)
        return Statement(Kind.SELECT, _with_tagged_processes(_without_semicolon(sql)))
    if word in ("SHOW", "EXISTS", "DESCRIBE", "DESC", "EXPLAIN", "CHECK"):
        if any(left.is_word("FORMAT", "INTO") and right.kind == "word" for left, right in itertools.pairwise(stream)):
            return Statement(
                Kind.REFUSED, sql, reason="the native protocol has its own format: leave FORMAT and INTO out"
            )
        return Statement(Kind.READ, _show_processlist(sql))
    if word == "SET":
        after = list(tokens(sql))
        names = tuple(left.text.strip('`"') for left, right in itertools.pairwise(after) if right.text == "=")
        if "readonly" in names:  # the session could then not even be given its next query's id
            return Statement(
                Kind.REFUSED, sql, reason="the local server has no readonly sessions: leave the setting out"
            )
        return Statement(Kind.SET, sql, names=names)
    if word == "CREATE" and any(token.is_word("TEMPORARY") for token in itertools.islice(stream, 3)):
        return Statement(
            Kind.REFUSED, sql, reason="the local server keeps no temporary tables: create a table and drop it"
        )
    if word == "KILL":
        return Statement(Kind.KILL, _with_tagged_id(sql))
    return Statement(Kind.RUN, sql)


def _without_semicolon(sql: str) -> str:
    last = None
    for last in tokens(sql):  # noqa: B007  only the last is of interest
        pass
    return sql[: last.start] if last is not None and last.text == ";" else sql


def _insert(sql: str, stream: Iterator[Token]) -> Statement:
    """An INSERT is followed by blocks if its text ends at VALUES or FORMAT <name>."""
    head: list[Token] = []
    for item in _bracketed(sql, stream):
        if item.is_word("SELECT", "WITH", "FROM", "WATCH"):
            break
        if item.is_word("VALUES", "FORMAT"):
            if item.is_word("FORMAT"):
                next(stream, None)
            if any(token.text != ";" for token in itertools.islice(stream, 2)):
                break  # the values stand in the text
            return _insert_of_blocks(sql[: item.start], head)
        head.append(item)
    return Statement(Kind.RUN, sql)


def _insert_of_blocks(sql: str, head: list[Token]) -> Statement:
    """`head`: the items between INSERT and VALUES, `INTO [TABLE | FUNCTION] target [(columns)] [SETTINGS ...]`."""
    is_function = any(item.is_word("FUNCTION") for item in head[:2])
    named = list(itertools.dropwhile(lambda item: item.is_word("INTO", "TABLE", "FUNCTION"), head))
    settings = next((item for item in named if item.is_word("SETTINGS")), None)
    named = list(itertools.takewhile(lambda item: item is not settings, named))
    if not named:
        return Statement(Kind.RUN, sql)
    clause = sql[settings.start :] if settings else ""
    lists = [item for item in named if item.kind == "group"][1 if is_function else 0 :]
    target = sql[named[0].start : lists[0].start if lists else named[-1].end].strip()
    listed = lists[0].text[1:-1].strip() if lists else ""
    return Statement(Kind.INSERT_BLOCKS, sql.removesuffix(clause), clause, target, listed)


def _bracketed(sql: str, stream: Iterator[Token]) -> Iterator[Token]:
    """Tokens outside of round brackets, and each outermost pair of brackets as one token."""
    for token in stream:
        if token.text != "(":
            yield token
            continue
        depth, end = 1, token.end
        while depth and (inner := next(stream, None)) is not None:
            depth += (inner.text == "(") - (inner.text == ")")
            end = inner.end
        yield Token("group", sql[token.start : end], token.start, end)


def _with_tagged_processes(sql: str) -> str:
    if "processes" not in sql.lower():
        return sql
    found = list(tokens(sql))
    out, done = [], 0
    for index in range(1, len(found) - 2):
        before, schema, dot, table = found[index - 1 : index + 3]
        if not before.is_word("FROM", "JOIN") or dot.text != ".":
            continue
        if schema.text.strip('`"').lower() != "system" or table.text.strip('`"').lower() != "processes":
            continue
        after = found[index + 3] if index + 3 < len(found) else None
        aliased = after is not None and (after.is_word("AS") or _is_alias(after))
        out += [sql[done : schema.start], TAGGED_PROCESSES, "" if aliased else " AS processes"]
        done = table.end
    return "".join([*out, sql[done:]])


def _is_alias(token: Token) -> bool:
    return token.kind == "name" or (token.kind == "word" and token.text.upper() not in _AFTER_TABLE)


def _with_tagged_id(sql: str) -> str:
    out, done = [], 0
    for token in tokens(sql):
        if token.kind in ("word", "name") and token.text.strip('`"') == "query_id":
            out += [sql[done : token.start], TAGGED_ID]
            done = token.end
    return "".join([*out, sql[done:]])


def _show_processlist(sql: str) -> str:
    words = [token.text.upper() for token in tokens(sql)][:2]
    if words == ["SHOW", "PROCESSLIST"]:
        return f"SELECT * FROM {TAGGED_PROCESSES} AS processes ORDER BY elapsed DESC"  # noqa: S608  constants only
    return sql


def trial_of_kill(sql: str) -> tuple[str, str]:
    """The KILL QUERY that only lists what `sql` would kill, and the mode of `sql`: SYNC, ASYNC or TEST."""
    bare = _without_semicolon(sql)
    last = list(tokens(bare))[-1]
    if last.is_word("SYNC", "ASYNC", "TEST"):
        return f"{bare[: last.start]} TEST", last.text.upper()
    return f"{bare}\nTEST", "ASYNC"
