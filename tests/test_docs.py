"""What README and docs show is true: Python blocks run, commands and flags exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import typer.main

from mer_core.cli.app import build_app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``mer`` command line of every page, without prompt, comment and what goes before it."""
    for page in PAGES:
        for line in "\n".join(blocks(page, "console")).splitlines():
            for part in line.removeprefix("$ ").split("&&"):
                words = shlex.split(part, comments=True)
                if "mer" in words:
                    yield f"{page.name}: {part.strip()}", words[words.index("mer") + 1 :]


@pytest.mark.parametrize(("line", "words"), [pytest.param(*found, id=found[0][:60]) for found in commands()])
def test_commands_in_the_docs_parse(line: str, words: list[str]) -> None:
    command = typer.main.get_command(build_app())
    context = command.make_context("mer", list(words), resilient_parsing=False)
    while hasattr(command, "commands"):
        assert context is not None
        rest = [*context._protected_args, *context.args]
        command = command.commands[rest[0]]
        context = command.make_context(rest[0], rest[1:], parent=context)
    assert not context.args, line


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_in_the_docs_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MER_CACHE", str(sample_cache))
    import numpy as np

    tone = np.sin(np.arange(16000) / 20.0) * np.linspace(0.1, 0.5, 16000)
    soundfile.write(tmp_path / "new.wav", tone, 16000)
    space: dict[str, object] = {"__name__": "docs"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), space)
    assert len(space) > 1


def test_readme_has_the_two_commands_on_its_first_screen() -> None:
    top = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25])
    assert "pip install -e . && mer run --modalities speech,video,text" in top
    assert "pip install -e '.[test]' && pytest" in top
