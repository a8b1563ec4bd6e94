"""Complete, installable plugin packages, written from templates: ``mer plugins new``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import quote
from string import Template

from mer_core.errors import UsageError
from mer_core.scaffold.kinds import Kind, find_kind
from mer_core.scaffold.names import check_name, class_name, import_line, module_name

__all__ = ["commands", "reading", "render_package", "write_package"]

TEMPLATES = Path(__file__).with_name("templates")
SUFFIX = ".tmpl"
"""Of every template, so that no tool takes them for Python."""


def write_package(name: str, kind: str, folder: Path, modality: str | None = None, author: str | None = None) -> Path:
    """Write the package of a new plugin into ``folder``, which it makes, and return that.

    Args:
        name: the plugin's and the distribution's; the module has underscores for its dashes.
        kind: extractor, fusion, trainer, dataset, deriver or listener.
        modality: of an extractor (speech, image, video or text), or what a deriver reads (speech or text);
            else guessed from ``name``, or speech.
        author: for ``pyproject.toml``.

    Raises:
        UsageError: a name, kind or modality that cannot be, or a folder that holds something.
    """
    rendered = render_package(name, kind, modality, author)
    folder = Path(folder).expanduser()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} exists already.", "Remove it, or choose another folder with --out.")
    for path, text in rendered.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
    return folder


def render_package(name: str, kind: str, modality: str | None = None, author: str | None = None) -> dict[str, str]:
    """The files of a new package, path to text, without writing any.

    Raises:
        UsageError: a name, kind, modality or author that cannot be.
    """
    check_name(name)
    chosen = find_kind(kind, modality, name)
    values = _values(name, chosen, _author(author, name))
    found = {}
    for path, text in _templates(chosen):
        found[path.replace("PACKAGE", values["package"])] = Template(text).substitute(values)
    return dict(sorted(found.items()))


def commands(name: str, kind: str, folder: Path, modality: str | None = None) -> list[str]:
    """What to type next: install, test, check, use."""
    chosen = find_kind(kind, modality, name)
    place = str(folder)
    after = [f"pip install -e {quote(place + '[test]')}", f"pytest {quote(place)}", f"mer plugins check {name}"]
    return [*after, f"mer run {chosen.run.format(name=name)}"] if chosen.run else after


def reading(name: str, kind: str, modality: str | None = None) -> list[tuple[str, str]]:
    """What an extractor writes to read what a deriver makes, and where; nothing for other kinds."""
    return [(line.format(name=name), where) for line, where in find_kind(kind, modality, name).reading]


def _values(name: str, kind: Kind, author: str) -> dict[str, str]:
    packages = [f'"{package}"' for package in (_toolkit(), *kind.packages)]
    cls = class_name(name, kind.name)
    return {
        "name": name,
        "package": module_name(name),
        "cls": cls,
        "kind": kind.name,
        "article": "An" if kind.name == "extractor" else "A",
        "module": kind.name,
        "entry": kind.entry,
        "model_import": import_line(f"{module_name(name)}.model", ["Member", "Tensors", f"{cls}Model", "load_model"]),
        "summary": kind.summary,
        "author": json.dumps(author, ensure_ascii=False),
        "dependencies": ", ".join(packages),
        "usage": _usage(name, kind),
        "more_files": "".join(f"| `{module_name(name)}/{file}.py` | {what} |\n" for file, what in kind.files),
    }


def _usage(name: str, kind: Kind) -> str:
    run = f"```console\n$ mer run {kind.run.format(name=name)}\n```" if kind.run else ""
    return "\n\n".join(filter(None, [run, kind.note.format(name=name)]))


def _author(author: str | None, name: str) -> str:
    chosen = author or f"The {name} authors"
    if not chosen.isprintable():
        raise UsageError(f"the author {chosen!r} has characters that cannot be printed.", "Give a plain name.")
    return chosen


def _toolkit() -> str:
    """The requirement on mer: from the installed version on."""
    try:
        return f"mer-toolkit>={'.'.join(version('mer-toolkit').split('.')[:2])}"
    except PackageNotFoundError:
        return "mer-toolkit"


def _templates(kind: Kind) -> Iterator[tuple[str, str]]:
    """Path and text of each template; ``PACKAGE`` in a path stands for the module's name."""
    own, common = TEMPLATES / kind.folder, TEMPLATES / "common"
    replaced = {file.relative_to(own) for file in own.rglob(f"*{SUFFIX}")}
    for root in (common, own):
        for file in sorted(root.rglob(f"*{SUFFIX}")):
            if root is common and file.relative_to(root) in replaced:
                continue
            path = file.relative_to(root).as_posix().removesuffix(SUFFIX)
            yield path.replace("dot-", "."), file.read_text(encoding="utf-8")
