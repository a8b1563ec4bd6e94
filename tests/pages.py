"""Markdown pages as tests read them: code blocks, commands, headings, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
PAGES = [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if EXAMPLES not in page.parents)]
"""Everything that is held true; of the examples, which are packages of their own, only the READMEs' commands."""

READMES = sorted(EXAMPLES.glob("*/README.md"))

_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. With a ``title`` it is the file of that name, which nobody runs as it stands."""

    language: str
    body: str
    title: str = ""


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of one language, in order."""
    return [block for block in _blocks(page) if block.language == language]


def files(page: Path) -> dict[str, str]:
    """The blocks with a title: path -> contents."""
    return {block.title: block.body for block in _blocks(page) if block.title}


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``mer`` command that a console block shows after a prompt."""
    for block in blocks(page, "console"):
        typed = block.body.replace("\\\n", " ").splitlines()
        lines = [line.removeprefix("$ ") for line in typed if line.startswith("$ ")]
        for part in "&&".join(lines).split("&&"):
            words = shlex.split(part, comments=True)
            if "mer" in words:
                yield words[words.index("mer") + 1 :]


def links(page: Path) -> list[str]:
    """Targets of links that stay within the repository."""
    return [target for target in _LINK.findall(_prose(page)) if not re.match(r"\w+:", target)]


def anchors(page: Path) -> set[str]:
    """What ``#...`` may name: the headings, as mkdocs and GitHub write them."""
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in _HEADING.findall(_prose(page))]
    return {re.sub(r"\s", "-", heading) for heading in plain}


def _blocks(page: Path) -> Iterator[Block]:
    for language, attributes, body in _FENCE.findall(page.read_text(encoding="utf-8")):
        title = _TITLE.search(attributes)
        yield Block(language, body, title.group(1) if title else "")


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
