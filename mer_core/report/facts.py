"""What a report says beside scores: data, streams, folds, the model, where the numbers come from."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mer_core.report.parts import Number, Part

UNSTATED = "unstated"
"""The selection of a trainer that does not say how it chose what it keeps."""


class FailedClip(Part):
    """A clip, or one stream of it, that could not be used."""

    id: str
    stage: str
    reason: str
    stream: str = ""


class Presence(Part):
    """How many clips have a modality; ``reasons`` counts why the others have not."""

    modality: str
    present: int
    missing: int
    reasons: dict[str, int] = Field(default_factory=dict)


class Data(Part):
    """What was trained on and scored."""

    source: str
    features: str = ""
    """The feature table whose streams were used, in place of extraction."""
    synthetic: bool = False
    n_labelled: int
    """Labelled clips outside the test split: what the model could learn from."""
    n_unlabelled: int = 0
    n_test: int = 0
    class_counts: dict[str, int] = Field(default_factory=dict)
    """Labelled clips per class, in class order, the test split left out."""
    value_counts: dict[str, int] = Field(default_factory=dict)
    """Clips whose value is known, by name, the test split left out."""
    n_votes: int = 0
    """Clips whose raters' votes are learnt from."""
    splits: dict[str, int] = Field(default_factory=dict)
    group: str | None = None
    """Name of the group (``speaker``) where known."""
    n_groups: int = 0
    media_seconds: Number = None
    """Playing time decoded in this run; None where all features were reused."""
    notes: tuple[str, ...] = ()


class Transcripts(Part):
    """The texts of a run that transcribes clips without one."""

    n: int
    """Clips that have a text, machine-made or not."""
    machine_made: int
    silent: int = 0
    """Clips with sound and no text in which no speech was recognised."""
    failed: int = 0
    """Clips that could not be transcribed; the next run tries them again."""
    deriver: str = ""
    model: str = ""


class Artefact(Part):
    """Something derived from clips that extractors read: faces, rankings."""

    name: str
    deriver: str
    version: str = ""
    n: int
    """Clips that have it."""
    failed: int = 0
    """Clips of which it could not be made; the next run tries them again."""
    options: dict[str, Any] = Field(default_factory=dict)


class FoldFacts(Part):
    """The split plan; ``sizes`` are the clips of each fold as (trained on, scored)."""

    kind: str
    """``grouped``, ``shuffle``, ``loo``, ``val`` (the data's own val split) or ``none``."""
    group: bool = False
    """True if clips of one group stay together."""
    sizes: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


class Stream(Part):
    """One extractor's output in the run."""

    name: str
    modality: str
    extractor: str
    version: str = ""
    dim: int
    level: str = "clip"
    pooling: str = ""
    present: int = 0
    missing: int = 0
    failed: int = 0
    extracted: int = 0
    reused: int = 0
    fingerprint: str = ""
    licence: str = ""
    weights_licence: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    fits: int = 0
    """How often the extractor was fitted for this run; 0 where it does not learn."""
    fitted: str = ""
    """How: ``fold``, ``nested``, ``single``, or ``given`` where it was fitted elsewhere."""
    array: str = ""
    """The array of a feature table that was read, in place of an extractor."""


class Curve(Part):
    """Learning curve of one fold (None: the one model on all clips). Epochs count from 1."""

    fold: int | None = None
    seed: int | None = None
    """Of several trainings."""
    loss: tuple[Number, ...] = ()
    """Mean training loss of every epoch."""
    waf: tuple[Number, ...] = ()
    """WAF on the clips that selection looked at; empty if it looked at none."""
    waf_epochs: tuple[int, ...] = ()
    """The epochs that ``waf`` belongs to; empty if it was looked at after every epoch."""
    chosen: int | None = None
    """The epoch that was kept."""


class ModelFacts(Part):
    """The model and how it was trained."""

    fusion: str
    trainer: str
    selection: str = UNSTATED
    optimistic: bool = False
    parameters: int = 0
    """Of one member."""
    members: int = 1
    seeds: tuple[int, ...] = ()
    """Of several trainings; ``members`` are those of all."""
    temperatures: tuple[Number, ...] = ()
    """What each member's logits are divided by, where these were fitted."""
    epochs: int = 0
    steps: int = 0
    stacked: bool | None = None
    """Whether the folds were trained as one stacked model; None where the trainer does not say."""
    stacked_reason: str = ""
    """Why they were not."""
    imputed: dict[str, int] = Field(default_factory=dict)
    """Non-finite cells replaced by the training median, by stream."""
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict)
    """Resolved options of trainer and fusion."""
    usual: tuple[str, ...] = ()
    """Those of them that are at their default."""
    deployed: str = "folds"
    """What predicts new clips: ``folds``, the members that were scored, or ``refit``, one fitted to everything."""


class Unlabelled(Part):
    """Clips without a label that were predicted; ``predicted`` counts them by predicted class."""

    n: int = 0
    predicted: dict[str, int] = Field(default_factory=dict)


class Provenance(Part):
    """Where the numbers come from."""

    command: str = ""
    preset: str = ""
    protocol: str = ""
    device: str = ""
    threads: int = 0
    platform: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Of config, folds, features: whatever a rerun can be compared with."""
    weights: dict[str, str] = Field(default_factory=dict)
    """What identifies the weights (their digest, or repository and commit), by ``stream.option``; empty if none."""
