"""Options of ``onnx-face``: validated before onnxruntime is imported."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from mer_core.plugin import FramesInput, Input, OptionError, Options, content_digest
from pydantic import Field, field_validator, model_validator


class OnnxFaceOptions(Options):
    """Which model, how its pictures are made, and what to take from it."""

    model: Path
    """The .onnx file."""
    fps: float = Field(5.0, gt=0, le=60)
    """Face crops per second of video."""
    size: int = Field(224, ge=16, le=1024)
    """Side of the square picture that the model takes, in pixels."""
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    """Order of the colour channels, or one grey channel."""
    scale: bool = True
    """Divide pixels by 255 first, so that they lie in 0..1."""
    mean: tuple[float, ...] = ()
    """Subtracted after scaling, one number per channel in the model's order; none for zero."""
    std: tuple[float, ...] = ()
    """Divided by after that, one number per channel; none for one."""
    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    """Order of the model's input axes; auto reads it from the file."""
    classes: tuple[str, ...] = ()
    """Names of the model's outputs, in order; their number is checked (logits and probabilities)."""
    output: Literal["logits", "probabilities", "features"] = "logits"
    """The output as it is, its softmax, or the input of the last fully connected layer."""
    tensor: str = ""
    """Take this tensor instead of the first output (or, for features, of the one that is found)."""
    batch: int = Field(8, ge=1, le=4096)
    """Faces computed at once; few suit the caches of a CPU, many a GPU."""
    threads: int = Field(1, ge=1, le=256)
    """CPU threads of one computation."""

    @property
    def channels(self) -> int:
        """Channels of the picture that the model takes."""
        return 1 if self.colour == "grey" else 3

    def inputs(self) -> dict[str, Input]:
        """Aligned crops of the main face, already of the model's size."""
        return {"frames": FramesInput(fps=self.fps, faces=True, size=self.size)}

    def fingerprint(self) -> Mapping[str, Any]:
        """The file's content stands for its path; how much is computed at once changes no result."""
        return {"model": [content_digest(path) for path in _with_weights(self.model)], "batch": None, "threads": None}

    @field_validator("model")
    @classmethod
    def _existing(cls, value: Path) -> Path:
        """An absolute path, so that a saved run finds the file from any folder."""
        path = value.expanduser().absolute()
        if not path.is_file():
            raise OptionError(f"onnx-face: there is no file {path}.", "Give one: -o onnx-face.model=FILE.onnx")
        return path

    @model_validator(mode="after")
    def _one_per_channel(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} numbers; colour={self.colour} takes {self.channels}")
        if any(value <= 0 for value in self.std):
            raise ValueError("every std must be above zero")
        return self


def _with_weights(model: Path) -> list[Path]:
    """The file, and what exporters store beside it: ``model.onnx.data``, ``model.onnx_data``."""
    return sorted(model.parent.glob(glob.escape(model.name) + "*"))
