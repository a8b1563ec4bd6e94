"""Weights that are not here, of another architecture or without their JSON files: one clear line, by the command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from checkpoints import MODALITY, Mer, Said, Shelf, extract_line

from mer_plugins.image.weights import VISION
from mer_plugins.text.weights import ENCODERS

FAMILIES = list(MODALITY)
DEFAULTS = {
    "hubert": "chinese-hubert-large",
    "whisper": "whisper-large-v3",
    "emotion2vec": "emotion2vec-base",
    "clip": "clip-vit-large-patch14",
    "hf-vision": "dinov2-large",
    "videomae": "videomae-base",
    "hf-text": "chinese-roberta-wwm-ext-large",
    "baichuan": "baichuan-13b-base",
}
DINOV2 = next(one.revision for one in VISION if one.name == "dinov2-base")
ELECTRA = next(one for one in ENCODERS if one.name == "electra-large-discriminator")


@pytest.fixture
def mer(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mer:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("COLUMNS", "1000")
    return Mer(capsys)


def refused(said: Said, code: int, *parts: str) -> None:
    said.refuses(code, *parts)


# weights that are not here


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_that_are_not_here_come_with_the_command(mer: Mer, shelf: Shelf, family: str, tmp_path: Path) -> None:
    line = extract_line(family, DEFAULTS[family], shelf.clips())
    refused(mer(*line), 3, f"Run: mer weights fetch {DEFAULTS[family]}", f"looked in {tmp_path / 'hf' / 'hub'}")
    (tmp_path / "w").mkdir()
    place = tmp_path / "w" / DEFAULTS[family]
    refused(
        mer(*line, "--weights-dir", str(tmp_path / "w")),
        3,
        f"looked in {place} and {tmp_path / 'hf' / 'hub'}",
        f"Run: mer weights fetch {DEFAULTS[family]}, or copy them to {place}",
    )


@pytest.mark.parametrize("family", ["hubert", "clip", "baichuan"])
def test_another_revision_of_weights_is_not_here(mer: Mer, shelf: Shelf, family: str, tmp_path: Path) -> None:
    (tmp_path / "w" / DEFAULTS[family]).mkdir(parents=True)  # a folder says nothing of revisions
    line = extract_line(family, DEFAULTS[family], shelf.clips(), "-o", f"{family}.revision=v2")
    refused(
        mer(*line, "--weights-dir", str(tmp_path / "w")),
        3,
        "not on this machine in revision v2",
        f"Run: mer weights fetch {DEFAULTS[family]} --revision v2",
    )


def test_hub_ids_paths_and_names_that_are_wrong(mer: Mer, shelf: Shelf) -> None:
    def said(model: str, *more: str) -> Said:
        return mer(*extract_line("hf-text", model, shelf.clips(), *more))

    refused(said("nobody/nothing"), 3, "Run: mer weights fetch nobody/nothing")
    refused(said("/gone/model"), 2, "there is no folder or file /gone/model")
    refused(said("chinese-mcbert-base"), 2, "no such name", "chinese-macbert-base", "mer weights list")
    own = shelf("hf-text")
    refused(said(str(own), "-o", "hf-text.revision=v2"), 2, f"{own} is on this machine", "Leave out revision")


def cached(repo: str, files: tuple[str, ...], commit: str) -> Path:
    """A repository in the hub's cache at one commit, where main is."""
    top = Path(os.environ["HF_HOME"]) / "hub" / f"models--{repo.replace('/', '--')}"
    (top / "refs").mkdir(parents=True)
    (top / "refs" / "main").write_text(commit)
    snapshot = top / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name in files:
        (snapshot / name).write_text("{}")
    return snapshot


def test_a_broken_off_download_says_what_is_missing(mer: Mer, shelf: Shelf) -> None:
    cached("facebook/dinov2-base", ("config.json", "preprocessor_config.json"), DINOV2)
    line = extract_line("hf-vision", "dinov2-base", shelf.clips())
    refused(mer(*line), 3, "model.safetensors is missing; looked in", "Run: mer weights fetch dinov2-base")


