"""Clips per second of the extraction engine, beside decoding alone and computing alone.

    python benchmarks/extract.py [--data MANIFEST] [--modalities speech,image,video,text] [--clips 40]

Everything runs on the same clips with the same number of threads: the engine with an empty store; a
second run of it, which only looks; every declared input decoded and thrown away; every deriver and
extractor on inputs that lie in memory already. On a CPU decoding and computing share the cores, so
the engine's ideal is the time of both together; where a device computes, it is the longer of the two.

    python benchmarks/extract.py --models [hubert,clip,roberta,videomae] [--device cuda:0] [--clips N] [--data MANIFEST]

Rows over models of published sizes with random weights, on clips made here (or those of --data): the engine
beside a plain loop over clips with transformers (float32, decode then compute) and beside the bare forward of the
model at its best batch, as ratios of one run. Loading the models is not counted; memory is what each takes on top.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models

from mer_core.configure import make_config
from mer_core.engine import DeriverJob, EngineSettings, ExtractorJob, extract
from mer_core.engine.clip import decode_together
from mer_core.engine.instances import ThreadInstances
from mer_core.engine.run import one_opencv_thread
from mer_core.engine.threads import Crew, Window
from mer_core.engine.types import Job
from mer_core.media.decode import ClipReader
from mer_core.store import FeatureStore
from mer_core.types import Clip, Derived, Failure, Missing, Sample
from mer_core.workflows.data import load_data
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.workspace import open_workspace

Artefacts = dict[str, Derived | Missing | Failure]


@dataclass(frozen=True)
class Held:
    """A frame stream whose frames are in memory."""

    size: tuple[int, int]
    frames: list[tuple[float, Any]]

    def __iter__(self) -> Iterator[tuple[float, Any]]:
        return iter(self.frames)


@dataclass(frozen=True)
class Task:
    """One clip with what is derived of it and, where it is held, what is decoded of it."""

    clip: Clip
    artefacts: Artefacts
    inputs: dict[str, dict[str, Any]]


class Bench:
    """The jobs on some clips, in parts."""

    def __init__(self, jobs: Sequence[ExtractorJob], derivers: dict[str, DeriverJob], workers: int) -> None:
        self.jobs: tuple[Job, ...] = (*derivers.values(), *jobs)
        self.derivers, self.extractors, self.workers = derivers, jobs, workers
        self.instances = ThreadInstances("cpu")
        one_opencv_thread(self.jobs)

    def engine(self, clips: Sequence[Clip], root: Path) -> float:
        """Seconds the engine takes with the store at ``root``."""
        began = time.perf_counter()
        report = extract(
            clips, self.extractors, self.derivers, FeatureStore(root), EngineSettings(workers=self.workers)
        )
        for failure in report.failures:
            print(f"  failed: {failure}")
        return time.perf_counter() - began

    def decode(self, task: Task) -> dict[str, dict[str, Any]]:
        """All declared inputs of a clip, frames of lazy streams included (and thrown away one by one)."""
        with ClipReader(task.clip) as reader:
            found = decode_together(reader, self.jobs, task.artefacts)
            for stream in _streams(found):
                for _ in stream:
                    pass
        return found

    def hold(self, clip: Clip) -> Task:
        """A clip with everything decoded and derived."""
        artefacts: Artefacts = {}
        with ClipReader(clip) as reader:
            for name, deriver in self.derivers.items():
                inputs = decode_together(reader, [deriver], artefacts)[deriver.name]
                artefacts[name] = _first(inputs) or self.instances[deriver].derive([Sample(clip.id, inputs)])[0]
            found = decode_together(reader, self.jobs, artefacts)
            held = {job: {name: _held(value) for name, value in inputs.items()} for job, inputs in found.items()}
        return Task(clip, artefacts, held)

    def compute(self, task: Task) -> None:
        """All derivers and extractors on inputs held in memory."""
        for job in self.jobs:
            inputs = task.inputs[job.name]
            if _first(inputs) is None:
                instance = self.instances[job]
                call = instance.derive if isinstance(job, DeriverJob) else instance.extract
                call([Sample(task.clip.id, inputs)])

    def threads(self, items: Sequence[Any], work: Callable[[Any], Any]) -> float:
        """Seconds that the threads take for ``work`` on all ``items``."""
        began = time.perf_counter()
        for _ in Crew(self.workers, items, work, Window(2**62)).results():
            pass
        return time.perf_counter() - began


def _streams(found: dict[str, dict[str, Any]]) -> list[Any]:
    return [value for inputs in found.values() for value in inputs.values() if _lazy(value)]


def _lazy(value: Any) -> bool:
    return hasattr(value, "size") and hasattr(value, "__iter__")


def _held(value: Any) -> Any:
    return Held(value.size, [(at, image.copy()) for at, image in value]) if _lazy(value) else value


def _first(inputs: dict[str, Any]) -> Missing | Failure | None:
    return next((value for value in inputs.values() if isinstance(value, Missing | Failure)), None)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="manifest, folder or data set name")
    parser.add_argument("--modalities", default="speech,image,video,text")
    parser.add_argument("--clips", type=int, help="at most this many; all are held in memory at once")
    parser.add_argument("--workers", type=int, default=EngineSettings().worker_count)
    models.add_flags(parser.add_argument)
    given = parser.parse_args()
    if given.models:
        names = given.models.split(",")
        return models.run(names, given.device, given.clips, given.data, given.workers, given.repeat)
    return parts(given.data or "sample", given.modalities.split(","), given.clips or 40, given.workers)


def parts(data: str, modalities: Sequence[str], count: int, workers: int) -> None:
    """The engine beside its parts, on what ``modalities`` extract by default."""
    space = open_workspace()
    config = make_config(space.catalogue, data=data, modalities=modalities)
    clips = load_data(config.data, space).clips[:count]
    jobs, derivers = build_jobs(config, space.catalogue)
    bench = Bench(jobs, derivers, workers)
    with tempfile.TemporaryDirectory() as folder:
        Bench(jobs, derivers, 1).engine(clips[:1], Path(folder) / "warm")
        rows = {"engine": bench.engine(clips, Path(folder) / "store")}
        rows["engine again"] = bench.engine(clips, Path(folder) / "store")
    tasks = [bench.hold(clip) for clip in clips]
    rows["decode alone"] = bench.threads(tasks, bench.decode)
    rows["compute alone"] = bench.threads(tasks, bench.compute)
    print(f"{len(clips)} clips, {workers} threads, {', '.join(job.name for job in bench.jobs)}")
    for name, seconds in rows.items():
        print(f"{name:>14}: {seconds:8.2f} s {len(clips) / seconds:10.1f} clips/s")
    ideal = rows["decode alone"] + rows["compute alone"]
    print(
        f"decode + compute on the same cores: {ideal:.2f} s; the engine takes {rows['engine'] / ideal:.2f} times that"
    )


if __name__ == "__main__":
    main()
