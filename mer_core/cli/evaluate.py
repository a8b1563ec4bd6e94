"""``mer evaluate``: a prediction file against the labels of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli import flags, target_flags
from mer_core.cli.output import print_json, print_note, stdout_console
from mer_core.cli.pairs import label_pairs, pairs

if TYPE_CHECKING:
    from mer_core.workflows.evaluate import Scored

NAME = "evaluate"
KINDS = "out-of-fold: by what had not learnt from the clip (folds, or the val split); new: by the saved model"
"""What the kinds of a run's predictions are."""


def command(
    predictions: Annotated[Path, typer.Argument(help="A predictions.csv.")],
    data: Annotated[str, typer.Option("--data", "-d", help="The manifest that holds the labels.")],
    group: Annotated[str, typer.Option(help="Column that the intervals resample.")] = "speaker",
    split: Annotated[str | None, typer.Option(help="Only clips of this split.")] = None,
    column: flags.Column = None,
    label: flags.Label = None,
    values: target_flags.Values = None,
    votes: target_flags.Votes = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    cache: flags.CacheFlag = None,
    json: flags.Json = False,
) -> None:
    """Score predictions: weighted F1, UAR, accuracy and macro F1, with intervals."""
    from mer_core.workflows.evaluate import evaluate
    from mer_core.workflows.workspace import open_workspace

    found = evaluate(
        predictions,
        data,
        group=group,
        split=split,
        seed=seed,
        space=open_workspace(cache),
        columns=pairs(column, "--column"),
        label_map=label_pairs(label),
        values=values,
        votes=votes,
    )
    if json:
        print_json(_document(found))
    else:
        _print(found, str(predictions))


def _document(found: Scored) -> dict[str, Any]:
    """The scores of all clips, and under ``sections`` those of each kind where there are two."""
    sections = {kind: _scores(one) for kind, one in found.sections.items()}
    more = {"sections": sections} if sections else {}
    return {**_scores(found), **more, "notes": list(found.notes), **found.left_out()}


def _scores(found: Scored) -> dict[str, Any]:
    from mer_core.report.build import section
    from mer_core.report.values import value_score, vote_score

    document = section(found.evaluation).model_dump(mode="json", exclude={"selection", "optimistic"})
    values = [value_score(one).model_dump(mode="json") for one in found.values]
    votes = vote_score(found.votes).model_dump(mode="json") if found.votes else None
    return {**document, **({"values": values} if values else {}), **({"votes": votes} if votes else {})}


def _print(found: Scored, name: str) -> None:
    from mer_core.report.words import count

    if found.sections and found.evaluation.scores.n:
        stdout_console().print(f"[bold]WAF[/] {_headline(found)}", highlight=False)
        stdout_console().print(KINDS, style="dim", highlight=False)
    for kind, one in found.sections.items():
        _print_scores(one, kind.capitalize(), f", {kind}")
    if not found.sections:
        _print_scores(found, name)
    for note in found.notes:
        print_note(note)
    if found.trained_on:
        print_note(f"{count(len(found.trained_on), 'prediction')} of clips trained on: not scored.")
    if found.unpredicted:
        print_note(f"{count(len(found.unpredicted), 'labelled clip')} without a prediction.")


def _headline(found: Scored) -> str:
    """``out-of-fold 0.595 (240), new 0.661 (60)``."""
    scores = {kind: one.evaluation.scores for kind, one in found.sections.items()}
    return ", ".join(f"{kind} {one.waf:.3f} ({one.n:,})" for kind, one in scores.items())


def _print_scores(found: Scored, title: str, kind: str = "") -> None:
    from mer_core.cli.summary import print_section
    from mer_core.cli.values import target_table
    from mer_core.report.build import section
    from mer_core.report.calibration import told
    from mer_core.report.values import value_score, vote_score

    scored, console = section(found.evaluation), stdout_console()
    if scored.n:
        print_section(title, scored, console)
    if scored.n and scored.calibration:
        console.print(f"Calibration: {told(scored.calibration)}.", style="dim", highlight=False)
    for one in found.values:
        console.print(target_table(f"{one.name}{kind}", value_score(one)))
    if found.votes:
        console.print(target_table(f"Predicted distributions beside the votes{kind}", vote_score(found.votes)))
