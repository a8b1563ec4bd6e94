"""Where flags, config file, preset, protocol and defaults meet.

Precedence: flags > ``--config`` file > preset and protocol > defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from mer_core.config import RunConfig, read_config, validate_config
from mer_core.derivers import choose_derivers, made, refuse_unread, stream_inputs
from mer_core.errors import UsageError
from mer_core.feature_choice import refuse_extraction, with_features
from mer_core.feature_set import stream_order
from mer_core.frame_pooling import level_of, usual_pooling
from mer_core.inputs import TRANSCRIPT
from mer_core.levels import fitting_poolings, fusion_levels, refuse_levels
from mer_core.options import parse_pairs
from mer_core.owners import asked_of, refuse_strangers
from mer_core.presets import Ground, preset_name, start_from
from mer_core.registry import Catalogue, Entry
from mer_core.settings import Settings, refuse_unknown
from mer_core.spec import DatasetSpec, DeriverSpec, ExtractorSpec, FusionSpec, ProtocolSpec, TrainerSpec
from mer_core.streams import choose_streams, resolve_stream, with_fitted
from mer_core.target_choice import with_targets
from mer_core.uploads import permitted

PLAIN = {"transductive": False, "audit_labels": "", "competition": False, "seed": 0, "seeds": 1}
"""Settings that are saved as they are given, and what they are where nobody says."""


def make_config(catalogue: Catalogue, *, data: str | Path | None = None, **settings: Unpack[Settings]) -> RunConfig:
    """Resolve a run's configuration.

    Args:
        data: a manifest, a folder or a data set's name; None: what ``file`` says, else the sample.
        settings: see :class:`mer_core.settings.Settings`; ``allow_upload`` is never taken from ``file``.

    Raises:
        UsageError, OptionError, PluginError: naming the option and what to write instead.
    """
    refuse_unknown(settings, "make_config", ("data",))
    saved, preset = read_config(settings.get("file")), settings.get("preset")
    named = preset_name(catalogue, preset, settings.get("language"))
    ground = start_from(catalogue, saved, named, settings.get("protocol"))
    asked = {owner: dict(values) for owner, values in _pairs(settings.get("options", ())).items()}
    return _Resolving(catalogue, data, settings, ground, asked).config()


def _pairs(options: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    return options if isinstance(options, Mapping) else parse_pairs(options)


@dataclass(frozen=True)
class _Resolving:
    """One configuration in the making. ``asked`` are options by owner, those of the data set until they are used."""

    catalogue: Catalogue
    data: str | Path | None
    told: Settings
    ground: Ground
    asked: dict[str, dict[str, Any]]

    def config(self) -> RunConfig:
        """All parts, in the order in which they depend on each other."""
        source = self._source()
        extracted = {} if source["features"] else self._choose_streams()
        readers = [self.catalogue.entry(ExtractorSpec, choice["extractor"]) for choice in extracted.values()]
        fusing = self._plugin(FusionSpec, "fusion")
        levels = fusion_levels(self.catalogue, fusing["name"])
        streams = self._streams(extracted, levels, readers)
        if source["features"]:
            source["pooling"] = self._given_pooling(source, levels)
        refuse_levels(self.catalogue, fusing["name"], _poolings(streams, source))
        derivers = self._derivers(streams)
        resolved: dict[str, Any] = {
            "data": source,
            "streams": streams,
            "derivers": derivers,
            "transcribe": self._transcribes and TRANSCRIPT in derivers,
            "fusion": fusing,
            "trainer": self._plugin(TrainerSpec, "trainer"),
            "folds": self._folds(),
            "fitting": {**self.ground.saved.get("fitting", {}), **self._given("crossfit", "deploy")},
            "preset": self.ground.preset.name if self.told.get("preset") or not source["features"] else "",
            "protocol": self.catalogue.settled(ProtocolSpec, self.ground.protocol_name),
            "device": self.told.get("device") or self.ground.saved.get("device", "auto"),
            **{name: self._settled(name, usual) for name, usual in PLAIN.items()},
        }
        refuse_strangers(self.asked, streams, [*readers, *_others(self.catalogue, resolved)], "this run")
        _refuse_optimism(resolved["trainer"]["options"], self.ground.protocol)
        _refuse_idle(resolved["trainer"]["options"], self._about_self_training())
        return validate_config(permitted(resolved, self.catalogue) if self.told.get("allow_upload") else resolved)

    def _given(self, *names: str) -> dict[str, Any]:
        """Settings of these names that were given."""
        return {name: value for name in names if (value := self.told.get(name)) is not None}

    def _settled(self, name: str, usual: Any) -> Any:
        """The setting where it was given, else what was saved, else the usual one."""
        given = self.told.get(name)
        return self.ground.saved.get(name, usual) if given is None else given

    def _source(self) -> dict[str, Any]:
        """The clips, or the table of features in their place, and what is learnt from them."""
        told = self.told
        source = with_features(
            self._clips(),
            features=told.get("features"),
            streams=told.get("streams"),
            labels=told.get("labels"),
            split=told.get("split"),
            group=told.get("group"),
            manifest=self.data is not None,
        )
        source = with_targets(source, told.get("values"), told.get("votes"))
        refuse_extraction(
            source["features"],
            extractor=told.get("extractors"),
            deriver=told.get("derivers"),
            transcribe=told.get("transcribe"),
            fitted=told.get("fitted"),
            modalities=told.get("modalities"),
            faces=told.get("faces"),
        )
        return source

    def _clips(self) -> dict[str, Any]:
        """The data set; what was asked of it is no longer among ``asked``."""
        base = dict(self.ground.saved.get("data", {}))
        if self.data is not None:
            known = self.catalogue.same(DatasetSpec, str(self.data), base.get("source", ""))
            base = {**(base if known else {}), "source": str(self.data)}
        base["source"] = self.catalogue.settled(DatasetSpec, base.get("source", "sample"))
        for key, given in (("columns", self.told.get("columns")), ("label_map", self.told.get("label_map"))):
            base[key] = {**base.get(key, {}), **(given or {})}
        base["options"] = dict(base.get("options", {}))
        for entry in self.catalogue.meant(DatasetSpec, base["source"]):
            base["options"] |= asked_of(self.asked, entry)
            for owner in filter(entry.answers_to, list(self.asked)):
                del self.asked[owner]
        return base

    def _choose_streams(self) -> dict[str, Any]:
        told, ground = self.told, self.ground
        wanted = told.get("modalities"), told.get("extractors"), told.get("preset")
        return choose_streams(self.catalogue, ground.saved, ground.preset, *wanted)

    def _streams(
        self, extracted: Mapping[str, Any], levels: tuple[str, ...], readers: Sequence[Entry]
    ) -> dict[str, dict[str, Any]]:
        """Each stream with its options and pooling, by name."""
        chosen = extracted if self.told.get("fusion") is None else fitting_poolings(extracted, levels)
        chosen = with_fitted(self.catalogue, chosen, self.told.get("fitted") or {})
        pooling, usual = self.told.get("pooling") or "", usual_pooling(levels, self.ground.pooling)
        return {
            name: resolve_stream(self.catalogue, name, choice, pooling, usual, self.asked, readers)
            for name, choice in sorted(chosen.items(), key=lambda item: stream_order(item[0]))
        }

    def _given_pooling(self, source: Mapping[str, Any], levels: tuple[str, ...]) -> str:
        """How frames in a table of features become what the fusion reads."""
        former = source.get("pooling", "")
        kept = former if former and (self.told.get("fusion") is None or level_of(former) in levels) else ""
        return self.told.get("pooling") or kept or usual_pooling(levels, "")

    @property
    def _transcribes(self) -> bool:
        return bool(self._settled("transcribe", False))

    def _derivers(self, streams: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What makes each artefact that the streams read.

        Raises:
            UsageError: an artefact was asked for that none of them reads.
        """
        faces = self.told.get("faces")
        flags = {**(self.told.get("derivers") or {}), **({"faces": faces} if faces else {})}
        chosen: dict[str, dict[str, Any]] = {name: {"name": one} for name, one in self.ground.preset.derivers.items()}
        chosen.update(self.ground.saved.get("derivers", {}))
        chosen.update({artefact: {"name": name} for artefact, name in flags.items()})
        entries = {name: self.catalogue.entry(ExtractorSpec, own["extractor"]) for name, own in streams.items()}
        homes = {name: entry.distribution for name, entry in entries.items()}
        inputs = stream_inputs(self.catalogue, streams)
        unmade = {artefact: name for artefact, name in flags.items() if not made(self.catalogue, artefact)}
        refuse_unread(unmade, inputs)
        found = choose_derivers(self.catalogue, inputs, chosen, self.asked, homes, self._transcribes)
        refuse_unread(flags, inputs, found)
        if self.told.get("transcribe") and TRANSCRIPT not in found:
            raise UsageError("--transcribe: no stream of this run reads text.", "Add text to --modalities.")
        return found

    def _plugin(self, kind: type[FusionSpec] | type[TrainerSpec], role: str) -> dict[str, Any]:
        """The fusion or trainer (``role``) with its options."""
        name, base = self._given(role).get(role), dict(self.ground.saved.get(role) or {})
        if name is not None:
            base = {**(base if self.catalogue.same(kind, name, base.get("name", "")) else {}), "name": name}
        entry = self.catalogue.entry(kind, base.get("name", getattr(self.ground.preset, role)))
        known = set(self.catalogue.options_class(kind, entry.saved_name).model_fields)
        values = {key: value for key, value in getattr(self.ground, f"{role}_options").items() if key in known}
        values |= base.get("options", {}) | self._given(f"{role}_options").get(f"{role}_options", {})
        values |= asked_of(self.asked, entry)
        options = self.catalogue.options(kind, entry.saved_name, values)
        return {"name": entry.saved_name, "options": options.model_dump(mode="json")}

    def _folds(self) -> dict[str, Any]:
        protocol = self.ground.protocol
        base: dict[str, Any] = {"kind": protocol.folds} if protocol else {}
        base.update(self.ground.saved.get("folds", {}))
        if (folds := self.told.get("folds")) is not None:
            base["k"] = folds
        if (group := self.told.get("group")) is not None:
            base |= {"group": group, "kind": "grouped"}
        return base

    def _about_self_training(self) -> dict[str, Any]:
        """Settings that mean nothing without it."""
        options = self.told.get("trainer_options") or {}
        return {"audit_labels": self.told.get("audit_labels"), "pseudo_from": options.get("pseudo_from")}


