"""What is wrong with files of weights: cut short, an error page, a pickle with code, numbers that are none.

What parsers say of a damaged file rarely helps; its first bytes and its length do. Light: torch is imported
for pickles alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from mer_core.plugin import PluginError
from mer_core.weights import LAYOUTS, readable_size, refetch, shards, weight_files

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 200
HEAD = 64
ZIP, PICKLE = b"PK", b"\x80"
CODE = "holds code"
SAFE = "Use the same weights in safetensors, from a publisher that you trust."


def unreadable(place: Path, error: Exception) -> PluginError:
    """The error for weights, a file or a folder, that cannot be loaded: it names the file that is damaged."""
    return _told(place) or PluginError(f"the weights in {place} cannot be loaded: {short(error)}.", refetch(place))


def refuse_damaged(place: Path) -> None:
    """Refuse weights, a file or a folder, that are not there or not whole, as headers and sizes tell: none is read.

    Raises:
        PluginError: naming the file.
    """
    if problem := _told(place):
        raise problem


def _told(place: Path) -> PluginError | None:
    try:
        found = damaged(place)
    except OSError as refused:
        found = place, f"cannot be read: {refused.strerror}"
    if found is None:
        return None
    hint = SAFE if found[1].startswith(CODE) else refetch(found[0])
    return PluginError(f"{found[0]} {found[1]}.", hint)


def damaged(place: Path) -> tuple[Path, str] | None:
    """The first file of the weights in ``place`` with something wrong, and what; None if all look whole."""
    files = weight_files(place)
    if not files:
        return place, f"holds no weights ({', '.join(LAYOUTS)})"
    for file in files:
        if what := fault(file):
            return file, what
    return None


def fault(file: Path) -> str:
    """What is wrong with a file of weights, as ``is empty``; an empty text if it looks whole."""
    if not file.is_file():
        return "is not there"
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of git-lfs, not the weights that it stands for"
    if head.lstrip().startswith(b"<"):
        return "is a web page, not weights"
    if file.suffix == ".json":
        return "" if shards(file) else "is no index of shards"
    return _safetensors(file) if file.suffix == ".safetensors" else _pickled(file, head)


def _safetensors(file: Path) -> str:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > 100_000_000:
            return "is not in the format of safetensors"
        header = stream.read(length)
    if len(header) < length:
        return f"is cut short: {readable_size(size)} are there"
    try:
        ends = [one["data_offsets"][1] for name, one in json.loads(header).items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is not in the format of safetensors"
    whole = 8 + length + max(ends, default=0)
    return f"is cut short: {_parts(size, whole)} are there" if size < whole else ""


def _parts(size: int, whole: int) -> str:
    """``1.2 GB of 1.3 GB``; in bytes where that would say the same twice."""
    words = [readable_size(count) for count in (size, whole)]
    return " of ".join(words) if words[0] != words[1] else f"{size:,} of {whole:,} bytes"


def _pickled(file: Path, head: bytes) -> str:
    if head.startswith(ZIP):
        if not is_zipfile(file):
            return f"is cut short: {readable_size(file.stat().st_size)} are there, and no end"
    elif not head.startswith(PICKLE):
        return "is not a file of torch"
    code = _code(file)
    return f"{CODE} ({code}), and mer reads weights only" if code else ""


def _code(file: Path) -> str:
    """Names of what a pickle would have called, were it not read as weights alone."""
    try:
        from torch.serialization import get_unsafe_globals_in_checkpoint

        return ", ".join(sorted(get_unsafe_globals_in_checkpoint(file))[:3])
    except Exception:  # older files and damaged ones are told by what reading them raises
        return ""


def refuse_nan(place: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse weights that are NaN or infinite: every feature would be.

    Raises:
        PluginError: naming the first such weight.
    """
    from mer_plugins.finite import all_finite

    for name, values in weights:
        if values.is_floating_point() and not all_finite(values):
            files = weight_files(place)
            where = files[0] if len(files) == 1 else place
            raise PluginError(f"{where} is damaged: the weight {name} holds NaN or infinity.", refetch(where))


def short(error: Exception) -> str:
    """The first sentence of what an error says, without the full stop."""
    line = str(error).strip().split("\n")[0].partition(". ")[0].rstrip(".:")
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return line or type(error).__name__
