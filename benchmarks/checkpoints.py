"""Checkpoints of published sizes with random weights, and clips to feed them: all that the model rows need.

Every checkpoint is written as the published one is (config.json, weights, tokenizer or preprocessor files), so
that the extractors load it as they load the real one. How fast a model is does not depend on its weights.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from mer_plugins.datasets.sample_write import write_mp4, write_wav

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
STABLE = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
VOCABULARY = 21128
"""Tokens of the Chinese BERT and RoBERTa; nearly all are single characters."""

RATE, FPS, SIZE = 16000, 25, (640, 360)


@dataclass(frozen=True, slots=True)
class Known:
    """A row of the benchmark: which extractor of which modality, and how its checkpoint is written."""

    modality: str
    extractor: str
    write: Callable[[Path], None]


def _speech(**sizes: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        transformers.HubertModel(transformers.HubertConfig(**sizes)).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)

    return write


def _clip(patch: int, width: int, out: int, layers: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        vision = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64}
        vision |= {"num_hidden_layers": layers, "patch_size": patch, "image_size": 224, "projection_dim": out}
        words = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1}
        config = transformers.CLIPConfig(text_config=words, vision_config=vision, projection_dim=out)
        transformers.CLIPModel(config).save_pretrained(folder)
        transformers.CLIPImageProcessor().save_pretrained(folder)

    return write


def _text(**sizes: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        config = transformers.BertConfig(vocab_size=VOCABULARY, **sizes)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        words += [chr(0x4E00 + number) for number in range(VOCABULARY - len(words))]
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
        settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 512}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")

    return write


def _videomae(folder: Path) -> None:
    transformers.VideoMAEModel(transformers.VideoMAEConfig()).save_pretrained(folder)
    transformers.VideoMAEImageProcessor().save_pretrained(folder)


MODELS = {
    "hubert-base": Known("speech", "hubert", _speech()),
    "hubert": Known("speech", "hubert", _speech(**LARGE, **STABLE)),
    "clip-b32": Known("video", "clip-video", _clip(32, 768, 512, 12)),
    "clip": Known("video", "clip-video", _clip(14, 1024, 768, 24)),
    "roberta-base": Known("text", "hf-text", _text()),
    "roberta": Known("text", "hf-text", _text(**LARGE)),
    "videomae": Known("video", "videomae", _videomae),
}
"""By the name to give to ``--models``. Without -base or -b32 the large ones: HuBERT-large, CLIP ViT-L/14,
RoBERTa-large (Chinese); ``clip-b32`` is ViT-B/32, ``videomae`` the base model. CLIP reads whole frames, five per
second, so that no time goes into finding faces."""


def write_checkpoint(name: str, folder: Path) -> Path:
    """``folder`` with the checkpoint ``name`` in it."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    MODELS[name].write(folder)
    return folder


def write_clips(folder: Path, count: int) -> Path:
    """A manifest of ``count`` clips of 1.5 to 4.5 s: sound at 16 kHz, H.264 at 640x360, a line of Chinese text."""
    rng = np.random.default_rng(0)
    path = folder / "manifest.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("id", "video", "audio", "text"))
        for number, seconds in enumerate(rng.uniform(1.5, 4.5, count)):
            name = f"clip{number:05}"
            write_wav(folder / f"{name}.wav", _sound(rng, seconds), RATE)
            write_mp4(folder / f"{name}.mp4", _pictures(rng, seconds), FPS, SIZE, None, RATE)
            words = "".join(chr(0x4E00 + word) for word in rng.integers(0, 20000, int(seconds * 6)))
            table.writerow((name, f"{name}.mp4", f"{name}.wav", words))
    return path


def _sound(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """A wavering tone in noise."""
    at = np.arange(int(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * (150 * at + 5 * np.sin(2 * np.pi * 3 * at))) * 0.2
    return (tone + rng.normal(0, 0.02, len(at))).astype(np.float32)


def _pictures(rng: np.random.Generator, seconds: float) -> Iterator[NDArray[np.uint8]]:
    """A soft pattern that drifts."""
    width, height = SIZE
    rough = rng.integers(0, 256, (height // 20, width // 20, 3)).astype(np.uint8)
    whole = rough.repeat(20, axis=0).repeat(20, axis=1)
    for number in range(int(seconds * FPS)):
        yield np.roll(whole, 4 * number, axis=1)
