"""Where weights are: a local path, the folder of prepared weights, or the hub's cache. Never a surprise download.

``mer weights fetch`` is the only thing that downloads. The hub's cache is the one that ``HF_HOME`` or
``HF_HUB_CACHE`` name, so that what other tools have fetched is found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer_core.content import content_digest
from mer_core.errors import EnvironmentProblem, MissingWeightsError, UsageError
from mer_core.spec import Weights

FOLDER_VARIABLE = "MER_WEIGHTS"
"""Names a folder of prepared weights, each below its name: ``$MER_WEIGHTS/chinese-hubert-large/``."""

CONFIG = "config.json"


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
        revision: commit, branch or tag, in place of the one that ``known`` pins.

    Raises:
        MissingWeightsError: they are not on this machine; with the command that fetches them.
    """
    path = Path(reference).expanduser()
    if path.exists():
        return _local(path)
    wanted = find(str(reference), known)
    prepared = _prepared(wanted)
    if prepared is not None:
        return _local(prepared)
    cached = _cached(wanted, revision or wanted.revision)
    if cached is not None:
        return cached
    raise _missing(wanted, revision)


def find(reference: str, known: Iterable[Weights]) -> Weights:
    """The weights called ``reference``, or those of the hub with that id.

    Raises:
        UsageError: neither a path, a known name nor a hub id.
    """
    listed = list(known)
    for one in listed:
        if reference in (one.name, one.repo):
            return one
    if reference.count("/") == 1 and not reference.startswith((".", "/", "~")):
        return Weights(name=reference, repo=reference)
    names = ", ".join(one.name for one in listed) or "none by name"
    raise UsageError(
        f"there are no weights {reference!r}: no such path, and no such name.",
        f"Give a folder, a hub id (owner/name), or one of: {names}.",
    )


def is_here(weights: Weights) -> Path | None:
    """Where the weights are, None if they are not on this machine."""
    prepared = _prepared(weights)
    if prepared is not None:
        return prepared
    cached = _cached(weights, weights.revision)
    return cached.path if cached else None


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


def _cached(weights: Weights, revision: str) -> Located | None:
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
    return Located(snapshot, f"{weights.repo}@{snapshot.name}")


def _missing(weights: Weights, revision: str) -> MissingWeightsError:
    facts = [readable_size(weights.bytes)] if weights.bytes else []
    facts += [f"licence {weights.licence}"] if weights.licence else []
    about = f" ({', '.join(facts)})" if facts else ""
    command = f"mer weights fetch {weights.name}" + (f" --revision {revision}" if revision else "")
    return MissingWeightsError(f"the weights {weights.name}{about} are not on this machine.", f"Run: {command}")


def fetch(weights: Weights, revision: str = "") -> Path:
    """Download what is not here yet, and return the folder. Safe to stop and run again.

    Raises:
        EnvironmentProblem: no network, no such repository or revision, or one that asks for a licence.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    chosen = revision or weights.revision
    try:
        found = snapshot_download(
            weights.repo,
            revision=chosen,
            cache_dir=hub_cache(),
            allow_patterns=list(weights.files) or patterns(weights),
        )
    except GatedRepoError:
        hint = f"Accept its licence on the page of {weights.repo}, then log in with 'hf auth login'."
        raise EnvironmentProblem(f"{weights.repo} is given out only to users who accept its licence.", hint) from None
    except RevisionNotFoundError:
        raise EnvironmentProblem(f"{weights.repo} has no revision {chosen!r}.", "Leave out --revision.") from None
    except RepositoryNotFoundError:
        raise EnvironmentProblem(f"the hub has no repository {weights.repo}.", "Check its name.") from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise EnvironmentProblem(
            f"{weights.repo} could not be fetched: {reason}.",
            f"Check the network, or copy the files to a folder and name it with {FOLDER_VARIABLE}.",
        ) from None
    return Path(found)


def patterns(weights: Weights) -> list[str]:
    """What to fetch of a repository that no spec lists: safetensors if it has them, else torch's files.

    Raises:
        EnvironmentProblem: as :func:`fetch`.
    """
    from huggingface_hub import list_repo_files

    names: Sequence[str] = list_repo_files(weights.repo, revision=weights.revision)
    safe = any(name.endswith(".safetensors") for name in names)
    small = ["*.json", "*.txt", "*.model", "*.vocab", "merges.txt"]
    return [*small, "*.safetensors"] if safe else [*small, "*.bin", "*.pt", "*.onnx"]
