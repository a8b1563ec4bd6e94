"""All texts through a large decoder, layer by layer: one layer's weights are in memory at a time.

Between two layers the states of all tokens wait, in memory or in a file. What the features are made of,
the last layers together, adds up beside them.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mer_core.plugin import EnvironmentProblem, FloatArray, IntArray
from mer_core.weights import readable_size
from mer_plugins.damage import refuse_nan
from mer_plugins.text.checkpoint import Checkpoint
from mer_plugins.text.decoder import Layer, Shape, rms_norm, step
from mer_plugins.text.windows import batches

Tell = Callable[[str], None]


class Rows:
    """Rows [count, width] of float32, in memory, or in a nameless file that goes with its process.

    Raises:
        EnvironmentProblem: there is no room for the file.
    """

    def __init__(self, count: int, width: int, folder: Path | None = None) -> None:
        self._width = width
        self._array: Tensor | None = None
        self._file: BinaryIO | None = None
        if folder is None:
            self._array = torch.zeros(count, width)
        else:
            self._file = _reserved(folder, count * width * 4)

    def read(self, start: int, stop: int) -> Tensor:
        """The rows from ``start`` to ``stop``, to be changed at will."""
        if self._array is not None:
            return self._array[start:stop].clone()
        assert self._file is not None
        self._file.seek(start * self._width * 4)
        found = np.fromfile(self._file, np.float32, (stop - start) * self._width)
        return torch.from_numpy(found.reshape(-1, self._width))

    def write(self, start: int, rows: Tensor) -> None:
        """Put ``rows`` [n, width] from ``start`` on.

        Raises:
            EnvironmentProblem: the disk is full.
        """
        if self._array is not None:
            self._array[start : start + len(rows)] = rows
            return
        assert self._file is not None
        try:
            self._file.seek(start * self._width * 4)
            left = memoryview(rows.cpu().numpy().tobytes())
            while left:  # an unbuffered file takes what it has room for
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _no_room(error.strerror or str(error)) from error

    def close(self) -> None:
        """Give memory or disk back."""
        self._array = None
        if self._file is not None:
            self._file.close()


def _reserved(folder: Path, size: int) -> BinaryIO:
    """An open file of ``size`` bytes: a full disk shows here and not in the middle of the work."""
    try:
        free = shutil.disk_usage(folder).free
        if size > free:
            raise _no_room(f"{readable_size(size)} are needed in {folder}, {readable_size(free)} are free")
        file: BinaryIO = tempfile.TemporaryFile(dir=folder, prefix="mer-states-", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _no_room(f"{folder} cannot be written ({error.strerror})") from error
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    except OSError as error:
        file.close()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = "" if full else f" ({error.strerror})"
        raise _no_room(f"{readable_size(size)} are needed in {folder}{why}") from error
    return file


def _no_room(reason: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"no room for hidden states: {reason}.",
        "Name another folder with the option scratch, or lower the option wave.",
    )


class Piece(NamedTuple):
    """Texts that go through a layer together, as rows from ``start`` on: their numbers and lengths."""

    start: int
    places: list[int]
    lengths: list[int]

    @property
    def stop(self) -> int:
        """The row after the last one."""
        return self.start + sum(self.lengths)


class LayerPass:
    """A decoder whose layers are read from ``weights`` one by one, or once and kept.

    Args:
        dtype: floating-point type of the weights in the arithmetic; states are float32 between layers.
        layers: how many of the last layers are added up.
        raw: take the last one as it is, without the final norm.
        keep: hold all layers on the device once they are read.
        memory: bytes of states that may wait in memory; more wait in a file in ``scratch``.
        batch_tokens: tokens that go through a layer at once.
    """

    def __init__(
        self,
        shape: Shape,
        weights: Checkpoint,
        device: str,
        dtype: str,
        *,
        layers: int = 4,
        raw: bool = False,
        keep: bool = False,
        memory: float = 2e9,
        scratch: Path | None = None,
        batch_tokens: int = 2048,
    ) -> None:
        self.shape, self._weights, self._device = shape, weights, device
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._layers, self._raw = layers, raw
        self._kept: dict[int, Layer] | None = {} if keep else None
        self._memory, self._scratch, self._batch_tokens = memory, scratch, batch_tokens

    @torch.inference_mode()
    def run(self, texts: Sequence[IntArray], tell: Tell = lambda note: None) -> States:
        """The last layers together of every token of ``texts``, each the tokens of one text, none empty."""
        pieces = self._cut([len(text) for text in texts])
        count = pieces[-1].stop if pieces else 0
        place = self._place(count)
        hidden = Rows(count, self.shape.hidden, place)
        try:
            states = States(Rows(count, self.shape.hidden, place), pieces)
            self._embed(texts, pieces, hidden)
            for number in range(self.shape.layers if pieces else 0):
                tell(f"layer {number + 1} of {self.shape.layers}")
                self._layer(number, pieces, hidden, states.rows)
            return states
        finally:
            hidden.close()

    def _layer(self, number: int, pieces: Sequence[Piece], hidden: Rows, total: Rows) -> None:
        """All texts through one layer."""
        layer = self._read(number)
        left = self.shape.layers - 1 - number
        norm = None if self._raw or left else self._weight("model.norm.weight")
        for piece in pieces:
            states = step(self.shape, layer, hidden.read(piece.start, piece.stop).to(self._device), piece.lengths)
            if left:
                hidden.write(piece.start, states)
            if left < self._layers:
                added = states if norm is None else rms_norm(states, norm, self.shape.eps).float()
                total.write(piece.start, total.read(piece.start, piece.stop) + added.cpu())

    def _embed(self, texts: Sequence[IntArray], pieces: Sequence[Piece], hidden: Rows) -> None:
        """The states before the first layer. Only rows in use are read of the embeddings' table."""
        name = "model.embed_tokens.weight"
        table = self._weights.read([name])[name]
        for piece in pieces:
            tokens = torch.from_numpy(np.concatenate([texts[place] for place in piece.places]))
            hidden.write(piece.start, table[tokens].float())

    def _read(self, number: int) -> Layer:
        """A layer's weights on the device."""
        if self._kept is not None and number in self._kept:
            return self._kept[number]
        names = [f"model.layers.{number}.{name}" for name in self.shape.layer()]
        held = self._weights.read(names)
        layer = Layer(*(held.pop(name).to(self._device, self._dtype) for name in names))
        refuse_nan(self._weights.folder, zip(names, layer, strict=True))
        if self._kept is not None:
            self._kept[number] = layer
        return layer

    def _weight(self, name: str) -> Tensor:
        return self._weights.read([name])[name].to(self._device, self._dtype)

    def _cut(self, lengths: Sequence[int]) -> list[Piece]:
        """Texts of similar length go together."""
        groups = batches(lengths, self._batch_tokens)
        inside = [[lengths[place] for place in group] for group in groups]
        starts = accumulate((sum(part) for part in inside), initial=0)
        return [Piece(*piece) for piece in zip(starts, groups, inside, strict=False)]

    def _place(self, count: int) -> Path | None:
        """Where states wait: None for memory, if they fit there."""
        if 2 * count * self.shape.hidden * 4 <= self._memory:
            return None
        return self._scratch or Path(tempfile.gettempdir())


class States:
    """What came of texts, [T, D] each, to be asked for by the text's number."""

    def __init__(self, rows: Rows, pieces: Sequence[Piece]) -> None:
        self.rows = rows
        self._where = dict(_spans(pieces))

    def __getitem__(self, place: int) -> FloatArray:
        found: FloatArray = self.rows.read(*self._where[place]).numpy()
        return found

    def close(self) -> None:
        """Give memory or disk back."""
        self.rows.close()


def _spans(pieces: Sequence[Piece]) -> Iterator[tuple[int, tuple[int, int]]]:
    """The number of each text, with its first row and the row after its last."""
    for piece in pieces:
        start = piece.start
        for place, length in zip(piece.places, piece.lengths, strict=True):
            yield place, (start, start + length)
            start += length
