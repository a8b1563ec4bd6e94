"""Models that come with code of their own: it is run only of those that the user names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from text_models import SIZE, said, save, wordpieces, write
from transformers import BertConfig, BertModel

from mer_core.plugin import Features, PluginError
from mer_core.weights_hub import _patterns
from mer_plugins.text.transformer import HfText
from mer_plugins.text.transformer_options import HfTextOptions
from mer_plugins.trust import VARIABLE, own_code, trusted

MODEL = """
from pathlib import Path
from transformers import BertConfig, BertModel

Path(__file__).with_name("ran").touch()

class ToyConfig(BertConfig):
    model_type = "toy-encoder"

class ToyModel(BertModel):
    config_class = ToyConfig
"""
MAP = {"AutoConfig": "modeling_toy.ToyConfig", "AutoModel": "modeling_toy.ToyModel"}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where transformers copies a model's code to before it imports it."""
    place = tmp_path / "modules"
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(place))
    monkeypatch.syspath_prepend(str(place))
    return place


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    folder = tmp_path / "bert"
    size = wordpieces(folder)
    torch.manual_seed(0)
    return save(folder, BertModel(BertConfig(vocab_size=size, max_position_embeddings=64, **SIZE)).eval())


def as_toy(bert: Path, code: str = MODEL) -> Path:
    """The same weights as a model that transformers has no class for."""
    import json
    import shutil

    folder = bert.with_name("toy")
    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "toy-encoder", "auto_map": MAP}
    write(folder, {"config.json": config, "modeling_toy.py": code})
    return folder


def features(folder: Path) -> np.ndarray:
    (found,) = HfText(HfTextOptions(model=str(folder)), "cpu").extract([said("how dare you")])
    assert isinstance(found, Features)
    return found.values


def ran(folder: Path, modules: Path) -> bool:
    return (folder / "ran").exists() or any(modules.rglob("ran"))


def test_code_is_not_run_unless_the_model_is_named(bert: Path, modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = as_toy(bert)
    monkeypatch.setenv(VARIABLE, "another/model")
    with pytest.raises(PluginError, match=r"code of its own \(modeling_toy.py\)") as error:
        features(toy)
    assert f"{VARIABLE}={toy}" in str(error.value.hint)
    assert not ran(toy, modules)


def test_a_named_model_gives_what_its_code_computes(bert: Path, modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = as_toy(bert)
    plain = HfTextOptions(model=str(toy)).fingerprint()
    monkeypatch.setenv(VARIABLE, f"another/model, {toy}")
    np.testing.assert_array_equal(features(toy), features(bert))
    assert ran(toy, modules)
    assert HfTextOptions(model=str(toy)).fingerprint() != plain


def test_code_that_breaks_is_told(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = as_toy(bert, "import no_such_package_at_all\n" + MODEL)
    monkeypatch.setenv(VARIABLE, str(toy))
    with pytest.raises(PluginError, match="no_such_package_at_all"):
        features(toy)


def test_what_the_configuration_points_to() -> None:
    assert own_code({"auto_map": MAP}) == ("modeling_toy.py",)
    assert own_code({"auto_map": {"AutoModel": "owner/name--modeling.M"}}) == ("owner/name--modeling.py",)
    assert own_code({}) == own_code({"auto_map": None}) == ()


def test_names_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "owner/name,")
    assert trusted("owner/name")
    assert not trusted("owner/name-2")
    assert not trusted("")


def test_code_is_fetched_with_the_weights() -> None:
    assert "*.py" in _patterns(["config.json", "modeling_toy.py", "model.safetensors"])
