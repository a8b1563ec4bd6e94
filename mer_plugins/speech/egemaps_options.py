"""Options of the ``egemaps`` extractor. Light: nothing here imports numpy or opensmile."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from mer_core.plugin import Options

FeatureSet = Literal["eGeMAPSv02", "eGeMAPSv01b", "GeMAPSv01b", "ComParE_2016"]


class EgemapsOptions(Options):
    """Options of the ``egemaps`` extractor."""

    feature_set: FeatureSet = "eGeMAPSv02"
    """Functionals, and values of a frame: eGeMAPSv02 88 and 25, eGeMAPSv01b 88 and 23, GeMAPSv01b 62 and 18,
    ComParE_2016 6373 and 65."""
    level: Literal["functionals", "frames"] = "functionals"
    """functionals: one vector a clip, of statistics that belong to the set; frames: the set's low-level descriptors,
    100 a second."""

    def feature_level(self) -> str:
        """Functionals have no time axis."""
        return "clip" if self.level == "functionals" else "frame"

    def fingerprint(self) -> Mapping[str, Any]:
        """Other versions of openSMILE may measure otherwise."""
        try:
            return {"opensmile": version("opensmile")}
        except PackageNotFoundError:
            return {"opensmile": ""}
