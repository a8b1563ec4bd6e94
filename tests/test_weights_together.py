"""All weights that a run needs and that are not here are told at once, with one command that fetches them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mer_core.configure import make_config
from mer_core.errors import MissingWeightsError
from mer_core.plugin import Weights
from mer_core.registry import discover
from mer_core.weights import AbsentWeights, absent_together, hub_cache
from mer_core.workflows.jobs import build_jobs

TWO = Weights(name="two", repo="lab/two", bytes=2_000_000_000, licence="MIT")
UNSIZED = Weights(name="unsized", repo="lab/unsized")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def refused(**choices: Any) -> MissingWeightsError:
    """What building the jobs of such a run says."""
    catalogue = discover()
    with pytest.raises(MissingWeightsError) as caught:
        build_jobs(make_config(catalogue, device="cpu", **choices), catalogue)
    return caught.value


def test_extractors_and_derivers_come_in_one_list_with_their_sizes() -> None:
    chosen = {"speech": "wavlm", "image": "hf-vision", "text": "hf-text"}
    found = refused(extractors=chosen, modalities=list(chosen), derivers={"faces": "yunet"})
    assert found.message == (
        "4 weights (3.8 GB in all) are not on this machine: wavlm-large (1.3 GB, licence CC-BY-SA-3.0), "
        "chinese-roberta-wwm-ext-large (1.3 GB, licence Apache-2.0), dinov2-large (1.2 GB, licence Apache-2.0), "
        f"yunet (232.6 kB, licence MIT); looked in {hub_cache()}."
    )
    assert found.hint == "Run: mer weights fetch wavlm-large chinese-roberta-wwm-ext-large dinov2-large yunet"
    assert found.exit_code == 3


def test_what_writes_texts_down_is_among_them() -> None:
    found = refused(extractors={"text": "hf-text"}, modalities=["text"], transcribe=True)
    assert "chinese-roberta-wwm-ext-large whisper-large-v3-turbo" in found.hint


def test_one_alone_is_told_as_ever_and_so_are_two_streams_of_one() -> None:
    once = refused(extractors={"text": "hf-text"}, modalities=["text"])
    assert once.message.startswith("the weights chinese-roberta-wwm-ext-large (")
    twice = refused(extractors={"image": "clip", "video": "clip-video"}, modalities=["image", "video"])
    assert twice.hint == "Run: mer weights fetch clip-vit-large-patch14"


def test_a_preset_is_fetched_by_its_name_only_if_that_is_what_is_missing() -> None:
    assert refused(preset="standard-zh").hint == "Run: mer weights fetch standard-zh"
    other = refused(preset="standard-zh", options=["hubert.model=chinese-hubert-base"]).hint
    assert other.startswith("Run: mer weights fetch chinese-hubert-base ")
    fewer = refused(preset="standard-zh", modalities=["speech", "text"]).hint
    assert fewer == "Run: mer weights fetch chinese-hubert-large chinese-roberta-wwm-ext-large"


def test_other_revisions_have_a_command_of_their_own() -> None:
    chosen = {"speech": "wavlm", "text": "hf-text"}
    found = refused(extractors=chosen, modalities=list(chosen), options=["hf-text.revision=v2"])
    assert "chinese-roberta-wwm-ext-large (1.3 GB, licence Apache-2.0) in revision v2" in found.message
    assert found.hint == (
        "Run: mer weights fetch wavlm-large && mer weights fetch chinese-roberta-wwm-ext-large --revision v2"
    )


def test_what_has_no_size_spoils_the_sum_and_prepared_folders_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_WEIGHTS", str(tmp_path))
    found = absent_together([AbsentWeights(TWO), AbsentWeights(UNSIZED), AbsentWeights(TWO)])
    assert found.message == (
        "2 weights are not on this machine: two (2.0 GB, licence MIT), unsized; "
        f"looked in {tmp_path} and {hub_cache()}."
    )
    assert found.hint == f"Run: mer weights fetch two unsized, or copy each to a folder of its name in {tmp_path}"


def test_errors_that_plugins_word_themselves_are_kept() -> None:
    own = MissingWeightsError("the lab's weights are not here.", "Ask the lab.")
    found = absent_together([AbsentWeights(UNSIZED), own])
    assert found.message.endswith("the lab's weights are not here.")
    assert found.hint == "Run: mer weights fetch unsized; Ask the lab."
