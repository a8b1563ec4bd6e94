"""Where flags, config file, preset, protocol and defaults meet.

Precedence: flags > ``--config`` file > preset and protocol > defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer_core.config import RunConfig, read_config, validate_config
from mer_core.derivers import choose_derivers, made, refuse_unread, stream_inputs
from mer_core.errors import UsageError
from mer_core.feature_choice import Streams, refuse_extraction, with_features
from mer_core.feature_set import stream_order
from mer_core.frame_pooling import level_of, usual_pooling
from mer_core.inputs import TRANSCRIPT
from mer_core.levels import fitting_poolings, fusion_levels, refuse_levels
from mer_core.options import parse_pairs
from mer_core.owners import asked_of, refuse_strangers
from mer_core.presets import preset_name, start_from
from mer_core.registry import Catalogue, Entry
from mer_core.spec import DatasetSpec, DeriverSpec, ExtractorSpec, FusionSpec, PresetSpec, ProtocolSpec, TrainerSpec
from mer_core.streams import choose_streams, resolve_stream, with_fitted
from mer_core.target_choice import Names, with_targets
from mer_core.uploads import permitted


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
    language: str | None = None,
    protocol: str | None = None,
    fusion: str | None = None,
    trainer: str | None = None,
    faces: str | None = None,
    derivers: Mapping[str, str] | None = None,
    transcribe: bool | None = None,
    pooling: str | None = None,
    folds: int | str | None = None,
    group: str | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    device: str | None = None,
    fusion_options: Mapping[str, Any] | None = None,
    trainer_options: Mapping[str, Any] | None = None,
    options: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    allow_upload: bool | None = None,
    crossfit: str | None = None,
    deploy: str | None = None,
    fitted: Mapping[str, str | Path] | None = None,
    transductive: bool | None = None,
    competition: bool | None = None,
    audit_labels: str | None = None,
    features: str | Path | None = None,
    streams: Streams | None = None,
    labels: str | None = None,
    split: str | None = None,
    values: Names | None = None,
    votes: Names | None = None,
) -> RunConfig:
    """Resolve a run's configuration.

    Args:
        file: a TOML file in the layout of a run's ``config.toml``.
        language: ``zh`` or ``en``, for presets that differ by it: ``standard`` and ``zh`` mean ``standard-zh``.
        extractors: ``{"speech": "hubert"}``; several per modality with commas, an alias of your own
            as ``{"speech:mine": "hubert"}``.
        derivers: ``{"ranking": "gpt4"}``, which plugin makes an artefact; ``faces`` is short for that key.
        transcribe: the text of clips that have sound and no text is the artefact ``transcript``.
        options: ``["acoustic.n_mels=80"]`` or ``{"acoustic": {"n_mels": 80}}``; the owner is a stream,
            an extractor, the fusion, the trainer, a deriver or the data set.
        allow_upload: let plugins send data to their servers; never taken from ``file``.
        crossfit, deploy: see :class:`mer_core.config.FittingChoice`.
        seeds, transductive, audit_labels, competition: see :class:`mer_core.config.RunConfig`.
        fitted: ``{"emovclip": "folder of mer finetune"}``: extractors that the run does not fit itself.
        features: a feature table or folder, in place of extraction; ``streams`` names its arrays, ``labels`` and
            ``split`` those of labels and splits (``none``: no splits), ``group`` that of groups.
        values, votes: columns or arrays of continuous targets and of raters' votes; see
            :func:`mer_core.data.target_columns.target_columns`.

    Raises:
        UsageError, OptionError, PluginError: naming the option and what to write instead.
    """
    ground = start_from(catalogue, read_config(file), preset_name(catalogue, preset, language), protocol)
    saved, preset_spec = ground.saved, ground.preset
    asked = {owner: dict(values) for owner, values in _pairs(options).items()}
    source = with_features(
        _data(catalogue, saved, data, columns, label_map, asked),
        features=features,
        streams=streams,
        labels=labels,
        split=split,
        group=group,
        manifest=data is not None,
    )
    source, given = with_targets(source, values, votes), source["features"]
    refuse_extraction(
        given,
        extractor=extractors,
        deriver=derivers,
        transcribe=transcribe,
        fitted=fitted,
        modalities=modalities,
        faces=faces,
    )
    chosen = {} if given else choose_streams(catalogue, saved, preset_spec, modalities, extractors, preset)
    readers = [catalogue.entry(ExtractorSpec, choice["extractor"]) for choice in chosen.values()]
    fusing = _choice(
        catalogue,
        FusionSpec,
        saved.get("fusion"),
        fusion,
        preset_spec.fusion,
        ground.fusion_options,
        fusion_options or {},
        asked,
    )
    levels = fusion_levels(catalogue, fusing["name"])
    chosen = chosen if fusion is None else fitting_poolings(chosen, levels)
    chosen, usual = with_fitted(catalogue, chosen, fitted or {}), usual_pooling(levels, ground.pooling)
    resolved_streams = {
        name: resolve_stream(catalogue, name, choice, pooling or "", usual, asked, readers)
        for name, choice in sorted(chosen.items(), key=lambda item: stream_order(item[0]))
    }
    if given:
        former = source.get("pooling", "")
        kept = former if former and (fusion is None or level_of(former) in levels) else ""
        source["pooling"] = pooling or kept or usual_pooling(levels, "")
    refuse_levels(catalogue, fusing["name"], _poolings(resolved_streams, source))
    flags = {**(derivers or {}), **({"faces": faces} if faces else {})}
    heard = bool(saved.get("transcribe", False) if transcribe is None else transcribe)
    made_with = _derivers(catalogue, saved, preset_spec, flags, resolved_streams, asked, heard)
    if transcribe and TRANSCRIPT not in made_with:
        raise UsageError("--transcribe: no stream of this run reads text.", "Add text to --modalities.")
    resolved: dict[str, Any] = {
        "data": source,
        "streams": resolved_streams,
        "derivers": made_with,
        "transcribe": heard and TRANSCRIPT in made_with,
        "fusion": fusing,
        "trainer": _choice(
            catalogue,
            TrainerSpec,
            saved.get("trainer"),
            trainer,
            preset_spec.trainer,
            ground.trainer_options,
            trainer_options or {},
            asked,
        ),
        "folds": _folds(saved, folds, group, ground.protocol),
        "fitting": saved.get("fitting", {}) | _given(crossfit=crossfit, deploy=deploy),
        "preset": preset_spec.name if preset or not given else "",
        "protocol": catalogue.settled(ProtocolSpec, ground.protocol_name),
        **_settled(
            saved,
            transductive=(transductive, False),
            audit_labels=(audit_labels, ""),
            competition=(competition, False),
            seed=(seed, 0),
            seeds=(seeds, 1),
            device=(device or None, "auto"),
        ),
    }
    refuse_strangers(asked, resolved_streams, [*readers, *_others(catalogue, resolved)], "this run")
    _refuse_optimism(resolved["trainer"]["options"], ground.protocol)
    idle = {"audit_labels": audit_labels, "pseudo_from": (trainer_options or {}).get("pseudo_from")}
    _refuse_idle(resolved["trainer"]["options"], idle)
    return validate_config(permitted(resolved, catalogue) if allow_upload else resolved)


def _settled(saved: Mapping[str, Any], **flags: tuple[Any, Any]) -> dict[str, Any]:
    """For each (flag, default): the flag where it was given, else what was saved, else the default."""
    return {name: saved.get(name, usual) if flag is None else flag for name, (flag, usual) in flags.items()}


def _poolings(streams: Mapping[str, Mapping[str, Any]], source: Mapping[str, Any]) -> dict[str, str]:
    """How the frames of each stream become what the fusion reads, extracted streams and given ones."""
    found = {name: own["pooling"] for name, own in streams.items()}
    return found | (dict.fromkeys(source.get("streams", {}), source["pooling"]) if source.get("pooling") else {})


def _given(**values: str | None) -> dict[str, str]:
    """Those that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _pairs(options: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    return options if isinstance(options, Mapping) else parse_pairs(options)


def _data(
    catalogue: Catalogue,
    saved: Mapping[str, Any],
    source: str | Path | None,
    columns: Mapping[str, str] | None,
    label_map: Mapping[str, str] | None,
    asked: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    base = dict(saved.get("data", {}))
    if source is not None:
        known = catalogue.same(DatasetSpec, str(source), base.get("source", ""))
        base = {**(base if known else {}), "source": str(source)}
    base["source"] = catalogue.settled(DatasetSpec, base.get("source", "sample"))
    for key, value in (("columns", columns), ("label_map", label_map)):
        base[key] = {**base.get(key, {}), **(value or {})}
    base["options"] = dict(base.get("options", {}))
    for entry in catalogue.meant(DatasetSpec, base["source"]):
        base["options"] |= asked_of(asked, entry)
        for owner in filter(entry.answers_to, list(asked)):
            del asked[owner]
    return base


def _derivers(
    catalogue: Catalogue,
    saved: Mapping[str, Any],
    preset: PresetSpec,
    flags: Mapping[str, str],
    streams: Mapping[str, Mapping[str, Any]],
    asked: dict[str, dict[str, Any]],
    transcribe: bool,
) -> dict[str, Any]:
    chosen: dict[str, dict[str, Any]] = {name: {"name": deriver} for name, deriver in preset.derivers.items()}
    chosen.update(saved.get("derivers", {}))
    chosen.update({artefact: {"name": name} for artefact, name in flags.items()})
    homes = {name: catalogue.entry(ExtractorSpec, own["extractor"]).distribution for name, own in streams.items()}
    inputs = stream_inputs(catalogue, streams)
    refuse_unread({artefact: name for artefact, name in flags.items() if not made(catalogue, artefact)}, inputs)
    found = choose_derivers(catalogue, inputs, chosen, asked, homes, transcribe)
    refuse_unread(flags, inputs, found)
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
    if name is not None:
        base = {**(base if catalogue.same(kind, name, base.get("name", "")) else {}), "name": name}
    entry = catalogue.entry(kind, base.get("name", default))
    chosen = entry.saved_name
    known = set(catalogue.options_class(kind, chosen).model_fields)
    values = {key: value for key, value in protocol.items() if key in known}
    values |= base.get("options", {}) | dict(flags) | asked_of(asked, entry)
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
