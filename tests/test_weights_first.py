"""Weights that headers and config.json show to be wrong are refused before anything is decoded, derived or paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkpoints import WEIGHTS, Mer, Shelf, cut_short
from ranking_server import KEY, serving

from mer_core.plugin import ExtractorSpec, PluginError, UsageError
from mer_core.registry import discover
from mer_plugins.video.emovclip_options import EmoVClipOptions

HUBERT = "holds a hubert, not a"


@pytest.fixture
def mer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mer:
    """The command line, where no clip may be touched."""

    def touched(*given: Any, **more: Any) -> Any:
        raise AssertionError("a clip was touched")

    monkeypatch.setattr("mer_core.workflows.extract.run_engine", touched)
    monkeypatch.setattr("mer_core.workflows.extract.plan_engine", touched)
    monkeypatch.setattr("mer_core.workflows.finetune.decoded", touched)
    monkeypatch.setenv("COLUMNS", "1000")
    return Mer(capsys)


def line(command: str, shelf: Shelf, *more: str, **models: Path) -> list[str]:
    """``mer COMMAND`` over two clips with these weights, by extractor (``_`` for ``-``)."""
    named = [f"{name.replace('_', '-')}.model={model}" for name, model in models.items()]
    told = ["--data", str(shelf.clips(2)), "--device", "cpu", *more]
    return [*command.split(), *told, *(word for one in named for word in ("-o", one))]


BESIDE = ("--modalities", "speech,text", "--extractor", "speech=acoustic", "--extractor", "text=baichuan")


@pytest.mark.parametrize("command", ["run", "run --plan", "extract"])
def test_a_decoder_that_is_cut_short(mer: Mer, shelf: Shelf, tmp_path: Path, command: str) -> None:
    folder = shelf.copy("baichuan", tmp_path)
    cut_short(folder / WEIGHTS["baichuan"])
    out = ("--out", str(tmp_path / "out")) if command == "run" else ()
    said = mer(*line(command, shelf, *BESIDE, *out, "--cache", str(tmp_path / "cache"), baichuan=folder))
    said.refuses(2, f"{folder / WEIGHTS['baichuan']} is cut short", "copy them again")


def test_another_architecture_asks_no_server(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        asked = ["-o", "gpt-ranking.allow_upload=true", "-o", f"gpt-ranking.base_url={server.url}"]
        streams = ["--modalities", "text", "--extractor", "text=gpt4-baichuan", "--cache", str(tmp_path)]
        said = mer(*line("extract", shelf, *streams, *asked, gpt4_baichuan=shelf("hubert")))
        assert server.questions == []
    said.refuses(2, f"{HUBERT} baichuan", "Use the extractor hubert")


VIDEO = ("--modalities", "video", "--extractor", "video=emovclip")


@pytest.mark.parametrize("command", [("run",), ("run", "--plan"), ("finetune emovclip",)])
def test_a_hubert_is_no_clip_to_learn_prompts_for(
    mer: Mer, shelf: Shelf, tmp_path: Path, command: tuple[str, ...]
) -> None:
    name, *more = command
    streams = VIDEO if name == "run" else ()
    where = () if "--plan" in more else ("--out", str(tmp_path / "out"))
    said = mer(*line(name, shelf, *streams, *more, *where, "--cache", str(tmp_path), emovclip=shelf("hubert")))
    said.refuses(2, f"{HUBERT} CLIP", "Use the extractor hubert")


def test_a_fit_to_weights_that_are_cut_short(mer: Mer, shelf: Shelf, tmp_path: Path) -> None:
    folder = shelf.copy("clip", tmp_path)
    cut_short(folder / WEIGHTS["clip"])
    said = mer(*line("finetune emovclip", shelf, "--out", str(tmp_path / "out"), emovclip=folder))
    said.refuses(2, f"{folder / WEIGHTS['clip']} is cut short")


def test_a_context_with_fewer_tokens_than_prompts(mer: Mer, shelf: Shelf, tmp_path: Path) -> None:
    told = ["--out", str(tmp_path / "out"), "-o", "emovclip.context=the face of"]
    said = mer(*line("finetune emovclip", shelf, *told, emovclip=shelf("clip")))
    said.refuses(2, "'the face of' has 3 tokens, fewer than the 4")


def test_words_of_several_tokens_are_counted_as_tokens(shelf: Shelf) -> None:
    def remarks(**values: Any) -> tuple[str, ...]:
        return EmoVClipOptions(model=str(shelf("clip")), **values).remarks(())

    assert remarks(context="physiognomical expressionlessness") == ()
    assert remarks(context="") == remarks(tokens=8) == remarks(context="face", scheme="vpt") == ()
    with pytest.raises(UsageError, match="has 1 tokens"):
        remarks(context="face", tokens=2)


@pytest.mark.parametrize("family", WEIGHTS)
def test_whole_weights_pass_and_lost_ones_do_not(shelf: Shelf, tmp_path: Path, family: str) -> None:
    folder = shelf.copy(family, tmp_path)
    options: Any = discover().options(ExtractorSpec, family, {"model": str(folder)})
    options.check_weights(folder)
    (folder / WEIGHTS[family]).unlink()
    with pytest.raises(PluginError, match=r"holds no weights|is missing"):
        options.check_weights(folder)
