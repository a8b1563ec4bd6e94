"""Features as MERTools keeps them: ``features/<feature>-UTT/<clip>.npy``, one vector per clip, or frames [T, D]."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.data.array_files import load_array
from mer_core.data.frame_folders import folder_frames, holds_frames
from mer_core.errors import DataError
from mer_core.feature_set import StreamData, StreamInfo


@dataclass(frozen=True)
class FeatureFolder:
    """A folder of folders of .npy files; each of these folders is an array whose rows are clips."""

    path: Path

    def check(self, arrays: Sequence[str]) -> None:
        """Make sure that each of ``arrays`` is a folder with features.

        Raises:
            DataError: naming the folder and the close match.
        """
        for name in arrays:
            if not any((self.path / name).glob("*.npy")):
                raise DataError(f"there are no .npy files in {self.path / name}.", self._hint(name))

    def candidates(self) -> list[str]:
        """What could be a stream."""
        return sorted(one.name for one in self.path.iterdir() if one.is_dir() and any(one.glob("*.npy")))

    def ids_of(self, arrays: Sequence[str]) -> tuple[str, ...]:
        """Clips that any of ``arrays`` has."""
        return tuple(
            sorted({file.name[: -len(".npy")] for name in arrays for file in (self.path / name).glob("*.npy")})
        )

    def stream(self, name: str, array: str, ids: Sequence[str], pooling: str, packs: Path) -> StreamData:
        """The stream ``name`` of the clips ``ids``; a clip without a file lacks it.

        Args:
            pooling: what becomes of frames, where the files are [T, D].
            packs: where frames are packed into one file.

        Raises:
            DataError: naming the file, where it is no vector or not as long as the others.
        """
        folder, found, first = self.path / array, list[NDArray[np.float32] | None](), ""
        info = StreamInfo(name=name, modality=name.partition(":")[0], dim=0)
        files = [file if (file := folder / f"{id}.npy").is_file() else None for id in ids]
        if holds_frames([file for file in files if file]):
            return folder_frames(info, files, pooling, packs)
        dim = 0
        for id in ids:
            file = folder / f"{id}.npy"
            row = _vector(file) if file.is_file() else None
            if row is not None and not first:
                first, dim = file.name, len(row)
            if row is not None and len(row) != dim:
                raise DataError(
                    f"{file} has {len(row)} numbers, and {first} has {dim}.", "Extract both with one model."
                )
            found.append(row)
        if not first:
            raise DataError(f"{folder} has no file of any of the {len(ids)} clips.", _names(folder, ids))
        gap = np.full(dim, np.nan, np.float32)
        values = np.stack([gap if row is None else row for row in found])
        return StreamData(replace(info, dim=dim), values, np.asarray(~np.isnan(values).all(axis=1)))

    def _hint(self, name: str) -> str:
        known = self.candidates()
        close = difflib.get_close_matches(name, known, n=1)
        said = f"Folders of features are {', '.join(known)}." if known else "Give the folder that <feature>-UTT is in."
        return f"Did you mean {close[0]!r}?" if close else said


def _vector(file: Path) -> NDArray[np.float32]:
    found: Any = load_array(file)
    squeezed = found.reshape(-1) if found.ndim == 2 and 1 in found.shape else found
    if squeezed.ndim != 1 or not squeezed.size:
        shape = ", ".join(map(str, found.shape))
        raise DataError(f"{file} is an array [{shape}], not one vector.", "Give the features per clip (<feature>-UTT).")
    return np.asarray(squeezed, dtype=np.float32)


def _names(folder: Path, ids: Sequence[str]) -> str:
    there = next((file.name for file in sorted(folder.glob("*.npy"))), "")
    return f"Files are named after clips: {ids[0]}.npy was looked for, and {there} is there."
