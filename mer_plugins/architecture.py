"""What the JSON files of a checkpoint say before its weights are loaded: which model it is, and what it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from mer_core.plugin import PluginError
from mer_core.weights import refetch
from mer_plugins.trust import own_code, refuse_code, trusted

Reads = Literal["sound", "pictures", "text"]

EXTRACTORS = {
    **{name: name for name in ("hubert", "wav2vec2", "wavlm", "data2vec-audio", "whisper", "clip", "videomae")},
    "baichuan": "baichuan",
}
"""The extractor for each ``model_type`` that has one of its own."""

COMMON: dict[Reads, str] = {"pictures": "hf-vision", "text": "hf-text"}
"""The extractor for other models, by what they read."""

INPUTS: dict[str, Reads] = {
    "input_ids": "text",
    "pixel_values": "pictures",
    "input_values": "sound",
    "input_features": "sound",
}
"""What models of transformers call their first input, and what it is."""


def read_json(file: Path, hint: str) -> dict[str, Any]:
    """The object in ``file``.

    Raises:
        PluginError: it is not there (with ``hint``), or no JSON object.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise PluginError(f"{file} {what}.", hint) from None
    except ValueError as error:
        raise PluginError(f"{file} cannot be read: {error}.", refetch(file)) from None
    if not isinstance(found, dict):
        raise PluginError(f"{file} holds no JSON object.", refetch(file))
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json in ``folder`` says, ``model_type`` among it.

    Raises:
        PluginError: it is not there, damaged, or does not say.
    """
    if not folder.is_dir():
        raise PluginError(f"{folder} is a file.", "Name the folder of a model of transformers.")
    config = read_json(folder / "config.json", "Name the folder of a model of transformers, with its config.json.")
    if not config.get("model_type"):
        raise PluginError(f"{folder / 'config.json'} does not say the model_type.", refetch(folder))
    return config


def check_kind(folder: Path, wanted: str) -> dict[str, Any]:
    """What config.json says; a checkpoint of another architecture is refused.

    Raises:
        PluginError: naming the extractor that takes it, where there is one.
    """
    config = read_config(folder)
    kind = str(config["model_type"])
    if kind != wanted:
        raise PluginError(f"{folder} holds a {kind}, not a {wanted}.", _hint(kind, f"Name weights of a {wanted}."))
    return config


def check_reads(folder: Path, wanted: Reads, model: str = "") -> dict[str, Any]:
    """What config.json says; a model of transformers that reads something else is refused.

    Args:
        model: what the user calls it, where code that comes with it may be run if the user says so.

    Raises:
        PluginError: naming the extractor that takes it, where there is one; or that it cannot do without its code.
    """
    config = read_config(folder)
    kind, code = str(config["model_type"]), own_code(config)
    if code and trusted(model):
        return config
    found = _reads(folder, kind, model, code)
    towers = {"vision_config", "audio_config"} & set(config)
    if wanted == "pictures" and "vision_config" in towers:
        return config
    if found != wanted or (towers and wanted == "text"):
        other = "pictures and text" if "vision_config" in towers else found
        hint = _hint(kind, f"Use the extractor {COMMON[found]} for it." if found in COMMON else "Name other weights.")
        raise PluginError(f"{folder} holds a {kind}, which reads {other}, not {wanted}.", hint)
    if wanted == "pictures" and "num_frames" in config:
        raise PluginError(
            f"{folder} holds a {kind}, which reads several frames at once.", _hint(kind, "Name other weights.")
        )
    return config


def check_known(folder: Path, wanted: Reads, model: str = "") -> None:
    """As :func:`check_reads`, for models with an extractor of their own; transformers is not imported for others.

    Raises:
        PluginError: as there.
    """
    if read_config(folder)["model_type"] in EXTRACTORS:
        check_reads(folder, wanted, model)


def _reads(folder: Path, kind: str, model: str, code: tuple[str, ...]) -> Reads:
    """What a model of transformers reads, as its class says.

    Raises:
        PluginError: transformers has no such model.
    """
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    try:
        cls = MODEL_MAPPING[CONFIG_MAPPING[kind]]
    except KeyError:
        if code and model:
            raise refuse_code(folder, model, code) from None
        hint = _hint(kind, "Name other weights, or update transformers.")
        raise PluginError(f"{folder} holds a {kind}; transformers {transformers.__version__} has none.", hint) from None
    first = cls[0] if isinstance(cls, tuple) else cls
    return INPUTS.get(getattr(first, "main_input_name", ""), "text")


def _hint(kind: str, otherwise: str) -> str:
    return f"Use the extractor {EXTRACTORS[kind]} for it." if kind in EXTRACTORS else otherwise
