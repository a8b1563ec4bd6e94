"""From a published file of emotion2vec to the network: what the file holds says how large the network is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mer_core.plugin import PluginError
from mer_core.weights import refetch
from mer_plugins import damage
from mer_plugins.speech.emotion2vec_model import KERNELS, Emotion2vec, Shape

NAMES = ("model.safetensors", "model.pt", "emotion2vec_base.pt", "pytorch_model.bin")
NESTS = ("state_dict", "model_state_dict", "model")
"""Names under which files hold the weights, in the order in which they may lie in one another."""

PREFIXES = ("module.", "d2v_model.")
AUDIO = "modality_encoders.AUDIO."
POSITIONS = f"{AUDIO}relative_positional_encoder"
CLASSES = 9
HEAD = 64
"""Width of a head, where no weight tells their number."""


def load(file: Path, device: str) -> Emotion2vec:
    """The network in evaluation, float32, on ``device``. Weights that only its training needed are left out.

    Raises:
        PluginError: the file cannot be read, or holds another network.
    """
    weights = read(file)
    shape = infer(weights, file)
    with torch.device("meta"):
        model = Emotion2vec(shape)
    wanted = model.state_dict()
    chosen = {name: weights[name].float() for name in wanted if name in weights}
    _refuse(sorted(wanted.keys() - chosen.keys()), "is missing", file)
    wrong = [name for name in wanted if chosen[name].shape != wanted[name].shape]
    _refuse(wrong, "has another shape than the rest suggests", file)
    damage.refuse_nan(file, chosen.items())
    model.load_state_dict(chosen, assign=True)
    return model.eval().requires_grad_(False).to(device)


def find(place: Path) -> Path:
    """The file with the weights: ``place``, or in that folder.

    Raises:
        PluginError: none is there, or several.
    """
    if place.is_file():
        return place
    named = [place / name for name in NAMES if (place / name).is_file()]
    other = [file for end in ("safetensors", "pt", "bin") for file in sorted(place.glob(f"*.{end}"))]
    if named or len(other) == 1:
        return (named or other)[0]
    if not other:
        raise PluginError(f"{place} holds no weights of emotion2vec ({', '.join(NAMES)}).", refetch(place))
    names = ", ".join(file.name for file in other)
    raise PluginError(f"{place} has {names} where one file of weights was expected.", "Name the file itself.")


def read(file: Path) -> dict[str, Tensor]:
    """The tensors in ``file`` by their published names, without what wraps them.

    Raises:
        PluginError: it cannot be read.
    """
    found: Mapping[str, Any]
    try:
        safe = file.suffix == ".safetensors"
        found = load_file(file) if safe else torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError, SafetensorError, ValueError, KeyError) as error:
        raise damage.unreadable(file, error) from error
    for nest in NESTS:
        if isinstance(found, Mapping) and isinstance(found.get(nest), Mapping):
            found = found[nest]
    if not isinstance(found, Mapping):
        raise PluginError(f"{file} holds no weights by name.", "Name a file of emotion2vec.")
    tensors = {_bare(str(name)): value for name, value in found.items() if isinstance(value, Tensor)}
    scale = f"{AUDIO}alibi_scale"
    if scale in tensors and tensors[scale].ndim == 4:
        tensors[scale] = tensors[scale][None]
    return tensors


def infer(weights: Mapping[str, Tensor], file: Path) -> Shape:
    """The sizes of the network that ``weights`` belong to.

    Raises:
        PluginError: weights that tell them are missing, or the convolutions are others.
    """
    front = f"{AUDIO}local_encoder.conv_layers"
    needed = ["blocks.0.mlp.fc1.weight", f"{AUDIO}extra_tokens", f"{AUDIO}alibi_scale", f"{POSITIONS}.1.0.weight"]
    _refuse([name for name in needed if name not in weights], "is missing", file)
    kernels = [weights[f"{front}.{k}.0.weight"].shape[-1] for k in range(_count(weights, front))]
    if kernels != list(KERNELS):
        raise PluginError(f"{file}: convolutions of {kernels} samples, not {list(KERNELS)}.", "Name other weights.")
    hidden, width = weights[needed[0]].shape
    scale, position = weights[needed[2]].shape, weights[needed[3]].shape
    classes = weights.get("proj.weight", torch.empty(0)).shape[0]
    return Shape(
        channels=weights[f"{front}.0.0.weight"].shape[0],
        width=width,
        heads=scale[2] if scale[2] > 1 else max(1, width // HEAD),
        hidden=hidden,
        prenet=_count(weights, f"{AUDIO}context_encoder.blocks"),
        depth=_count(weights, "blocks"),
        extra=weights[needed[1]].shape[1],
        positions=_count(weights, POSITIONS),
        position_kernel=position[2],
        position_groups=width // position[1],
        scales=scale[0],
        scaled_heads=scale[2],
        classes=classes,
    )


def labels(file: Path, classes: int) -> list[int]:
    """Which rows of the classifier are emotions: all nine, or those that tokens.txt does not call unused.

    Raises:
        PluginError: there is no classifier, or tokens.txt names another number of rows, or is needed and missing.
    """
    if not classes:
        raise PluginError(
            f"{file} has no classifier (proj.weight), so there are no scores.",
            "Choose output=utterance, or weights fine-tuned on emotions: emotion2vec-plus-large.",
        )
    tokens = file.parent / "tokens.txt"
    names = tokens.read_text(encoding="utf-8").split() if tokens.is_file() else ["?"] * CLASSES
    if len(names) != classes:
        told = f"{tokens} names {len(names)}" if tokens.is_file() else f"{tokens} is missing"
        raise PluginError(f"{file} has {classes} classes, and {told}.", "Copy the tokens.txt published with it.")
    return [number for number, name in enumerate(names) if not name.startswith("unuse")]


def _bare(name: str) -> str:
    """``name`` without the prefixes that wrappers put before it."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts are below ``prefix``."""
    below = [name.removeprefix(f"{prefix}.").partition(".")[0] for name in weights if name.startswith(f"{prefix}.")]
    return len({number for number in below if number.isdigit()})


def _refuse(names: list[str], what: str, file: Path) -> None:
    if names:
        more = f" (and {len(names) - 1} more)" if names[1:] else ""
        raise PluginError(
            f"{file} holds no emotion2vec that can be loaded: {names[0]}{more} {what}.",
            "It is of another architecture, or damaged: name other weights.",
        )
