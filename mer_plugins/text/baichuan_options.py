"""Options of ``baichuan``, validated before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import DirectoryPath

from mer_core.plugin import Field, Weights
from mer_plugins.hf import LayerOptions
from mer_plugins.text.weights import DECODERS


class BaichuanOptions(LayerOptions):
    """Options of the ``baichuan`` extractor. From ``window`` on, the defaults suit a machine with 8 GB."""

    known: ClassVar[tuple[Weights, ...]] = DECODERS

    model: str = DECODERS[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""
    last: Literal["normed", "raw"] = "normed"
    """The last layer after the final norm, as in the MER2024 recipe, or as the other layers are, without."""
    add_bos: bool = False
    """Begin every text with the token <s> (it is no part of the features)."""
    window: int = Field(default=0, ge=0)
    """Longer texts are read in overlapping windows of so many tokens; 0: as many as the model was trained for."""
    wave: int = Field(default=100_000, ge=1)
    """So many tokens go through all layers together; their features are stored before the next begin."""
    memory: float = Field(default=2.0, ge=0)
    """Gigabytes of hidden states that may wait in memory; a wave that needs more has them on disk."""
    scratch: DirectoryPath | None = None
    """Folder for hidden states on disk; by default the system's folder for temporary files."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens that go through a layer at once, padding included."""
    keep_layers: Literal["auto", "always", "never"] = "auto"
    """Hold all layers once they are read; auto: on a GPU that has room for them."""

    def fingerprint(self) -> Mapping[str, Any]:
        """As for all weights; how the work is cut changes nothing."""
        how = ("wave", "memory", "scratch", "batch_tokens", "keep_layers")
        return {**super().fingerprint(), **dict.fromkeys(how)}

    def check_weights(self, place: Path) -> None:
        """Refuse all that headers, config.json and the tokenizer show to be wrong.

        Raises:
            PluginError: as the extractor when it is made.
        """
        from mer_plugins.text.baichuan import opened

        opened(place, self)
