"""Weights are found where they are: a path, a folder of prepared weights, the hub's cache. Nothing is downloaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mer_core.errors import EnvironmentProblem, MissingWeightsError, UsageError
from mer_core.plugin import Weights, content_digest
from mer_core.weights import find, hub_cache, is_here, locate, readable_size
from mer_core.weights_hub import bytes_to_fetch, fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KNOWN = (
    Weights(
        name="tiny",
        repo="lab/tiny-encoder",
        files=("config.json", "model.safetensors"),
        bytes=1_260_000_000,
        licence="MIT",
    ),
)


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def cached(names: tuple[str, ...] = KNOWN[0].files, revision: str = "main") -> Path:
    """The hub's cache as its own client writes it: refs, and a snapshot per commit."""
    top = hub_cache() / "models--lab--tiny-encoder"
    snapshot = top / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (top / "refs").mkdir()
    (top / "refs" / revision).write_text(COMMIT)
    for name in names:
        (snapshot / name).write_text(name)
    return snapshot


def test_a_path_is_taken_as_it_is_and_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    found = locate(str(tmp_path / "mine"), KNOWN)
    assert found.path == (tmp_path / "mine").resolve()
    assert found.identity == f"sha256:{content_digest(tmp_path / 'mine')}"


def test_a_name_and_a_hub_id_are_found_in_the_hubs_cache() -> None:
    snapshot = cached()
    for reference in ("tiny", "lab/tiny-encoder"):
        found = locate(reference, KNOWN)
        assert (found.path, found.identity) == (snapshot, f"lab/tiny-encoder@{COMMIT}")
    assert locate("tiny", KNOWN, revision=COMMIT).path == snapshot
    assert is_here(KNOWN[0]) == snapshot


def test_a_half_fetched_snapshot_is_not_there() -> None:
    cached(("config.json",))
    with pytest.raises(MissingWeightsError):
        locate("tiny", KNOWN)
    assert is_here(KNOWN[0]) is None
    with pytest.raises(MissingWeightsError, match=r"its config\.json is there, and not all of its weights"):
        locate("lab/tiny-encoder")
    (hub_cache() / "models--lab--tiny-encoder" / "snapshots" / COMMIT / "pytorch_model.bin").write_text("weights")
    assert locate("lab/tiny-encoder").identity.endswith(COMMIT)


def test_what_is_not_here_names_size_licence_and_the_command() -> None:
    with pytest.raises(MissingWeightsError) as caught:
        locate("tiny", KNOWN)
    assert caught.value.message == (
        f"the weights tiny (1.3 GB, licence MIT) are not on this machine: looked in {hub_cache()}."
    )
    assert caught.value.hint == "Run: mer weights fetch tiny"
    assert caught.value.exit_code == 3
    with pytest.raises(MissingWeightsError, match="mer weights fetch tiny --revision v2"):
        locate("tiny", KNOWN, revision="v2")


@pytest.mark.parametrize("folder", ["tiny", "lab--tiny-encoder"])
def test_a_folder_of_prepared_weights_goes_first(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached()
    (tmp_path / "w" / folder).mkdir(parents=True)
    (tmp_path / "w" / folder / "config.json").write_text("{}")
    monkeypatch.setenv("MER_WEIGHTS", str(tmp_path / "w"))
    assert locate("tiny", KNOWN).path == tmp_path / "w" / folder


def test_the_caches_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_cache() == tmp_path / "hf" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert hub_cache() == tmp_path / "elsewhere"


def test_what_is_neither_path_nor_name_nor_id_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no weights 'tny'.*one of: tiny"):
        find("tny", KNOWN)
    with pytest.raises(UsageError, match="no such path"):
        find("./gone/model", KNOWN)


def test_without_a_network_fetching_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentProblem, match="could not be fetched") as caught:
        fetch(KNOWN[0])
    assert "MER_WEIGHTS" in caught.value.hint


@pytest.mark.parametrize(("count", "said"), [(0, "0 bytes"), (4_000, "4.0 kB"), (98_000_000, "98.0 MB")])
def test_sizes_are_readable(count: int, said: str) -> None:
    assert readable_size(count) == said


def test_the_hub_is_asked_for_a_size_that_no_spec_states(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"config.json": 700, "vocab.txt": 300, "model.safetensors": 9_000, "pytorch_model.bin": 9_000, "a.md": 50}
    asked = []

    def told(_: Any, repo: str, **more: Any) -> Any:
        asked.append((repo, more["revision"]))
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in files.items()])

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", told)
    some = Weights(name="some", repo="lab/some", files=("config.json", "model.safetensors"))
    assert bytes_to_fetch(replace(some, bytes=5)) == 5
    assert asked == []
    assert bytes_to_fetch(some) == 9_700
    assert bytes_to_fetch(replace(some, files=(), bytes=5), "v2") == 10_000
    assert asked == [("lab/some", "main"), ("lab/some", "v2")]
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: 1 / 0)
    assert bytes_to_fetch(some) == 0
