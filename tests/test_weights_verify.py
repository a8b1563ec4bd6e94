"""``mer weights verify`` says promise by promise what weights keep; packages that plugins need and do not find."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
from checkpoints import MODALITY, WEIGHTS, Mer, Shelf, cut_short, extract_line, filled

from mer_core.workflows import weights as workflow

NAMES = {
    "hubert": "hubert-base-ls960",
    "whisper": "whisper-base",
    "emotion2vec": "emotion2vec-base",
    "clip": "clip-vit-base-patch32",
    "hf-vision": "dinov2-base",
    "videomae": "videomae-base",
    "hf-text": "bert-base-chinese",
    "baichuan": "baichuan-13b-base",
}
PROMISED = {
    "hubert": (32, 35_008),
    "whisper": (16, 10_160),
    "emotion2vec": (24, 44_492),
    "clip": (24, 33_248),
    "hf-vision": (32, 22_880),
    "videomae": (32, 27_264),
    "hf-text": (24, 23_200),
    "baichuan": (40, 89_480),
}
"""Columns and parameters of the tiny checkpoints: of the parts that features come from."""


@pytest.fixture
def mer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mer:
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return Mer(capsys)


@pytest.fixture
def only_one(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``only_one(family, **promises)``: nobody but this extractor lists the weights, and they promise this."""
    owners = workflow._owners

    def choose(family: str, **promises: int) -> None:
        def some(catalogue: Any, name: str) -> Iterator[tuple[Any, Any]]:
            for entry, one in owners(catalogue, name):
                if entry.spec.name == family:
                    yield entry, replace(one, **promises)

        monkeypatch.setattr(workflow, "_owners", some)

    return choose


def prepared(shelf: Shelf, family: str, top: Path) -> Path:
    """A folder for --weights-dir with a tiny checkpoint under a published name."""
    shelf.copy(family, top).rename(top / NAMES[family])
    return top


@pytest.mark.parametrize("family", list(MODALITY))
def test_promises_that_are_kept(mer: Mer, shelf: Shelf, tmp_path: Path, only_one: Any, family: str) -> None:
    dim, parameters = PROMISED[family]
    only_one(family, dim=dim, parameters=parameters)
    top = prepared(shelf, family, tmp_path)
    said = mer("weights", "verify", NAMES[family], "--weights-dir", str(top), "--json")
    assert said.code == 0, said.out + said.err
    (found,) = json.loads(said.out)
    assert (found["dim"], found["parameters"], found["wrong"]) == (dim, parameters, [])
    words = [one["words"] for one in found["promises"]]
    assert words[:2] == [f"dim is {dim}, as promised", f"parameters is {parameters:,}, as promised"]
    assert {"starts", "dimension"} <= {one["about"] for one in found["promises"]}
    assert all(one["ok"] for one in found["promises"])


