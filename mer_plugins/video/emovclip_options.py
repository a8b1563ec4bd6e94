"""Options of ``emovclip``. Light: nothing here imports numpy or torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from mer_core.plugin import Clip, Field, FramesInput, Input, OptionError
from mer_plugins.image.clip_options import ClipModel
from mer_plugins.video.emovclip_words import LabelWords
from mer_plugins.video.prompts_plan import PromptPlan, Scheme
from mer_plugins.video.tuning_options import TuningOptions

TOWERS = {"base": (768, 12), "large": (1024, 24), "huge": (1280, 32)}
"""Width and layers of the published image towers."""

SHORT = {"b": "base", "l": "large", "h": "huge"}

ALL_WEIGHTS = 8e-6
"""ViFi-CLIP's learning rate where all weights are trained."""

NAMED = re.compile(r"vit[-_]?(base|large|huge|b|l|h)[-_]?(?:patch)?(14|16|32)(?:.*?[-_](\d{3}))?", re.IGNORECASE)


class EmoVClipOptions(TuningOptions, ClipModel):
    """Options of the ``emovclip`` extractor."""

    free_once_fitted: ClassVar[frozenset[str]] = frozenset(("frames", "jitter", "max_side", "output", "normalise"))
    """They say how clips are read, and what is given out: a run may choose them anew for prompts that are learnt."""

    frames: int = Field(default=16, ge=1, le=256)
    """Frames of each clip, spread evenly."""
    jitter: int = Field(default=3, ge=1, le=15)
    """Frames that are decoded for each of them: training shows any one, everything else the middle one. Odd."""
    max_side: int = Field(default=480, ge=64)
    """Frames are decoded with at most this many pixels on the longer side."""
    scheme: Scheme = "vl"
    """What is learnt: vl (prompts in both towers), ivlp, vpt (image tower only), maple, cocoop, or full (all
    weights)."""
    tokens: int = Field(default=4, ge=1, le=64)
    """Prompt tokens of each layer."""
    vision_depth: int = Field(default=12, ge=0)
    """Layers of the image tower that have prompts; all where there are fewer."""
    text_depth: int = Field(default=12, ge=0)
    """Layers of the text tower that have prompts; all where there are fewer."""
    context: str = "a photo of a"
    """Words before the class; with up to 4 tokens, learning begins at them."""
    label_words: LabelWords = "paper"
    """Words for the classes: paper (anger, worry), dataset (angry, worried), or sentence (angry person)."""
    words: dict[str, str] = Field(default_factory=dict)
    """Your own words for some classes, such as {"生气": "anger"}."""
    lr: float = Field(default=4e-3, gt=0, le=1)
    """Highest learning rate; under the scheme full, 8e-6 unless another is given."""
    normalisation: Literal["clip", "imagenet"] = "clip"
    """Mean and deviation of pixels: those of the weights, or ImageNet's as in ViFi-CLIP."""
    output: Literal["embedding", "frames", "logits", "probabilities"] = "embedding"
    """The mean of the frames' embeddings; one row per frame; or what the classes score."""
    normalise: bool = False
    """Bring embeddings to length 1."""
    pictures: int | None = Field(default=None, ge=1, le=4096)
    """Pictures that are computed at once for features; null: 64 on a GPU, 8 on a CPU."""

    @model_validator(mode="before")
    @classmethod
    def _gently(cls, values: Any) -> Any:
        """A rate for prompts would wipe out what trained weights know."""
        if isinstance(values, dict) and values.get("scheme") == "full" and "lr" not in values:
            return {**values, "lr": ALL_WEIGHTS}
        return values

    @field_validator("jitter")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise OptionError("emovclip: jitter is even.", "Give an odd number: there has to be a middle one.")
        return value

    def inputs(self) -> dict[str, Input]:
        """Whole frames: ``jitter`` from each of as many segments of the clip as there are ``frames``."""
        return {"frames": FramesInput(count=self.frames * self.jitter, max_side=self.max_side)}

    def feature_level(self) -> str:
        """One vector per clip, or one per frame."""
        return "frame" if self.output == "frames" else "clip"

    def fingerprint(self) -> Mapping[str, Any]:
        """How many pictures are computed at once changes nothing."""
        return {**super().fingerprint(), "pictures": None}

    def plan(self) -> PromptPlan:
        """The prompts.

        Raises:
            UsageError: there are none like that.
        """
        return PromptPlan(self.scheme, self.tokens, self.vision_depth, self.text_depth, self.context)

    def remarks(self, clips: Sequence[Clip]) -> tuple[str, ...]:
        """Nothing, where weights and prompts look right.

        Raises:
            PluginError: the weights are no CLIP, or not whole.
            UsageError: there are no such prompts, or the context has fewer tokens than they.
        """
        told, plan = super().remarks(clips), self.plan()
        if plan.learns_words and len(plan.prefix.split()) < plan.tokens:  # a word is one token or more
            plan.require(_count_tokens(plan.prefix))
        return told

    def smoke(self) -> Mapping[str, Any]:
        """Options for the least work that shows whether weights do their work: one epoch of a frame per clip."""
        return {"epochs": 1, "frames": 1, "jitter": 1}

    def operations(self) -> float:
        """Floating-point operations for the features of one clip; 0 if the model's name does not tell."""
        prompts = self.tokens if self.scheme in ("vl", "ivlp", "vpt", "maple") and self.vision_depth else 0
        return self.frames * picture_operations(self.model, prompts)

    def learning_operations(self, clips: int) -> float:
        """The same for a fit to so many clips. The text tower's are not counted: they are few beside them.

        Gradients cost as much as the features again, and once more where all weights are learnt.
        """
        held = round(self.inner * clips) if self.select == "inner" else 0
        learnt = max(1, clips - held)
        times = (3 if self.scheme == "full" else 2) + self.checkpointing
        return self.epochs_of(-(-learnt // self.batch)) * (learnt * times + held) * self.operations()


def _count_tokens(text: str) -> int:
    from mer_plugins.image.clip_checkpoint import require_open_clip

    require_open_clip()
    from open_clip.tokenizer import SimpleTokenizer

    return len(SimpleTokenizer().encode(text))


def picture_operations(model: str, prompts: int = 0) -> float:
    """Floating-point operations for one picture by CLIP's image tower, from the model's name; 0 if it does not tell."""
    found = NAMED.search(model)
    if not found:
        return 0.0
    width, layers = TOWERS[SHORT.get(found[1].lower(), found[1].lower())]
    patches = (int(found[3] or 224) // int(found[2])) ** 2
    length = 1 + patches + prompts
    layer = 2 * length * 12 * width**2 + 4 * length**2 * width
    return float(layers * layer + 2 * patches * 3 * int(found[2]) ** 2 * width)
