"""Which texts of a run are machine-made, and by what."""

from __future__ import annotations

from collections.abc import Sequence

from mer_core.config import PluginChoice, RunConfig
from mer_core.engine import ExtractReport
from mer_core.engine.types import wants_transcript
from mer_core.inputs import TRANSCRIPT
from mer_core.names import readable
from mer_core.registry import Catalogue
from mer_core.report.facts import Transcripts
from mer_core.report.words import transcripts
from mer_core.spec import DeriverSpec
from mer_core.types import Clip


def count_transcripts(
    config: RunConfig, clips: Sequence[Clip], report: ExtractReport, catalogue: Catalogue
) -> Transcripts | None:
    """How many of the clips' texts are machine-made; None where texts are not transcribed."""
    if not config.transcribe:
        return None
    choice = config.derivers[TRANSCRIPT]
    made, lost = machine_made(config, report), set(report.underived.get(TRANSCRIPT, ()))
    return Transcripts(
        n=len(made) + sum(bool((clip.text or "").strip()) for clip in clips),
        machine_made=len(made),
        failed=len(lost),
        silent=sum(wants_transcript(clip) for clip in clips if clip.id not in made | lost),
        deriver=readable(choice.name),
        model=_model(choice, catalogue),
    )


def machine_made(config: RunConfig, report: ExtractReport) -> set[str]:
    """Ids of the clips whose text is machine-made."""
    return set(report.held.get(TRANSCRIPT, ())) if config.transcribe else set()


def told(found: Transcripts | None) -> tuple[str, ...]:
    """The remark about machine-made texts, if there are any."""
    return (f"Text: {transcripts(found)}.",) if found else ()


def _model(choice: PluginChoice, catalogue: Catalogue) -> str:
    """The deriver's option ``model``, as the hub calls it where the spec lists it."""
    name = str(choice.options.get("model") or "")
    known = {one.name: one.repo for one in catalogue.find(DeriverSpec, choice.name).weights}
    return known.get(name, name)
