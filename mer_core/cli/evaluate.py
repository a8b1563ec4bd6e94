"""``mer evaluate``: a prediction file against the labels of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mer_core.cli import flags, target_flags
from mer_core.cli.output import print_json, stderr_console, stdout_console
from mer_core.cli.pairs import label_pairs, pairs

NAME = "evaluate"


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
    from mer_core.report.build import section
    from mer_core.report.values import value_score, vote_score
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
    scored = section(found.evaluation)
    beside = [value_score(one) for one in found.values]
    votes_scored = vote_score(found.votes) if found.votes else None
    if json:
        document = scored.model_dump(mode="json", exclude={"selection", "optimistic"})
        more: dict[str, object] = {"values": [one.model_dump(mode="json") for one in beside]} if beside else {}
        more |= {"votes": votes_scored.model_dump(mode="json")} if votes_scored else {}
        print_json({**document, **more, **found.left_out()})
        return
    from mer_core.cli.summary import print_section
    from mer_core.cli.values import target_table
    from mer_core.report.calibration import told

    if scored.n:
        print_section(str(predictions), scored, stdout_console())
        if scored.calibration:
            stdout_console().print(f"Calibration: {told(scored.calibration)}.", style="dim", highlight=False)
    for one in beside:
        stdout_console().print(target_table(one.name, one))
    if votes_scored:
        stdout_console().print(target_table("Predicted distributions beside the votes", votes_scored))
    if found.trained_on:
        count = len(found.trained_on)
        stderr_console().print(f"[yellow]Note[/] {count} predictions are of clips trained on and are not scored.")
    if found.unpredicted:
        stderr_console().print(f"[yellow]Note[/] {len(found.unpredicted)} labelled clips have no prediction.")
