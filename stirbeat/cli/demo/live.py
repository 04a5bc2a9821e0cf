"""The demo's display while it runs: what is done, what each provider was asked, where the events are."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich import console, live, table

from stirbeat.cli.demo import facts

_BAR = 40


class Display:
    """Redraws itself in a terminal; prints a line at each change of stage elsewhere."""

    def __init__(self, out: console.Console) -> None:
        self._out = out
        self._began = time.monotonic()
        self._stages: list[tuple[str, float | None]] = []
        self._progress: table.Table | None = None
        self._live = live.Live(console=out, refresh_per_second=8, transient=False) if out.is_terminal else None

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as the display stands now."""
        self._progress = None
        self._draw()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def stage(self, name: str) -> None:
        """A new stage begins; the one before is done."""
        now = time.monotonic()
        if self._stages and self._stages[-1][1] is None:
            done = now - self._began
            self._stages[-1] = (self._stages[-1][0], done)
            if self._live is None:
                self._out.print(f"  {self._stages[-1][0]}: {done:.1f} s", highlight=False)
        self._began = now
        if name:
            self._stages.append((name, None))
        self._progress = None
        self._draw()

    def seconds(self) -> dict[str, float]:
        """What each stage took, in seconds."""
        return {name: round(done, 2) for name, done in self._stages if done is not None}

    def progress(self, standing: facts.Standing, total: int, arrived: int, crashed: Sequence[str]) -> None:
        """Show how far the requests and their events are."""
        drawn = table.Table.grid(padding=(0, 2))
        done = standing.finished
        filled = _BAR * done // max(1, total)
        drawn.add_row("requests", f"[green]{'━' * filled}[/][dim]{'━' * (_BAR - filled)}[/] {done}/{total}")
        drawn.add_row("by status", "  ".join(f"{name} {count}" for name, count in sorted(standing.statuses.items())))
        drawn.add_row("hops", "  ".join(f"{name} {count}" for name, count in standing.hops.items()))
        drawn.add_row("events", f"{arrived} in ClickHouse, {standing.waiting_events} on their way")
        if crashed:
            drawn.add_row("[red]ended[/]", ", ".join(crashed))
        self._progress = drawn
        self._draw()

    def _draw(self) -> None:
        if self._live is None:
            return
        drawn = table.Table.grid(padding=(0, 1))
        for name, done in self._stages:
            took = (
                f"[dim]{done:.1f} s[/]" if done is not None else f"[dim]{time.monotonic() - self._began:.0f} s ...[/]"
            )
            drawn.add_row("[green]✓[/]" if done is not None else "[yellow]•[/]", name, took)
        outer = table.Table.grid()
        outer.add_row(drawn)
        if self._progress is not None:
            outer.add_row(self._progress)
        self._live.update(outer)
