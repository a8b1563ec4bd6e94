"""The keywords of a run, as a type: a misspelt one is an error of the type checker."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from mer_core.errors import UsageError
from mer_core.feature_choice import Streams
from mer_core.target_choice import Names


class Settings(TypedDict, total=False):
    """What :func:`mer_core.run` and :func:`mer_core.extract` may be told beside the data; all of it optional.

    They are the keywords of :func:`mer_core.configure.make_config`; None, or leaving one out, means
    what the config file, the preset or the protocol says.

    Keys:
        file: a TOML file in the layout of a run's ``config.toml``.
        columns: our column name -> the manifest's, ``{"label": "emotion"}``.
        label_map: renaming of labels, ``{"joy": "happy"}``; an empty target drops the label.
        modalities: which of speech, text, image, video take part.
        extractors: ``{"speech": "hubert"}``; several per modality with commas, an alias of your own
            as ``{"speech:mine": "hubert"}``.
        preset, protocol, fusion, trainer: registry names.
        language: ``zh`` or ``en``, for presets that differ by it.
        derivers: which plugin makes an artefact, ``{"ranking": "gpt4"}``; ``faces`` is short for that key.
        transcribe: fill the text of clips that have sound and no text, by the deriver of ``transcript``.
        pooling: ``mean``, ``mean_std`` or ``mean_var``; ``frames``, or ``frames:64`` for at most 64 of them a clip.
        folds: how many, or ``"loo"``: one group left out at a time.
        group: column whose values stay together in a fold.
        seed: of folds and training.
        seeds: trainings over the same folds, with the seeds ``seed``, ``seed + 1`` ...; scores are averaged over them.
        device: ``auto``, ``cpu``, ``cuda:0`` ...
        crossfit: how supervised extractors are fitted: ``fold``, ``nested`` or ``single`` (contaminates the score).
        deploy: ``folds`` to predict with the members that were scored, ``refit`` with one more, fitted to everything.
        competition: train a model on each modality alone, too, and report it beside the fusion.
        transductive: test clips count among the unlabelled ones of self-training.
        audit_labels: column with labels held back, to compare pseudo-labels with.
        fitted: folders of ``mer finetune``, by extractor.
        fusion_options, trainer_options: of the fusion, ``{"hidden": 64}``, and of the trainer, ``{"epochs": 40}``.
        options: ``["acoustic.n_mels=80"]`` or ``{"acoustic": {"n_mels": 80}}``; the owner is a stream,
            an extractor, the fusion, the trainer, a deriver or the data set.
        allow_upload: let plugins send data to their servers: transcripts to a language model.
        features: a feature table (.npz, .parquet) or a folder of ``<feature>-UTT`` folders, in place of extraction.
        streams: its arrays, ``["audio", "video"]``, or by stream, ``{"speech:hubert": "audio"}``.
        labels, split: its arrays of labels and splits, where they are not called so; ``split="none"`` for no splits.
        values: columns, or arrays, of continuous targets: ``["valence"]``, ``"sentiment=label"``.
        votes: columns of raters' votes, one per class (``"vote_*"``), or one array [N, C], to be learnt from.
    """

    file: Path | None
    columns: Mapping[str, str] | None
    label_map: Mapping[str, str] | None
    modalities: Sequence[str] | None
    extractors: Mapping[str, str] | None
    preset: str | None
    language: str | None
    protocol: str | None
    fusion: str | None
    trainer: str | None
    faces: str | None
    derivers: Mapping[str, str] | None
    transcribe: bool | None
    pooling: str | None
    folds: int | str | None
    group: str | None
    seed: int | None
    seeds: int | None
    device: str | None
    fusion_options: Mapping[str, Any] | None
    trainer_options: Mapping[str, Any] | None
    options: Sequence[str] | Mapping[str, Mapping[str, Any]]
    allow_upload: bool | None
    crossfit: str | None
    deploy: str | None
    fitted: Mapping[str, str | Path] | None
    competition: bool | None
    transductive: bool | None
    audit_labels: str | None

    features: str | Path | None
    streams: Streams | None
    labels: str | None
    split: str | None
    values: Names | None
    votes: Names | None


def refuse_unknown(settings: Mapping[str, Any], caller: str, more: Sequence[str] = ()) -> None:
    """Refuse a keyword that is none of :class:`Settings`, before any work.

    Args:
        settings: keywords as they were given.
        caller: the function that was called, for the message.
        more: its other keywords, to guess what was meant.

    Raises:
        UsageError: naming the keyword and the close match.
    """
    known = [*more, *Settings.__annotations__]
    for name in settings:
        if name not in Settings.__annotations__:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
            raise UsageError(f"{caller}() has no setting {name!r}.", guess)