def _poolings(streams: Mapping[str, Mapping[str, Any]], source: Mapping[str, Any]) -> dict[str, str]:
    """How the frames of each stream become what the fusion reads, extracted streams and given ones."""
    found = {name: own["pooling"] for name, own in streams.items()}
    return found | (dict.fromkeys(source.get("streams", {}), source["pooling"]) if source.get("pooling") else {})


def _refuse_optimism(options: Mapping[str, Any], protocol: ProtocolSpec | None) -> None:
    """Choosing the epoch on the scored clips is only for protocols that were published with it."""
    published = protocol is not None and protocol.trainer_options.get("select") == "val"
    if options.get("select") == "val" and not published:
        raise UsageError(
            "--select val would choose the epoch on the very clips that are scored.",
            "Use --select inner, or --protocol mer2024, which marks its score as optimistic.",
        )


def _refuse_idle(options: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Flags about self-training, where the trainer has it and it is off, would do nothing."""
    given = [name for name, value in asked.items() if value]
    if given and options.get("self_training") == "off":
        raise UsageError(
            f"--{given[0].replace('_', '-')} is about self-training, which is off.",
            "Add --self-training class-balanced, or leave it out.",
        )


def _others(catalogue: Catalogue, resolved: Mapping[str, Any]) -> list[Entry]:
    """The fusion, the trainer and the derivers of a run."""
    derivers = [catalogue.entry(DeriverSpec, choice["name"]) for choice in resolved["derivers"].values()]
    fusion, trainer = resolved["fusion"]["name"], resolved["trainer"]["name"]
    return [catalogue.entry(FusionSpec, fusion), catalogue.entry(TrainerSpec, trainer), *derivers]
