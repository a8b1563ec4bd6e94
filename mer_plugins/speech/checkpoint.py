"""What the JSON files of a checkpoint in transformers' format say, before its weights are loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mer_core.plugin import PluginError

EXTRACTORS = {
    "hubert": "hubert",
    "wav2vec2": "wav2vec2",
    "wavlm": "wavlm",
    "data2vec-audio": "data2vec-audio",
    "whisper": "whisper",
}
"""The extractor for each ``model_type`` that a speech extractor takes."""


def read_json(file: Path, hint: str) -> dict[str, Any]:
    """The object in ``file``.

    Raises:
        PluginError: it is not there, or no JSON object.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise PluginError(f"{file} is missing.", hint) from None
    except ValueError as error:
        raise PluginError(f"{file} cannot be read: {error}.", "Fetch it again: mer weights fetch NAME.") from None
    if not isinstance(found, dict):
        raise PluginError(f"{file} holds no JSON object.", "Fetch it again: mer weights fetch NAME.")
    return found


def check_kind(folder: Path, wanted: str) -> None:
    """Refuse a checkpoint of another architecture.

    Raises:
        PluginError: naming the extractor that takes it, where there is one.
    """
    config = read_json(folder / "config.json", "Name a folder with a model of transformers.")
    kind = config.get("model_type")
    if kind == wanted:
        return
    known = EXTRACTORS.get(str(kind))
    hint = f"Use the extractor {known} for it." if known else f"Name weights of a {wanted} model."
    raise PluginError(f"{folder} holds a {kind or 'model of unknown type'}, not a {wanted}.", hint)
