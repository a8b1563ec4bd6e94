"""``mer plugins list|show``: what there is, from whom, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli.flags import Json
from mer_core.cli.output import print_json, stdout_console

if TYPE_CHECKING:
    from rich.table import Table

    from mer_core.registry import Catalogue, Entry
    from mer_core.spec import PluginSpec

app = typer.Typer(help="See which plugins there are and what they need.", no_args_is_help=True)

KIND_ORDER = ("extractor", "deriver", "fusion", "trainer", "dataset", "preset", "protocol")


@app.command("list")
def list_plugins(
    kind: Annotated[str | None, typer.Option(help="Only one kind: extractor, fusion, trainer ...")] = None,
    json: Json = False,
) -> None:
    """List every plugin, the broken ones with their reason."""
    from mer_core.registry import discover

    catalogue = discover()
    entries = [e for e in _ordered(catalogue) if kind in (None, e.spec.kind)]
    if json:
        problems = [
            {"distribution": p.distribution, "entry_point": p.entry_point, "reason": p.reason}
            for p in catalogue.problems
        ]
        print_json({"plugins": [_row(entry) for entry in entries], "problems": problems})
        return
    console = stdout_console()
    console.print(_table(entries))
    for problem in catalogue.problems:
        console.print(f"[red]broken[/] {problem.distribution} ({problem.entry_point}): ", end="")
        console.print(problem.reason, markup=False)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="NAME or NAME@DISTRIBUTION.")], json: Json = False) -> None:
    """Show a plugin's options, inputs, licences and what must be installed."""
    from mer_core.options import describe
    from mer_core.registry import discover

    catalogue = discover()
    found = []
    for entry in _named(catalogue, name):
        options = [] if entry.problem else describe(catalogue.options_class(type(entry.spec), entry.full_name))
        keys = ("name", "type", "default", "description")
        found.append(
            {**_row(entry), **_details(entry.spec), "options": [dict(zip(keys, o, strict=True)) for o in options]}
        )
    if json:
        print_json(found if len(found) > 1 else found[0])
        return
    for document in found:
        _print_details(document)


def _ordered(catalogue: Catalogue) -> list[Entry]:
    return sorted(catalogue.entries, key=lambda e: (KIND_ORDER.index(e.spec.kind), _modality(e.spec), e.full_name))


def _modality(spec: PluginSpec) -> str:
    return getattr(spec, "modality", "")


def _row(entry: Entry) -> dict[str, Any]:
    spec = entry.spec
    return {
        "kind": spec.kind,
        "name": spec.name,
        "modality": _modality(spec) or None,
        "distribution": entry.distribution,
        "version": spec.version,
        "summary": spec.summary,
        "status": _status(entry),
        "weights_licence": spec.weights_licence or None,
    }


def _status(entry: Entry) -> str:
    if entry.problem:
        return f"broken: {entry.problem}"
    absent = entry.missing_packages()
    return (
        f"needs {', '.join(absent)}: {entry.spec.install or 'pip install ' + ' '.join(absent)}" if absent else "ready"
    )


def _table(entries: list[Entry]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "modality", "what it is", "from", "status"):
        table.add_column(column, no_wrap=column in ("kind", "name"))
    for entry in entries:
        row = _row(entry)
        colour = "green" if row["status"] == "ready" else "yellow"
        status = f"[{colour}]{row['status']}[/]"
        table.add_row(row["kind"], row["name"], row["modality"] or "", row["summary"], row["distribution"], status)
    return table


def _named(catalogue: Catalogue, name: str) -> list[Entry]:
    from mer_core.errors import PluginError

    found = [e for e in _ordered(catalogue) if name in (e.spec.name, e.full_name)]
    if found:
        return found
    import difflib

    for problem in catalogue.problems:
        if name in (problem.entry_point, problem.distribution):
            raise PluginError(f"{name} could not be read: {problem.reason}", "Repair or uninstall it.")
    close = difflib.get_close_matches(name, [e.spec.name for e in catalogue.entries], n=1)
    raise PluginError(
        f"there is no plugin called {name!r}.", f"Did you mean {close[0]!r}?" if close else "See 'mer plugins list'."
    )


def _details(spec: PluginSpec) -> dict[str, Any]:
    from mer_core.spec import plain

    names = (
        "target",
        "inputs",
        "produces",
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
    return {name: plain(getattr(spec, name)) for name in names if getattr(spec, name, None) not in (None, "", (), {})}


def _print_details(document: dict[str, Any]) -> None:
    from rich.table import Table

    console = stdout_console()
    console.print(
        f"[bold]{document['name']}[/]  {document['kind']} from {document['distribution']}, "
        f"version {document['version']}"
    )
    console.print(document["summary"], markup=False)
    facts = Table(box=None, pad_edge=False, show_header=False)
    skipped = {"name", "kind", "distribution", "version", "summary", "options"}
    for key, value in document.items():
        if key not in skipped and value is not None:
            facts.add_row(f"[dim]{key}[/]", _plain_text(value))
    console.print(facts)
    if document["options"]:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("option", "type", "default", "what it does"):
            table.add_column(column)
        for option in document["options"]:
            table.add_row(
                f"{document['name']}.{option['name']}", option["type"], option["default"], option["description"]
            )
        console.print()
        console.print(table)


def _plain_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain_text(item)}" for key, item in value.items() if item is not None)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
