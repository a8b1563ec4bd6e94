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
    from collections.abc import Sequence

    from mer_core.store import FeatureStore, TableInfo
    from mer_core.workflows.kept_fits import KeptFit

app = typer.Typer(help="See and tidy the feature store.", no_args_is_help=True)
DAY = 86400.0


def _store(cache: Path | None) -> FeatureStore:
    from mer_core.store import FeatureStore
    from mer_core.workflows.places import open_cache

    return FeatureStore(open_cache(cache).features)


def _states(cache: Path | None) -> Path:
    """Where fits of supervised extractors are."""
    from mer_core.workflows.places import open_cache

    return open_cache(cache).states


@app.command("list")
def list_features(cache: CacheFlag = None, json: Json = False) -> None:
    """List the tables of the store: one per extractor and way of using it."""
    from rich.table import Table

    from mer_core.report.words import count, size
    from mer_core.workflows.kept_fits import kept_fits

    store = _store(cache)
    tables, fits = store.tables(), kept_fits(_states(cache))
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
    if fits:
        console.print(f"[dim]beside it: {count(len(fits), 'fit')} of supervised extractors, {size(_bytes(fits))}[/]")


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
    """Remove tables and fits of supervised extractors by name or age, and what broken writers left behind."""
    from mer_core.report.words import count, size
    from mer_core.workflows.kept_fits import kept_fits, prune_fits

    store, states, called, now = _store(cache), _states(cache), name or "", time.time()
    if name and not any(fit.is_called(name) for fit in kept_fits(states)):
        _matching(store, name)  # which says what there is

    def goes(meant: bool, used: float) -> bool:
        return meant and (now - used >= days * DAY if days is not None else name is not None)

    gone = store.prune(lambda info: goes(_is_called(info, called), info.used), dry_run=dry_run)
    fits = prune_fits(states, lambda fit: goes(fit.is_called(called), fit.used), dry_run=dry_run)
    if json:
        rows = [{"digest": fit.digest, "extractor": fit.name, "clips": fit.clips, "bytes": fit.bytes} for fit in fits]
        tables = [_row(info) for info in gone.tables]
        print_json({"tables": tables, "fits": rows, "files": gone.files, "bytes": gone.bytes + _bytes(fits)})
        return
    console = stdout_console()
    for info in gone.tables:
        console.print(f"  {info.name} {info.fingerprint}: {count(info.rows, 'clip')}")
    for fit in fits:
        console.print(
            f"  fit of {fit.name} to {count(fit.clips, 'clip')}" if fit.name else "  unfinished fit", fit.digest
        )
    parts = f"{count(len(gone.tables), 'table')}, {count(len(fits), 'fit')} and {count(gone.files, 'leftover file')}"
    console.print(f"{'Would remove' if dry_run else 'Removed'} {parts}, {size(gone.bytes + _bytes(fits))}.")
    if name is None and days is None:
        console.print("[dim]Name a plugin or give --days to remove whole tables and fits.[/]")


def _bytes(fits: Sequence[KeptFit]) -> int:
    return sum(fit.bytes for fit in fits)


def _matching(store: FeatureStore, name: str) -> list[TableInfo]:
    tables = store.tables()
    found = [info for info in tables if _is_called(info, name)]
    if not found:
        names = sorted({i.name.partition("@")[0] for i in tables})
        raise UsageError(f"the store has no table {name!r}.", f"There are: {', '.join(names) or 'none yet'}.")
    return found


def _is_called(info: TableInfo, name: str) -> bool:
    return name in (info.name, info.name.partition("@")[0]) or info.fingerprint.startswith(name)


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
