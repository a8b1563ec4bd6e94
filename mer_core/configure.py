"""Where flags, config file, preset, protocol and defaults meet.

Precedence: flags > ``--config`` file > preset and protocol > defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer_core.config import RunConfig, read_config, validate_config
from mer_core.derivers import choose_derivers, stream_inputs
from mer_core.errors import UsageError
from mer_core.options import parse_pairs
from mer_core.registry import Catalogue
from mer_core.spec import (
    ExtractorSpec,
    FusionSpec,
    PresetSpec,
    ProtocolSpec,
    TrainerSpec,
)
from mer_core.types import stream_order


def make_config(
    catalogue: Catalogue,
    *,
    file: Path | None = None,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str] | None = None,
    modalities: Sequence[str] | None = None,
    extractors: Mapping[str, str] | None = None,
    preset: str | None = None,
    protocol: str | None = None,
    fusion: str | None = None,
    trainer: str | None = None,
    faces: str | None = None,
    derivers: Mapping[str, str] | None = None,
    pooling: str | None = None,
    folds: int | str | None = None,
    group: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    fusion_options: Mapping[str, Any] | None = None,
    trainer_options: Mapping[str, Any] | None = None,
    options: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
) -> RunConfig:
    """Resolve a run's configuration.

    Args:
        file: a TOML file in the layout of a run's ``config.toml``.
        extractors: ``{"speech": "hubert"}``; several per modality with commas, an alias of your own
            as ``{"speech:mine": "hubert"}``.
        derivers: ``{"ranking": "gpt4"}``, which plugin makes an artefact; ``faces`` is short for that key.
        options: ``["acoustic.n_mels=80"]`` or ``{"acoustic": {"n_mels": 80}}``; the owner is a stream,
            an extractor, the fusion, the trainer, a deriver or the data set.

    Raises:
        UsageError, OptionError, PluginError: naming the option and what to write instead.
    """
    saved = read_config(file)
    preset_spec = catalogue.find(PresetSpec, preset or saved.get("preset") or "lite")
    protocol_name = protocol if protocol is not None else saved.get("protocol", "")
    protocol_spec = catalogue.find(ProtocolSpec, protocol_name) if protocol_name else None
    if protocol_name != saved.get("protocol", ""):
        former = catalogue.find(ProtocolSpec, saved["protocol"]) if saved.get("protocol") else None
        saved = _without_settings(saved, [spec for spec in (former, protocol_spec) if spec])
    asked = {owner: dict(values) for owner, values in _pairs(options).items()}
    streams = _streams(catalogue, saved, preset_spec, modalities, extractors, preset)
    protocol_pooling = protocol_spec.pooling if protocol_spec else ""
    resolved_streams = {
        name: _stream(catalogue, name, choice, pooling or "", protocol_pooling or preset_spec.pooling, asked)
        for name, choice in sorted(streams.items(), key=lambda item: stream_order(item[0]))
    }
    deriver_flags = {**(derivers or {}), **({"faces": faces} if faces else {})}
    resolved: dict[str, Any] = {
        "data": _data(saved, data, columns, label_map, asked),
        "streams": resolved_streams,
        "derivers": _derivers(catalogue, saved, preset_spec, deriver_flags, resolved_streams, asked),
        "fusion": _choice(
            catalogue,
            FusionSpec,
            saved.get("fusion"),
            fusion,
            preset_spec.fusion,
            protocol_spec.fusion_options if protocol_spec else {},
            fusion_options or {},
            asked,
        ),
        "trainer": _choice(
            catalogue,
            TrainerSpec,
            saved.get("trainer"),
            trainer,
            preset_spec.trainer,
            protocol_spec.trainer_options if protocol_spec else {},
            trainer_options or {},
            asked,
        ),
        "folds": _folds(saved, folds, group, protocol_spec),
        "preset": preset_spec.name,
        "protocol": protocol_name,
        "seed": seed if seed is not None else saved.get("seed", 0),
        "device": device or saved.get("device", "auto"),
    }
    _refuse_unused(asked, resolved)
    _refuse_optimism(resolved["trainer"]["options"], protocol_spec)
    return validate_config(resolved)


def _without_settings(saved: Mapping[str, Any], protocols: Sequence[ProtocolSpec]) -> dict[str, Any]:
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


def _pairs(options: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    return options if isinstance(options, Mapping) else parse_pairs(options)


def _data(
    saved: Mapping[str, Any],
    source: str | Path | None,
    columns: Mapping[str, str] | None,
    label_map: Mapping[str, str] | None,
    asked: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    base = dict(saved.get("data", {}))
    if source is not None and str(source) != base.get("source"):
        base = {"source": str(source)}
    base.setdefault("source", "sample")
    for key, value in (("columns", columns), ("label_map", label_map)):
        base[key] = {**base.get(key, {}), **(value or {})}
    base["options"] = {**base.get("options", {}), **asked.pop(base["source"], {})}
    return base


def _streams(
    catalogue: Catalogue,
    saved: Mapping[str, Any],
    preset: PresetSpec,
    modalities: Sequence[str] | None,
    extractors: Mapping[str, str] | None,
    asked_preset: str | None,
) -> dict[str, dict[str, Any]]:
    base: dict[str, dict[str, Any]] = {} if asked_preset else dict(saved.get("streams", {}))
    if not base:
        base = {f"{m}:{name}": {"extractor": name} for m, names in preset.extractors.items() for name in names}
    chosen = _chosen(extractors or {})
    wanted = list(dict.fromkeys(modalities or [*(n.partition(":")[0] for n in base), *chosen]))
    for modality in chosen:
        if modality not in wanted:
            raise UsageError(
                f"--extractor names {modality}, which is not among the modalities {', '.join(wanted)}.",
                f"Add {modality} to --modalities.",
            )
    found: dict[str, dict[str, Any]] = {}
    for modality in wanted:
        if modality in chosen:
            found.update(chosen[modality])
            continue
        own = {name: choice for name, choice in base.items() if name.partition(":")[0] == modality}
        if not own:
            own = _preset_streams(preset, modality, catalogue)
        found.update(own)
    return found


def _preset_streams(preset: PresetSpec, modality: str, catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    if modality in preset.extractors:
        return {f"{modality}:{name}": {"extractor": name} for name in preset.extractors[modality]}
    others = sorted(
        e.spec.name
        for e in catalogue.of_kind(ExtractorSpec)
        if isinstance(e.spec, ExtractorSpec) and e.spec.modality == modality
    )
    hint = (
        f"Choose one: --extractor {modality}={others[0]}."
        if others
        else (f"Modalities of the preset {preset.name!r} are {', '.join(preset.extractors)}.")
    )
    raise UsageError(f"the preset {preset.name!r} has no extractor for the modality {modality!r}.", hint)


def _chosen(extractors: Mapping[str, str]) -> dict[str, dict[str, dict[str, Any]]]:
    """``{"speech": "a,b"}`` -> ``{"speech": {"speech:a": {"extractor": "a"}, ...}}``."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for key, names in extractors.items():
        modality, _, alias = key.partition(":")
        listed = [name.strip() for name in names.split(",") if name.strip()]
        if alias and len(listed) != 1:
            raise UsageError(f"the stream {key!r} takes exactly one extractor.", f"Write {key}=NAME.")
        for name in listed:
            stream = f"{modality}:{alias or name.partition('@')[0]}"
            found.setdefault(modality, {})[stream] = {"extractor": name}
    return found


