"""Supervised toy extractors; importable by the processes that tests start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import (
    ExtractorSpec,
    Features,
    NoOptions,
    Options,
    PluginSpec,
    Sample,
    Supervision,
    TextInput,
    hookimpl,
)

WIDTH = 8


class LearnerOptions(Options):
    """Options of the toys."""

    scale: float = 1.0
    """Features are multiplied by it."""


class Memory:
    """Remembers the label of every text it was fitted to; of others it knows nothing."""

    fitted: ClassVar[list[tuple[str, ...]]] = []

    def __init__(self, options: LearnerOptions, device: str) -> None:
        self.options = options
        self.known: dict[str, int] = {}
        self.summary: dict[str, Any] = {}

    @property
    def dim(self) -> int:
        return WIDTH

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        texts = [sample.text().content for sample in samples]
        Memory.fitted.append(tuple(texts))
        self.known = dict(zip(texts, supervision.labels.tolist(), strict=True))
        self.summary = {"texts": len(texts), "classes": list(supervision.classes)}
        supervision.tell("epoch", 1, 1, "loss 0.1")
        return self.state()

    def state(self) -> dict[str, NDArray[Any]]:
        texts = "\n".join(self.known).encode()
        labels = np.asarray(list(self.known.values()), np.int64)
        return {"texts": np.frombuffer(texts, np.uint8).copy(), "labels": labels}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        texts = state["texts"].tobytes().decode().split("\n")
        self.known = dict(zip(texts, state["labels"].tolist(), strict=True))

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(self.values(sample.text().content)) for sample in batch]

    def values(self, text: str) -> NDArray[np.float32]:
        found = np.random.default_rng(len(text)).normal(0, 0.1, WIDTH)
        if text in self.known:
            found[self.known[text]] += 3
        return np.asarray(found * self.options.scale, np.float32)


class Learners:
    """The plugin object with the toys."""

    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        return [
            ExtractorSpec(
                name="memory",
                target=f"{__name__}:Memory",
                options=f"{__name__}:LearnerOptions",
                modality="text",
                inputs={"text": TextInput()},
                level="clip",
                supervised=True,
                batch_seconds=20,
            ),
            ExtractorSpec(
                name="letters",
                target=f"{__name__}:Letters",
                modality="text",
                inputs={"text": TextInput()},
                level="clip",
            ),
        ]


class Letters:
    """How often each of some letters is there."""

    dim = WIDTH

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        texts = [sample.text().content for sample in batch]
        return [Features(np.asarray([text.count(c) for c in "abcdefgh"], np.float32)) for text in texts]


def write_texts(folder: Path, labels: Iterable[str], splits: Sequence[str] = ()) -> Path:
    """A manifest of clips with a text each, all different, that say nothing of their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    lines = ["id,text,label,split"]
    for number, label in enumerate(labels):
        text = " ".join("".join(rng.choice(list("abcdefgh"), 4)) for _ in range(5))
        lines.append(f"c{number},{text} {number},{label},{splits[number] if splits else ''}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "clips.csv"
