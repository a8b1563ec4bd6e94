"""``hf-text``: the last four layers of any encoder's own tokens, whatever the family puts around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from text_models import SENTENCES, encoder, said, write

from mer_core.errors import MissingWeightsError, PluginError, UsageError
from mer_core.plugin import Features, Missing
from mer_core.testing import BoundCheck, conformance
from mer_plugins.text.specs import TEXT
from mer_plugins.text.transformer import HfText
from mer_plugins.text.transformer_options import HfTextOptions
from mer_plugins.text.windows import batches, windows

FAMILIES = ("bert", "roberta", "electra", "xlnet")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny checkpoint of a family, written once."""
    top = tmp_path_factory.mktemp("encoders")

    def made(family: str) -> Path:
        if family == "xlnet":
            pytest.importorskip("sentencepiece")
        return top / family if (top / family).exists() else encoder(top / family, family)

    return made


def make(folder: Path, **options: Any) -> HfText:
    return HfText(HfTextOptions(model=str(folder), **options), "cpu")


def features(extractor: HfText, *contents: str) -> list[Any]:
    return extractor.extract([said(content) for content in contents])


def reference(folder: Path, text: str, side: str = "right", length: int = 0) -> Any:
    """The baseline's recipe by transformers alone: tokens, last four states summed, special tokens off."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    padding = {"padding": "max_length", "max_length": length} if length else {}
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=True, **padding)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**inputs, output_hidden_states=True).hidden_states
    own = [int(number) not in special for number in inputs["input_ids"][0]]
    return torch.stack(states[-4:]).sum(0)[0].numpy()[own]


@pytest.mark.parametrize("family", FAMILIES)
def test_5_3_features_are_those_of_transformers(folder: Any, family: str) -> None:
    """Of all families (5.5): the sum of the last four hidden states of the text's own tokens."""
    extractor = make(folder(family))
    short = [sentence[:15] for sentence in SENTENCES]
    for text, found in zip(short, features(extractor, *short), strict=True):
        np.testing.assert_allclose(found.values, reference(folder(family), text), atol=2e-5)
        assert found.times.tolist() == list(range(len(found.values)))
    assert extractor.dim == 24


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_alone_and_in_a_batch(folder: Any, family: str) -> None:
    extractor = make(folder(family))
    together = features(extractor, *SENTENCES)
    for text, found in zip(SENTENCES, together, strict=True):
        np.testing.assert_allclose(features(extractor, text)[0].values, found.values, atol=1e-5)
    small = features(make(folder(family), batch_tokens=30), *SENTENCES)
    for one, other in zip(small, together, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)


