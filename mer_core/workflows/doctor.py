"""Looks at the installation: versions, GPU, matching torch and torchvision, cache, plugins."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mer_core.errors import MerError
from mer_core.registry import Entry, discover
from mer_core.spec import ListenerSpec
from mer_core.workflows.places import open_cache

NEEDED = ("torch", "transformers", "open_clip_torch", "av", "opencv-python-headless", "librosa", "soundfile", "numpy")
LOW_DISK_GB = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``state`` is ok, note or problem; ``remedy`` says what to do about the latter two."""

    name: str
    state: str
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def diagnose(cache: Path | None = None) -> list[Check]:
    """All checks, in the order they should be read. Never raises."""
    parts: tuple[Callable[[], Iterator[Check]], ...] = (_python, _packages, _gpu, _torchvision, _opencv, _plugins)
    return [check for part in parts for check in part()] + list(_cache(cache))


def _python() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()}, {cores} cores, {sys.executable}")


def _packages() -> Iterator[Check]:
    for name in ("mer-toolkit", *NEEDED):
        found = _version(name)
        remedy = "" if found else f"Run: pip install {name}"
        yield Check(name, "ok" if found else "problem", found or "not installed", remedy)


def _gpu() -> Iterator[Check]:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        yield Check("torch import", "problem", str(error), "Reinstall torch: pip install --force-reinstall torch")
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield Check(f"cuda:{index}", "ok", f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    if not count:
        yield Check("gpu", "note", "torch sees none; everything runs on the CPU")


def _torchvision() -> Iterator[Check]:
    """A torch without CUDA beside a torchvision built for it fails on import: say so plainly."""
    found, beside = _version("torchvision"), _version("torch")
    if not found or not beside:
        yield Check("torchvision", "note", "not installed", "open_clip needs it: pip install torchvision")
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        told = f"{found} was not built for torch {beside}, so that open_clip cannot be imported: {reason}"
        remedy = "Install both from one source: pip install --force-reinstall torch torchvision"
        yield Check("torchvision", "problem", told, remedy)
        return
    yield Check("torchvision", "ok", f"{found} loads beside torch {beside}")


def _version(name: str) -> str:
    """The installed version of a package; empty if there is none. Nothing is imported."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _opencv() -> Iterator[Check]:
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        yield Check("opencv", "problem", str(error), "Run: pip install 'opencv-python-headless<5'")
        return
    cascade = Path(getattr(cv2.data, "haarcascades", "")) / "haarcascade_frontalface_default.xml"
    if cascade.is_file():
        yield Check("face cascades", "ok", f"bundled with OpenCV {cv2.__version__}")
    else:
        remedy = "Run: pip install 'opencv-python-headless<5'"
        yield Check("face cascades", "problem", f"not bundled with OpenCV {cv2.__version__}", remedy)


def _plugins() -> Iterator[Check]:
    catalogue = discover()
    listeners = [e for e in catalogue.entries if isinstance(e.spec, ListenerSpec)]
    others = [e for e in catalogue.entries if not isinstance(e.spec, ListenerSpec)]
    ready = [e for e in others if not e.problem and not e.missing_packages()]
    yield Check("plugins", "ok", f"{len(ready)} ready of {len(others)}")
    for entry in others:
        if entry.problem:
            yield Check(entry.full_name, "note", entry.problem, entry.remedy)
    yield from map(_listener, listeners)
    for problem in catalogue.problems:
        yield Check(f"plugin {problem.full_name}", "note", problem.reason, problem.remedy)


def _listener(entry: Entry) -> Check:
    """A plugin that hears of every run on this machine: good to know where a run behaves oddly."""
    assert isinstance(entry.spec, ListenerSpec)
    if entry.spec.faults:
        reason, remedy = entry.spec.faults[0]
        return Check(f"listener {entry.full_name}", "note", reason, remedy)
    return Check(f"listener {entry.full_name}", "ok", entry.spec.summary)


def _cache(folder: Path | None) -> Iterator[Check]:
    try:
        root = open_cache(folder).root
    except MerError as error:
        yield Check("cache", "problem", error.message, error.hint)
        return
    free = shutil.disk_usage(root).free / 2**30
    state, remedy = ("ok", "") if free > LOW_DISK_GB else ("note", "Free some space, or use --cache FOLDER.")
    yield Check("cache", state, f"{root}, writable, {free:.0f} GiB free", remedy)