def _stream(
    catalogue: Catalogue,
    name: str,
    choice: Mapping[str, Any],
    pooling: str,
    default_pooling: str,
    asked: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    extractor = choice["extractor"]
    spec = catalogue.find(ExtractorSpec, extractor)
    modality = name.partition(":")[0]
    if spec.modality != modality:
        raise UsageError(
            f"{extractor} is an extractor of {spec.modality}, not of {modality}.",
            f"Write --extractor {spec.modality}={extractor}.",
        )
    wanted = {**asked.get(extractor, {}), **asked.get(name, {})}
    options = catalogue.options(ExtractorSpec, extractor, {**choice.get("options", {}), **wanted})
    return {
        "extractor": extractor,
        "pooling": pooling or choice.get("pooling") or default_pooling,
        "options": options.model_dump(mode="json"),
    }


def _derivers(
    catalogue: Catalogue,
    saved: Mapping[str, Any],
    preset: PresetSpec,
    flags: Mapping[str, str],
    streams: Mapping[str, Mapping[str, Any]],
    asked: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    chosen: dict[str, dict[str, Any]] = {name: {"name": deriver} for name, deriver in preset.derivers.items()}
    chosen.update(saved.get("derivers", {}))
    chosen.update({artefact: {"name": name} for artefact, name in flags.items()})
    found = choose_derivers(catalogue, stream_inputs(catalogue, streams), chosen, asked)
    unread = sorted(set(flags) - set(found) - {"faces"})
    if unread:
        raise UsageError(
            f"--deriver names {unread[0]!r}, which no stream of this run reads.",
            f"Artefacts that are read here: {', '.join(found) or 'none'}.",
        )
    return found


def _choice(
    catalogue: Catalogue,
    kind: type[FusionSpec] | type[TrainerSpec],
    saved: Mapping[str, Any] | None,
    name: str | None,
    default: str,
    protocol: Mapping[str, Any],
    flags: Mapping[str, Any],
    asked: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    base = dict(saved or {})
    if name is not None and name != base.get("name"):
        base = {"name": name}
    chosen = base.get("name", default)
    known = set(catalogue.options_class(kind, chosen).model_fields)
    values = {key: value for key, value in protocol.items() if key in known}
    values |= base.get("options", {}) | dict(flags) | asked.get(chosen, {})
    return {"name": chosen, "options": catalogue.options(kind, chosen, values).model_dump(mode="json")}


def _folds(
    saved: Mapping[str, Any], k: int | str | None, group: str | None, protocol: ProtocolSpec | None
) -> dict[str, Any]:
    base: dict[str, Any] = {"kind": protocol.folds} if protocol else {}
    base.update(saved.get("folds", {}))
    if k is not None:
        base["k"] = k
    if group is not None:
        base["group"] = group
        base["kind"] = "grouped"
    return base


def _refuse_optimism(options: Mapping[str, Any], protocol: ProtocolSpec | None) -> None:
    """Choosing the epoch on the scored clips is only for protocols that were published with it."""
    published = protocol is not None and protocol.trainer_options.get("select") == "val"
    if options.get("select") == "val" and not published:
        raise UsageError(
            "--select val would choose the epoch on the very clips that are scored.",
            "Use --select inner, or --protocol mer2024, which marks its score as optimistic.",
        )


def _refuse_unused(asked: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
    owners = {resolved["fusion"]["name"], resolved["trainer"]["name"]}
    owners |= {choice["name"] for choice in resolved["derivers"].values()}
    owners |= set(resolved["streams"]) | {choice["extractor"] for choice in resolved["streams"].values()}
    for owner in asked:
        if owner not in owners:
            raise UsageError(
                f"option owner {owner!r} takes no part in this run.", f"Owners here are {', '.join(sorted(owners))}."
            )
