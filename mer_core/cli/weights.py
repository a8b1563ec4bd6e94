"""``mer weights list|fetch|path|verify``: published weights, fetched only when asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli.flags import Json, WeightsDir
from mer_core.cli.output import print_json, stderr_console, stdout_console
from mer_core.errors import UsageError

if TYPE_CHECKING:
    from mer_core.spec import Weights
    from mer_core.workflows.weights import Listed, Verified

app = typer.Typer(help="Prepare the weights that plugins load.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name of 'mer weights list', or a hub id (owner/name).")]
Names = Annotated[
    list[str], typer.Argument(help="Names of 'mer weights list', presets (standard-zh), or hub ids (owner/name).")
]
Revision = Annotated[str, typer.Option(help="Commit, branch or tag, in place of the pinned one.")]


@app.command("list")
def list_all(weights_dir: WeightsDir = None, json: Json = False) -> None:
    """List all weights with size, licence, and whether they are on this machine."""
    from rich.table import Table

    from mer_core.registry import discover
    from mer_core.workflows.weights import list_weights

    rows = [_row(one) for one in list_weights(discover())]
    if json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "size", "here", "licence", "for", "hub id"):
        table.add_column(column, no_wrap=column in ("name", "size", "here"))
    for row in rows:
        here = "[green]yes[/]" if row["path"] else "no"
        table.add_row(row["name"], row["size"], here, row["licence"], ", ".join(row["plugins"]), row["repo"])
    stdout_console().print(table)


@app.command("fetch")
def fetch(
    names: Names,
    revision: Revision = "",
    again: Annotated[bool, typer.Option("--again", help="Download even what is here, if it is damaged.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Download weights into the hub's cache (HF_HOME), after showing size and licence."""
    from mer_core.registry import discover
    from mer_core.workflows.weights import fetch_weights, wanted_weights

    catalogue = discover()
    wanted = list({one.repo: one for name in names for one in wanted_weights(catalogue, name)}.values())
    if revision and len(wanted) > 1:
        raise UsageError(f"--revision {revision} is of one repository, and {len(wanted)} are named.", "Name one.")
    for one in wanted:
        stderr_console().print(_about(one, revision), markup=False)
    if not yes and sys.stdin.isatty() and not typer.confirm("Download?", default=True, err=True):
        raise typer.Exit(1)
    for one in wanted:
        typer.echo(fetch_weights(catalogue, one.name, revision, again))


@app.command("path")
def path(name: Name, revision: Revision = "", weights_dir: WeightsDir = None) -> None:
    """Print where weights are; exit 3 with the fetch command if they are not here."""
    from mer_core.registry import discover
    from mer_core.workflows.weights import locate_weights

    typer.echo(locate_weights(discover(), name, revision))


@app.command("verify")
def verify(
    names: Names,
    device: Annotated[str, typer.Option(help="cpu, cuda:0 ...")] = "cpu",
    weights_dir: WeightsDir = None,
    json: Json = False,
) -> None:
    """Load weights as the plugins do; compare dimension and parameter count, and extract a feature. Exit 1 if wrong."""
    from mer_core.registry import discover
    from mer_core.workflows.weights import verify_weights, wanted_weights

    catalogue = discover()
    meant = [[name] if Path(name).exists() else [one.name for one in wanted_weights(catalogue, name)] for name in names]
    known = dict.fromkeys(name for some in meant for name in some)
    found = [one for name in known for one in verify_weights(catalogue, name, device)]
    if json:
        print_json([_verified(one) for one in found])
    else:
        for one in found:
            _print(one)
    if any(one.wrong for one in found):
        raise typer.Exit(1)


def _row(one: Listed) -> dict[str, Any]:
    from mer_core.weights import readable_size

    weights = one.weights
    return {
        "name": weights.name,
        "repo": weights.repo,
        "revision": weights.revision,
        "bytes": weights.bytes,
        "size": readable_size(weights.bytes) if weights.bytes else "",
        "licence": weights.licence,
        "dim": weights.dim,
        "parameters": weights.parameters,
        "plugins": [name.partition("@")[0] for name in one.plugins],
        "path": one.place,
    }


def _about(weights: Weights, revision: str) -> str:
    from mer_core.weights import readable_size
    from mer_core.weights_hub import bytes_to_fetch

    count = bytes_to_fetch(weights, revision)
    size, at = readable_size(count) if count else "of unknown size", revision or weights.revision
    return f"{weights.name}: {weights.repo} at {at}, {size}, licence {weights.licence or 'not stated'}"


def _verified(one: Verified) -> dict[str, Any]:
    return {
        "plugin": one.plugin,
        "path": one.path,
        "dim": one.dim,
        "parameters": one.parameters,
        "promises": [{"about": kept.about, "ok": kept.good, "words": kept.words} for kept in one.kept],
        "wrong": list(one.wrong),
    }


def _print(one: Verified) -> None:
    from rich.text import Text

    console = stdout_console()
    mark = "[bold red]✗[/]" if one.wrong else "[green]✓[/]"
    console.print(f"{mark} {one.plugin}, from {one.path}")
    for kept in one.kept:
        console.print(Text.assemble(("  ok     ", "green") if kept.good else ("  wrong  ", "bold red"), kept.words))
