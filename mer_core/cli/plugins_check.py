"""``mer plugins check NAME``: run the conformance kit on an installed plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli.flags import Json
from mer_core.cli.output import print_json, stdout_console
from mer_core.cli.pairs import pairs

if TYPE_CHECKING:
    from rich.console import Console

    from mer_core.registry import Catalogue, Entry
    from mer_core.testing.kit import Check, Report, Result

MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "unexpected": ("✗", "bold red"),
    "blocked": ("–", "yellow"),
    "expected": ("✓", "yellow"),
    "skipped": ("–", "dim"),
}
"""A sign and a colour for each outcome."""

COUNTED = {"expected": "failed as expected", "unexpected": "passed unexpectedly"}
"""Outcomes that the last line does not call by their own name."""


def check(
    name: Annotated[str, typer.Argument(help="NAME or NAME@DISTRIBUTION.")],
    kind: Annotated[str | None, typer.Option(help="Needed where plugins of several kinds have that name.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="OWNER.KEY=VALUE",
            help="An option of the plugin, or of a deriver whose artefact it reads.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Run only this check (and its needs).")
    ] = None,
    expect: Annotated[
        list[str] | None, typer.Option(metavar="CHECK=REASON", help="A failure that is known and honest.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda:0 ...")] = "cpu",
    tolerance: Annotated[
        float, typer.Option(min=0, help="Difference that counts as equal, as a share of the features' spread.")
    ] = 1e-3,
    json: Json = False,
) -> None:
    """Check that a plugin keeps the contract. Exit 1 if it does not."""
    from mer_core.registry import discover
    from mer_core.testing.run import check_plugin, checks
    from mer_core.workflows.workspace import pick_device

    catalogue = discover()
    entry = _entry(catalogue, name, kind)
    own, of_derivers = _options(catalogue, entry, option or [])
    asked: dict[str, Any] = {
        "kind": entry.spec.kind,
        "options": own,
        "deriver_options": of_derivers,
        "expected_failures": pairs(expect, "--expect"),
        "only": _known(only or [], checks(entry.spec.kind)),
        "device": pick_device(device),
        "tolerance": tolerance,
    }
    if json:
        with redirect_stdout(sys.stderr):  # what the plugin prints is no part of the document
            report = check_plugin(entry.full_name, **asked)
        print_json(_document(report, checks(entry.spec.kind)))
    else:
        report = _live(entry, asked, checks(entry.spec.kind))
    if not report.ok:
        raise typer.Exit(1)


def _entry(catalogue: Catalogue, name: str, kind: str | None) -> Entry:
    """The plugin to check.

    Raises:
        PluginError: none or several have the name, or it is broken.
        MissingPackageError: what it needs is not installed; no check would say more.
    """
    from mer_core.testing.run import find_entry

    entry = find_entry(catalogue, name, kind)
    if entry.missing_packages():
        catalogue.load(type(entry.spec), entry.full_name)
    return entry


def _options(
    catalogue: Catalogue, entry: Entry, given: Iterable[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The plugin's options, and by name those of derivers; refused here where they are wrong, not by every check.

    Raises:
        UsageError: an option of something that takes no part.
        OptionError: naming the option.
    """
    from mer_core.options import parse_pairs
    from mer_core.owners import asked_of
    from mer_core.testing.artefacts import require_part

    parsed = parse_pairs(given)
    own = asked_of(parsed, entry)
    others = {owner: values for owner, values in parsed.items() if not entry.answers_to(owner)}
    require_part(catalogue, entry, catalogue.options(type(entry.spec), entry.full_name, own), others)
    return own, others


def _known(only: list[str], checks: Iterable[Check]) -> list[str]:
    """``only``, refused where there is no such check.

    Raises:
        UsageError: with the close match.
    """
    import difflib

    from mer_core.errors import UsageError

    names = [check.name for check in checks]
    for name in only:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            guess = f"Did you mean {close[0]!r}?" if close else f"Checks are {', '.join(names)}."
            raise UsageError(f"there is no check called {name!r}.", guess)
    return only


