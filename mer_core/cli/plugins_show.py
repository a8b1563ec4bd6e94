"""``mer plugins show NAME``: one plugin in full, or why it cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli.flags import Json
from mer_core.cli.output import print_json, stdout_console
from mer_core.cli.plugins_rows import BROKEN, COLOURS, entry_row, ordered, problem_row

if TYPE_CHECKING:
    from rich.console import Console

    from mer_core.registry import Catalogue, Entry
    from mer_core.spec import PluginSpec

DETAILS = (
    "target",
    "level",
    "inputs",
    "produces",
    "hooks",
    "stackable",
    "levels",
    "extractors",
    "derivers",
    "fusion",
    "trainer",
    "pooling",
    "folds",
    "trainer_options",
    "fusion_options",
    "requires",
    "install",
    "licence",
)
"""Fields of a spec that are shown where they say something."""

ABOVE = {
    "kind",
    "name",
    "full_name",
    "distribution",
    "version",
    "summary",
    "status",
    "reason",
    "remedy",
    "call",
    "options",
}
"""What is not repeated in the table of facts."""


def show(name: Annotated[str, typer.Argument(help="NAME or NAME@DISTRIBUTION.")], json: Json = False) -> None:
    """Show a plugin's options, inputs, licences and needs. Exit 1 if it is broken."""
    from mer_core.registry import discover

    found = _documents(discover(), name)
    if json:
        print_json(found if len(found) > 1 else found[0])
    else:
        _print_all(found)
    if any(document["status"] == BROKEN for document in found):
        raise typer.Exit(1)


def _documents(catalogue: Catalogue, name: str) -> list[dict[str, Any]]:
    """Everything that ``name`` may mean, what could not be read included.

    Raises:
        PluginError: nothing, with the close match.
    """
    entries = [e for e in ordered(catalogue.entries) if e.answers_to(name)]
    problems = [p for p in catalogue.problems if p.answers_to(name)]
    if not (entries or problems):
        raise catalogue.unknown(name)
    return [*(_document(catalogue, entry) for entry in entries), *map(problem_row, problems)]


def _document(catalogue: Catalogue, entry: Entry) -> dict[str, Any]:
    document = {**entry_row(catalogue, entry), **_details(entry.spec), "options": []}
    for source in catalogue.sources:
        if source.slow and (source.distribution, source.entry_point) == (entry.distribution, entry.entry_point):
            document["slow"] = source.slow.removeprefix("slow: ")
    return document if entry.problem else document | _options(catalogue, entry)


def _options(catalogue: Catalogue, entry: Entry) -> dict[str, Any]:
    """The plugin's options; where they cannot be imported, that it is broken and why."""
    from mer_core.errors import MerError, MissingPackageError
    from mer_core.options import describe

    try:
        rows = describe(catalogue.options_class(type(entry.spec), entry.full_name))
    except MissingPackageError as error:
        return {} if entry.missing_packages() else {"status": BROKEN, "reason": error.message, "remedy": error.hint}
    except MerError as error:
        return {"status": BROKEN, "reason": error.message, "remedy": error.hint}
    keys = ("name", "type", "default", "description")
    return {"options": [dict(zip(keys, row, strict=True)) for row in rows]}


def _details(spec: PluginSpec) -> dict[str, Any]:
    from mer_core.spec import plain

    values = {**{name: getattr(spec, name, None) for name in DETAILS}, "runs": _how(spec)}
    return {name: plain(value) for name, value in values.items() if value not in (None, "", (), {})}


def _how(spec: PluginSpec) -> str:
    """How an extractor or deriver is used; empty for other plugins."""
    from mer_core.spec import DeriverSpec, ExtractorSpec

    if not isinstance(spec, ExtractorSpec | DeriverSpec):
        return ""
    if spec.per_thread:
        return "one instance per thread, on the CPU, one clip at a time"
    batches = f"of up to {spec.batch_seconds:g} s" if isinstance(spec, ExtractorSpec) else "of several clips"
    return f"one instance, on the run's device, in batches {batches}"


def _print_all(documents: list[dict[str, Any]]) -> None:
    console = stdout_console()
    for number, document in enumerate(documents):
        if number:
            console.print()
        _print(console, document, "full_name" if len(documents) > 1 else "name")


def _print(console: Console, document: dict[str, Any], name: str) -> None:
    from rich.text import Text

    version = f", version {document['version']}" if document.get("version") else ""
    what = document["kind"] or "entry point"
    console.print(Text.assemble((document[name], "bold"), f"  {what} from {document['distribution']}{version}"))
    if document.get("summary"):
        console.print(document["summary"], markup=False)
    if document["reason"]:
        console.print(Text.assemble((document["status"], COLOURS[document["status"]]), f": {document['reason']}"))
        console.print(document["remedy"], markup=False)
    _print_facts(console, document)
    if document.get("options"):
        from mer_core.cli.plugins_options import print_options

        console.print()
        print_options(document["name"], document["options"], console)


def _print_facts(console: Console, document: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for key, value in document.items():
        if key not in ABOVE and value not in (None, ""):
            facts.add_row(f"[dim]{key.replace('_', ' ')}[/]", escape(_plain_text(value)))
    console.print(facts)


def _plain_text(value: Any) -> str:
    """Nested data as a person would write it: ``audio=AudioInput(rate=16000)``."""
    if isinstance(value, dict):
        inside = ", ".join(
            f"{key}={_plain_text(item)}" for key, item in value.items() if item is not None and key != "type"
        )
        return f"{value['type']}({inside})" if "type" in value else inside
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
