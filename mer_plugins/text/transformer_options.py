"""Options of ``hf-text``, validated before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from mer_core.plugin import Field, Weights
from mer_plugins.architecture import check_known
from mer_plugins.hf import LayerOptions
from mer_plugins.text.weights import ENCODERS


class HfTextOptions(LayerOptions):
    """Options of the ``hf-text`` extractor."""

    known: ClassVar[tuple[Weights, ...]] = ENCODERS

    model: str = ENCODERS[0].name
    """Name of known weights, hub id (owner/name), or a local folder."""
    window: int = Field(default=0, ge=0)
    """Longer texts are read in overlapping windows of so many tokens; 0: as many as the model takes."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Tokens that the model reads at once, padding included."""

    def fingerprint(self) -> Mapping[str, Any]:
        """As for all weights; how many tokens are read at once changes nothing."""
        return {**super().fingerprint(), "batch_tokens": None}

    def check_weights(self, place: Path) -> None:
        """As for all weights; models that are known not to read text are refused, too."""
        check_known(place, "text", self.model)
        super().check_weights(place)