def _live(entry: Entry, asked: Mapping[str, Any], checks: tuple[Check, ...]) -> Report:
    """Run the checks, one line each as soon as it is done, and say at the end what is wrong."""
    from mer_core.testing.run import check_plugin

    console = stdout_console()
    chosen = [check for check in checks if not asked["only"] or check.name in asked["only"]]
    width = max(len(check.name) for check in chosen)
    abouts = {check.name: check.about for check in chosen}
    waiting = [check.name for check in chosen]
    console.print(f"[bold]{entry.full_name}[/]  {entry.spec.kind}, {len(chosen)} checks on {asked['device']}")
    with _status(console, waiting) as status:

        def tell(result: Result) -> None:
            waiting.remove(result.check)
            if status is not None and waiting:
                status.update(waiting[0])
            if result.outcome != "blocked":
                _print_line(console, result, abouts[result.check], width)

        report = check_plugin(entry.full_name, **asked, on_result=tell)
    _print_blocked(console, report)
    _print_reasons(console, report)
    console.print(_summary(report), style="green" if report.ok else "bold red")
    return report


def _status(console: Console, waiting: list[str]) -> AbstractContextManager[Any]:
    """On a terminal, the name of the check that is running."""
    return console.status(waiting[0]) if console.is_terminal else nullcontext()


def _print_line(console: Console, result: Result, about: str, width: int) -> None:
    """Mark, check, seconds and what it says; for one that was not run, why."""
    from rich.table import Table
    from rich.text import Text

    mark, colour = MARKS[result.outcome]
    aside = result.outcome == "skipped"
    said = f"{result.outcome}: {result.reason}" if aside else about
    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=width, no_wrap=True)
    line.add_column(width=7, justify="right")
    line.add_column(overflow="fold")
    style = "dim" if aside else ""
    line.add_row(
        Text(mark, colour), Text(result.check, style), Text(f"{result.seconds:.2f} s", "dim"), Text(said, style)
    )
    console.print(line)


def _print_blocked(console: Console, report: Report) -> None:
    """A line for each check without which others would have meant nothing."""
    from rich.text import Text

    from mer_core.testing.kit import not_run

    mark, colour = MARKS["blocked"]
    for line in not_run(report.results):
        console.print(Text.assemble((mark, colour), " ", line))


def _print_reasons(console: Console, report: Report) -> None:
    """What is wrong, in full, and what failed as announced."""
    from rich.padding import Padding
    from rich.text import Text

    for result in report.results:
        if result.outcome in ("failed", "unexpected", "expected"):
            said = "failed" if result.outcome == "failed" else COUNTED[result.outcome]
            console.print()
            console.print(Text.assemble((f"{result.check} {said}", MARKS[result.outcome][1])))
            console.print(Padding(Text(result.reason), (0, 0, 0, 2), expand=False))
    console.print()


def _summary(report: Report) -> str:
    """``1 failed, 17 passed, 2 skipped``: what is wrong comes first."""
    counts = _counts(report)
    order = ("failed", "unexpected", "blocked", "passed", "expected", "skipped")
    return ", ".join(f"{counts[o]} {COUNTED.get(o, o)}" for o in order if counts.get(o)) or "no checks"


def _counts(report: Report) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in report.results:
        counts[result.outcome] = counts.get(result.outcome, 0) + 1
    return counts


def _document(report: Report, checks: Iterable[Check]) -> dict[str, Any]:
    abouts = {check.name: check.about for check in checks}
    return {
        "plugin": report.plugin,
        "kind": report.kind,
        "ok": report.ok,
        "counts": _counts(report),
        "results": [
            {
                "check": result.check,
                "about": abouts[result.check],
                "outcome": result.outcome,
                "reason": result.reason,
                "seconds": round(result.seconds, 3),
            }
            for result in report.results
        ],
    }
