"""The local ClickHouse: chDB behind ClickHouse's native TCP protocol.

Clients (clickhouse-driver, dbt-clickhouse with `driver: native`) connect as to a production server.

Keys for S3 never stand in SQL. This process has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its environment, and
chDB signs with them what an `s3()` without keys asks for, as a production server does with its role. So an export is

    INSERT INTO FUNCTION s3('<endpoint>/<bucket>/<key of this run>', 'TabSeparated', '<name type, ...>')
    SELECT ...
    SETTINGS s3_check_objects_after_upload = 1, read_overflow_mode = 'throw', timeout_overflow_mode = 'throw',
             max_execution_time = <seconds>

and `client.last_query.progress.written_rows` is the exact number of rows written. An object that exists is refused
(code 36) unless `s3_truncate_on_insert = 1`. A failed or killed export leaves no object.

Ending a query: KILL QUERY, a client's Cancel or disappearance, and `max_execution_time` end reads, exports and inserts
alike, as soon as chDB has finished the block at hand. KILL QUERY does not see an INSERT whose client still sends rows:
these wait in a file, and nothing of them has reached the engine. An INSERT ... SELECT into a table that is ended keeps
the parts already written, as on any ClickHouse.

Limits, each refused with a sentence where it can be met: no compression on the wire, no external tables, no temporary
tables (chDB forgets them after the statement), no `readonly`, no FORMAT or INTO OUTFILE; Variant, Dynamic, JSON and
AggregateFunction not in inserted blocks. An unknown setting is an error even where a server would only log it, except
`session_id`, which dbt-clickhouse sends. `queryID()` gives chDB's own id; `query_id` in KILL QUERY and in a SELECT from
`system.processes` is the client's, which travels as `log_comment`, so a `log_comment` that the client sets is lost.
A database named in the Hello is created if missing. There is no `system.query_log`. Who knows the password can read,
through `file()`, whatever this process may read, its environment included: it is for one machine and its owner.
"""