@pytest.mark.parametrize("shards", [False, True])
def test_a_broken_off_download_of_files_that_no_spec_lists(mer: Mer, shards: bool) -> None:
    """Of a text model: its settings came first, and of its weights nothing or one shard of two."""
    names = ("config.json", "model.safetensors.index.json", "a.safetensors") if shards else ("config.json",)
    snapshot = cached(ELECTRA.repo, names, ELECTRA.revision)
    if shards:
        index = {"weight_map": {"one": "a.safetensors", "two": "b.safetensors"}}
        (snapshot / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    what = "its config.json is there, and not all of its weights; looked in"
    refused(mer("weights", "path", ELECTRA.repo), 3, what, "Run: mer weights fetch electra-large-discriminator")
    (snapshot / ("b.safetensors" if shards else "pytorch_model.bin")).write_bytes(b"weights")
    assert mer("weights", "path", ELECTRA.repo).code == 0


def test_damaged_weights_from_the_hub_come_with_the_command_that_replaces_them(mer: Mer, shelf: Shelf) -> None:
    files = ("config.json", "preprocessor_config.json", "model.safetensors")
    snapshot = cached("facebook/dinov2-base", files, DINOV2)
    for name in files:
        (snapshot / name).write_bytes((shelf("hf-vision") / name).read_bytes()[: 4000 if "model" in name else None])
    refused(
        mer(*extract_line("hf-vision", "dinov2-base", shelf.clips())),
        2,
        f"{snapshot / 'model.safetensors'} is cut short",
        f"Run: mer weights fetch facebook/dinov2-base --revision {DINOV2} --again",
    )


# fetching


def test_fetching_without_a_network(mer: Mer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = mer("weights", "fetch", "dinov2-base", "--yes")
    refused(said, 3, "facebook/dinov2-base could not be fetched: offline mode is on (HF_HUB_OFFLINE).", "MER_WEIGHTS")
    refused(mer("weights", "fetch", "dinov2-bose", "--yes"), 2, "dinov2-base")


def answered(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None, folder: Path | None = None) -> list[dict]:
    """The hub raises ``error``, or gives ``folder``."""
    asked = []

    def download(repo: str, **how: object) -> str:
        asked.append({"repo": repo, **how})
        if error is not None:
            raise error
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(siblings=()))
    return asked


def unreachable(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The hub is a mirror that does not answer; what would have been downloaded."""

    def lost(*_: object, **__: object) -> None:
        raise UnanswerableError("Name or service not known")

    asked = answered(monkeypatch)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lost)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://mirror.example")
    return asked


class UnanswerableError(Exception):
    """As the hub's client raises it: no OSError."""


def test_a_hub_that_does_not_answer_is_asked_once(mer: Mer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = unreachable(monkeypatch)
    said = mer("weights", "fetch", "dinov2-base", "--yes")
    refused(said, 3, "could not be fetched: https://mirror.example does not answer (Name or service not known).")
    refused(said, 3, "HF_ENDPOINT", "MER_WEIGHTS")
    assert asked == []
    assert len(said.err.splitlines()) <= 2, said.err


def test_what_is_here_needs_no_hub_unless_it_is_wanted_again(mer: Mer, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable(monkeypatch)
    snapshot = cached("facebook/dinov2-base", ("config.json", "preprocessor_config.json", "model.safetensors"), DINOV2)
    assert mer("weights", "fetch", "dinov2-base", "--yes").out.strip() == str(snapshot)
    refused(mer("weights", "fetch", "dinov2-base", "--yes", "--again"), 3, "does not answer")


def hub_error(name: str) -> Exception:
    from huggingface_hub import errors

    cls = getattr(errors, name)
    error: Exception = cls.__new__(cls, "no")  # its constructor wants the response of whatever client the hub's uses
    return error


@pytest.mark.parametrize(
    ("name", "revision", "parts"),
    [
        ("RevisionNotFoundError", "v9", ("facebook/dinov2-base has no revision 'v9'", "Leave out --revision")),
        ("RevisionNotFoundError", "", (f"has no revision '{DINOV2}'", "--revision main")),
        ("RepositoryNotFoundError", "", ("the hub has no repository facebook/dinov2-base",)),
        ("GatedRepoError", "", ("only to users who accept its licence", "hf auth login")),
    ],
)
def test_what_the_hub_refuses(
    mer: Mer, monkeypatch: pytest.MonkeyPatch, name: str, revision: str, parts: tuple[str, ...]
) -> None:
    answered(monkeypatch, hub_error(name))
    more = ["--revision", revision] if revision else []
    refused(mer("weights", "fetch", "dinov2-base", "--yes", *more), 3, *parts)


def test_a_repository_without_the_promised_file(mer: Mer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    asked = answered(monkeypatch, folder=tmp_path)
    said = mer("weights", "fetch", "dinov2-base", "--yes", "--again")
    refused(said, 3, f"has no preprocessor_config.json, model.safetensors in revision '{DINOV2}'")
    assert asked[0]["force_download"] is True


def test_a_disk_that_fills_while_fetching(mer: Mer, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError(28, "No space left on device"), RuntimeError("Data error: No space left on device (os 28)")):
        answered(monkeypatch, error)
        refused(mer("weights", "fetch", "dinov2-base", "--yes"), 3, "the disk is full: facebook/dinov2-base", "HF_HOME")


# other architectures

FOREIGN = [
    ("hubert", "hf-text", "holds a bert, not a hubert", "Name weights of a hubert"),
    ("hubert", "whisper", "holds a whisper, not a hubert", "Use the extractor whisper"),
    ("whisper", "hubert", "holds a hubert, not a whisper", "Use the extractor hubert"),
    ("emotion2vec", "hubert", "model.safetensors holds no emotion2vec", "name other weights"),
    ("clip", "hf-vision", "holds a vit, not a CLIP", "hf-vision"),
    ("clip", "emotion2vec", "it has no config.json", "a checkpoint of CLIP"),
    ("hf-vision", "hf-text", "holds a bert, which reads text, not pictures", "Use the extractor hf-text"),
    ("hf-vision", "videomae", "holds a videomae, which reads several frames", "Use the extractor videomae"),
    ("videomae", "hf-vision", "holds a vit, not a videomae", "Name weights of a videomae"),
    ("hf-text", "hubert", "holds a hubert, which reads sound, not text", "Use the extractor hubert"),
    ("hf-text", "clip", "holds a clip, which reads pictures and text", "Use the extractor clip"),
    ("hf-text", "baichuan", "holds a baichuan; transformers", "Use the extractor baichuan"),
    ("baichuan", "hf-text", "holds a bert, not a baichuan", "Name weights of a baichuan"),
    ("baichuan", "emotion2vec", "config.json is missing", "Name the folder"),
]


@pytest.mark.parametrize(("family", "other", "what", "remedy"), FOREIGN)
def test_a_checkpoint_of_another_architecture(
    mer: Mer, shelf: Shelf, family: str, other: str, what: str, remedy: str
) -> None:
    refused(mer(*extract_line(family, shelf(other), shelf.clips())), 2, str(shelf(other)), what, remedy)


# files beside the weights

BESIDE = [
    *((family, "config.json") for family in FAMILIES if family != "emotion2vec"),
    *((family, "preprocessor_config.json") for family in ("hubert", "whisper", "clip", "hf-vision", "videomae")),
    ("hf-text", "vocab.txt"),
    ("baichuan", "tokenizer.model"),
]


@pytest.mark.parametrize(("family", "name"), BESIDE)
def test_a_file_beside_the_weights_is_missing_or_damaged(
    mer: Mer, shelf: Shelf, tmp_path: Path, family: str, name: str
) -> None:
    folder = shelf.copy(family, tmp_path)
    line = extract_line(family, folder, shelf.clips())
    (folder / name).write_text('{"a": ')
    refused(mer(*line), 2, str(folder), "cannot be read", "" if "vocab" in name else name)
    (folder / name).unlink()
    refused(mer(*line), 2, str(folder), "tokens, the model 47" if "vocab" in name else name)


@pytest.mark.parametrize("family", ["clip", "hf-vision", "videomae"])
def test_pictures_of_another_size_than_the_model_takes(mer: Mer, shelf: Shelf, tmp_path: Path, family: str) -> None:
    folder = shelf.copy(family, tmp_path)
    (folder / "preprocessor_config.json").write_text("{}")
    refused(mer(*extract_line(family, folder, shelf.clips())), 2, "224 x 224 pixels", "preprocessor_config.json there")
