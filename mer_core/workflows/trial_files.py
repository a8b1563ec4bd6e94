"""What a search leaves beside its report: every trial, as it is done, so that a search that was killed goes on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mer_core.files import write_text, writing

TABLE, JOURNAL = "trials.csv", "trials.jsonl"

FILES = {
    TABLE: "every trial of the search, to read",
    JOURNAL: "the same with predictions: a search that is repeated goes on from it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One draw, trained on some of the folds.

    ``inner`` are the WAF of each of ``folds`` (numbers from 0) on the clips that its choice is made on, ``guess`` what
    is predicted of each one's held-out clips (class indices), ``held_out`` the WAF of that. All empty where training
    failed, with the ``error``. ``share`` of the epochs was trained, ``rung`` counts such shares from 0.
    """

    key: str
    trial: int
    draw: Mapping[str, Any]
    folds: tuple[int, ...]
    rung: int = 0
    share: float = 1.0
    inner: tuple[float, ...] = ()
    held_out: tuple[float, ...] = ()
    guess: tuple[tuple[int, ...], ...] = field(default=(), repr=False)
    seconds: float = 0.0
    error: str = ""


class Journal:
    """``trials.jsonl``: one line for each :class:`Tried`, written at once.

    A line that was cut off by a kill is left out, and so is one of other data, options or folds: its key differs.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / JOURNAL
        self.known: dict[str, Tried] = {}
        if self.file.is_file():
            lines = self.file.read_text(encoding="utf-8").splitlines()
            self.known = {one.key: one for one in map(_read, lines) if one is not None}
            if lines and _read(lines[-1]) is None:
                text = "".join(f"{line}\n" for line in lines if _read(line) is not None)
                write_text(self.file, text)

    def add(self, one: Tried) -> Tried:
        """Remember ``one``, here and in the file."""
        self.known[one.key] = one
        with writing(self.file), self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
        return one


def _read(line: str) -> Tried | None:
    try:
        found = json.loads(line)
        lists = {name: tuple(found[name]) for name in ("folds", "inner", "held_out")}
        return Tried(**{**found, **lists, "guess": tuple(map(tuple, found["guess"]))})
    except (ValueError, TypeError, KeyError):
        return None


def write_table(folder: Path, rows: Iterable[Tried], names: Sequence[str], folds: int) -> None:
    """``trials.csv``: a line for each of ``rows``; ``names`` are those of what was drawn."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = [f"{kind}_{fold + 1}" for kind in ("inner", "held_out") for fold in range(folds)]
    writer.writerow(["trial", *names, "share", "inner_mean", *scores, "seconds", "error"])
    for one in rows:
        parts = [dict(zip(one.folds, found, strict=False)) for found in (one.inner, one.held_out)]
        cells = [_number(part.get(fold)) for part in parts for fold in range(folds)]
        mean = _number(sum(one.inner) / len(one.inner) if one.inner else None)
        drawn = [one.draw.get(name, "") for name in names]
        writer.writerow([one.trial, *drawn, f"{one.share:.4g}", mean, *cells, f"{one.seconds:.2f}", one.error])
    write_text(folder / TABLE, text.getvalue())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def search_files(folder: Path) -> dict[str, str]:
    """The files of a search that there are in ``folder``, and what they are."""
    return {name: what for name, what in FILES.items() if (folder / name).is_file()}
