"""A tiny checkpoint of each family of extractors, a few clips that all of them can read, and the command line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import test_baichuan
import test_emotion2vec
import test_videomae
import test_whisper
import text_models
import torch
import transformers
import vision_models
from media_maker import tone, write_media

from mer_core.cli.app import run_app
from mer_core.testing.pictures import scene

MODALITY = {
    "hubert": "speech",
    "whisper": "speech",
    "emotion2vec": "speech",
    "clip": "image",
    "hf-vision": "image",
    "videomae": "video",
    "hf-text": "text",
    "baichuan": "text",
}
"""One extractor of each family, by name."""

WEIGHTS = {
    "hubert": "model.safetensors",
    "whisper": "model.safetensors",
    "emotion2vec": "model.pt",
    "clip": "model.safetensors",
    "hf-vision": "model.safetensors",
    "videomae": "model.safetensors",
    "hf-text": "model.safetensors",
    "baichuan": "model-00002-of-00003.safetensors",
}
"""A file of weights in each tiny checkpoint."""

SPEECH = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embedding_groups": 4,
    "num_conv_pos_embeddings": 32,
}
SOUND = {"do_normalize": True, "feature_size": 1, "padding_side": "right", "padding_value": 0, "sampling_rate": 16000}


def hubert(folder: Path) -> Path:
    torch.manual_seed(7)
    transformers.HubertModel(transformers.HubertConfig(**SPEECH)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SOUND))
    return folder


def vit(folder: Path) -> Path:
    torch.manual_seed(5)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    side = vision_models.SIDE
    config = transformers.ViTConfig(**sizes, image_size=side, patch_size=vision_models.PATCH)
    told = {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}}
    return vision_models.save(transformers.ViTModel(config), folder, told)


def videomae(folder: Path) -> Path:
    torch.manual_seed(2)
    model = transformers.VideoMAEForPreTraining(test_videomae.config())
    return vision_models.save(model, folder, test_videomae.PICTURES)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "hubert": hubert,
    "whisper": lambda folder: test_whisper.checkpoint(folder, seconds=2),
    "emotion2vec": lambda folder: test_emotion2vec.save(folder, test_emotion2vec.closed_form(test_emotion2vec.TINY)),
    "clip": vision_models.clip_folder,
    "hf-vision": vit,
    "videomae": videomae,
    "hf-text": lambda folder: text_models.encoder(folder, "bert"),
    "baichuan": test_baichuan.checkpoint,
}


class Said(NamedTuple):
    """What a command left: exit code, standard output, standard error with its line breaks taken out."""

    code: int
    out: str
    err: str

    def refuses(self, code: int, *parts: str) -> None:
        """One error and no traceback, with these parts in it."""
        assert self.code == code, self.err
        assert self.err.count("Error: ") == 1, self.err
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err, (part, self.err)


@dataclass(frozen=True)
class Shelf:
    """Checkpoints below ``top``, made when first asked for; and clips."""

    top: Path

    def __call__(self, family: str) -> Path:
        """The whole checkpoint; not to be changed."""
        folder = self.top / "whole" / family
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            MAKERS[family](folder)
        return folder

    def copy(self, family: str, to: Path) -> Path:
        """One to be damaged."""
        return Path(shutil.copytree(self(family), to / family))

    def clips(self, count: int = 1) -> Path:
        """A manifest of clips with a face, sound and a transcript."""
        manifest = self.top / f"clips-{count}" / "clips.csv"
        if not manifest.is_file():
            manifest.parent.mkdir(parents=True, exist_ok=True)
            rows = [_clip(manifest.parent, number) for number in range(count)]
            with manifest.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        return manifest


def _clip(folder: Path, number: int) -> dict[str, Any]:
    path = folder / f"{number}.mp4"
    pictures = list(scene(12, 240, 180, number, 12.0))
    write_media(path, pictures, tone(1.0, 16000, 200.0 + 10 * number)[None], fps=12, rate=16000, pixels="yuv420p")
    text = text_models.SENTENCES[number % 2][: 14 + number]
    return {"id": f"clip{number}", "video": path.name, "text": text, "label": ("happy", "angry")[number % 2]}


def extract_line(family: str, model: str | Path, manifest: Path, *more: str) -> list[str]:
    """``mer extract`` with one extractor and these weights; faces are found once for all tests."""
    modality = MODALITY[family]
    streams = ["--modalities", modality, "--extractor", f"{modality}={family}", "-o", f"{family}.model={model}"]
    cache = [] if "--cache" in more else ["--cache", str(manifest.parent / "cache")]
    return ["extract", "--data", str(manifest), *streams, "--device", "cpu", "--workers", "1", *cache, *more]


class Mer:
    """``mer ARGUMENTS``, as a user types it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        code = run_app(list(arguments))
        said = self._capsys.readouterr()
        return Said(code, said.out, " ".join(said.err.split()))


def cut_short(file: Path, share: float = 0.6) -> None:
    """Keep the first part of a file only, as a download that was broken off leaves it."""
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])


def filled(file: Path, value: float) -> None:
    """Every floating-point weight in a file becomes ``value``."""
    from safetensors.torch import load_file, save_file

    if file.suffix == ".safetensors":
        save_file({k: _filled(v, value) for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
        return
    held = torch.load(file, weights_only=True)
    inside = held.get("model", held)
    for key in inside:
        inside[key] = _filled(inside[key], value)
    torch.save(held, file)


def _filled(tensor: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full_like(tensor, value) if tensor.is_floating_point() else tensor
