"""``mer features list|show|prune``: what the feature store holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer_core.cli.flags import CacheFlag, Json
from mer_core.cli.output import print_json, stdout_console
from mer_core.errors import UsageError

if TYPE_CHECKING:
    from mer_core.store import FeatureStore, TableInfo

app = typer.Typer(help="See and tidy the feature store.", no_args_is_help=True)
DAY = 86400.0


def _store(cache: Path | None) -> FeatureStore:
    from mer_core.store import FeatureStore
    from mer_core.workflows.places import open_cache

    return FeatureStore(open_cache(cache).features)


@app.command("list")
def list_features(cache: CacheFlag = None, json: Json = False) -> None:
    """List the tables of the store: one per extractor and way of using it."""
    from rich.table import Table

    from mer_core.report.words import size

    store = _store(cache)
    tables = store.tables()
    if json:
        print_json([_row(info) for info in tables])
        return
    console = stdout_console()
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("plugin", "version", "clips", "missing", "with frames", "size", "last used", "fingerprint"):
        shown.add_column(column, justify="right" if column in ("clips", "missing", "with frames", "size") else "left")
    for info in tables:
        age = (time.time() - info.used) / DAY
        used = "today" if age < 1 else f"{age:.0f} days ago"
        version = str(info.about.get("version", ""))
        counts = (str(info.rows), str(info.missing), str(info.frames), size(info.bytes))
        shown.add_row(info.name, version, *counts, used, info.fingerprint)
    console.print(shown)
    console.print(f"[dim]{store.root}, {size(sum(info.bytes for info in tables))}[/]", soft_wrap=True)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Plugin name, or the beginning of a fingerprint.")],
    cache: CacheFlag = None,
    json: Json = False,
) -> None:
    """Show what made a table: options, inputs, versions."""
    from mer_core.report.words import count, size

    found = _matching(_store(cache), name)
    if json:
        print_json([{**_row(info), "about": info.about} for info in found])
        return
    console = stdout_console()
    for info in found:
        counts = f"{count(info.rows, 'clip')}, {count(info.shards, 'shard')}, {size(info.bytes)}"
        console.print(f"[bold]{info.fingerprint}[/]  {counts}")
        if info.damaged:
            console.print(f"[yellow]{info.damaged} damaged shards; what they held is extracted again[/]")
        for key, value in info.about.items():
            console.print(f"  [dim]{key}[/] ", end="")
            console.print(str(value), markup=False)


@app.command("prune")
def prune(
    name: Annotated[str | None, typer.Argument(help="Plugin name, or the beginning of a fingerprint.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Tables not used for so many days.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    cache: CacheFlag = None,
    json: Json = False,
) -> None:
    """Remove tables by name or age, and what broken writers left behind."""
    from mer_core.report.words import count, size

    store = _store(cache)
    chosen = {info.fingerprint for info in _matching(store, name)} if name else None

    def goes(info: TableInfo) -> bool:
        named = chosen is not None and info.fingerprint in chosen
        old = days is not None and time.time() - info.used >= days * DAY
        return (named and (days is None or old)) or (chosen is None and old)

    gone = store.prune(goes, dry_run=dry_run)
    if json:
        print_json({"tables": [_row(info) for info in gone.tables], "files": gone.files, "bytes": gone.bytes})
        return
    verb = "Would remove" if dry_run else "Removed"
    console = stdout_console()
    for info in gone.tables:
        console.print(f"  {info.name} {info.fingerprint}: {count(info.rows, 'clip')}")
    parts = f"{count(len(gone.tables), 'table')} and {count(gone.files, 'leftover file')}"
    console.print(f"{verb} {parts}, {size(gone.bytes)}.")
    if name is None and days is None:
        console.print("[dim]Name a plugin or give --days to remove whole tables.[/]")


def _matching(store: FeatureStore, name: str) -> list[TableInfo]:
    tables = store.tables()
    found = [i for i in tables if name in (i.name, i.name.partition("@")[0]) or i.fingerprint.startswith(name)]
    if not found:
        names = sorted({i.name.partition("@")[0] for i in tables})
        raise UsageError(f"the store has no table {name!r}.", f"There are: {', '.join(names) or 'none yet'}.")
    return found


def _row(info: TableInfo) -> dict[str, Any]:
    return {
        "plugin": info.name,
        "fingerprint": info.fingerprint,
        "clips": info.rows,
        "missing": info.missing,
        "frames": info.frames,
        "shards": info.shards,
        "damaged": info.damaged,
        "bytes": info.bytes,
        "used": info.used,
    }
