"""The rows of extract.py over published models: the engine beside a plain loop and beside the bare forward."""

from __future__ import annotations

import ctypes
import gc
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoints import MODELS, write_checkpoint, write_clips
from naive import PLAIN, Plain, quiet

from mer_core.configure import make_config
from mer_core.engine import EngineSettings, ExtractorJob, extract
from mer_core.engine.answers import make_instance
from mer_core.engine.clip import decode_together
from mer_core.media.decode import ClipReader
from mer_core.store import FeatureStore
from mer_core.types import Clip, Failure, Missing, Sample
from mer_core.workflows.data import load_data
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.workspace import Workspace, open_workspace, pick_device

BATCHES = {"cpu": (1, 2, 4), "cuda": (1, 4, 16, 64, 256)}
"""Rows at once that the bare forward is tried with."""

CLIPS = {"cpu": 8, "cuda": 256}
SMALL = "hubert-base,clip-b32,roberta-base,videomae"
MEBIBYTE = 2**20
HEADER = """model          engine               times loop    of bare, its rows        memory*      loading
               (in brackets: by the time of all cores; *most held beyond the weights: engine/loop/bare)"""


@dataclass(slots=True)
class Cost:
    """Seconds, those of all cores together, and bytes held at most beyond what was held before."""

    seconds: float = float("inf")
    busy: float = float("inf")
    peak: int = 0

    def take(self, other: Cost) -> None:
        """The best times and the most memory of both."""
        self.seconds, self.busy = min(self.seconds, other.seconds), min(self.busy, other.busy)
        self.peak = max(self.peak, other.peak)


@contextmanager
def measured(device: str) -> Iterator[Cost]:
    """Filled in when the block is left. Memory is that of the process, or of the GPU where one computes."""
    gc.collect()
    _trim()
    found, done = Cost(), threading.Event()
    cuda = device.startswith("cuda")
    before = torch.cuda.memory_allocated() if cuda else resident()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    watcher = threading.Thread(target=_watch, args=(found, before, done), daemon=True)
    if not cuda:
        watcher.start()
    began, busy = time.perf_counter(), time.process_time()
    yield found
    if cuda:
        torch.cuda.synchronize()
        found.peak = torch.cuda.max_memory_allocated() - before
    found.seconds, found.busy = time.perf_counter() - began, time.process_time() - busy
    done.set()


def _watch(found: Cost, before: int, done: threading.Event) -> None:
    while not done.wait(0.02):
        found.peak = max(found.peak, resident() - before)


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


def _trim() -> None:
    """Give freed memory back, so that it is not counted as held before."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class Row:
    """One model on some clips; both copies of the model are loaded before anything is measured."""

    def __init__(self, name: str, folder: Path, clips: Sequence[Clip], space: Workspace, device: str) -> None:
        known = MODELS[name]
        config = make_config(
            space.catalogue,
            modalities=[known.modality],
            extractors={known.modality: known.extractor},
            options={known.extractor: {"model": str(folder)}},
            device=device,
        )
        jobs, _ = build_jobs(config, space.catalogue)
        self.clips, self.device = clips, device
        began = time.perf_counter()
        held = make_instance(jobs[0], device)
        self.loading = time.perf_counter() - began
        self.job: ExtractorJob = replace(jobs[0], extractor_class=_Held(held))  # type: ignore[arg-type]
        self.plain: Plain = PLAIN[known.extractor](folder, device)
        self.samples = [self._decoded(clip) for clip in clips]
        self.amount = sum(self.plain.amount(sample) for sample in self.samples)

    def engine(self, clips: Sequence[Clip], workers: int | None) -> Cost:
        """The engine with an empty store; the features are on disk at the end."""
        settings = EngineSettings(device=self.device, workers=workers, keep_frames=True)
        with tempfile.TemporaryDirectory() as root, measured(self.device) as cost:
            report = extract(clips, [self.job], {}, FeatureStore(Path(root)), settings)
        for failure in report.failures:
            print(f"  failed: {failure}")
        return cost

    def loop(self, clips: Sequence[Clip]) -> Cost:
        """Clip after clip: decode, prepare, compute in float32, write."""
        with tempfile.TemporaryDirectory() as root, measured(self.device) as cost:
            for clip in clips:
                np.save(Path(root) / clip.id, self.plain.values(self._decoded(clip)))
        return cost

    def bare(self, count: int, enough: float = 1.5) -> Cost:
        """``count`` rows at once; the seconds are those for as much work as all clips are."""
        forward, amount = self.plain.bare(self.samples, count)
        if self.device.startswith("cuda"):
            forward()  # the first one chooses kernels
        with measured(self.device) as cost:
            began, times = time.perf_counter(), 0
            while not times or time.perf_counter() - began < enough:
                forward()
                times += 1
                if self.device.startswith("cuda"):
                    torch.cuda.synchronize()
        share = self.amount / (amount * times)
        cost.seconds, cost.busy = cost.seconds * share, cost.busy * share
        return cost

    def _decoded(self, clip: Clip) -> Sample:
        with ClipReader(clip) as reader:
            found = decode_together(reader, [self.job], {})[self.job.name]
        return Sample(clip.id, found)

    def usable(self) -> bool:
        """The row's model finds what it reads in every clip."""
        return not any(isinstance(v, Missing | Failure) for one in self.samples for v in one.inputs.values())


