"""Presets with options and languages."""

from __future__ import annotations

import pytest

from mer_core.configure import make_config
from mer_core.errors import MissingWeightsError, UsageError
from mer_core.plugin import ExtractorSpec, PresetSpec
from mer_core.registry import discover
from mer_core.workflows.jobs import build_jobs

MODELS = {
    "zh": {"speech:hubert": "chinese-hubert-large", "text:hf-text": "chinese-roberta-wwm-ext-large"},
    "en": {"speech:wavlm": "wavlm-large", "text:hf-text": "roberta-large"},
}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_standard_preset_by_language(language: str) -> None:
    config = make_config(discover(), preset="standard", language=language)
    assert config.preset == f"standard-{language}"
    assert config.modalities == ("speech", "text", "image", "video")
    for stream, model in MODELS[language].items():
        assert config.streams[stream].options["model"] == model
    assert config == make_config(discover(), preset=f"standard-{language}")


def test_options_given_go_before_the_presets() -> None:
    config = make_config(discover(), preset="standard", language="zh", options=["hubert.model=chinese-hubert-base"])
    assert config.streams["speech:hubert"].options["model"] == "chinese-hubert-base"


def test_a_language_is_needed_or_refused() -> None:
    with pytest.raises(UsageError, match=r"'standard' differs by language.*--language en or --language zh"):
        make_config(discover(), preset="standard")
    with pytest.raises(UsageError, match=r"no language 'fr'.*en, zh"):
        make_config(discover(), preset="standard", language="fr")
    with pytest.raises(UsageError, match=r"'lite' has no language 'zh'"):
        make_config(discover(), language="zh")


def test_weights_that_are_not_here_are_named_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    catalogue = discover()
    config = make_config(catalogue, preset="standard", language="zh", device="cpu")
    with pytest.raises(MissingWeightsError) as caught:
        build_jobs(config, catalogue)
    assert caught.value.message.startswith("3 weights (4.3 GB in all) are not on this machine: chinese-hubert-large")
    assert caught.value.hint == "Run: mer weights fetch standard-zh"


@pytest.mark.parametrize("name", [e.spec.name for e in discover().of_kind(PresetSpec) if e.own])
def test_presets_name_plugins_weights_and_options_that_exist(name: str) -> None:
    catalogue = discover()
    preset = catalogue.find(PresetSpec, name)
    for modality, extractors in preset.extractors.items():
        for extractor in extractors:
            spec = catalogue.find(ExtractorSpec, extractor)
            assert spec.modality == modality
            model = preset.extractor_options.get(extractor, {}).get("model")
            assert model is None or model in [weights.name for weights in spec.weights]
    make_config(catalogue, preset=name)
