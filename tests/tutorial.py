"""The package that docs/plugins/extractor.md leads to: what the scaffold writes, with the page's files over it."""

from __future__ import annotations

from pathlib import Path

from pages import DOCS, commands, files

from mer_core.scaffold import render_package, write_package

PAGE = DOCS / "plugins" / "extractor.md"


def new_command() -> tuple[str, str, str | None]:
    """Name, kind and modality in the page's ``mer plugins new``."""
    words = next(words for words in commands(PAGE) if words[:2] == ["plugins", "new"])
    given = dict(zip(words[3::2], words[4::2], strict=True))
    return words[2], given["--kind"], given.get("--modality")


def scaffold_files() -> dict[str, str]:
    """What that command writes: path -> contents."""
    name, kind, modality = new_command()
    return render_package(name, kind, modality)


def tutorial_package(folder: Path) -> Path:
    """Write the finished package into ``folder`` and return its own folder, ready to be installed and tested."""
    name, kind, modality = new_command()
    package = write_package(name, kind, folder / name, modality)
    for path, text in files(PAGE).items():
        (package / path).write_text(text, encoding="utf-8")
    return package
