"""``mer evaluate``: a prediction file against the labels of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mer_core.cli import flags
from mer_core.cli.output import print_json, stderr_console, stdout_console

NAME = "evaluate"


def command(
    predictions: Annotated[Path, typer.Argument(help="A predictions.csv.")],
    data: Annotated[str, typer.Option("--data", "-d", help="The manifest that holds the labels.")],
    group: Annotated[str, typer.Option(help="Column that the intervals resample.")] = "speaker",
    split: Annotated[str | None, typer.Option(help="Only clips of this split.")] = None,
    column: flags.Column = None,
    label: flags.Label = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    cache: flags.CacheFlag = None,
    json: flags.Json = False,
) -> None:
    """Score predictions: weighted F1, UAR, accuracy and macro F1, with intervals."""
    from mer_core.report.build import section
    from mer_core.workflows.evaluate import evaluate
    from mer_core.workflows.workspace import open_workspace

    found = evaluate(
        predictions,
        data,
        group=group,
        split=split,
        seed=seed,
        space=open_workspace(cache),
        columns=flags.pairs(column, "--column"),
        label_map=flags.pairs(label, "--label"),
    )
    scored = section(found.evaluation)
    if json:
        document = scored.model_dump(mode="json", exclude={"selection", "optimistic"})
        print_json({**document, **found.left_out()})
        return
    from mer_core.cli.summary import print_section

    print_section(str(predictions), scored, stdout_console())
    if found.trained_on:
        count = len(found.trained_on)
        stderr_console().print(f"[yellow]Note[/] {count} predictions are of clips trained on and are not scored.")
    if found.unpredicted:
        stderr_console().print(f"[yellow]Note[/] {len(found.unpredicted)} labelled clips have no prediction.")
