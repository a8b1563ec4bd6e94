"""Options of ``clip`` and ``clip-video``. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mer_core.plugin import Field, FramesInput, Input, UsageError, Weights
from mer_core.weights import Located, locate
from mer_plugins.hf import WeightsOptions
from mer_plugins.image.options import FaceOptions, PictureOptions
from mer_plugins.image.weights import CLIP

OPEN_CLIP_CONFIG = "open_clip_config.json"


class ClipModel(WeightsOptions):
    """Which CLIP."""

    known: ClassVar[tuple[Weights, ...]] = CLIP

    model: str = CLIP[0].name
    """Name of known weights, hub id (owner/name), open_clip's MODEL:TAG (ViT-B-32:laion2b_e16), or a local folder or
    file."""
    architecture: str = ""
    """open_clip's name of the model, such as ViT-L-14-quickgelu: for a file of weights that does not say."""

    def located(self) -> Located:
        """Where the weights are.

        Raises:
            MissingWeightsError: with the command that fetches them.
        """
        if ":" not in self.model or Path(self.model).expanduser().exists():
            return super().located()
        return locate(tagged(self.model).repo, (tagged(self.model),), self.revision)

    def check_weights(self, place: Path) -> None:
        """Refuse what is no CLIP, or not whole.

        Raises:
            PluginError: as the extractor when it is made.
        """
        from mer_plugins.image.clip_checkpoint import check_clip

        check_clip(place, self.architecture)


class ClipWeights(ClipModel, PictureOptions):
    """What both extractors over CLIP can set."""

    normalise: bool = False
    """Bring each picture's vector to length 1; the MER2024 recipe does not."""


class ClipOptions(ClipWeights, FaceOptions):
    """Options of the ``clip`` extractor."""


class ClipVideoOptions(ClipWeights):
    """Options of the ``clip-video`` extractor."""

    max_side: int = Field(default=640, ge=64)
    """Frames are decoded with at most this many pixels on the longer side."""

    def inputs(self) -> dict[str, Input]:
        """Whole frames."""
        return {"frames": FramesInput(fps=self.rate, count=self.count, max_side=self.max_side)}


def tagged(name: str) -> Weights:
    """The repository of the weights that open_clip calls ``MODEL:TAG``.

    Raises:
        UsageError: open_clip knows no such weights, or none of the hub.
        EnvironmentProblem: open_clip cannot be imported.
    """
    from mer_plugins.image.clip_checkpoint import require_open_clip

    require_open_clip()
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    model, _, tag = name.partition(":")
    found = get_pretrained_cfg(model, tag)
    if not found:
        tags = ", ".join(list_pretrained_tags_by_model(model))
        raise UsageError(
            f"open_clip has no weights {name!r}.",
            f"Tags of {model}: {tags}." if tags else f"It has no weights of a model {model!r}.",
        )
    repo = str(found.get("hf_hub", "")).strip("/")
    if repo.count("/") != 1:
        raise UsageError(
            f"open_clip's {name} is a single file, which mer does not fetch.",
            f"Fetch it, and give its path: model=FILE architecture={model}.",
        )
    return Weights(name=repo, repo=repo, files=(OPEN_CLIP_CONFIG,))
