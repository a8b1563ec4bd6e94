"""From a manifest, a folder or one media file to clips and the classes to predict.

A manifest is a CSV, TSV, JSON Lines or Parquet file with a column ``id`` and any of the other
:data:`COLUMNS`; what else it has stays in ``Clip.meta``. Paths are relative to the manifest.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from mer_core.data.cells import Cells
from mer_core.data.columns import COLUMNS, CONTENT_COLUMNS, column_names, column_notes
from mer_core.data.folders import FoundClip, find_media, one_file
from mer_core.data.gaps import without_gaps
from mer_core.data.splits import UNUSED_LABEL_SPLIT
from mer_core.data.tables import TABLE_SUFFIXES, Finding, Row, Table, read_table
from mer_core.data.target_columns import (
    NO_TARGETS,
    TargetColumns,
    read_targets,
    spell_targets,
    target_columns,
    without_numbers,
)
from mer_core.data.vocabulary import class_order, clean_label, find_typos, quoted
from mer_core.data.votes import normalise_with_votes
from mer_core.errors import DataError, UsageError
from mer_core.feature_set import TargetSpec
from mer_core.target_choice import Names
from mer_core.types import Clip


@dataclass(frozen=True, slots=True)
class ClipTable:
    """Clips in manifest order, what their labels may be, and remarks for the person who owns them."""

    clips: tuple[Clip, ...]
    targets: TargetSpec
    source: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """Everything that reading found, problems included; ``rows`` [N] are the clips' row numbers."""

    source: Path
    clips: tuple[Clip, ...]
    rows: tuple[int | None, ...]
    columns: frozenset[str]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    wanted: TargetColumns = NO_TARGETS

    @property
    def targets(self) -> TargetSpec:
        """Classes that clips are labelled with or got votes for, in their saved order; the values asked for."""
        labels = [clip.label for clip in self.clips if clip.label is not None]
        votes = [name for clip in self.clips for name in clip.votes]
        return TargetSpec(class_order([*labels, *votes]), tuple(self.wanted.values), bool(self.wanted.votes))


def load_clips(
    path: Path,
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str] | None = None,
    values: Names = (),
    votes: Names = (),
) -> ClipTable:
    """Read a manifest, a folder of media (optionally one sub-folder per label) or one media file.

    Media are not opened here; a file that is missing or broken later fails on its own.

    Args:
        columns: our column name -> the manifest's, e.g. ``{"label": "emotion"}``.
        label_map: the user's renaming of labels, before the vocabulary's; "" drops a label.
        values: columns of continuous targets, ``valence`` or ``sentiment=label``.
        votes: columns of raters' votes, one per class: ``vote_*``, or their names.

    Raises:
        DataError: naming file, row, column and remedy.
    """
    scan = scan_clips(path, columns, label_map, values, votes)
    errors = [finding for finding in scan.findings if finding.level == "error"]
    if errors:
        raise _as_error(scan.source, errors)
    _refuse_wrong_folder(scan)
    warnings = (finding for finding in scan.findings if finding.level != "error")
    return ClipTable(scan.clips, scan.targets, scan.source, (*scan.notes, *_summarise(warnings)))


