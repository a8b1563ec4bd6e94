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
from mer_core.report.facts import (
    Artefact,
    Data,
    FailedClip,
    FoldFacts,
    ModelFacts,
    Presence,
    Provenance,
    Stream,
    Transcripts,
    Unlabelled,
)
from mer_core.report.parts import Number, Part, finite
from mer_core.report.rivals import Rival
from mer_core.report.rounds import SelfTraining
from mer_core.report.sections import Baseline, Metrics, Subset
from mer_core.report.tuning import Tuning

SCHEMA = "mer-report/1"
JSON_FILE, HTML_FILE = "report.json", "report.html"


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
    artefacts: tuple[Artefact, ...] = ()
    """What derivers made for the streams, transcripts left out."""
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
