"""Files of weights that are cut short, fake, full of code or NaN, missing or misshapen: the file is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import MODALITY, WEIGHTS, Mer, Shelf, cut_short, extract_line, filled
from safetensors.torch import load_file, save_file

from mer_plugins.damage import fault

FAMILIES = list(MODALITY)
SAFE = [family for family in FAMILIES if WEIGHTS[family].endswith("safetensors")]
ONE_FILE = [family for family in SAFE if family != "baichuan"]

FAKES = {
    "is empty": b"",
    "is a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1260000000\n",
    "is a web page": b"\n<!DOCTYPE html><html><body>403 Forbidden</body></html>",
}


@pytest.fixture
def mer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mer:
    monkeypatch.setenv("COLUMNS", "1000")
    return Mer(capsys)


def pickled(folder: Path) -> Path:
    """The weights of ``folder`` as torch's pickle instead."""
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(held, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


class Nasty:
    """What an attacker pickles."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("open('pwned', 'w')",)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_that_is_cut_short(mer: Mer, shelf: Shelf, tmp_path: Path, family: str) -> None:
    file = shelf.copy(family, tmp_path) / WEIGHTS[family]
    cut_short(file)
    mer(*extract_line(family, file.parent, shelf.clips())).refuses(2, f"{file} is cut short", "copy them again")


def test_sizes_that_round_to_the_same_are_told_in_bytes(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"one": torch.zeros(1000)}, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert fault(file) == f"is cut short: {len(whole) - 1:,} of {len(whole):,} bytes are there"
    file.write_bytes(whole[:-900])
    assert fault(file) == "is cut short: 3.2 kB of 4.1 kB are there"


@pytest.mark.parametrize("what", FAKES)
@pytest.mark.parametrize("family", ["emotion2vec", "hf-text", "baichuan"])
def test_a_file_that_is_something_else(mer: Mer, shelf: Shelf, tmp_path: Path, family: str, what: str) -> None:
    file = shelf.copy(family, tmp_path) / WEIGHTS[family]
    file.write_bytes(FAKES[what])
    mer(*extract_line(family, file.parent, shelf.clips())).refuses(2, f"{file} {what}")


@pytest.mark.parametrize("family", FAMILIES)
def test_no_file_of_weights_at_all(mer: Mer, shelf: Shelf, tmp_path: Path, family: str) -> None:
    folder = shelf.copy(family, tmp_path)
    (folder / WEIGHTS[family]).unlink()
    what = f"the shard {WEIGHTS[family]} is missing" if family == "baichuan" else "holds no weights"
    mer(*extract_line(family, folder, shelf.clips())).refuses(2, str(folder), what)


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_that_are_none(mer: Mer, shelf: Shelf, tmp_path: Path, family: str) -> None:
    folder = shelf.copy(family, tmp_path)
    filled(folder / WEIGHTS[family], float("nan"))
    where = folder if family == "baichuan" else folder / WEIGHTS[family]
    said = mer(*extract_line(family, folder, shelf.clips()))
    said.refuses(2, f"{where} is damaged: the weight ", "holds NaN or infinity")


@pytest.mark.parametrize("family", [*ONE_FILE, "emotion2vec"])
def test_a_pickle_with_code_is_not_run(
    mer: Mer, shelf: Shelf, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shelf.copy(family, tmp_path)
    file = folder / WEIGHTS[family] if family == "emotion2vec" else pickled(folder)
    torch.save({"a": torch.zeros(2), "b": Nasty()}, file)
    said = mer(*extract_line(family, folder, shelf.clips()))
    said.refuses(2, f"{file} holds code (builtins.eval), and mer reads weights only", "safetensors")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("family", ["hubert", "clip", "hf-text"])
def test_a_pickle_that_is_cut_short(mer: Mer, shelf: Shelf, tmp_path: Path, family: str) -> None:
    file = pickled(shelf.copy(family, tmp_path))
    assert mer(*extract_line(family, file.parent, shelf.clips())).code == 0
    cut_short(file)
    mer(*extract_line(family, file.parent, shelf.clips())).refuses(2, f"{file} is cut short")
    file.write_bytes(b"noise" * 100)
    mer(*extract_line(family, file.parent, shelf.clips())).refuses(2, f"{file} is not a file of torch")


def in_shards(folder: Path) -> Path:
    """The weights of ``folder`` in two shards with an index; the index."""
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(held)
    where = {}
    for number in (1, 2):
        part = {name: held[name] for name in names[number - 1 :: 2]}
        save_file(part, folder / f"model-{number:05}-of-00002.safetensors", metadata={"format": "pt"})
        where |= dict.fromkeys(part, f"model-{number:05}-of-00002.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index


@pytest.mark.parametrize("family", ONE_FILE)
def test_a_damaged_shard_is_named(mer: Mer, shelf: Shelf, tmp_path: Path, family: str) -> None:
    folder = shelf.copy(family, tmp_path)
    index = in_shards(folder)
    line = extract_line(family, folder, shelf.clips())
    assert mer(*line).code == 0
    shard = folder / "model-00002-of-00002.safetensors"
    cut_short(shard)
    mer(*line).refuses(2, f"{shard} is cut short")
    shard.unlink()
    mer(*line).refuses(2, f"{shard} is not there")
    index.write_text("{}")
    mer(*line).refuses(2, f"{index} is no index of shards")


def changed(file: Path, name: str, size: tuple[int, ...] | None) -> str:
    """The first weight whose name has ``name`` in it gets another shape, or goes; its name."""
    held = load_file(file)
    found = next(one for one in held if name in one)
    held.pop(found)
    if size is not None:
        held[found] = torch.zeros(size)
    save_file(held, file, metadata={"format": "pt"})
    return found


@pytest.mark.parametrize("size", [(3, 5), None])
@pytest.mark.parametrize("family", SAFE)
def test_a_weight_of_another_shape_or_none(
    mer: Mer, shelf: Shelf, tmp_path: Path, family: str, size: tuple[int, ...] | None
) -> None:
    folder = shelf.copy(family, tmp_path)
    name = {"baichuan": "o_proj", "clip": "vision_model.encoder.layers.1.mlp.fc1.weight"}.get(family, ".1.")
    changed(folder / WEIGHTS[family], name, size)
    said = mer(*extract_line(family, folder, shelf.clips()))
    said.refuses(
        2, str(folder), "[3, 5]" if size else {"clip": "Missing", "baichuan": "is not there"}.get(family, "1 of")
    )