@dataclass(frozen=True)
class _Held:
    """Stands for an extractor's class: always the same instance, which is loaded."""

    instance: Any

    def __call__(self, options: Any, device: str) -> Any:
        return self.instance


def run(names: Sequence[str], device: str, count: int | None, data: str, workers: int | None, repeat: int) -> None:
    """Measure and print one row per model."""
    quiet()
    space, device = open_workspace(), pick_device(device)
    kind = device.partition(":")[0]
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top)
        source = data or str(write_clips(folder, count or CLIPS[kind]))
        config = make_config(space.catalogue, data=source)
        clips = load_data(config.data, space).clips[: count or CLIPS[kind]]
        print(f"{len(clips)} clips, {device}, {torch.get_num_threads()} threads; best of {repeat}")
        print(HEADER)
        for name in names:
            row = Row(name, write_checkpoint(name, folder / name), clips, space, device)
            print(_line(name, row, workers, repeat, BATCHES[kind]), flush=True)


def _line(name: str, row: Row, workers: int | None, repeat: int, batches: Sequence[int]) -> str:
    row.engine(row.clips[:1], workers)
    row.loop(row.clips[:1])
    engine, loop, bare, best = Cost(), Cost(), Cost(), 0
    for _ in range(repeat):
        loop.take(row.loop(row.clips))
        engine.take(row.engine(row.clips, workers))
    for count in batches:
        found = row.bare(count)
        if found.seconds > 1.3 * bare.seconds:
            break  # larger batches are slower still
        if found.seconds < bare.seconds:
            bare, best = found, count
    memory = "/".join(f"{one.peak / MEBIBYTE:.0f}" for one in (engine, loop, bare))
    return (
        f"{name:<12} {row.amount / engine.seconds:>8.1f} {row.plain.unit + '/s':<13}"
        f"{loop.seconds / engine.seconds:>6.2f} ({loop.busy / engine.busy:.2f})"
        f"{bare.seconds / engine.seconds:>8.0%} ({bare.busy / engine.busy:.0%}) of {best:<4}"
        f"{memory:>14} MiB {row.loading:>6.1f} s"
    )


def add_flags(add: Callable[..., Any]) -> None:
    """The flags of the model rows."""
    add("--models", nargs="?", const=SMALL, default="", help=f"rows of {', '.join(MODELS)}; alone: {SMALL}")
    add("--device", default="auto", help="auto, cpu, cuda:0 ...; of the model rows")
    add("--repeat", type=int, default=2, help="how often the model rows are measured; the best time counts")
