"""The tables a person reads at the end of ``mer run``, and the plan before it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mer_core.cli.extract import print_failures
from mer_core.cli.rivals import competition
from mer_core.cli.trials import trials
from mer_core.cli.values import target_tables
from mer_core.names import readable
from mer_core.report.seeds import told
from mer_core.report.words import count, each_group, fitted, size

if TYPE_CHECKING:
    from mer_core.report.facts import Stream
    from mer_core.report.model import RunReport
    from mer_core.report.parts import Score
    from mer_core.report.rounds import SelfTraining
    from mer_core.report.sections import Section

BAR = 24
ALL_SUBSETS = 15
MARKS = {
    "optimistic": "optimistic: epoch chosen on these clips",
    "contaminated": "contaminated: labels of these clips were learnt from",
}


def print_summary(report: RunReport, folder: Path, console: Console) -> None:
    """Score with interval, per class, subsets of modalities, findings, files."""
    console.print()
    console.print(_headline(report))
    for title, section in _sections(report):
        print_section(title, section, console)
    for table in target_tables(report.metrics):
        console.print()
        console.print(table)
    if len(report.subsets) > 1:
        console.print("\n[bold]WAF by the modalities present at prediction[/]")
        console.print(_subsets(report))
    if any(one.alone for one in report.competition):
        console.print()
        console.print(competition(report.competition))
    if report.tuning:
        console.print()
        console.print(trials(report.tuning))
    if report.self_training and report.self_training.pool:
        console.print()
        console.print(_rounds(report.self_training))
    for line in report.baselines:
        told = Text.assemble((f"Without training, {line.name} {line.stream}: ", "bold"), "WAF ", _interval(line.waf))
        console.print(told + Text(f", {count(line.n, 'clip')}", "dim"))
    findings = report.findings()
    if findings:
        console.print()
    for finding in findings:
        console.print(Text.assemble(("• ", "yellow"), finding))
    for note in report.data.notes:
        console.print(Text.assemble(("Note ", "yellow"), note))
    print_failures(report.failures, rest="report.json lists them all")
    console.print()
    _files(report, folder, console)


def print_section(title: str, section: Section, console: Console) -> None:
    """One set of scores and its classes."""
    console.print()
    console.print(_scores(title, section))
    console.print(_classes(section))
    if section.per_group:
        console.print(Text.assemble((f"WAF of each {section.unit}: ", "dim"), each_group(section.per_group)))
    if section.seeds:
        console.print(Text(f"{told(section.seeds)}.", "dim"))


def _headline(report: RunReport) -> Text:
    data = report.data
    parts = [count(report.n_clips, "clip")]
    if report.classes or not data.value_counts:
        parts += [f"{data.n_labelled} labelled", f"{len(report.classes)} classes"]
    parts += [f"{n:,} with {name}" for name, n in data.value_counts.items()]
    parts += [f"{data.n_votes:,} with votes"] if data.n_votes else []
    if data.group:
        parts.append(count(data.n_groups, data.group))
    streams = "\n         ".join(map(_stream, report.streams))
    return Text.assemble(("Data     ", "bold"), ", ".join(parts), "\n", ("Streams  ", "bold"), streams)


def _stream(stream: Stream) -> str:
    """Columns after pooling, and what was there already: ``speech:x (64 columns), 120 clips reused``."""
    counts = {"extracted": stream.extracted, "reused": stream.reused}
    told = [f"{count(n, 'clip')} {what}" for what, n in counts.items() if n]
    array = f"array {stream.array}" if stream.array not in ("", stream.name) else ""
    columns = count(stream.dim, "column")
    shape = columns if stream.level == "clip" else f"frames of {columns}"
    return ", ".join([f"{stream.name} ({shape})", *filter(None, [array]), *told, *filter(None, [fitted(stream)])])


def _sections(report: RunReport) -> list[tuple[str, Section]]:
    found = []
    if report.metrics.cv:
        kept = f", each {report.data.group} in one fold" if report.folds and report.folds.group else ""
        folds = len(report.folds.sizes) if report.folds else 0
        found.append((f"Cross-validation, {folds} folds{kept}", report.metrics.cv))
    if report.metrics.val:
        found.append(("Validation split", report.metrics.val))
    if report.metrics.test:
        found.append(("Test split", report.metrics.test))
    return found


def _scores(title: str, section: Section) -> Table:
    mark = f"  [bold red]({MARKS[section.mark]})[/]" if section.mark else ""
    caption = f"{count(section.n, 'clip')}; 95% intervals resample {count(section.n_units, section.unit)}"
    table = Table(
        title=f"[bold]{title}[/]{mark}",
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("WAF", "UAR", "accuracy", "macro F1"):
        table.add_column(name)
    table.add_row(*(_interval(s) for s in (section.waf, section.uar, section.accuracy, section.macro_f1)))
    return table


def _interval(score: Score) -> Text:
    value = Text("–" if score.value is None else f"{score.value:.3f}", style="bold")
    if score.low is None or score.high is None:
        return value
    return value + Text(f"  {score.low:.2f}–{score.high:.2f}", style="dim not bold")


def _classes(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("class", "clips", "F1", "recall", ""):
        table.add_column(name, justify="right" if name in ("clips", "F1", "recall") else "left")
    for row in section.classes:
        table.add_row(Text(row.name), str(row.n), _number(row.f1), _number(row.recall), _bar(row.f1))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _bar(value: float | None) -> Text:
    return Text("━" * round((value or 0.0) * BAR), style="cyan")


def _subsets(report: RunReport) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column()
    for subset in report.subsets[:ALL_SUBSETS]:
        table.add_row(" + ".join(subset.modalities), _number(subset.waf), _bar(subset.waf))
    return table


def _rounds(found: SelfTraining) -> Table:
    """WAF and labels of each round of self-training."""
    title = f"[bold]Self-training on {count(found.pool, 'unlabelled clip')}[/], labels given by {BY[found.source]}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for name in ("round", "WAF", "learnt", "new", "confidence", "agreement", "audit"):
        table.add_column(name, justify="left" if name == "WAF" else "right")
    for one in found.rounds:
        learnt = sum(value or 0.0 for value in one.learnt.values())
        parts = [f"{learnt:.0f}", _count(one.added), *map(_number, (one.confidence, one.agreement, one.audit))]
        table.add_row(f"{one.round}{' *' if one.round == found.kept else ''}", _interval(one.waf), *parts)
    return table


BY = {"fold": "each fold for itself", "ensemble": "all folds together"}


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _files(report: RunReport, folder: Path, console: Console) -> None:
    console.print(Text.assemble(("Wrote ", "bold"), f"{folder}/"))
    hints = {
        "model": f"mer predict --model {folder}/model {'--features FILE' if report.data.features else 'FILE'}",
        "config.toml": f"mer run --config {folder}/config.toml",
    }
    for name, what in report.files.items():
        if (folder / name).exists():
            console.print(Text.assemble(f"  {name:<18}", (hints.get(name, what), "dim")))


def _fit(fit: dict[str, Any], folds: int) -> str:
    """``video:emovclip: fit 5 times (fold), about 1 GPU-hour, then 480 clips through its fits, about ...``."""
    kind = fit["crossfit"] if folds else "no folds"
    how = "fitted already" if fit["crossfit"] == "given" else f"fit {count(fit['fits'], 'time')} ({kind})"
    learning = _gpu_hours(fit["learning"], fit["learning_hours"])
    work = _gpu_hours(fit["operations"], fit["gpu_hours"])
    passes = count(fit["forwards"], "clip")
    rate = " (GPU-hours at 300 TFLOP/s)" if learning or work else ""
    return (
        f"{fit['stream']}: {how}{learning}, then {passes} through its fits{work}, "
        f"{size(fit['bytes'])} of features{rate}"
    )


def _gpu_hours(operations: float, hours: float) -> str:
    """``, about 1.4 GPU-hours``; empty where a plugin does not say."""
    if not operations:
        return ""
    return f", about {hours:.2g} GPU-hours" if hours >= 0.01 else ", less than 0.01 GPU-hours"


def _folds(folds: dict[str, Any]) -> str:
    """``5 folds (grouped)``."""
    return f"{count(folds['planned'], 'fold')} ({folds['kind']})" if folds["planned"] else "no cross-validation"


def _seeds(first: int, seeds: int) -> str:
    """``seed 0``, or ``seeds 0 to 2: 3 trainings, 3 times the time of one``."""
    if seeds == 1:
        return f"seed {first}"
    return f"seeds {first} to {first + seeds - 1}: {seeds} trainings, {seeds} times the time of one"


def _again(count: int) -> str:
    """Why clips are extracted that were extracted before."""
    return f" ({count:,} of which statistics are stored, again for their frames)" if count else ""


def _lost(count: int) -> str:
    """Clips that are in neither number."""
    return f", {count:,} cannot be read" if count else ""


def print_plan(document: dict[str, Any], console: Console) -> None:
    """What would be done, with disk."""
    data, disk, training = document["data"], document["disk"], document["training"]
    counts = f"{count(data['clips'], 'clip')}, {data['labelled']} labelled, {data['test']} test"
    console.print(f"[bold]Data[/]      {readable(data['source'])}: {counts}")
    console.print(f"[bold]Classes[/]   {', '.join(data['classes']) or 'none'}{' (votes)' if data['votes'] else ''}")
    if data["values"]:
        console.print(f"[bold]Values[/]    {', '.join(data['values'])}")
    for name, stream in document["streams"].items():
        console.print(
            f"[bold]Stream[/]    {name}: extract {count(stream['extract'], 'clip')}, reuse {stream['reuse']:,}"
            f"{_again(stream['again'])}{_lost(stream['unreadable'])}"
        )
    for fit in document["fits"]:
        console.print(f"[bold]Fits[/]      {_fit(fit, document['training']['folds']['planned'])}")
    for name, part in document["derivers"].items():
        console.print(
            f"[bold]Deriver[/]   {readable(part['deriver'])}: make {name} of {count(part['derive'], 'clip')},"
            f" reuse {part['reuse']:,}"
        )
    for upload in document["uploads"]:
        console.print(Text.assemble(("Upload    ", "bold"), upload["told"]), soft_wrap=True)
    console.print(
        f"[bold]Disk[/]      about {size(disk['needed_bytes'])} needed, {size(disk['free_bytes'])} free"
        f" in {disk['cache']}",
        soft_wrap=True,
    )
    folds, used = training["folds"], {part: readable(training[part]["name"]) for part in ("trainer", "fusion")}
    console.print(
        f"[bold]Training[/]  {used['trainer']} of {used['fusion']} on {training['device']}, "
        f"{_folds(folds)}, {_seeds(training['seed'], training['seeds'])}"
    )
    reasons = () if folds["planned"] else (f"no cross-validation: {folds['reason']}",)
    for note in (*reasons, *document["warnings"], *data["notes"]):
        console.print(Text.assemble(("Note      ", "yellow"), note))
    console.print("[dim]Nothing was extracted or trained.[/]")
