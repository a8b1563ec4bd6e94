"""A frontal face in millimetres, which OpenFace's landmarks are brought to: that of an install, or mer's own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer_core.media.align import RIGID
from mer_core.plugin import DataError
from mer_plugins.faces.openface_options import HOME

SHAPE_FILE = "In-the-wild_aligned_PDM_68.txt"
PLACES = (
    "AU_predictors",
    "model/pdms",
    "bin/AU_predictors",
    "build/bin/AU_predictors",
    "lib/local/FaceAnalyser/AU_predictors",
    "lib/local/LandmarkDetector/model/pdms",
)
"""Where it lies in an install or a build."""

COUNT = 68

# mer's own template: half a face of ordinary proportions, mirrored. x to the image's right, y down.
_JAW_HEIGHTS = (-11.0, 8.0, 26.0, 42.5)
_JAW_WIDTH, _JAW_LENGTH, _JAW_TOP, _JAW_ROUNDNESS = 72.0, 102.0, -25.0, 2.4
_MIDDLE = {27: (0.0, -42.0), 28: (0.0, -31.0), 29: (0.0, -20.0), 33: (0.0, 6.5)}
_LEFT = {31: (-15.0, 3.0), 32: (-7.5, 5.0), 36: (-46.0, -38.0), 39: (-19.5, -37.0), 40: (-28.0, -35.0)}
_LEFT |= {41: (-38.0, -35.0)}
_MIRRORED = {1: 15, 2: 14, 3: 13, 4: 12, 31: 35, 32: 34, 36: 45, 39: 42, 40: 47, 41: 46}


def own_shape() -> NDArray[np.float64]:
    """[68, 2] mm: mer's own template, in which only the landmarks of ``RIGID`` are filled."""
    points = {**_MIDDLE, **_LEFT, **dict(zip((1, 2, 3, 4), _jaw(), strict=True))}
    points |= {other: (-points[one][0], points[one][1]) for one, other in _MIRRORED.items()}
    shape = np.zeros((COUNT, 2))
    for index in RIGID:
        shape[index] = points[int(index)]
    return shape


def _jaw() -> Iterator[tuple[float, float]]:
    """The image-left side of a rounded jaw."""
    for height in _JAW_HEIGHTS:
        down = (height - _JAW_TOP) / _JAW_LENGTH
        yield -_JAW_WIDTH * (1 - down**_JAW_ROUNDNESS) ** (1 / _JAW_ROUNDNESS), height


def find_shape(binary: Path | None = None) -> Path | None:
    """The mean shape of the install that ``binary`` or ``OPENFACE_HOME`` belongs to; None without one."""
    tops = [binary.resolve().parent, binary.resolve().parent.parent] if binary else []
    tops += [Path(os.environ[HOME]).expanduser()] if os.environ.get(HOME) else []
    files = (top / place / SHAPE_FILE for top in tops for place in PLACES)
    return next((file for file in files if file.is_file()), None)


def read_shape(path: Path) -> NDArray[np.float64]:
    """[68, 2] mm: the mean of a point distribution model in OpenFace's text format.

    Raises:
        DataError: the file is something else.
    """
    try:
        text = re.sub(r"#[^\n]*", " ", path.read_text(encoding="utf-8", errors="replace")).split()
        rows, columns = int(text[0]), int(text[1])
        values = np.array(text[3 : 3 + rows * columns], np.float64)
        mean = values.reshape(3, COUNT)
    except (OSError, ValueError, IndexError) as error:
        remedy = f"Give {SHAPE_FILE} of an OpenFace 2 install, or leave out openface.shape."
        raise DataError(f"{path} is no mean shape of {COUNT} landmarks.", remedy) from error
    return mean[:2].T.copy()
