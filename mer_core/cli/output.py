"""What a person or a program sees: errors, JSON documents, notes. Rich is imported when used."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer_core.errors import MerError

if TYPE_CHECKING:
    from rich.console import Console


PIPE_WIDTH = 180
"""Columns of a table that goes to a file or pipe, so that rows stay whole."""


def stderr_console() -> Console:
    """A console on stderr: everything but results goes here."""
    from rich.console import Console

    wide = None if sys.stderr.isatty() else PIPE_WIDTH
    return Console(stderr=True, highlight=False, width=wide)


def stdout_console() -> Console:
    """A console on stdout, for results."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, width=wide)


def print_note(text: str) -> None:
    """A remark on stderr, its brackets taken literally."""
    from rich.text import Text

    stderr_console().print(Text.assemble(("Note ", "yellow"), text))


def print_json(document: Any) -> None:
    """One JSON document on stdout; NaN and infinities become null."""
    sys.stdout.write(json.dumps(jsonable(document), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def jsonable(value: Any) -> Any:
    """``value`` with paths as text and non-finite numbers as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def print_error(error: MerError, as_json: bool) -> None:
    """The error with its remedy, on stderr, or as the JSON document on stdout."""
    if as_json:
        kind = type(error).__name__
        print_json(
            {"error": {"kind": kind, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}}
        )
        return
    console = stderr_console()
    console.print("[bold red]Error:[/] ", end="")
    console.print(error.message, markup=False)
    if error.hint:
        console.print(error.hint, markup=False)
