"""What one fit tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable

from mer_core.protocols import Progress

STAGE, WAIT = "fit", "wait"
"""Stages of a fit: it learns; it waits for another process that fits the same."""


def fit_progress(progress: Progress | None, notice: Callable[[str], None] | None, name: str = "") -> Progress:
    """A callback for one fit, which is shown as ``name`` (as its own stages where that is empty).

    Its first words are a notice as well where they are not those of a first step: that it goes on where another
    process was stopped, or why it cannot. Else the next step would wipe them away.
    """
    begun = False

    def tell(stage: str, done: int, total: int, note: str) -> None:
        nonlocal begun
        if total and not begun and stage != WAIT:
            begun = True
            if notice is not None and note and done != 1:
                notice(f"{name}: {note}." if name else f"{note[0].upper()}{note[1:]}.")
        if progress is not None:
            progress(name or stage, done, total, f"{stage} {note}".strip() if name and stage != STAGE else note)

    return tell