def test_all_that_read_clip_count_its_image_tower(
    mer: Mer, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published sizes are of that alone, EmoVCLIP's too, which holds the text tower besides."""
    monkeypatch.setattr(workflow, "_smoke", lambda *_: [])
    top = prepared(shelf, "clip", tmp_path)
    found = json.loads(mer("weights", "verify", NAMES["clip"], "--weights-dir", str(top), "--json").out)
    counts = {one["plugin"].partition("@")[0]: one["parameters"] for one in found}
    assert {"clip", "clip-video", "emovclip"} <= set(counts)
    assert set(counts.values()) == {PROMISED["clip"][1]}


def test_promises_that_are_broken_are_told_in_words(mer: Mer, shelf: Shelf, tmp_path: Path, only_one: Any) -> None:
    only_one("hf-text")
    top = prepared(shelf, "hf-text", tmp_path)
    said = mer("weights", "verify", NAMES["hf-text"], "--weights-dir", str(top))
    assert said.code == 1
    assert "wrong dim is 24, and 768 was promised" in " ".join(said.out.split())
    assert "wrong parameters is 23,200, and 101,677,056 was promised" in " ".join(said.out.split())
    assert "ok starts: passed" in " ".join(said.out.split())


def test_a_large_model_is_counted_from_its_headers(
    mer: Mer, shelf: Shelf, tmp_path: Path, only_one: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its layers are read for the smoke feature alone, and one at a time: few times, since each costs 26 GB."""
    from mer_plugins.text.checkpoint import Checkpoint

    read, real = [], Checkpoint.read

    def noting(self: Checkpoint, names: Any) -> Any:
        wanted = list(names)
        read.append({name.split(".")[2] for name in wanted if ".layers." in name})
        return real(self, wanted)

    monkeypatch.setattr(Checkpoint, "read", noting)
    only_one("baichuan", dim=40, parameters=89_480)
    top = prepared(shelf, "baichuan", tmp_path)
    assert mer("weights", "verify", NAMES["baichuan"], "--weights-dir", str(top)).code == 0
    assert max(map(len, read)) == 1
    assert read.count({"0"}) <= 2


@pytest.mark.parametrize("family", ["hubert", "clip", "baichuan"])
def test_damaged_weights_are_named(mer: Mer, shelf: Shelf, tmp_path: Path, only_one: Any, family: str) -> None:
    only_one(family)
    file = prepared(shelf, family, tmp_path) / NAMES[family] / WEIGHTS[family]
    filled(file, float("inf"))
    line = ["weights", "verify", NAMES[family], "--weights-dir", str(tmp_path)]
    if family != "baichuan":  # whose numbers are looked at layer by layer
        mer(*line).refuses(2, f"{file} is damaged", "Copy it to that folder again")
    cut_short(file)
    mer(*line).refuses(2, f"{file} is cut short", "Copy it to that folder again")
    file.unlink()
    mer(*line).refuses(2, str(file.parent), "Copy it to that folder again")


def test_nan_in_a_streamed_model_is_found_by_the_smoke_feature(
    mer: Mer, shelf: Shelf, tmp_path: Path, only_one: Any
) -> None:
    only_one("baichuan", dim=40, parameters=89_480)
    file = prepared(shelf, "baichuan", tmp_path) / NAMES["baichuan"] / WEIGHTS["baichuan"]
    filled(file, float("nan"))
    said = mer("weights", "verify", NAMES["baichuan"], "--weights-dir", str(tmp_path))
    assert said.code == 1
    assert "holds NaN or infinity" in said.out + said.err


def test_weights_that_nobody_lists_promise_nothing(mer: Mer, shelf: Shelf) -> None:
    folder = shelf("hf-text")
    mer("weights", "verify", str(folder)).refuses(2, "nothing is promised", f"EXTRACTOR.model={folder}")
    mer("weights", "verify", "own/model").refuses(3, "Run: mer weights fetch own/model")


# packages

NEEDED = {
    "hubert": ("transformers", "pip install transformers"),
    "whisper": ("transformers", "pip install transformers"),
    "emotion2vec": ("safetensors", "pip install safetensors"),
    "clip": ("open_clip", "pip install open_clip_torch transformers"),
    "hf-vision": ("transformers", "pip install transformers"),
    "videomae": ("transformers", "pip install transformers"),
    "hf-text": ("transformers", "pip install transformers"),
    "baichuan": ("sentencepiece", "pip install 'mer-toolkit[baichuan]'"),
}


@pytest.mark.parametrize("family", list(MODALITY))
def test_a_package_that_is_not_installed(mer: Mer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    package, line = NEEDED[family]
    folder, manifest = shelf(family), shelf.clips()
    monkeypatch.setitem(sys.modules, package, None)
    mer(*extract_line(family, folder, manifest)).refuses(
        3, f"{family} needs {package}, which is not installed", f"Run: {line}"
    )


class Broken(MetaPathFinder):
    """Packages that are there and cannot be imported, as a torchvision that was built for another torch."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find_spec(self, name: str, *rest: Any) -> None:
        if name in self.names:
            raise RuntimeError("operator torchvision::nms does not exist")


@pytest.fixture
def no_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
        monkeypatch.delitem(sys.modules, name)
    real = sys.meta_path[:]
    monkeypatch.setattr("mer_core.catalogue._importable", lambda name: True)  # it is installed
    monkeypatch.setattr(sys, "meta_path", [Broken("open_clip"), *real])


@pytest.mark.usefixtures("no_open_clip")
@pytest.mark.parametrize("model", ["", "ViT-B-32:laion2b_e16"])
def test_open_clip_that_cannot_be_imported(mer: Mer, shelf: Shelf, model: str) -> None:
    line = extract_line("clip", model or shelf("clip"), shelf.clips())
    mer(*line).refuses(3, "open_clip cannot be imported: operator torchvision::nms does not exist", "Run: mer doctor")


def test_a_torchvision_for_another_torch_is_no_fault_of_the_checkpoint(
    mer: Mer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = shelf("videomae")

    class Refused:
        def from_pretrained(*args: Any, **more: Any) -> None:
            raise RuntimeError("Failed to import transformers.models.vit: operator torchvision::nms does not exist")

    monkeypatch.setattr(transformers, "AutoImageProcessor", Refused)
    mer(*extract_line("videomae", folder, shelf.clips())).refuses(
        3, "transformers cannot prepare pictures here", "torchvision::nms", "Run: mer doctor"
    )


def test_a_revision_is_of_one_repository(mer: Mer) -> None:
    said = mer("weights", "fetch", "roberta-base", "roberta-large", "--revision", "abc", "--yes")
    said.refuses(2, "--revision abc is of one repository, and 2 are named")


def test_a_preset_is_verified_as_all_that_it_loads(mer: Mer) -> None:
    mer("weights", "verify", "standard-zh").refuses(3, "chinese-hubert-large", "mer weights fetch")
