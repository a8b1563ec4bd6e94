"""``mer plugins new``: a complete plugin package to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer_core.cli.flags import Json
from mer_core.cli.output import print_json, stdout_console

if TYPE_CHECKING:
    from collections.abc import Iterable

Name = Annotated[str, typer.Argument(help="Small letters, digits and dashes: my-speech.")]
Kind = Annotated[str, typer.Option(help="extractor, fusion, trainer, dataset, deriver or listener.")]
Modality = Annotated[
    str | None,
    typer.Option(
        help="Of an extractor: speech, image, video or text. What a deriver reads: speech or text.",
        show_default="the one that NAME contains, or speech",
    ),
]
Out = Annotated[Path | None, typer.Option(help="The package's folder.", show_default="NAME")]
Author = Annotated[str | None, typer.Option(help="Whom pyproject.toml names.", show_default="The NAME authors")]


def new(
    name: Name,
    kind: Kind = "extractor",
    modality: Modality = None,
    out: Out = None,
    author: Author = None,
    json: Json = False,
) -> None:
    """Write a complete, installable plugin package that passes its own tests."""
    from mer_core.scaffold import commands, reading, write_package
    from mer_core.scaffold.kinds import find_kind

    refuse_known(name)
    folder = write_package(name, kind, out or Path(name), modality, author)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    following, reader = commands(name, kind, folder, modality), reading(name, kind, modality)
    if json:
        about = {"name": name, "kind": kind, "modality": find_kind(kind, modality, name).modality or None}
        print_json(
            {
                **about,
                "folder": folder,
                "files": [file.as_posix() for file in files],
                "next": following,
                "reader": [line for line, _ in reader],
            }
        )
        return
    console = stdout_console()
    console.print(tree(folder, files), markup=False)
    console.print("\nNext:")
    for command in following:
        console.print(f"  {command}", markup=False, soft_wrap=True)
    if reader:
        console.print("\nAn extractor of any package reads it with two lines:")
    for line, where in reader:
        console.print(f"  {line}  ({where})", markup=False, soft_wrap=True)


def refuse_known(name: str) -> None:
    """Refuse the name of an installed plugin, of whatever kind: options and commands go by it alone.

    Raises:
        UsageError: saying whose name it is.
    """
    from mer_core.errors import UsageError
    from mer_core.registry import discover
    from mer_core.scaffold.names import another

    for entry in discover().entries:
        if entry.spec.name == name:
            kind = f"{'an' if entry.spec.kind == 'extractor' else 'a'} {entry.spec.kind}"
            raise UsageError(
                f"{entry.distribution} has {kind} called {name!r} already, and one name is for one plugin.",
                f"Choose another name, for example {another(name)!r}.",
            )


def tree(folder: Path, files: Iterable[Path]) -> str:
    """``files`` (relative to ``folder``) as an indented list, each folder once."""
    lines = [f"{folder}/"]
    shown: set[Path] = set()
    for file in files:
        for parent in [*reversed(file.parents)][1:]:
            if parent not in shown:
                shown.add(parent)
                lines.append("  " * len(parent.parts) + parent.name + "/")
        lines.append("  " * len(file.parts) + file.name)
    return "\n".join(lines)
