"""Flags that several commands share, and how they become one configuration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli.pairs import label_pairs, pairs
from mer_core.cli.places import use_cache, use_weights
from mer_core.errors import OptionError, UsageError

if TYPE_CHECKING:
    from mer_core.config import RunConfig
    from mer_core.registry import Catalogue

DATA, STREAMS, TRAINING, WORK = "Data", "Streams", "Training", "Work"

Data = Annotated[
    str | None,
    typer.Option(
        "--data", "-d", help="Manifest, folder or data set name.", show_default="sample", rich_help_panel=DATA
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="OURS=THEIRS", help="Map a column name: label=emotion.", rich_help_panel=DATA),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="THEIRS=OURS", help="Map a label: joyful=happy; xxx= drops it.", rich_help_panel=DATA
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features", metavar="FILE|FOLDER", help="Features of your own: .npz, .parquet.", rich_help_panel=DATA
    ),
]
Streams = Annotated[
    str | None,
    typer.Option("--streams", metavar="LIST", help="Its arrays: audio,video or speech=audio.", rich_help_panel=STREAMS),
]
Modalities = Annotated[
    str | None,
    typer.Option("--modalities", "-m", metavar="LIST", help="speech,image,video,text.", rich_help_panel=STREAMS),
]
ExtractorFlag = Annotated[
    list[str] | None,
    typer.Option("--extractor", "-e", metavar="MODALITY=NAME", help="Choose an extractor.", rich_help_panel=STREAMS),
]
Preset = Annotated[
    str | None, typer.Option(help="A named choice of plugins.", show_default="lite", rich_help_panel=STREAMS)
]
Language = Annotated[
    str | None, typer.Option(help="zh or en, for presets that differ by it (standard).", rich_help_panel=STREAMS)
]
Faces = Annotated[
    str | None, typer.Option(help="Deriver that finds faces.", show_default="haar", rich_help_panel=STREAMS)
]
DeriverFlag = Annotated[
    list[str] | None,
    typer.Option("--deriver", metavar="ARTEFACT=NAME", help="Choose a deriver.", rich_help_panel=STREAMS),
]
Transcribe = Annotated[
    bool | None,
    typer.Option(
        "--transcribe/--no-transcribe",
        help="Recognise the speech of clips without text.",
        show_default="no",
        rich_help_panel=STREAMS,
    ),
]
Pooling = Annotated[
    str | None,
    typer.Option(
        help="mean, mean_std, mean_var; frames, or frames:N for at most N a clip.",
        show_default="mean_std, frames:64 for fusions that read frames only",
        rich_help_panel=STREAMS,
    ),
]
OptionFlag = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", metavar="OWNER.KEY=VALUE", help="Any plugin's option.", rich_help_panel=STREAMS),
]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="A run's config.toml.", rich_help_panel=WORK)]
CacheFlag = Annotated[
    Path | None,
    typer.Option("--cache", help="Cache folder (MER_CACHE).", rich_help_panel=WORK, callback=use_cache),
]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        "--weights-dir",
        help="Folder of prepared weights, each below its name (MER_WEIGHTS).",
        rich_help_panel=WORK,
        callback=use_weights,
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda:0 ...", show_default="auto", rich_help_panel=WORK)]
Devices = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Extract on several at once: cuda:0,cuda:1.", rich_help_panel=WORK),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Decoding threads.", show_default="all cores", rich_help_panel=WORK)
]
AllowUpload = Annotated[
    bool, typer.Option("--allow-upload", help="Let plugins send transcripts to servers.", rich_help_panel=WORK)
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 if any clip failed.", rich_help_panel=WORK)]
Verify = Annotated[bool, typer.Option("--verify", help="Hash every file's content again.", rich_help_panel=WORK)]
Retry = Annotated[
    bool, typer.Option("--retry-crashed", help="Try clips again that killed the process.", rich_help_panel=WORK)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=WORK)]
Seed = Annotated[
    int | None, typer.Option(help="Seed of folds and training.", show_default="0", rich_help_panel=TRAINING)
]


Crossfit = Annotated[
    str | None,
    typer.Option(
        metavar="fold|nested|single",
        help="Fits of extractors that learn.",
        show_default="fold",
        rich_help_panel=TRAINING,
    ),
]
Deploy = Annotated[
    str | None,
    typer.Option(
        metavar="folds|refit", help="What predicts new clips.", show_default="folds", rich_help_panel=TRAINING
    ),
]
SelfTraining = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Learn from unlabelled clips: class-balanced, per-class-threshold, flexmatch or dash.",
        show_default="off",
        rich_help_panel=TRAINING,
    ),
]
PseudoFrom = Annotated[
    str | None,
    typer.Option(
        metavar="fold|ensemble", help="Who labels in self-training.", show_default="fold", rich_help_panel=TRAINING
    ),
]
Competition = Annotated[
    bool | None,
    typer.Option("--competition", help="Train each modality alone, too.", rich_help_panel=TRAINING),
]
Transductive = Annotated[
    bool | None,
    typer.Option("--transductive", help="Self-training sees test clips, unlabelled.", rich_help_panel=TRAINING),
]
AuditLabels = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Labels held back, to audit pseudo-labels.", rich_help_panel=TRAINING),
]
FittedFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--fitted", metavar="NAME=FOLDER", help="An extractor fitted by mer finetune.", rich_help_panel=STREAMS
    ),
]


def several_devices(device: str | None, devices: str | None) -> tuple[str, ...]:
    """The devices that extract: ``"cuda:0,cuda:1"`` -> ``("cuda:0", "cuda:1")``; none where one is enough.

    Raises:
        UsageError: both flags are given and ``device`` is not the first of ``devices``, or that is no list of devices.
    """
    if devices is None:
        return ()
    names = tuple(part.strip() for part in devices.split(",") if part.strip())
    if not names or "auto" in names:
        raise UsageError(f"--devices {devices!r} names no devices.", "Write for example --devices cuda:0,cuda:1.")
    if device not in (None, names[0]):
        raise UsageError(
            f"--device {device} beside --devices {devices}: the run computes on the first of these.",
            "Leave out one of the two.",
        )
    return names


def listed(text: str | None) -> list[str] | None:
    """``"speech, text"`` -> ``["speech", "text"]``; None stays None.

    Raises:
        UsageError: an empty list.
    """
    if text is None:
        return None
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError("--modalities is empty.", "Write for example --modalities speech,text.")
    return names


def configure(
    catalogue: Catalogue,
    *,
    column: list[str] | None,
    label: list[str] | None,
    modalities: str | None,
    extractor: list[str] | None,
    deriver: list[str] | None,
    option: list[str] | None,
    fitted: list[str] | None = None,
    **rest: Any,
) -> RunConfig:
    """The configuration that a command's flags ask for.

    Raises:
        MerError: naming the flag or option, and what to write instead.
    """
    from mer_core.configure import make_config

    make = partial(
        make_config,
        catalogue,
        columns=pairs(column, "--column"),
        label_map=label_pairs(label),
        modalities=listed(modalities),
        extractors=pairs(extractor, "--extractor", partial(_with_modality, catalogue)),
        derivers=pairs(deriver, "--deriver", partial(_with_artefact, catalogue)),
        options=option or (),
        fitted=pairs(fitted, "--fitted"),
    )
    try:
        return make(**rest)
    except OptionError:
        asked = rest.pop("trainer_options", None)
        if asked:
            _refuse_foreign(asked, make(**rest).trainer.name, catalogue)
        raise


def _with_modality(catalogue: Catalogue, names: str) -> str:
    """``speech=acoustic`` for ``acoustic``."""
    from mer_core.spec import ExtractorSpec

    specs = [entry.spec for entry in catalogue.meant(ExtractorSpec, names.split(",")[0].strip())]
    found = [spec.modality for spec in specs if isinstance(spec, ExtractorSpec)]
    return f"{found[0]}={names}" if found else "speech=acoustic"


def _with_artefact(catalogue: Catalogue, name: str) -> str:
    """``faces=haar`` for ``haar``."""
    from mer_core.spec import DeriverSpec

    found = [entry.spec.produces for entry in catalogue.meant(DeriverSpec, name) if isinstance(entry.spec, DeriverSpec)]
    return f"{found[0]}={name}" if found else "faces=haar"


def _refuse_foreign(asked: Mapping[str, Any], trainer: str, catalogue: Catalogue) -> None:
    """Refuse a flag for an option that the trainer does not have, by the flag's name."""
    from mer_core.spec import TrainerSpec

    known = catalogue.options_class(TrainerSpec, trainer).model_fields
    for key in asked:
        if key not in known:
            raise UsageError(
                f"--{key.replace('_', '-')}: the trainer {trainer} has no option {key!r}.",
                f"See 'mer plugins show {trainer}'.",
            )
