"""Where weights are: a local path, the folder of prepared weights, or the hub's cache. Never a surprise download.

``mer weights fetch`` is the only thing that downloads (:mod:`mer_core.weights_hub`). The hub's cache is the one that
``HF_HOME`` or ``HF_HUB_CACHE`` name, so that what other tools have fetched is found.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer_core.content import content_digest
from mer_core.errors import MissingWeightsError, UsageError
from mer_core.spec import Weights

FOLDER_VARIABLE = "MER_WEIGHTS"
"""Names a folder of prepared weights, each below its name: ``$MER_WEIGHTS/chinese-hubert-large/``."""

CONFIG = "config.json"
LAYOUTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Names of weights in a folder of transformers, in the order in which they are looked for."""
OTHER = (".safetensors", ".bin", ".pt", ".onnx")
"""How files of weights end that are called otherwise."""
CACHED, SNAPSHOTS = "models--", "snapshots"
"""How the hub's cache names the folder of a repository, and in it that of its commits."""

SHOWN = 8
"""So many names are listed where one is wrong."""


@dataclass(frozen=True, slots=True)
class Located:
    """Weights that are here: the folder or file, and what stands for them in fingerprints.

    ``identity`` is ``REPO@COMMIT`` for those of the hub, else a digest of their content.
    """

    path: Path
    identity: str


def locate(reference: str | Path, known: Iterable[Weights] = (), revision: str = "") -> Located:
    """Find weights without any network.

    Args:
        reference: path of a folder or file, the name of one of ``known``, or a hub id ``owner/name``.
        known: the weights that a plugin's spec lists.
        revision: commit, branch or tag, in place of the one that ``known`` pins; those of a folder are not known.

    Raises:
        MissingWeightsError: they are not on this machine; with the command that fetches them.
        UsageError: no such path or name, or a revision of a local path.
    """
    path = Path(reference).expanduser()
    if path.exists():
        if revision:
            raise UsageError(f"{path} is on this machine and has no revision {revision!r}.", "Leave out revision.")
        return _local(path)
    wanted = find(str(reference), known)
    prepared = None if revision else _prepared(wanted)
    if prepared is not None:
        return _local(prepared)
    found = cached(wanted, revision or wanted.revision)
    if found is not None:
        return found
    raise AbsentWeights(wanted, revision)


def find(reference: str, known: Iterable[Weights]) -> Weights:
    """The weights called ``reference``, or those of the hub with that id.

    Raises:
        UsageError: neither a path, a known name nor a hub id.
    """
    listed = list(known)
    for one in listed:
        if reference in (one.name, one.repo):
            return one
    if reference.startswith((".", "/", "~")):
        raise UsageError(f"there is no folder or file {reference}: no such path.", "Correct the path of the weights.")
    if reference.count("/") == 1:
        return Weights(name=reference, repo=reference)
    raise UsageError(
        f"there are no weights {reference!r}: no such path, and no such name.",
        f"Give a folder, a hub id (owner/name), or {_some_names(reference, [one.name for one in listed])}.",
    )


