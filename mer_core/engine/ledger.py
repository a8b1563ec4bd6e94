"""The running account of an extraction: counts, rates, and the report at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mer_core.engine.clip import ClipResult, Made
from mer_core.engine.lookup import Tables
from mer_core.engine.types import ClipFailure, DeriverJob, ExtractorJob, ExtractReport, Raised
from mer_core.types import Clip, Failure

HOUR = 3600.0


class Ledger:
    """Collects what became of every clip. Used by one thread only."""

    def __init__(
        self, clips: Sequence[Clip], jobs: Sequence[ExtractorJob], derivers: Sequence[DeriverJob], tables: Tables
    ) -> None:
        self._clips, self._jobs, self._tables = clips, {job.name: job for job in jobs}, tables
        self._began = time.monotonic()
        self._keys: dict[str, list[str | None]] = {name: [None] * len(clips) for name in self._jobs}
        self._failures: dict[tuple[int, str, str], set[str]] = {}
        self._causes: dict[tuple[str, str], tuple[int, str, str]] = {}
        self._tracebacks: dict[tuple[int, str, str], str] = {}
        self._missing: dict[str, dict[str, str]] = {name: {} for name in self._jobs}
        self._extracted = dict.fromkeys(self._jobs, 0)
        self._reused = dict.fromkeys(self._jobs, 0)
        self._nonfinite = dict.fromkeys(self._jobs, 0)
        self._derived = {job.name: 0 for job in derivers}
        self._derivers = {job.name: job for job in derivers}
        self._artefacts: dict[tuple[str, int], str] = {}
        self._open: dict[int, int] = {}
        self._worked: set[int] = set()
        self._seconds = 0.0
        self.done = 0
        self.underived: dict[tuple[str, str], Failure] = {}

    def begin_pass(self) -> None:
        """From now on :attr:`done` counts the clips of a new pass."""
        self.done, self._open = 0, {}

    def take(self, result: ClipResult) -> None:
        """Book what a worker thread did with a clip."""
        for name, failure in result.failed.items():
            self._fail(result.index, name, failure)
        for name, failures in result.without.items():
            for failure in failures:
                self._list(result.index, name, failure)
        self._artefacts |= {(name, result.index): result.keys[name] for name in result.derived}
        for name in result.reused:
            self._reuse(result, name)
        for part in result.made:
            self._make(result.index, part, result.keys.get(part.job))
        if result.opened and result.index not in self._worked:
            self._worked.add(result.index)
            self._seconds += result.seconds
        self._open[result.index] = len(result.parked)
        self.done += not result.parked

    def answered(self, index: int, part: Made, key: str) -> None:
        """Book an answer to a parked clip."""
        self._make(index, part, key)
        self._open[index] -= 1
        self.done += not self._open[index]

    def note(self) -> str:
        """Clips per second and media per time of those worked on, for the progress line."""
        elapsed = max(time.monotonic() - self._began, 1e-3)
        parts = []
        if self._worked:
            parts = [f"{len(self._worked) / elapsed:.1f} clips/s"]
        if self._seconds:
            parts.append(f"{self._seconds / elapsed:.0f} h of media/h")
        failed = len({index for index, _, _ in self._failures})
        return ", ".join(parts + ([f"{failed} failed"] if failed else []))

    def report(self) -> ExtractReport:
        """The account so far."""
        failures = [
            ClipFailure(
                id=self._clips[key[0]].id,
                stage=key[1],
                reason=key[2],
                stream=",".join(sorted(streams)),
                traceback=self._tracebacks.get(key, ""),
            )
            for key, streams in sorted(self._failures.items(), key=lambda item: item[0][0])
        ]
        return ExtractReport(
            keys=self._keys,
            failures=tuple(failures),
            missing={name: self._in_order(reasons) for name, reasons in self._missing.items()},
            extracted=self._extracted,
            reused=self._reused,
            derived=self._derived,
            held={name: self._held(name) for name in self._derivers},
            underived={name: self._lacking(name) for name in self._derivers},
            nonfinite=self._nonfinite,
            seconds=time.monotonic() - self._began,
            media_hours=self._seconds / HOUR,
        )

    def _in_order(self, reasons: dict[str, str]) -> dict[str, str]:
        return {clip.id: reasons[clip.id] for clip in self._clips if clip.id in reasons}

    def _held(self, artefact: str) -> tuple[str, ...]:
        """Clips whose artefact is not missing; all tables are flushed by now."""
        table = self._tables[self._derivers[artefact]]
        there = (index for (name, index), key in self._artefacts.items() if name == artefact and not table.reason(key))
        return tuple(self._clips[index].id for index in sorted(there))

    def _lacking(self, artefact: str) -> dict[str, str]:
        return {clip: failure.reason for (clip, name), failure in self.underived.items() if name == artefact}

    def _reuse(self, result: ClipResult, name: str) -> None:
        job, key = self._jobs[name], result.keys[name]
        self._keys[name][result.index] = key
        counts = self._extracted if self._tables.fresh(job, key) else self._reused
        counts[name] += 1
        reason = self._tables[job].reason(key)
        if reason is not None:
            self._missing[name][result.clip.id] = reason

    def _make(self, index: int, part: Made, key: str | None) -> None:
        if part.job not in self._jobs:
            self._make_artefact(index, part)
        elif part.failure is not None:
            self._fail(index, part.job, part.failure)
        else:
            self._keys[part.job][index] = key
            self._extracted[part.job] += 1
            self._nonfinite[part.job] += part.nonfinite
            if part.missing is not None:
                self._missing[part.job][self._clips[index].id] = part.missing

    def _make_artefact(self, index: int, part: Made) -> None:
        if part.failure is not None:
            self.underived[self._clips[index].id, part.job] = part.failure
        else:
            self._derived[part.job] += 1

    def _fail(self, index: int, name: str, failure: Failure) -> None:
        """An artefact's failure shows in the streams that wanted it, so only those are listed."""
        if name in self._jobs:
            self._keys[name][index] = None
            self._list(index, name, failure)
        else:
            self.underived[self._clips[index].id, name] = failure

    def _list(self, index: int, name: str, failure: Failure) -> None:
        key = (index, failure.stage, failure.reason)
        self._failures.setdefault(key, set()).add(name)
        if isinstance(failure, Raised) and self._causes.setdefault((failure.stage, failure.cause), key) == key:
            self._tracebacks[key] = failure.traceback
