"""Progress: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from mer_core.protocols import Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_SECONDS = 10.0


@contextmanager
def show_progress(quiet: bool = False) -> Iterator[Progress]:
    """A progress callback for the workflows, drawn on stderr.

    ``quiet`` draws nothing, and sends what plugins print to stderr: stdout is for one JSON document.
    """
    if quiet:
        with redirect_stdout(sys.stderr):
            yield lambda stage, done, total, note: None
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield _Lines()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    from mer_core.cli.output import stderr_console

    with RichProgress(*columns, console=stderr_console(), refresh_per_second=5) as bars:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int, note: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None, note=note)
            bars.update(tasks[stage], completed=done, total=total or None, note=note)

        yield update


class _Lines:
    """A line when a stage begins and ends, and every ten seconds in between."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        finished = total > 0 and done >= total
        if stage in self.last and not finished and now - self.last[stage] < LINE_SECONDS:
            return
        if finished and self.last.get(stage) == float("inf"):
            return
        self.last[stage] = float("inf") if finished else now
        sys.stderr.write(f"{stage}: {done}/{total or '?'} {note}".rstrip() + "\n")
        sys.stderr.flush()
