"""What README and docs show is true: Python blocks run, commands and flags exist, links lead somewhere."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer.main
from pages import DOCS, PAGES, READMES, ROOT, anchors, blocks, commands, files, links
from tutorial import PAGE, scaffold_files, tutorial_package

from mer_core import compose, fit
from mer_core.cli.app import build_app
from mer_core.options import describe
from mer_core.registry import discover
from mer_core.spec import ExtractorSpec
from mer_plugins.datasets.sample import make_clip
from mer_plugins.datasets.sample_plan import plan_clips
from mer_plugins.trainers.plan import epoch_count


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def runnable(page: Path) -> list[str]:
    return [block.body for block in blocks(page, "python") if not block.title]


COMMANDS = [(name_of(page), words) for page in [*PAGES, *READMES] for words in commands(page)]


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[f"{page}: {' '.join(words)}"[:70] for page, words in COMMANDS]
)
def test_commands_in_the_docs_parse(
    page: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--weights-dir" in words:  # the one folder that must be there
        (tmp_path / words[words.index("--weights-dir") + 1]).mkdir()
        monkeypatch.chdir(tmp_path)
    command = typer.main.get_command(build_app())
    context = command.make_context("mer", list(words), resilient_parsing=False)
    while hasattr(command, "commands"):
        assert context is not None
        rest = [*context._protected_args, *context.args]
        command = command.commands[rest[0]]
        context = command.make_context(rest[0], rest[1:], parent=context)
    assert not context.args, f"{page}: {words}"


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For samples that are smaller than they say."""
    return tmp_path_factory.mktemp("small")


@pytest.fixture
def small(small_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page says is run as it stands, but on fewer and shorter clips and for fewer epochs."""

    def few(clips: int, *more: Any) -> Any:
        return plan_clips(min(clips, 48), *more)

    def short(plan: Any, folder: Path, options: Any) -> Any:
        return make_clip(plan, folder, options.model_copy(update={"seconds": 0.6}))

    def quick(steps: int, options: Any) -> int:
        return min(40, epoch_count(steps, options))

    monkeypatch.setenv("MER_CACHE", str(small_cache))
    monkeypatch.setattr("mer_plugins.datasets.sample.plan_clips", few)
    monkeypatch.setattr("mer_plugins.datasets.sample.make_clip", short)
    monkeypatch.setattr("mer_plugins.trainers.loop.epoch_count", quick)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name_of)
def test_python_in_the_docs_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import numpy as np

    tone = np.sin(np.arange(16000) / 20.0) * np.linspace(0.1, 0.5, 16000)
    soundfile.write(tmp_path / "new.wav", tone, 16000)
    np.savez(
        tmp_path / "mine.npz", audio=tone[:120].reshape(40, 3), labels=np.arange(40) % 2, speaker=np.arange(40) % 8
    )
    space: dict[str, object] = {"__name__": "docs"}
    for block in runnable(page):
        exec(compile(block, str(page), "exec"), space)
    assert len(space) > 1


@pytest.mark.parametrize("function", [compose, fit], ids=lambda function: function.__name__)
def test_arguments_in_the_library_page_are_those_of_the_function(function: Callable[..., object]) -> None:
    page = (DOCS / "library.md").read_text(encoding="utf-8")
    table = page.partition(f"| argument of `{function.__name__}` | default |")[2].partition("\n\n")[0]
    written = [tuple(cell.strip("`| ") for cell in line.split(" | ")[:2]) for line in table.splitlines()[2:]]
    assert written == [
        (name, "required" if item.default is item.empty else repr(item.default).replace("'", '"'))
        for name, item in inspect.signature(function).parameters.items()
    ]


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page for page in PAGES if DOCS in page.parents and page.relative_to(DOCS).as_posix() not in listed]
    assert missing == []


def test_readme_has_the_two_commands_on_its_first_screen() -> None:
    top = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25])
    assert "pip install -e . && mer run --modalities speech,video,text" in top
    assert "pip install -e '.[test]' && pytest" in top


def test_files_of_the_tutorial_take_the_place_of_files_that_the_scaffold_writes() -> None:
    assert set(files(PAGE)) <= set(scaffold_files())
    assert len(files(PAGE)) >= 3


@pytest.fixture
def tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The finished package of the page, importable until the test is over."""
    package = tutorial_package(tmp_path)
    monkeypatch.syspath_prepend(package)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_speech"]:
        del sys.modules[name]


def test_tutorial_package_lists_its_plugin_with_described_options(tutorial: Path) -> None:
    catalogue = discover([import_module("my_speech.specs")])
    assert catalogue.problems == []
    assert catalogue.find(ExtractorSpec, "my-speech").modality == "speech"
    assert {row[0]: bool(row[3]) for row in describe(catalogue.options_class(ExtractorSpec, "my-speech"))} == {
        "model": True
    }


def test_tutorial_package_passes_its_own_tests(tmp_path: Path) -> None:
    package = tutorial_package(tmp_path)
    facts = package / "my_speech-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-speech\nVersion: 0.1.0\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text("[mer.plugins]\nmy-speech = my_speech.specs\n", encoding="utf-8")
    words = [sys.executable, "-m", "pytest", str(package), "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(words, cwd=package, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_the_tutorials_batch_gives_each_clip_what_it_gets_alone() -> None:
    import numpy as np
    import torch

    from mer_core.types import Features, Missing

    space: dict[str, Any] = {}
    for block in runnable(PAGE):
        exec(compile(block, str(PAGE), "exec"), space)
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(400, 4, 32, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    waves = [torch.randn(size) for size in (4000, 399, 16000, 400)]
    with torch.no_grad():
        together = space["encode_batch"](waves, encoder)
        alone = [space["encode_batch"]([wave], encoder)[0] for wave in waves]
    assert [type(answer) for answer in together] == [Features, Missing, Features, Features]
    for a, b in zip(together, alone, strict=True):
        if isinstance(a, Features):
            np.testing.assert_allclose(a.values, b.values, atol=1e-5)
            np.testing.assert_array_equal(a.times, b.times)
    assert together[2].times[-1] == pytest.approx((48 * 320 + 200) / 16000)
