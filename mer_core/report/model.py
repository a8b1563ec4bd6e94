"""What a run found, as data: :class:`RunReport` is ``report.json``.

Scores are fractions (0 to 1), durations seconds. A number that could not be computed (NaN) is null.
Folds are counted from 1. Nothing here holds a transcript or an image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from mer_core.errors import DataError
from mer_core.files import write_text, writing
from mer_core.report.calibration import Calibration
from mer_core.report.parts import Number, Part, Score, finite
from mer_core.report.rivals import Rival
from mer_core.report.rounds import SelfTraining
from mer_core.report.seeds import Seeds
from mer_core.report.tuning import Tuning
from mer_core.report.values import ValueScore, VoteScore

SCHEMA = "mer-report/1"
JSON_FILE, HTML_FILE = "report.json", "report.html"
UNSTATED = "unstated"
"""The selection of a trainer that does not say how it chose what it keeps."""


class ClassScore(Part):
    """One class of a section. ``n`` is its true count, ``predicted`` how often it was predicted, a mean over seeds."""

    name: str
    n: int
    predicted: int | float
    precision: Number
    recall: Number
    f1: Number


class GroupLine(Part):
    """The score of one speaker, or of one fold."""

    name: str
    n: int
    waf: Number
    uar: Number = None
    accuracy: Number = None


class Section(Part):
    """Scores of one set of predictions: ``metrics.cv``, ``metrics.val`` or ``metrics.test``."""

    waf: Score
    uar: Score
    accuracy: Score
    macro_f1: Score
    selection: str
    """How the scored epoch was chosen: ``last``, ``inner`` or ``val``."""
    optimistic: bool
    """True if the epoch was chosen on the very clips that are scored here."""
    contaminated: int = 0
    """How many of the scored clips had their labels learnt from, by what is scored on them."""
    contaminated_by: tuple[str, ...] = ()
    """What had learnt from them: ``extractor``, ``pseudo-labels``."""
    n: int
    unit: str
    """What the bootstrap resampled: ``speaker``, ``clip``, or the name of a group column."""
    n_units: int
    resamples: int
    level: float = 0.95
    chance: Number = None
    """Accuracy of guessing in proportion to the class frequencies."""
    note: str = ""
    classes: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int | float, ...], ...] = ()
    """Rows are true classes, columns predicted ones, in the order of ``classes``; means over the seeds of several."""
    per_group: tuple[GroupLine, ...] = ()
    folds: tuple[GroupLine, ...] = ()
    seeds: Seeds | None = None
    """Each training's scores where several differ in their seed."""
    calibration: Calibration | None = None
    """Whether the probabilities mean what they say; None where there are none."""

    @property
    def mark(self) -> str:
        """``contaminated``, ``optimistic``, or nothing: what to say wherever the score is shown."""
        return "contaminated" if self.contaminated else "optimistic" if self.optimistic else ""


class Metrics(Part):
    """The scores there are. ``cv_reason`` says why ``cv`` is null, ``test_reason`` why ``test`` is."""

    cv: Section | None = None
    cv_reason: str | None = None
    val: Section | None = None
    test: Section | None = None
    test_reason: str | None = None
    values: dict[str, tuple[ValueScore, ...]] = Field(default_factory=dict)
    """Continuous targets by section: ``cv``, ``val``, ``test``."""
    votes: dict[str, VoteScore] = Field(default_factory=dict)
    """By section, predicted distributions beside the raters' votes; empty where votes were not learnt from."""


class Subset(Part):
    """WAF when only ``modalities`` are present; ``gain`` is what all modalities add to it (paired)."""

    modalities: tuple[str, ...]
    waf: Number
    low: Number = None
    high: Number = None
    n: int = 0
    gain: Score | None = None


class Baseline(Part):
    """What one stream scores without any training, on the ``n`` scored clips that have it."""

    name: str
    stream: str
    waf: Score
    n: int


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


class RunReport(Part):
    """Everything a run leaves for its reader; ``report.json`` is this, key by key."""

    schema_version: str = Field(default=SCHEMA, alias="schema")
    name: str
    created: str = ""
    """ISO 8601."""
    seed: int
    n_clips: int
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    metrics: Metrics
    subsets: tuple[Subset, ...] = ()
    subsets_of: str = "cv"
    """The section whose clips the subsets are scored on."""
    competition: tuple[Rival, ...] = ()
    """Each modality beside the others; models trained on one alone only where they were asked for."""
    baselines: tuple[Baseline, ...] = ()
    """Scores without training, on the same clips."""
    self_training: SelfTraining | None = None
    tuning: Tuning | None = None
    """The search by which the options were chosen, where there was one."""
    failures: tuple[FailedClip, ...] = ()
    data: Data
    presence: tuple[Presence, ...] = ()
    streams: tuple[Stream, ...] = ()
    transcripts: Transcripts | None = None
    """None where texts are those of the data."""
    folds: FoldFacts | None = None
    model: ModelFacts
    unlabelled: Unlabelled = Field(default_factory=Unlabelled)
    provenance: Provenance = Field(default_factory=Provenance)
    timing: dict[str, Number] = Field(default_factory=dict)
    """Seconds by stage."""
    files: dict[str, str] = Field(default_factory=dict)
    """What lies beside the report: file name -> what it is."""
    warnings: tuple[str, ...] = ()
    """Whatever the run itself wants said; :meth:`findings` adds what the numbers say."""

    def findings(self) -> tuple[str, ...]:
        """Plain sentences to read before quoting a score: the run's warnings and the report's own."""
        from mer_core.report.findings import find

        return find(self)

    def document(self) -> dict[str, Any]:
        """The JSON document, ``findings`` included; NaN is None everywhere."""
        found: dict[str, Any] = _clean(self.model_dump(mode="json", by_alias=True))
        return {**found, "findings": list(self.findings())}

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write ``report.json`` and ``report.html`` into ``folder``; return both paths."""
        from mer_core.report.html import render_html

        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.document(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        return write_text(folder / JSON_FILE, text), write_text(folder / HTML_FILE, render_html(self))

    @classmethod
    def load(cls, path: Path) -> RunReport:
        """Read ``report.json``; ``path`` is the file or the run's folder.

        Raises:
            DataError: no such file, not a report, or a report of another schema.
        """
        file = path / JSON_FILE if path.is_dir() else path
        if not file.is_file():
            raise DataError(f"There is no report at {file}.", f"Give a run's folder or its {JSON_FILE}.")
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{file} is not JSON: {error}.", "Run 'mer run' again to write it anew.") from None
        return cls._from(document, file)

    @classmethod
    def _from(cls, document: Any, file: Path) -> RunReport:
        found = document.get("schema") if isinstance(document, Mapping) else None
        if found != SCHEMA:
            raise DataError(f"{file} has schema {found!r}; this mer reads {SCHEMA!r}.", "Use the mer that wrote it.")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{file} is damaged at {key}: {first['msg']}.", "Run 'mer run' again.") from None


def _clean(value: Any) -> Any:
    """``value`` with every NaN or infinity replaced by None."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return finite(value)
