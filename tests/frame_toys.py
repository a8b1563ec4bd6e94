"""An extractor of frames, one of vectors, and fusions of either level; importable by the processes of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mer_core.plugin import (
    ExtractorSpec,
    Features,
    FusionOutput,
    FusionSpec,
    Missing,
    NoOptions,
    PluginSpec,
    ProtocolSpec,
    Sample,
    StreamInfo,
    TargetSpec,
    TextInput,
    clear_input,
    hookimpl,
)

LETTERS = "abcd"


class Words:
    """A frame for each word: how often each of some letters is in it."""

    dim = len(LETTERS)
    asked: ClassVar[list[str]] = []

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing]:
        Words.asked += [sample.id for sample in batch]
        return [self.one(sample.text().content.split()) for sample in batch]

    def one(self, words: list[str]) -> Features | Missing:
        if words[0] == "nothing":
            return Missing("no words")
        counts = [[word.count(letter) for letter in LETTERS] for word in words]
        return Features(np.asarray(counts, np.float32), np.arange(len(words), dtype=np.float64))


class Whole:
    """One vector: the length of the text, and one."""

    dim = 2

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(np.array([len(sample.text().content), 1], np.float32)) for sample in batch]


class Mean(nn.Module):
    """Streams are encoded, frames averaged, streams added."""

    def __init__(self, streams: Mapping[str, StreamInfo], classes: int) -> None:
        super().__init__()
        self.names = tuple(streams)
        self.encoders = nn.ModuleList(nn.Linear(info.dim, 8) for info in streams.values())
        self.out = nn.Linear(8, classes)

    def forward(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> FusionOutput:
        parts = []
        for name, encoder in zip(self.names, self.encoders, strict=True):
            hidden = clear_input(torch.tanh(encoder(clear_input(x[name], mask[name]))), mask[name])
            framed = hidden.dim() == 3
            parts.append(hidden.sum(1) / mask[name].sum(1, keepdim=True).clamp(min=1) if framed else hidden)
        logits = self.out(torch.stack(parts).sum(0))
        return FusionOutput(logits, logits[:, :0], {})


class Fusion:
    def __init__(self, options: NoOptions) -> None: ...

    def build(self, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> nn.Module:
        return Mean(streams, len(targets.classes))


class Toys:
    """The plugin object with the toys."""

    @hookimpl
    def mer_specs(self) -> list[PluginSpec]:
        read = {"modality": "text", "inputs": {"text": TextInput()}, "per_thread": True}
        return [
            ExtractorSpec(name="words", target=f"{__name__}:Words", level="frame", **read),  # type: ignore[arg-type]
            ExtractorSpec(name="whole", target=f"{__name__}:Whole", level="clip", **read),  # type: ignore[arg-type]
            FusionSpec(name="framewise", target=f"{__name__}:Fusion", levels=("frame",), stackable=True),
            FusionSpec(name="clipwise", target=f"{__name__}:Fusion", levels=("clip",), stackable=True),
            ProtocolSpec(name="pooled", pooling="mean_var"),
            FusionSpec(name="either", target=f"{__name__}:Fusion", levels=("clip", "frame"), stackable=True),
        ]


def write_words(folder: Path, count: int = 24) -> Path:
    """A manifest of texts of one to a hundred words, in which one letter stands for each of two labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["id,text,label"]
    for number in range(count):
        letters = "aabc" if number % 2 else "bbad"
        words = ["".join(rng.choice(list(letters), 3)) for _ in range(1 + number * 99 // (count - 1))]
        text = "nothing" if number == 5 else " ".join(words)
        lines.append(f"c{number},{text},{'happy' if number % 2 else 'sad'}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "clips.csv"
