"""Options of the ``openface`` face deriver. Light."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from mer_core.plugin import EnvironmentProblem, Field, FramesInput, Input, OptionError, Options, content_digest

PROGRAM = "FeatureExtraction"
HOME = "OPENFACE_HOME"
"""Environment variable that names the folder of an install."""

ALIGNED = "_aligned"
"""Ends the name of a folder of aligned pictures."""

INSIDE = ("", "bin", "build/bin")
"""Folders of an install in which the program may be."""


class OpenFaceOptions(Options):
    """Options of the ``openface`` face deriver."""

    binary: str = ""
    """OpenFace's program FeatureExtraction; by default that of OPENFACE_HOME, else the one on the PATH."""
    folder: Path | None = None
    """Read output that is there instead of running anything: ID.csv and ID_aligned/, or MERTools' ID/ID.npy."""
    take: Literal["auto", "landmarks", "pictures"] = "auto"
    """Faces are cut along OpenFace's landmarks, or are its own pictures; auto: landmarks where there are any."""
    keep: Path | None = None
    """Keep what a run of OpenFace writes in this folder, aligned pictures included."""
    size: int = Field(default=128, ge=32, le=512)
    """Side in pixels of the aligned pictures that a run keeps."""
    mask: bool = True
    """Blacken what is not face, as OpenFace does by default: outside of its landmarks' hull, forehead included."""
    fps: float | None = Field(default=None, gt=0, le=120)
    """Frames per second that a run is shown; by default all."""
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    """A face found with less confidence counts as not found; the MER2024 baseline takes all."""
    require_success: bool = False
    """A frame that OpenFace marks as failed counts as one without a face; the MER2024 baseline takes all."""
    on_missing: Literal["skip", "zeros", "repeat_last"] = "skip"
    """A frame without a face: left out, a black picture, or the last face again."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds that OpenFace may take for one clip."""
    shape: Path | None = None
    """OpenFace's mean shape (In-the-wild_aligned_PDM_68.txt); by default the install's, else mer's own template."""

    @model_validator(mode="after")
    def _whole(self) -> OpenFaceOptions:
        if self.folder is not None and (self.keep is not None or self.binary):
            raise OptionError("openface: folder reads what is there, and runs nothing.", "Leave out binary and keep.")
        if self.folder is None and self.keep is None and self.take == "pictures":
            raise OptionError("openface: pictures of a run need a folder.", "Name it: -o openface.keep=FOLDER.")
        return self

    @property
    def pictures(self) -> bool:
        """Whether a run's own pictures are the faces."""
        return self.keep is not None and self.take != "landmarks"

    def inputs(self) -> dict[str, Input]:
        """Frames at full size; where output is read, nothing of them but their times."""
        return {"frames": FramesInput(fps=None if self.folder else self.fps, stream=True)}

    def program(self) -> Path:
        """The program that is run.

        Raises:
            EnvironmentProblem: there is none.
        """
        home = Path(os.environ.get(HOME, "")).expanduser()
        tried = [self.binary] if self.binary else [str(home / part / PROGRAM) for part in INSIDE if str(home) != "."]
        found = next(filter(None, map(shutil.which, tried if self.binary else [*tried, PROGRAM])), None)
        if found is None:
            raise EnvironmentProblem(
                f"openface: there is no program {self.binary or PROGRAM} here.",
                f"Install OpenFace 2 and set {HOME}, or name it with -o openface.binary=PATH, or read output that "
                "is there: -o openface.folder=FOLDER.",
            )
        return Path(found)

    def mean_shape(self) -> Path | None:
        """The file of the mean shape, None for mer's own template."""
        from mer_plugins.faces.openface_shape import find_shape

        return self.shape or find_shape(None if self.folder else self.program())

    def fingerprint(self) -> Mapping[str, Any]:
        """The program's content, and which output files there are, of what size and when changed, count."""
        shape = self.mean_shape()
        facts: dict[str, Any] = {"timeout": None, "shape": content_digest(shape) if shape else "own"}
        if self.folder is not None:
            unused = dict.fromkeys(("binary", "keep", "size", "fps"))
            return {**facts, **unused, "folder": [str(self.folder.absolute()), _stamp(self.folder)]}
        kept = str(self.keep.absolute()) if self.keep is not None and self.pictures else None
        facts |= {} if self.pictures else {"size": None}
        return {**facts, "binary": content_digest(self.program()), "keep": kept}


def _stamp(folder: Path) -> str:
    """Digest of the names, sizes and times of what lies in ``folder``; of aligned pictures, of their folders."""
    seal = hashlib.sha256()
    os.stat(folder)
    for top, below, files in os.walk(folder):
        aligned = [name for name in below if name.endswith(ALIGNED)]
        below[:] = sorted(name for name in below if not name.endswith(ALIGNED))
        for name in sorted([*aligned, *files]):
            stat = os.stat(os.path.join(top, name))
            size = 0 if name in aligned else stat.st_size
            seal.update(f"{os.path.relpath(top, folder)}/{name} {size} {stat.st_mtime_ns}\n".encode(errors="replace"))
    return seal.hexdigest()
