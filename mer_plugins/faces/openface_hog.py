"""OpenFace's histograms of oriented gradients (``ID.hog``), for those who train on them as on features of their own.

A file is frame after frame, all little-endian: columns, rows and channels as int32, a float32 that says whether a face
was tracked, then columns * rows * channels float32. The sizes come again with every frame. (Layout: the files that
FeatureExtraction writes; of a face of 112 px they are 12, 12 and 31.)
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mer_core.plugin import BoolArray, DataError, FloatArray

HEAD = np.dtype([("sizes", "<i4", (3,)), ("valid", "<f4")])


class Hog(NamedTuple):
    """``values`` [T, D] of T frames, D = columns * rows * channels; ``valid`` [T], False where no face was tracked."""

    values: FloatArray
    valid: BoolArray


def read_hog(path: Path) -> Hog:
    """The histograms in ``path``; of a file without a frame [0, 0].

    Raises:
        DataError: it cannot be read, is cut off, or is something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check its name.") from error
    if not content:
        return Hog(np.empty((0, 0), np.float32), np.empty(0, bool))
    sizes = np.frombuffer(content[:12].ljust(12, b"\0"), "<i4")
    count = int(np.prod(sizes, dtype=np.int64)) if (sizes > 0).all() else 0
    whole = HEAD.itemsize + 4 * count
    frames = np.dtype([("head", HEAD), ("values", "<f4", (count,))]) if 0 < count <= len(content) else None
    found = None if frames is None or len(content) % whole else np.frombuffer(content, frames)
    if found is None or (found["head"]["sizes"] != sizes).any():
        raise DataError(f"{path} is no .hog of OpenFace, or is cut off.", "Run OpenFace on it again.")
    return Hog(found["values"].astype(np.float32), found["head"]["valid"] > 0)