def _some_names(wanted: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    if not names:
        return "install a plugin that lists weights by name"
    more = f" ... ({len(names)} in all: mer weights list)" if len(names) > SHOWN else ""
    return f"one of: {', '.join(close or list(names[:SHOWN]))}{more}"


def is_here(weights: Weights) -> Path | None:
    """Where the weights are, None if they are not on this machine."""
    prepared = _prepared(weights)
    if prepared is not None:
        return prepared
    found = cached(weights, weights.revision)
    return found.path if found else None


def hub_cache() -> Path:
    """The hub's cache folder, as ``HF_HUB_CACHE`` or ``HF_HOME`` say now."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(home).expanduser() / "hub"


def readable_size(count: int) -> str:
    """``1_260_000_000`` -> ``1.3 GB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _local(path: Path) -> Located:
    return Located(path.resolve(), f"sha256:{content_digest(path)}")


def _prepared(weights: Weights) -> Path | None:
    top = os.environ.get(FOLDER_VARIABLE)
    if not top:
        return None
    places = [Path(top).expanduser() / name for name in (weights.name, weights.repo.replace("/", "--"))]
    return next((place for place in places if place.exists()), None)


def cached(weights: Weights, revision: str) -> Located | None:
    """The snapshot of ``revision`` in the hub's cache, if all its files are there."""
    from huggingface_hub import try_to_load_from_cache

    found: list[Path] = []
    for name in weights.files or (CONFIG,):
        here = try_to_load_from_cache(weights.repo, name, cache_dir=hub_cache(), revision=revision)
        if not isinstance(here, str):
            return None
        found.append(Path(here))
    depth = len(Path((weights.files or (CONFIG,))[0]).parts)
    snapshot = found[0].parents[depth - 1]
    if not weights.files and not _whole(snapshot):
        return None
    return Located(snapshot, f"{weights.repo}@{snapshot.name}")


def _whole(snapshot: Path) -> bool:
    """A folder whose files no spec lists has weights: of shards, all that the index names."""
    files = weight_files(snapshot)
    return all(file.exists() for file in files) if files else any(one.suffix in OTHER for one in snapshot.iterdir())


def weight_files(place: Path) -> list[Path]:
    """The files that the weights in ``place``, a file or a folder, consist of, the index of shards first."""
    files = [place] if not place.is_dir() else [place / name for name in LAYOUTS if (place / name).exists()][:1]
    return files if not files or files[0].suffix != ".json" else [files[0], *shards(files[0])]


def shards(index: Path) -> list[Path]:
    """The files that an index of weights names; none where it cannot be read."""
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return [index.parent / str(name) for name in sorted(set(names))]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


class AbsentWeights(MissingWeightsError):
    """Weights that are not on this machine, and what is known of them, so that several can be told at once."""

    def __init__(self, weights: Weights, revision: str = "") -> None:
        self.weights, self.revision = weights, revision
        top, command = os.environ.get(FOLDER_VARIABLE), fetch_command(weights.name, revision)
        place = Path(top).expanduser() / weights.name if top and not revision else None
        copy = f", or copy them to {place}" if place else ""
        super().__init__(
            f"the weights {_about(weights)} are not on this machine{_in(revision)}: {_partly(weights, revision)}"
            f"{_looked(place)}.",
            f"Run: {command}{copy}",
        )


def absent_together(errors: Sequence[MissingWeightsError], names: str = "") -> MissingWeightsError:
    """One error for several: all that is missing with its size, and one command that fetches it.

    Args:
        errors: at least one; what is missing twice counts once.
        names: what to fetch in place of the names of those that are wanted in their pinned revision.
    """
    told = {str(error): error for error in errors}
    listed = [error for error in told.values() if isinstance(error, AbsentWeights)]
    if len(told) == 1:
        return errors[0]
    if len(listed) < len(told):
        messages = " ".join(error.message for error in told.values())
        return MissingWeightsError(messages, "; ".join(error.hint for error in told.values()))
    top = os.environ.get(FOLDER_VARIABLE)
    pinned = names or " ".join(one.weights.name for one in listed if not one.revision)
    commands = [fetch_command(pinned)] if pinned else []
    commands += [fetch_command(one.weights.name, one.revision) for one in listed if one.revision]
    sizes = [one.weights.bytes for one in listed]
    total = f" ({readable_size(sum(sizes))} in all)" if all(sizes) else ""
    return MissingWeightsError(
        f"{len(listed)} weights{total} are not on this machine: "
        f"{', '.join(_about(one.weights) + _in(one.revision) for one in listed)}; "
        f"{_looked(Path(top).expanduser() if top else None)}.",
        f"Run: {' && '.join(commands)}" + (f", or copy each to a folder of its name in {top}" if top else ""),
    )


def _about(weights: Weights) -> str:
    facts = [readable_size(weights.bytes)] if weights.bytes else []
    facts += [f"licence {weights.licence}"] if weights.licence else []
    return f"{weights.name} ({', '.join(facts)})" if facts else weights.name


def _in(revision: str) -> str:
    return f" in revision {revision}" if revision else ""


def _looked(place: Path | None) -> str:
    return f"looked in {place} and {hub_cache()}" if place else f"looked in {hub_cache()}"


def _partly(weights: Weights, revision: str) -> str:
    """Which files of a snapshot are there, where a download was broken off; empty if none."""
    from huggingface_hub import try_to_load_from_cache

    def there(name: str) -> bool:
        wanted = revision or weights.revision
        return isinstance(try_to_load_from_cache(weights.repo, name, cache_dir=hub_cache(), revision=wanted), str)

    if not weights.files:
        return "its config.json is there, and not all of its weights; " if there(CONFIG) else ""
    absent = [name for name in weights.files if not there(name)]
    return f"{', '.join(absent)} is missing; " if 0 < len(absent) < len(weights.files) else ""


def fetch_command(name: str, revision: str = "", again: bool = False) -> str:
    """The command that fetches weights, to be typed as it is."""
    flags = (f" --revision {revision}" if revision else "") + (" --again" if again else "")
    return f"mer weights fetch {name}{flags}"


def refetch(place: Path) -> str:
    """The hint for weights at ``place`` that are damaged: the exact command if they came from the hub."""
    for folder in (place, *place.parents):
        repo = folder.parent.parent.name
        if folder.parent.name == SNAPSHOTS and repo.startswith(CACHED):
            name = repo.removeprefix(CACHED).replace("--", "/", 1)
            return f"Run: {fetch_command(name, folder.name, again=True)}"
    top = os.environ.get(FOLDER_VARIABLE)
    prepared = top and place.is_relative_to(Path(top).expanduser().resolve())
    return "Copy it to that folder again." if prepared else "Name other weights, or copy them again."
