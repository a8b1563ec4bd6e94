"""Before hours of extraction: can the fusion and the trainer start at all, and is the protocol kept?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from mer_core.blame import blame, title
from mer_core.config import PluginChoice, RunConfig
from mer_core.engine.answers import make_instance
from mer_core.errors import PluginError
from mer_core.feature_set import Level, StreamInfo, TargetSpec
from mer_core.frame_pooling import keeps_frames, level_of
from mer_core.names import readable
from mer_core.pooling import Pooling, pooled_dim
from mer_core.protocols import CheckingTrainer, Fusion
from mer_core.registry import Catalogue, Entry
from mer_core.report.words import listed
from mer_core.spec import FusionSpec, ProtocolSpec, TrainerSpec
from mer_core.workflows.jobs import build_jobs
from mer_core.workflows.pipeline import fusion_entry, make_fusion, make_trainer, trainer_entry

if TYPE_CHECKING:
    import torch

WIDTH = 768
"""Columns of each stream in a first try; where that fails, the extractors are asked for theirs."""

MOST_OPTIONS = 4


def check_start(config: RunConfig, targets: TargetSpec, catalogue: Catalogue) -> None:
    """Make the run's trainer and fusion, build the fusion once over the run's streams, and drop them.

    A :class:`mer_core.protocols.CheckingTrainer` is asked whether its options can work. No random numbers of the run
    are used up.

    Raises:
        MerError: one of them cannot be imported, made or built, or the trainer's options cannot work.
    """
    trainer = make_trainer(config, catalogue)
    absent = [name for name in ("fit", "load") if not callable(getattr(trainer, name, None))]
    if absent:
        what = f"{title(trainer_entry(config, catalogue))} has no method {absent[0]!r}."
        raise PluginError(what, "See 'Trainer' in docs/plugins/reference.md.")
    streams, module = _built(config, targets, catalogue)
    if isinstance(trainer, CheckingTrainer):
        with blame(trainer_entry(config, catalogue), "check_fit", fusion_entry(config, catalogue)):
            trainer.check_fit(module, streams, targets)


def _built(
    config: RunConfig, targets: TargetSpec, catalogue: Catalogue
) -> tuple[dict[str, StreamInfo], torch.nn.Module]:
    """The run's streams, of widths that are guessed where that will do, and what its fusion builds over them."""
    fusion, entry = make_fusion(config, catalogue), fusion_entry(config, catalogue)
    given = {name: _stream(name, WIDTH, _level(config.data.pooling)) for name in config.data.streams}
    guessed = {name: _stream(name, WIDTH, level_of(own.pooling)) for name, own in config.streams.items()}
    with suppress(Exception):
        streams = {name: (guessed | given)[name] for name in config.stream_names}
        return streams, _build(fusion, entry, streams, targets)
    streams = _true_streams(config, catalogue, targets.classes) | given
    return streams, _build(fusion, entry, streams, targets)


def _build(fusion: Fusion, entry: Entry, streams: Mapping[str, StreamInfo], targets: TargetSpec) -> torch.nn.Module:
    import torch

    with torch.random.fork_rng(devices=[]), blame(entry, "build"):
        module: object = fusion.build(streams, targets)
    if not isinstance(module, torch.nn.Module):
        what = f"{title(entry)}: build returned {type(module).__name__}, not a torch.nn.Module."
        raise PluginError(what, "Return the module.")
    return module


def _true_streams(config: RunConfig, catalogue: Catalogue, classes: Sequence[str]) -> dict[str, StreamInfo]:
    """The run's streams as their extractors declare them, which have to be made for that."""
    found = {}
    for job in build_jobs(config, catalogue, classes)[0]:
        dim = int(make_instance(job, "cpu").dim)
        pooling = config.streams[job.name].pooling
        pools = job.level == "frame" and not keeps_frames(pooling)
        width = pooled_dim(dim, cast("Pooling", pooling)) if pools else dim
        found[job.name] = _stream(job.name, width, level_of(pooling))
    return found


def _level(pooling: str) -> Level:
    return level_of(pooling) if pooling else "clip"


def _stream(name: str, width: int, level: Level) -> StreamInfo:
    return StreamInfo(name=name, modality=name.partition(":")[0], dim=width, level=level)


def protocol_gaps(config: RunConfig, catalogue: Catalogue) -> tuple[str, ...]:
    """What the chosen fusion and trainer cannot keep of the run's protocol, in one sentence if anything."""
    if not config.protocol:
        return ()
    spec = catalogue.find(ProtocolSpec, config.protocol)
    parts = [
        *_unknown(catalogue, TrainerSpec, config.trainer, spec.trainer_options),
        *_unknown(catalogue, FusionSpec, config.fusion, spec.fusion_options),
        *_unpooled(config, spec),
    ]
    return (f"Protocol {readable(config.protocol)} is only partly kept: {'; '.join(parts)}.",) if parts else ()


def _unpooled(config: RunConfig, spec: ProtocolSpec) -> list[str]:
    """That frames are read where the protocol pools them."""
    framed = [name for name, own in config.streams.items() if keeps_frames(own.pooling)]
    verb = "keeps" if len(framed) == 1 else "keep"
    return [f"{_some(framed)} {verb} frames in place of {spec.pooling}"] if spec.pooling and framed else []


def _unknown(
    catalogue: Catalogue,
    kind: type[TrainerSpec] | type[FusionSpec],
    choice: PluginChoice,
    wanted: Mapping[str, Any],
) -> list[str]:
    known = catalogue.options_class(kind, choice.name).model_fields
    absent = [repr(key) for key in wanted if key not in known]
    return [f"{kind.kind} {readable(choice.name)} has no option {_some(absent)}"] if absent else []


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_OPTIONS
    return ", ".join([*names[:MOST_OPTIONS], f"… ({more} more)"]) if more > 0 else listed(list(names))
