"""The tensors of a checkpoint: one file or shards with an index, safetensors or pickles of weights alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mer_core.plugin import PluginError
from mer_core.weights import refetch
from mer_plugins.damage import unreadable

State = dict[str, Tensor]

BROKEN = (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError, SafetensorError, BadZipFile)


def first_of(folder: Path, names: Iterable[str]) -> Path:
    """The first of ``names`` that is in ``folder``.

    Raises:
        PluginError: none is.
    """
    wanted = list(names)
    for name in wanted:
        if (folder / name).is_file():
            return folder / name
    raise PluginError(f"{folder} holds no weights ({', '.join(wanted)}).", refetch(folder))


def read_state(file: Path) -> State:
    """All tensors of ``file``, or of the shards that it lists, on the CPU.

    Raises:
        PluginError: it cannot be read, or holds code.
    """
    try:
        if file.suffix == ".json":
            shards = sorted(set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
            return {name: value for shard in shards for name, value in _read(file.parent / shard).items()}
        return _read(file)
    except BROKEN as error:
        raise unreadable(file, error) from error


def _read(file: Path) -> State:
    if file.suffix == ".safetensors":
        return load_file(file)
    refuse_code(file)
    return _inner(torch.load(file, map_location="cpu", weights_only=True))


def refuse_code(file: Path) -> None:
    """OpenAI's own files are TorchScript: a program with weights in it, which can only be run to be read.

    Raises:
        PluginError: ``file`` is one.
    """
    if not is_zipfile(file):
        return
    with ZipFile(file) as archive:
        if any("/code/" in f"/{name}" for name in archive.namelist()):
            raise PluginError(
                f"{file} is a TorchScript archive: it holds code, and mer reads weights only.",
                "The same weights without code: openai/clip-vit-large-patch14 and its kin, or ViT-L-14:openai.",
            )


def _inner(held: Any) -> State:
    """The state dict in what a training run saved, without the prefix of distributed training."""
    for key in ("state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not isinstance(held, dict):
        raise ValueError(f"it holds a {type(held).__name__}, not weights by name")
    return {str(key).removeprefix("module."): value for key, value in held.items() if isinstance(value, Tensor)}
