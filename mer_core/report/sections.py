"""The scores of a report: sections, subsets of modalities, baselines."""

from __future__ import annotations

from pydantic import Field

from mer_core.report.calibration import Calibration
from mer_core.report.parts import Number, Part, Score
from mer_core.report.seeds import Seeds
from mer_core.report.values import ValueScore, VoteScore


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