def scan_clips(
    path: Path,
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str] | None = None,
    values: Names = (),
    votes: Names = (),
) -> Scan:
    """Like :func:`load_clips`, but rows with problems are kept and every problem is listed.

    Raises:
        DataError: the table cannot be read at all, or has no ``id`` column.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"there is no file or folder {path}.", _beside(path))
    if path.is_dir() and (manifest := _own_manifest(path)) is not None:
        path = manifest
    if path.is_dir() or path.suffix.lower() not in TABLE_SUFFIXES:
        _refuse_targets(path, values, votes)
        return _finish(_scan_media(path, columns), label_map)
    table = read_table(path)
    wanted = target_columns(table, values, votes)
    return _finish(_scan_table(table, columns or {}, wanted, label_map or {}), label_map)


def _refuse_targets(path: Path, values: Names, votes: Names) -> None:
    if values or votes:
        flag = "--values" if values else "--votes"
        raise UsageError(f"{flag} names columns, but {path} is not a table.", "Write a manifest: see docs/data.md.")


def _own_manifest(folder: Path) -> Path | None:
    """The table called ``manifest`` in ``folder``, if there is exactly one."""
    found = [folder / f"manifest{suffix}" for suffix in TABLE_SUFFIXES if (folder / f"manifest{suffix}").is_file()]
    return found[0] if len(found) == 1 else None


def _beside(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {path.parent / close[0]}?" if close else "Check the path."


def _scan_media(path: Path, columns: Mapping[str, str] | None) -> Scan:
    if columns:
        raise UsageError(f"column names were given, but {path} is not a table.", "Leave out --column.")
    found, notes = find_media(path) if path.is_dir() else ([one_file(path)], ())
    clips = tuple(_clip_of_file(item) for item in found)
    return Scan(path, clips, (None,) * len(clips), frozenset(), (), tuple(notes))


def _clip_of_file(found: FoundClip) -> Clip:
    return Clip(
        id=found.id, video=found.video, audio=found.audio, label=found.label, speaker=found.speaker, split=found.split
    )


def _scan_table(table: Table, columns: Mapping[str, str], wanted: TargetColumns, label_map: Mapping[str, str]) -> Scan:
    names = column_names(table, columns, wanted.columns)
    table, told = without_gaps(table, names, label_map)
    findings = list(table.findings)
    clips = [_read_row(row, names, wanted, table.path.parent, findings) for row in table.rows]
    rows = tuple(row.number for row in table.rows)
    findings += _repeated_ids(clips, rows)
    findings += _no_content(names)
    findings += without_numbers(clips, wanted)
    notes = (*column_notes(table, names, wanted.columns), *told)
    return Scan(table.path, tuple(clips), rows, frozenset(names), tuple(findings), notes, wanted)


def _read_row(row: Row, names: Mapping[str, str], wanted: TargetColumns, base: Path, findings: list[Finding]) -> Clip:
    cells = Cells(row, names, findings)
    known = {*names.values(), *wanted.columns}
    meta = {key: None if value != value else value for key, value in row.cells.items() if key not in known}
    clip = Clip(
        id=cells.id,
        video=_media_path(base, cells.text("video")),
        audio=_media_path(base, cells.text("audio")),
        text=cells.words("text"),
        label=cells.text("label"),
        speaker=cells.text("speaker"),
        split=cells.split(),
        start=cells.seconds("start"),
        end=cells.seconds("end"),
        language=cells.text("language"),
        meta=meta,
    )
    return read_targets(row, wanted, _checked(clip, cells), findings)


def _checked(clip: Clip, cells: Cells) -> Clip:
    if clip.start is not None and clip.end is not None and clip.start >= clip.end:
        message = f"start {clip.start:g} s is not before end {clip.end:g} s"
        cells.complain("start", "segment", message, "Give start and end in seconds from the file's beginning.")
    if cells.may_hold_content and clip.video is None and clip.audio is None and clip.text is None:
        remedy = "Fill in video, audio or text, or remove the row."
        cells.complain(None, "no-modality", "neither video nor audio nor text", remedy, level="warning")
    return clip


def _no_content(names: Mapping[str, str]) -> list[Finding]:
    if any(name in names for name in CONTENT_COLUMNS):
        return []
    message = "there is no column video, audio or text, so there is nothing to extract features from"
    remedy = "Add one of them, or say which column it is, e.g. --column video=path."
    return [Finding(None, None, "warning", "no-modality", message, remedy)]


def _media_path(base: Path, cell: str | None) -> Path | None:
    if cell is None:
        return None
    path = base / Path(cell).expanduser()
    if "\\" in cell and not path.exists():
        return base / PurePosixPath(PureWindowsPath(cell).as_posix())
    return path


def _repeated_ids(clips: Iterable[Clip], rows: Iterable[int]) -> list[Finding]:
    first: dict[str, int] = {}
    findings = []
    for clip, row in zip(clips, rows, strict=True):
        if clip.id in first:
            message = f"id {clip.id!r} is already that of row {first[clip.id]}"
            remedy = "Give every clip an id of its own."
            findings.append(Finding(row, clip.id, "error", "duplicate-id", message, remedy, "id"))
        first.setdefault(clip.id, row)
    return findings


def _finish(scan: Scan, label_map: Mapping[str, str] | None) -> Scan:
    """Spell the labels, set aside those that nobody may learn from, look for misspellings."""
    written = [clip.label for clip in scan.clips if clip.label is not None]
    mapping, notes = normalise_with_votes(written, scan.wanted.votes, label_map)
    clips, told = spell_targets(scan.clips, mapping)
    aside = sum("label" in clip.meta and clip.split == UNUSED_LABEL_SPLIT for clip in clips)
    extra = (f"{aside} clips of split 'unlabelled' have a label, which is not used",) if aside else ()
    typos = tuple(_typo_findings(scan, label_map or {}))
    return replace(scan, clips=clips, notes=(*scan.notes, *notes, *told, *extra), findings=(*scan.findings, *typos))


def _typo_findings(scan: Scan, label_map: Mapping[str, str]) -> Iterable[Finding]:
    asked = {clean_label(old): clean_label(new) for old, new in label_map.items()}
    written = [clean_label(clip.label or "") for clip in scan.clips]
    labels = [asked.get(label, label) for label in written]
    counts = Counter(label for label in labels if label)
    for typo in (typo for typo in find_typos(counts) if typo.label not in asked.values()):
        rows = [row for row, label in zip(scan.rows, labels, strict=True) if label == typo.label]
        message = f"label {typo.label!r} ({_clips(typo.count)}{_first_rows(rows)}) looks like {typo.meant!r}"
        remedy = f"If it is: --label {quoted(f'{typo.label}={typo.meant}')}"
        yield Finding(rows[0], scan.clips[labels.index(typo.label)].id, "warning", "label-typo", message, remedy)


def _clips(count: int) -> str:
    return f"{count} clip" if count == 1 else f"{count} clips"


def _first_rows(rows: list[int | None]) -> str:
    shown = [str(row) for row in rows[:5] if row is not None]
    more = ", ..." if len(rows) > 5 else ""
    return f", row {', '.join(shown)}{more}" if shown else ""


def _as_error(source: Path, errors: list[Finding]) -> DataError:
    first, more = errors[0], len(errors) - 1
    others = f" ({more} more such {'row' if more == 1 else 'rows'}: mer dataset check {source})" if more else ""
    where = ", ".join(filter(None, (str(source), first.place)))
    return DataError(f"{where}: {first.message}{others}.", first.remedy)


def _summarise(warnings: Iterable[Finding]) -> list[str]:
    """One note for each kind of warning: the first case, and how many more."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in warnings:
        by_kind.setdefault(finding.kind if finding.kind != "label-typo" else finding.message, []).append(finding)
    return [_one_note(findings) for findings in by_kind.values()]


def _one_note(findings: list[Finding]) -> str:
    first, more = findings[0], len(findings) - 1
    others = f" (and {more} more)" if more else ""
    place = f"{first.place}: " if first.place and first.kind != "label-typo" else ""
    return f"{place}{first.message}{others}. {first.remedy}"


def _refuse_wrong_folder(scan: Scan) -> None:
    """A column of which not one file exists is a wrong base folder, not so many bad clips."""
    for column in ("video", "audio"):
        paths = [path for path in (getattr(clip, column) for clip in scan.clips) if path is not None]
        if len(paths) > 1 and not any(path.exists() for path in paths):
            message = f"{scan.source}, column {column!r}: none of the {len(paths)} files exists, e.g. {paths[0]}."
            raise DataError(message, f"Write paths relative to {scan.source.parent.resolve()}, or in full.")


__all__ = ["COLUMNS", "ClipTable", "Scan", "load_clips", "scan_clips"]
