"""Toy plugins and helpers for the engine's tests; importable by the processes those tests start."""

from __future__ import annotations

import os
import time
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mer_core.engine import DeriverJob, ExtractorJob
from mer_core.inputs import AudioInput, DerivedInput, Input, TextInput
from mer_core.spec import DeriverSpec, ExtractorSpec, digest
from mer_core.types import Clip, Derived, Failure, Features, Missing, Sample

TEXT: dict[str, Input] = {"text": TextInput()}


def note(path: str | Path, line: str) -> None:
    """Append a line that survives the death of the process."""
    with open(path, "a") as file:
        file.write(line + "\n")


def logged(path: Path) -> list[str]:
    """The lines noted so far, but for the one being written."""
    return path.read_text().split("\n")[:-1] if path.exists() else []


class Length:
    """Clip-level: the length of the text, and its first character's code."""

    dim = 2

    def __init__(self, options: dict[str, Any], device: str) -> None:
        self.options, self.device = options, device

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        return [self.one(sample) for sample in batch]

    def one(self, sample: Sample) -> Any:
        content = sample.text().content
        if "log" in self.options:
            note(self.options["log"], f"{sample.id} {time.time()}")
        time.sleep(self.options.get("sleep", 0.0))
        return Features(np.array([len(content), ord(content[0])], np.float32))


class Trouble(Length):
    """Does what a clip's text says."""

    def one(self, sample: Sample) -> Any:
        word = sample.text().content.split()[0]
        if word == "abort":
            os.abort()
        if word == "raise":
            raise ValueError("no such luck")
        if word == "exit":
            raise SystemExit(3)
        answers: dict[str, Any] = {
            "none": None,
            "wide": Features(np.zeros(3, np.float32)),
            "frames": Features(np.zeros((2, 2), np.float32), np.arange(2.0)),
            "nan": Features(np.full(2, np.nan, np.float32)),
            "part": Features(np.array([1, np.inf], np.float32)),
            "text": Features(np.array(["a", "b"])),
            "missing": Missing("said so"),
            "failure": Failure("said so"),
        }
        return answers.get(word) if word in answers else super().one(sample)


class Together(Trouble):
    """Notes the batches it is given; raises for a whole batch."""

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        note(self.options["batches"], " ".join(sample.id for sample in batch))
        return super().extract(batch)


class Miscounting(Length):
    """Forgets the last clip of a batch."""

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        return super().extract(batch)[: max(1, len(batch) - 1)]


class Streaming(Length):
    """Sees all clips in one pass; answers backwards, raises at ``raise``, forgets ``forget``."""

    def extract_stream(self, samples: Iterator[Sample]) -> Iterator[tuple[str, Any]]:
        held = []
        for sample in samples:
            if sample.text().content == "raise":
                raise ValueError("cannot stream this")
            held.append(sample)
        for sample in reversed(held):
            note(self.options["streamed"], sample.id)
            if sample.text().content != "forget":
                yield sample.id, self.one(sample)


class Broken(Length):
    """Cannot start."""

    def __init__(self, options: dict[str, Any], device: str) -> None:
        raise RuntimeError("weights are not there")


class Loudness:
    """Frame-level: mean magnitude of every tenth of a second."""

    dim = 1

    def __init__(self, options: dict[str, Any], device: str) -> None:
        self.options = options

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        return [self.one(sample) for sample in batch]

    def one(self, sample: Sample) -> Any:
        audio = sample.audio()
        step = audio.rate // 10
        count = max(1, len(audio.samples) // step)
        values = [[np.abs(audio.samples[i * step : (i + 1) * step]).mean()] for i in range(count)]
        return Features(np.array(values, np.float32), (np.arange(count) + 0.5) / 10)


class Shout:
    """Derives the text in capitals, as character codes; ``mute`` has none, ``fail`` fails."""

    def __init__(self, options: dict[str, Any], device: str) -> None:
        self.options = options

    def derive(self, batch: Sequence[Sample]) -> list[Any]:
        return [self.one(sample) for sample in batch]

    def one(self, sample: Sample) -> Any:
        content = sample.text().content
        if "log" in self.options:
            note(self.options["log"], sample.id)
        if content == "abort":
            os.abort()
        if content in ("mute", "fail") and not self.options.get("cured"):
            return Missing("nothing to shout") if content == "mute" else Failure("hoarse", "shout")
        codes = np.array([ord(letter) for letter in content.upper()], np.int64)
        return Derived({"codes": codes}, {"volume": self.options.get("volume", 1)})


class Hear(Length):
    """Reads what Shout derived."""

    def one(self, sample: Sample) -> Any:
        heard = sample.inputs["shout"]
        if isinstance(heard, Missing):
            return Features(np.array([-1, -1], np.float32))
        return Features(np.array([len(heard.arrays["codes"]), heard.arrays["codes"][0]], np.float32))


def job(
    kind: type[Any] = Length,
    name: str = "text:toy",
    inputs: dict[str, Input] | None = None,
    level: str = "clip",
    per_thread: bool = True,
    version: str = "1",
    batch_seconds: float = 120.0,
    **options: Any,
) -> ExtractorJob:
    """A job for a toy extractor."""
    spec = ExtractorSpec(
        name="toy",
        target=f"engine_toys:{kind.__name__}",
        modality=name.partition(":")[0],
        inputs=inputs or TEXT,
        level=level,
        per_thread=per_thread,
        batch_seconds=batch_seconds,
    )
    about = {"extractor": kind.__name__, "version": version}
    return ExtractorJob(
        name=name, spec=spec, options=options, extractor_class=kind, fingerprint=digest(about), about=about
    )


def loudness(**options: Any) -> ExtractorJob:
    """A job that reads sound."""
    return job(Loudness, "speech:loud", {"audio": AudioInput(16000)}, "frame", **options)


def shouting(per_thread: bool = True, version: str = "1", **options: Any) -> dict[str, DeriverJob]:
    """The deriver that :func:`hearing` needs."""
    spec = DeriverSpec(name="shout", target="engine_toys:Shout", produces="shout", inputs=TEXT, per_thread=per_thread)
    about = {"deriver": "Shout", "version": version}
    made = DeriverJob(
        name="shout", spec=spec, options=options, deriver_class=Shout, fingerprint=digest(about), about=about
    )
    return {"shout": made}


def hearing(optional: bool = False, **options: Any) -> ExtractorJob:
    """A job that reads a derived artefact."""
    return job(Hear, "text:hear", {"shout": DerivedInput("shout", optional)}, **options)


def texts(*contents: str | None) -> list[Clip]:
    """Clips c0, c1, ... with these transcripts."""
    return [Clip(id=f"c{number}", text=content) for number, content in enumerate(contents)]


def sound(path: Path, seconds: float = 0.5, level: float = 0.5, rate: int = 16000) -> Path:
    """A small wav file, last changed long ago."""
    samples = (level * 32767 * np.sin(np.arange(int(seconds * rate)) * 0.3)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path
