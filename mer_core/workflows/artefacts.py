"""What derivers made for a run, for its report."""

from __future__ import annotations

from collections.abc import Iterator

from mer_core.inputs import TRANSCRIPT
from mer_core.registry import Catalogue
from mer_core.report.facts import Artefact
from mer_core.spec import DeriverSpec
from mer_core.workflows.extract import Extraction


def artefacts(extraction: Extraction, catalogue: Catalogue) -> Iterator[Artefact]:
    """Every artefact but transcripts, which have an account of their own."""
    report, choices = extraction.report, extraction.config.derivers
    for name, held in report.held.items():
        if name == TRANSCRIPT or name not in choices:
            continue
        entry = catalogue.entry(DeriverSpec, choices[name].name)
        yield Artefact(
            name=name,
            deriver=entry.full_name,
            version=entry.spec.version,
            n=len(held),
            failed=len(report.underived.get(name, {})),
            options=choices[name].options,
        )
