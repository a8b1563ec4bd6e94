"""The preset that a run means, and what of a saved run a preset's or protocol's own settings replace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mer_core.errors import UsageError
from mer_core.registry import Catalogue
from mer_core.spec import DeriverSpec, ExtractorSpec, FusionSpec, PluginSpec, PresetSpec, ProtocolSpec, TrainerSpec


def preset_name(catalogue: Catalogue, preset: str | None, language: str | None) -> str | None:
    """The preset that is meant by a name and a language.

    Raises:
        UsageError: a language without a preset that has one, or a preset that needs one.
    """
    names = sorted({entry.spec.name for entry in catalogue.of_kind(PresetSpec)})
    spoken = [name.removeprefix(f"{preset}-") for name in names if preset and name.startswith(f"{preset}-")]
    if language is None:
        if spoken and preset not in names:
            raise UsageError(
                f"the preset {preset!r} differs by language.", f"Add --language {' or --language '.join(spoken)}."
            )
        return preset
    if language not in spoken:
        hint = f"Its languages are {', '.join(spoken)}." if spoken else "Leave out --language."
        raise UsageError(f"the preset {preset or 'lite'!r} has no language {language!r}.", hint)
    return f"{preset}-{language}"


def find_preset(catalogue: Catalogue, name: str) -> PresetSpec:
    """The preset, with names as they are saved. Those of its own distribution's plugins mean these first."""
    spec, entry = catalogue.find(PresetSpec, name), catalogue.entry(PresetSpec, name)

    def settled(kind: type[PluginSpec], one: str) -> str:
        return catalogue.settled(kind, one, entry.distribution)

    return replace(
        spec,
        name=entry.saved_name,
        extractors={m: tuple(settled(ExtractorSpec, one) for one in names) for m, names in spec.extractors.items()},
        derivers={artefact: settled(DeriverSpec, one) for artefact, one in spec.derivers.items()},
        fusion=settled(FusionSpec, spec.fusion),
        trainer=settled(TrainerSpec, spec.trainer),
    )


def without_settings(saved: Mapping[str, Any], protocols: Sequence[ProtocolSpec]) -> dict[str, Any]:
    """A saved run without the settings that ``protocols`` (its own, and the one asked for now) decide."""
    kept = {**saved, "folds": _without(saved.get("folds", {}), {"kind"})}
    for part in ("fusion", "trainer"):
        decided = {key for spec in protocols for key in getattr(spec, f"{part}_options")}
        if part in saved:
            kept[part] = {**saved[part], "options": _without(saved[part].get("options", {}), decided)}
    if any(spec.pooling for spec in protocols):
        kept["streams"] = {name: _without(own, {"pooling"}) for name, own in saved.get("streams", {}).items()}
    return kept


def _without(values: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


@dataclass(frozen=True, slots=True)
class Ground:
    """What a configuration starts from: a saved one, a preset, and perhaps a protocol."""

    saved: dict[str, Any]
    preset: PresetSpec
    protocol_name: str
    protocol: ProtocolSpec | None

    @property
    def pooling(self) -> str:
        """The protocol's, else the preset's."""
        return (self.protocol.pooling if self.protocol else "") or self.preset.pooling

    @property
    def fusion_options(self) -> Mapping[str, Any]:
        """Those of the protocol."""
        return self.protocol.fusion_options if self.protocol else {}

    @property
    def trainer_options(self) -> Mapping[str, Any]:
        """Those of the preset, under those of the protocol."""
        return {**self.preset.trainer_options, **(self.protocol.trainer_options if self.protocol else {})}


def start_from(catalogue: Catalogue, saved: dict[str, Any], preset: str | None, protocol: str | None) -> Ground:
    """Where another protocol than the saved one is asked for, what that one had set is left out of ``saved``."""
    found = find_preset(catalogue, preset or saved.get("preset") or "lite")
    name = protocol if protocol is not None else saved.get("protocol", "")
    spec = catalogue.find(ProtocolSpec, name) if name else None
    if not catalogue.same(ProtocolSpec, name, saved.get("protocol", "")):
        former = catalogue.find(ProtocolSpec, saved["protocol"]) if saved.get("protocol") else None
        saved = without_settings(saved, [one for one in (former, spec) if one])
    return Ground(saved, found, name, spec)
