"""Where mer keeps what it can make again: features, derived artefacts, generated data sets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mer_core.errors import EnvironmentProblem

CACHE_VARIABLE = "MER_CACHE"


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache folder and its rooms."""

    root: Path

    @property
    def features(self) -> Path:
        """The feature store."""
        return self.root / "features"

    @property
    def datasets(self) -> Path:
        """Data sets that plugins generate or unpack."""
        return self.root / "datasets"

    @property
    def fits(self) -> Path:
        """What supervised extractors learnt, and decoded samples while they learn."""
        return self.root / "fits"

    @property
    def states(self) -> Path:
        """What they learnt, a folder for each fit."""
        return self.fits / "states"

    @property
    def large(self) -> Path:
        """Tables that are too large for memory, while a process uses them."""
        return self.root / "large"

    @property
    def state(self) -> Path:
        """Content hashes and the crash journal."""
        return self.root / "state"


def open_cache(folder: Path | None = None) -> Cache:
    """The cache at ``folder``, else ``$MER_CACHE``, else the user's cache folder; made if absent.

    Raises:
        EnvironmentProblem: it cannot be created or written.
    """
    from platformdirs import user_cache_path

    root = folder or (Path(os.environ[CACHE_VARIABLE]) if os.environ.get(CACHE_VARIABLE) else user_cache_path("mer"))
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the cache folder {root} cannot be created: {error.strerror}.",
            f"Choose another with --cache FOLDER or {CACHE_VARIABLE}.",
        ) from None
    if not os.access(root, os.W_OK):
        raise EnvironmentProblem(
            f"the cache folder {root} is not writable.", f"Choose another with --cache FOLDER or {CACHE_VARIABLE}."
        )
    return Cache(root.resolve())
