"""The hub: what a download would weigh, and the download. ``HF_ENDPOINT`` names a mirror in its place.

Only ``mer weights fetch`` comes here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from mer_core.errors import EnvironmentProblem
from mer_core.spec import Weights
from mer_core.weights import FOLDER_VARIABLE, cached, hub_cache

HUB_SECONDS = 10.0
"""How long to wait for the hub to say what it has."""


def fetch(weights: Weights, revision: str = "", *, again: bool = False) -> Path:
    """Download what is not here yet, and return the folder. Safe to stop and run again.

    Args:
        again: download what is here, too, in place of a damaged copy.

    Raises:
        EnvironmentProblem: no network, no such repository, revision or file, one that asks for a licence, a full disk.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    chosen = revision or weights.revision
    try:
        found = _downloaded(weights, chosen, again)
    except GatedRepoError:
        hint = f"Accept its licence on the page of {weights.repo}, then log in with 'hf auth login'."
        raise EnvironmentProblem(f"{weights.repo} is given out only to users who accept its licence.", hint) from None
    except RevisionNotFoundError:
        hint = "Leave out --revision." if revision else "Fetch another one: --revision main."
        raise EnvironmentProblem(f"{weights.repo} has no revision {chosen!r}.", hint) from None
    except RepositoryNotFoundError:
        raise EnvironmentProblem(f"the hub has no repository {weights.repo}.", "Check its name.") from None
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        raise _not_fetched(weights, error) from None
    absent = [name for name in weights.files if not (found / name).exists()]
    if absent:
        raise EnvironmentProblem(
            f"{weights.repo} has no {', '.join(absent)} in revision {chosen!r}.",
            f"Copy the files to a folder, and name that folder, or one above it with {FOLDER_VARIABLE}.",
        )
    return found


def _downloaded(weights: Weights, revision: str, again: bool) -> Path:
    """The snapshot's folder; what is here already, where the hub does not answer.

    Raises:
        OSError: it does not, and not all is here.
    """
    from huggingface_hub import snapshot_download

    try:
        _ask(weights, revision)
    except ConnectionError:
        here = None if again else cached(weights, revision)
        if here is None:
            raise
        return here.path
    found = snapshot_download(
        weights.repo,
        revision=revision,
        cache_dir=hub_cache(),
        allow_patterns=list(weights.files) or patterns(weights, revision),
        force_download=again,
    )
    return Path(found)


def _ask(weights: Weights, revision: str) -> None:
    """Ask the hub one thing, once: the download itself would try for half a minute, and tell of every try.

    Raises:
        ConnectionError: it does not answer.
        HfHubHTTPError: it has no such repository or revision.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return  # the download says so at once
    try:
        HfApi().model_info(weights.repo, revision=revision, timeout=HUB_SECONDS)
    except HfHubHTTPError:
        raise
    except Exception as error:  # of whatever library the hub's client sends requests with
        reason = str(error) or type(error).__name__
        raise ConnectionError(f"{constants.ENDPOINT} does not answer ({reason})") from error


def _not_fetched(weights: Weights, error: Exception) -> EnvironmentProblem:
    from huggingface_hub import constants

    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return EnvironmentProblem(
            f"the disk is full: {weights.repo} does not fit into {hub_cache()}.",
            "Free some space, or name another folder with HF_HOME, and run the same command again.",
        )
    reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
    if constants.HF_HUB_OFFLINE:
        reason = "offline mode is on (HF_HUB_OFFLINE)"
    return EnvironmentProblem(
        f"{weights.repo} could not be fetched: {reason}.",
        "Check the network, name a mirror of the hub with HF_ENDPOINT, or copy the files to a folder and name it "
        f"with {FOLDER_VARIABLE}.",
    )


def patterns(weights: Weights, revision: str = "") -> list[str]:
    """What to fetch of a repository whose files no spec lists: safetensors if it has them, else torch's files.

    Raises:
        EnvironmentProblem: as :func:`fetch`.
    """
    from huggingface_hub import list_repo_files

    return _patterns(list_repo_files(weights.repo, revision=revision or weights.revision))


def bytes_to_fetch(weights: Weights, revision: str = "") -> int:
    """Size of what :func:`fetch` would download: what the spec says, else the hub; 0 where that does not answer."""
    from huggingface_hub import HfApi

    if weights.bytes and not revision:
        return weights.bytes
    try:
        told = HfApi().model_info(
            weights.repo, revision=revision or weights.revision, files_metadata=True, timeout=HUB_SECONDS
        )
    except Exception:  # no network, no such repository: fetching says what is wrong
        return 0
    sizes = {one.rfilename: one.size or 0 for one in told.siblings or ()}
    wanted = weights.files or _patterns(sizes)
    return sum(size for name, size in sizes.items() if any(fnmatch(name, one) for one in wanted))


def _patterns(names: Iterable[str]) -> list[str]:
    names = list(names)
    safe = any(name.endswith(".safetensors") for name in names)
    small = ["*.json", "*.txt", "*.model", "*.vocab", "merges.txt", "*.py"]
    return [*small, "*.safetensors"] if safe else [*small, "*.bin", "*.pt", "*.onnx"]
