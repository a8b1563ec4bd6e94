"""A report as one HTML page: no scripts, nothing from the network, light, dark and on paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from mer_core.report import charts, values, words
from mer_core.report.causes import causes
from mer_core.report.facts import Artefact, FoldFacts, ModelFacts, Stream
from mer_core.report.model import RunReport
from mer_core.report.rivals import difference, score
from mer_core.report.sections import Section
from mer_core.report.tuning import search_facts

SHOWN_FAILURES = 50


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix: its count, and its share of the row from 0 to 1."""

    n: int | float
    share: float
    right: bool

    @property
    def text(self) -> str:
        """The count as it is written: with one decimal where it is a mean over seeds."""
        return f"{self.n:,}" if isinstance(self.n, int) else f"{self.n:,.1f}"


def render_html(report: RunReport) -> str:
    """The whole page. Same report, same text."""
    return _template().render(
        report=report,
        css=Markup(_read("report.css")),
        view=_view(report),
        words=words,
        charts=charts,
        values=values,
    )


def _read(name: str) -> str:
    return (resources.files("mer_core.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _view(report: RunReport) -> dict[str, Any]:
    """What the template shows beside the report's own fields."""
    shown, failed = words.sections(report), causes(report.failures)
    return {
        "title": words.title,
        "difference": difference,
        "score": score,
        "search": search_facts(report.tuning),
        "sections": shown,
        "confusions": {key: confusion_cells(section) for key, section in shown.items()},
        "findings": _listed_findings(report, bool(shown)),
        "mark": next((section.mark for section in shown.values() if section.mark), ""),
        "worth": _worth(report),
        "facts": _facts(report),
        "training": _training(report),
        "usual": _usual(report.model),
        "provenance": _provenance(report),
        "weights": _weights(report),
        "licences": {stream.name: licence_of(stream) for stream in report.streams},
        "failures": failed[:SHOWN_FAILURES],
        "more_failures": sum(one.n for one in failed[SHOWN_FAILURES:]),
    }


def confusion_cells(section: Section) -> list[list[Cell]]:
    """The confusion matrix, each cell with its share of the true class."""
    rows = []
    for i, row in enumerate(section.confusion):
        total = max(sum(row), 1)
        rows.append([Cell(n, n / total, i == j) for j, n in enumerate(row)])
    return rows


def _listed_findings(report: RunReport, scored: bool) -> list[str]:
    """The findings, without what the page already says in place of a score."""
    said = () if scored else (_worth(report), words.sentence(report.metrics.cv_reason or ""))
    return [one for one in report.findings() if not any(part and part in one for part in said)]


def _worth(report: RunReport) -> str:
    if words.sections(report) or not 0 < report.data.n_labelled < 100:
        return ""
    return words.worth(report.data.n_labelled, report.data.class_counts)


def licence_of(stream: Stream) -> str:
    """Licence of the weights where there are any, else that none are used."""
    return stream.weights_licence or "no weights"


def _weights(report: RunReport) -> dict[str, str]:
    """Licences of weights, and what identifies them."""
    licences = {f"Licence, {one.name}": one.weights_licence for one in report.streams if one.weights_licence}
    return {**licences, **report.provenance.weights}


def _facts(report: RunReport) -> dict[str, str]:
    data = report.data
    facts = {
        "Source": data.source,
        **({"Features": data.features} if data.features not in ("", data.source) else {}),
        "Clips": f"{report.n_clips:,}",
        "Labelled": f"{data.n_labelled:,}",
        **{f"With {name}": f"{n:,}" for name, n in data.value_counts.items()},
        **({"With votes": f"{data.n_votes:,}"} if data.n_votes else {}),
        "Unlabelled": f"{data.n_unlabelled:,}",
        "Test": f"{data.n_test:,}" if data.n_test else "no test split",
        **({"Text": words.transcripts(report.transcripts)} if report.transcripts else {}),
        **{f"With {one.name}": _artefact(one) for one in report.artefacts},
        "Media decoded in this run": words.duration(data.media_seconds) if data.media_seconds else "none",
        "Speakers" if data.group in (None, "speaker") else f"Groups ({data.group})": (
            f"{data.n_groups:,}" if data.n_groups else "not given"
        ),
    }
    return {**facts, "Folds": _folds(report)}


def _artefact(found: Artefact) -> str:
    """``21, made by gpt-ranking@mer-toolkit v1; failed for 2``."""
    failed = f"; failed for {found.failed:,}" if found.failed else ""
    return f"{found.n:,}, made by {found.deriver} v{found.version}{failed}"


def _folds(report: RunReport) -> str:
    folds = report.folds
    if folds is None or not folds.sizes:
        return "none"
    if folds.kind == "val":
        return f"none; trained on {folds.sizes[0][0]:,} clips, the val split's {folds.sizes[0][1]:,} scored"
    scored = sorted(size for _, size in folds.sizes)
    sizes = f"{scored[0]:,}" if scored[0] == scored[-1] else f"{scored[0]:,} to {scored[-1]:,}"
    return f"{len(folds.sizes)}, {_kept(folds, report.data.group or 'speaker')}; {sizes} clips scored in each"


def _kept(folds: FoldFacts, group: str) -> str:
    if folds.kind == "loo":
        return f"one {group} left out in each"
    if folds.group:
        return f"stratified, the clips of a {group} stay together"
    return "plain seeded shuffle" if folds.kind == "shuffle" else "stratified by class"


def _training(report: RunReport) -> dict[str, str]:
    model = report.model
    return {
        "Fusion": model.fusion,
        "Trainer": model.trainer,
        "Epoch kept": f"{model.selection}: {words.SELECTIONS.get(model.selection, 'see the trainer')}",
        "Members": _members(model),
        **_stacked(model),
        "Parameters": f"{model.parameters:,} per member",
        **_temperatures(model),
        "Epochs": f"{model.epochs:,}",
        "Optimiser steps": f"{model.steps:,} per member",
        **{name: _option(value) for name, value in model.options.items() if name not in model.usual},
    }


def _usual(model: ModelFacts) -> dict[str, str]:
    """Options that nobody changed."""
    return {name: _option(value) for name, value in model.options.items() if name in model.usual}


def _members(model: ModelFacts) -> str:
    """``15 of 3 seeds, their outputs are averaged``."""
    seeds = f" of {len(model.seeds)} seeds" if model.seeds else ""
    return f"{model.members}{seeds}" + (", their outputs are averaged" if model.members > 1 else "")


def _temperatures(model: ModelFacts) -> dict[str, str]:
    """What members' logits are divided by, where these were fitted."""
    told = ", ".join(words.number(one, 2) for one in model.temperatures)
    return {"Temperatures": told} if told else {}


def _stacked(model: ModelFacts) -> dict[str, str]:
    """How several members were trained, where the trainer says so."""
    if model.stacked is None or model.members < 2:
        return {}
    return {"Folds": "trained together, as one stacked model" if model.stacked else _looped(model.stacked_reason)}


def _looped(reason: str) -> str:
    return f"trained one by one, because {reason}" if reason else "trained one by one"


def _option(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_option(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_option(item) for item in value) or "none"
    return str(value)


def _provenance(report: RunReport) -> dict[str, str]:
    found = report.provenance
    rows = {
        "Command": found.command,
        "Made": words.moment(report.created),
        "Preset": found.preset,
        "Protocol": found.protocol,
        "Seed": ", ".join(f"{name} {seed}" for name, seed in {"run": report.seed, **found.seeds}.items()),
        "Trainings": ", ".join(f"seed {seed}" for seed in report.model.seeds),
        "Device": found.device,
        "Threads": f"{found.threads}" if found.threads else "",
        "Platform": found.platform,
        "Time": ", ".join(f"{stage} {words.duration(seconds)}" for stage, seconds in report.timing.items()),
        "Schema": report.schema_version,
    }
    return {name: value for name, value in rows.items() if value}