FRAMES = {
    "bert": ((2,), (3,), (0, 0, 0)),
    "electra": ((2,), (3,), (0, 0, 0)),
    "roberta": ((0,), (2,), (0, 0, 0)),
    "xlnet": ((), (4, 3), (0, 0, 2)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_5_5_special_tokens_are_found_where_the_family_puts_them(folder: Any, family: str) -> None:
    """XLNet has its special tokens at the end, the last of segment 2."""
    frame = make(folder(family)).tokens.frame
    assert (frame.before, frame.after, frame.segments) == FRAMES[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_5_5_the_last_hidden_state_is_what_the_model_gives(folder: Any, family: str) -> None:
    """In every version: of these families no norm comes behind the last layer."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder(family)).eval()
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([[7, 8, 9]]), output_hidden_states=True)
    assert len(output.hidden_states) == 6
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)


def test_5_5_chinese_roberta_is_a_bert(tmp_path: Path) -> None:
    """Whatever it is called, its config says bert."""
    extractor = make(encoder(tmp_path / "chinese-roberta-wwm-ext", "bert"))
    assert type(extractor.model).__name__ == "BertModel"


def test_5_5_xlnet_padded_on_the_left_gives_the_same(folder: Any) -> None:
    """Its tokenizer pads on the left, the extractor on the right: with relative positions that is one."""
    found = features(make(folder("xlnet")), *SENTENCES)
    left = reference(folder("xlnet"), SENTENCES[3], side="left", length=40)
    np.testing.assert_allclose(found[3].values, left, atol=2e-5)


def test_unknown_words_keep_their_place(folder: Any) -> None:
    found = features(make(folder("bert")), "今天☃太好", "今天太好")
    assert [len(one.values) for one in found] == [5, 4]


def test_5_3_fewer_layers_and_their_mean(folder: Any) -> None:
    text = SENTENCES[1]
    whole, mean = (features(make(folder("bert"), combine=how), text)[0].values for how in ("sum", "mean"))
    np.testing.assert_allclose(whole, 4 * mean, rtol=1e-5, atol=1e-6)
    last = features(make(folder("bert"), layers=1), text)[0].values
    np.testing.assert_allclose(last.mean(axis=1), 0, atol=1e-5)  # what left a layer norm
    with pytest.raises(PluginError, match="has 5 hidden layers; 9 were asked for"):
        make(folder("bert"), layers=9)


def test_positions_of_roberta_begin_after_the_padding(folder: Any) -> None:
    """66 positions are 64 tokens, two of them special; BERT's 64 are 64."""
    long = "dog " * 100
    for family in ("roberta", "bert"):
        extractor = make(folder(family))
        assert extractor._window == 62
        found = features(extractor, long)[0].values
        assert np.isfinite(found).all()
        assert len(found) == len(extractor.tokens(long)) > 64
    with pytest.raises(PluginError, match="takes 62 tokens at once"):
        make(folder("bert"), window=63)


def test_long_texts_are_read_in_windows_that_overlap(folder: Any) -> None:
    extractor = make(folder("bert"), window=16)
    text = SENTENCES[0]
    found, tokens = features(extractor, text)[0].values, extractor.tokens(text)
    assert len(found) == len(tokens) == 27
    parts = windows(27, 16)
    whole = make(folder("bert"))
    for part in parts:
        part_text = "".join(list(text)[part.start : part.stop])
        alone = features(whole, part_text)[0].values
        np.testing.assert_allclose(found[part.first : part.last], alone[part.used], atol=1e-5)
    np.testing.assert_allclose(
        features(make(folder("bert"), window=27), text)[0].values, features(whole, text)[0].values
    )


@pytest.mark.parametrize("causal", [False, True])
def test_windows_cover_every_token_once(causal: bool) -> None:
    for count in (1, 7, 8, 9, 14, 15, 60, 61, 1000):
        for size in (1, 2, 8, 12):
            parts = windows(count, size, causal)
            covered = [token for part in parts for token in range(part.first, part.last)]
            assert covered == list(range(count))
            assert all(part.start <= part.first and part.last <= part.stop <= count for part in parts)
            assert all(len(part) == min(size, count) for part in parts)
    assert [part.first - part.start for part in windows(26, 8, causal)] == ([0, 2, 2, 2] if causal else [0, 1, 1, 1])


def test_batches_by_length() -> None:
    assert batches([3, 10, 4, 2, 30], 11) == [[4], [1], [2, 0], [3]]
    assert batches([], 5) == []


@pytest.mark.parametrize("content", ["", " \n\t"])
def test_5_3_text_without_tokens_is_missing(folder: Any, content: str) -> None:
    found = features(make(folder("bert")), content, "今天", "……")
    assert found[0] == Missing("no tokens")
    assert [type(one) for one in found[1:]] == [Features, Features]


def test_a_pickled_checkpoint_is_read_as_the_same(folder: Any, tmp_path: Path) -> None:
    pickled = encoder(tmp_path / "bin", "bert", safe=False)
    assert not list(pickled.glob("*.safetensors"))
    one, other = (features(make(place), SENTENCES[1])[0].values for place in (folder("bert"), pickled))
    np.testing.assert_array_equal(one, other)


def test_a_pickle_with_code_in_it_is_refused(folder: Any, tmp_path: Path) -> None:
    pickled = encoder(tmp_path / "bin", "bert", safe=False)
    torch.save({"bert.evil": print}, pickled / "pytorch_model.bin")
    with pytest.raises(PluginError, match="holds code"):
        make(pickled)


def test_5_5_transformer_xl_is_refused_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, {"config.json": {"model_type": "transfo-xl"}})
    with pytest.raises(PluginError, match="transformers 5 has no code for any more") as caught:
        make(tmp_path)
    assert "xlnet" in caught.value.hint


def test_weights_that_are_not_what_they_should_be(folder: Any, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"config\.json is missing"):
        make(tmp_path)
    other = encoder(tmp_path / "other", "bert")
    config = json.loads((other / "config.json").read_text())
    write(other, {"config.json": {**config, "model_type": "electra"}})
    with pytest.raises(PluginError, match="another architecture"):
        make(other)
    corrupt = encoder(tmp_path / "corrupt", "bert")
    weights = corrupt / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(PluginError, match="is cut short"):
        make(corrupt)
    (other / "vocab.txt").unlink()
    write(other, {"config.json": config})
    with pytest.raises(PluginError, match=r"tokenizer has \d tokens, the model 4\d"):
        make(other)


def test_weights_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(MissingWeightsError) as caught:
        HfText(HfTextOptions(), "cpu")
    assert caught.value.hint == "Run: mer weights fetch chinese-roberta-wwm-ext-large"
    with pytest.raises(UsageError, match="no weights 'roberta-lage'"):
        make(Path("roberta-lage"))


def test_5_5_known_weights_are_the_published_ones() -> None:
    """Sizes of the published encoders by their configurations, computed without any memory."""
    from transformers import BertConfig, BertModel

    spec = next(one for one in TEXT if one.name == "hf-text")
    known = {one.name: one for one in spec.weights}
    assert spec.weights[0].repo == "hfl/chinese-roberta-wwm-ext-large"
    assert known["roberta-large"].dim == 1024
    size = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    with torch.device("meta"):
        model = BertModel(BertConfig(vocab_size=21128, **size), add_pooling_layer=False)
    assert sum(one.numel() for one in model.parameters()) == known["chinese-macbert-large"].parameters


def test_what_counts_for_stored_features(folder: Any, tmp_path: Path) -> None:
    one = HfTextOptions(model=str(folder("bert")), batch_tokens=7)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder("bert").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert one.fingerprint() == HfTextOptions(model=str(copy)).fingerprint()
    assert one.fingerprint()["batch_tokens"] is None


@conformance("hf-text")
def test_contract(check: BoundCheck, folder: Any) -> None:
    check(options={"model": str(folder("bert"))})
