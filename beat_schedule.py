"""The whole timetable. Times are UTC; one row an entry; see stirbeat.schedule.row.Row for what the fields mean.

`stirbeat schedule list` shows it with each row's next time, `stirbeat schedule next --at TIME` plays it forward.
Plugins add rows of their own by exporting ROWS.
"""

from __future__ import annotations

from stirbeat.schedule.row import Row

HOUR_S = 3600

ROWS: tuple[Row, ...] = (
    Row(
        name="transform_core",
        cron="*/15 * * * *",
        task="transform.run",
        kwargs={"selector": "core"},
        pausable=True,
        catch_up="once",
        budget_s=HOUR_S,
    ),
    Row(
        name="transform_daily",
        cron="0 19 * * *",
        task="transform.run",
        kwargs={"selector": "daily"},
        catch_up="once",
        budget_s=6 * HOUR_S,
    ),
    Row(
        name="sync_leaderboard",
        cron="15 20 * * *",
        task="sync.run",
        kwargs={"job": "leaderboard"},
        catch_up="once",
        budget_s=HOUR_S,
    ),
    Row(name="sync_cleanup", cron="40 4 * * *", task="sync.cleanup", catch_up="once"),
    Row(name="janitor", cron="* * * * *", task="maintenance.janitor"),
)
