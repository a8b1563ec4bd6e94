"""``baichuan``: its own decoder against another source, layer streaming, and the engine that drives it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from text_models import SENTENCES, said, sentencepieces, write

from mer_core.engine import EngineSettings, ExtractorJob, extract
from mer_core.errors import EnvironmentProblem, MissingWeightsError, PluginError
from mer_core.plugin import Clip, Features, Missing
from mer_core.spec import digest
from mer_core.store import FeatureStore
from mer_core.testing import BoundCheck, conformance
from mer_plugins.text.alibi import bias, slopes
from mer_plugins.text.baichuan_options import BaichuanOptions
from mer_plugins.text.checkpoint import Checkpoint
from mer_plugins.text.decoder import Shape
from mer_plugins.text.specs import TEXT

pytest.importorskip("sentencepiece")

from mer_plugins.text.baichuan import Baichuan, Reading
from mer_plugins.text.streaming import LayerPass, Rows

SIZE = {
    "vocab_size": 128,
    "hidden_size": 40,
    "intermediate_size": 56,
    "num_hidden_layers": 6,
    "num_attention_heads": 5,
}
CONFIG = {**SIZE, "model_type": "baichuan", "rms_norm_eps": 1e-6, "model_max_length": 64, "hidden_act": "silu"}
ALIBI, ROTARY = "BaichuanForCausalLM", "BaiChuanForCausalLM"
SHORT = [sentence[:14] for sentence in SENTENCES]


def weights(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random weights under the published names; 3 + 7 a layer."""
    random = torch.Generator().manual_seed(3)
    shape = Shape._of(Path(), config)
    shapes = {**shape.expected(), "lm_head.weight": (shape.vocabulary, shape.hidden)}
    return {
        name: torch.randn(size, generator=random) * (0.2 if len(size) > 1 else 0.1) + (len(size) == 1)
        for name, size in shapes.items()
    }


def sharded(folder: Path, state: dict[str, torch.Tensor], kind: str = "safetensors", shards: int = 3) -> None:
    """``state`` in shards with an index, as the published checkpoints are."""
    from safetensors.torch import save_file

    stem, end = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    names = list(state)
    index = {}
    for number in range(shards):
        file = f"{stem}-{number + 1:05}-of-{shards:05}.{end}"
        part = {name: state[name] for name in names[number::shards]}  # a layer is spread over all shards
        save_file(part, folder / file) if end == "safetensors" else torch.save(part, folder / file)
        index |= dict.fromkeys(part, file)
    total = sum(one.numel() * one.element_size() for one in state.values())
    write(folder, {f"{stem}.{end}.index.json": {"metadata": {"total_size": total}, "weight_map": index}})


def checkpoint(folder: Path, kind: str = "safetensors", architecture: str = ALIBI, **settings: Any) -> Path:
    """A tiny Baichuan in ``folder``."""
    config = {**CONFIG, "architectures": [architecture], **settings}
    write(folder, {"config.json": config})
    sharded(folder, weights(config), kind)
    sentencepieces(folder / "tokenizer.model", 110, model_type="bpe")
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("baichuan"))


@pytest.fixture(scope="session")
def rotary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("baichuan-7b"), architecture=ROTARY)


def make(folder: Path, **options: Any) -> Baichuan:
    return Baichuan(BaichuanOptions(model=str(folder), **options), "cpu")


def features(extractor: Baichuan, *contents: str) -> list[Any]:
    return extractor.extract([said(content) for content in contents])


def llama(folder: Path, tokens: Sequence[int], swap: bool = False) -> Any:
    """The same weights in transformers' Llama: a position-free one with linear biases, or its own rotation.

    Returns the output with hidden states and logits.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = json.loads((folder / "config.json").read_text())
    sizes = {name: config[name] for name in SIZE}
    model = LlamaForCausalLM(LlamaConfig(**sizes, rms_norm_eps=1e-6, attn_implementation="eager"))
    state = {}
    for name, value in weights(config).items():
        if "W_pack" not in name:
            state[name] = value
            continue
        parts = value.split(SIZE["hidden_size"])
        for part, letter in zip((parts[1], parts[0], parts[2]) if swap else parts, "qkv", strict=True):
            state[name.replace("W_pack", f"{letter}_proj")] = part
    model.load_state_dict(state)
    ids = torch.tensor([list(tokens)])
    extra: dict[str, Any] = {}
    if config["architectures"] == [ALIBI]:
        places = torch.arange(len(tokens), dtype=torch.float32)
        slope = torch.tensor([2**-2, 2**-4, 2**-6, 2**-8, 2**-1])  # of 5 heads, by hand
        mask = slope[:, None, None] * (places[None, None] - places[None, :, None])
        mask = mask.masked_fill(places[None, None] > places[None, :, None], torch.finfo(torch.float32).min)
        extra = {"position_ids": torch.zeros_like(ids), "attention_mask": mask[None]}
    with torch.inference_mode():
        return model.eval()(input_ids=ids, output_hidden_states=True, use_cache=False, **extra)


def tokens(folder: Path, text: str) -> list[int]:
    from sentencepiece import SentencePieceProcessor

    found: list[int] = SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).encode(text)
    return found


# 5.4: golden numbers


def test_5_4_slopes_of_forty_heads() -> None:
    found = slopes(40)
    np.testing.assert_allclose(found[:32], [2 ** (-i / 4) for i in range(1, 33)], rtol=1e-6)
    np.testing.assert_allclose(found[[0, 31]], [0.840896, 0.00390625], rtol=1e-6)
    last = [0.917004, 0.771105, 0.648420, 0.545254, 0.458502, 0.385553, 0.324210, 0.272627]
    np.testing.assert_allclose(found[32:], last, atol=5e-7)


def test_5_4_slopes_of_other_numbers_of_heads() -> None:
    np.testing.assert_allclose(slopes(8), [2.0**-i for i in range(1, 9)])
    np.testing.assert_allclose(slopes(12)[8:], [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5], rtol=1e-6)
    np.testing.assert_allclose(slopes(1), [2.0**-8])


def test_5_4_biases_fall_with_the_distance_and_hide_what_comes_later() -> None:
    found = bias(torch.tensor([0.5]), 3)[0]
    inf = float("inf")
    assert found.tolist() == [[0, -inf, -inf], [-0.5, 0, -inf], [-1, -0.5, 0]]
    far = bias(torch.tensor([0.3]), 1500)[0, -1]
    assert far.dtype == torch.float32
    torch.testing.assert_close(far[-3:], torch.tensor([-0.6, -0.3, 0.0]))
    coarse = (0.3 * torch.arange(1500.0)).half()
    assert coarse[-1] - coarse[-2] == 0.25  # what slope times key comes to in half precision
    scores = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(0))
    absolute = torch.tensor([0.5])[:, None, None] * torch.arange(3.0) + torch.full((3, 3), -inf).triu(1)
    torch.testing.assert_close((scores + found).softmax(-1), (scores + absolute).softmax(-1))


def test_5_4_parameters_of_the_published_model() -> None:
    published = {"vocab_size": 64000, "hidden_size": 5120, "intermediate_size": 13696, "num_hidden_layers": 40}
    config = {**published, "num_attention_heads": 40, "model_max_length": 4096, "architectures": [ALIBI]}
    shape = Shape._of(Path(), config)
    assert shape.parameters == 13_264_901_120 == next(s for s in TEXT if s.name == "baichuan").weights[0].parameters
    assert not shape.rotary
    expected = shape.expected()
    assert len(expected) + 1 == 283  # and the output head
    assert {name: size for name, size in expected.items() if "layers.39" in name or "layers" not in name} == {
        "model.embed_tokens.weight": (64000, 5120),
        "model.norm.weight": (5120,),
        "model.layers.39.self_attn.W_pack.weight": (15360, 5120),
        "model.layers.39.self_attn.o_proj.weight": (5120, 5120),
        "model.layers.39.mlp.gate_proj.weight": (13696, 5120),
        "model.layers.39.mlp.up_proj.weight": (13696, 5120),
        "model.layers.39.mlp.down_proj.weight": (5120, 13696),
        "model.layers.39.input_layernorm.weight": (5120,),
        "model.layers.39.post_attention_layernorm.weight": (5120,),
    }
    assert sum(np.prod(size) for size in expected.values()) + 64000 * 5120 == shape.parameters


def test_5_4_the_vocabulary_of_baichuan2_is_read_from_its_config() -> None:
    published = {"vocab_size": 125_696, "hidden_size": 5120, "intermediate_size": 13696, "num_hidden_layers": 40}
    config = {**published, "num_attention_heads": 40, "model_max_length": 4096, "architectures": [ALIBI]}
    shape = Shape._of(Path(), config)
    assert shape.expected()["model.embed_tokens.weight"] == (125_696, 5120)
    assert shape.parameters == 13_264_901_120 + 2 * (125_696 - 64_000) * 5120
    assert not shape.rotary


def test_5_4_no_feature_passes_the_normalised_head_of_baichuan2(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same layers under a larger vocabulary, whose head has rows of another length or is not there at all."""
    read: list[str] = []
    plain = Checkpoint.read
    monkeypatch.setattr(Checkpoint, "read", lambda self, names: plain(self, _noted(names, read)))
    state, more = weights(CONFIG), torch.ones(60, SIZE["hidden_size"])
    state["model.embed_tokens.weight"] = torch.cat([state["model.embed_tokens.weight"], more])
    head = torch.nn.functional.normalize(torch.cat([state.pop("lm_head.weight"), more]))
    expected = features(make(folder), SHORT[0])[0].values
    for name, held in (("normed", {"lm_head.weight": head}), ("scaled", {"lm_head.weight": 9 * head}), ("none", {})):
        place = tmp_path / name
        config = {**CONFIG, "vocab_size": 188, "architectures": [ALIBI], "z_loss_weight": 0}
        write(place, {"config.json": config})
        sharded(place, {**state, **held})
        (place / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
        extractor = make(place)
        assert extractor.shape.vocabulary == 188
        np.testing.assert_array_equal(features(extractor, SHORT[0])[0].values, expected)
    assert "model.norm.weight" in read
    assert "lm_head.weight" not in read


def _noted(names: Any, read: list[str]) -> list[str]:
    found = list(names)
    read.extend(found)
    return found


@pytest.mark.parametrize(
    ("hidden", "architecture", "rotates"), [(5120, ALIBI, False), (4096, ALIBI, True), (4096, ROTARY, True)]
)
def test_5_4_which_models_rotate(hidden: int, architecture: str, rotates: bool) -> None:
    config = {**CONFIG, "hidden_size": hidden, "architectures": [architecture]}
    assert Shape._of(Path(), config).rotary == rotates


# 5.4: parity


@pytest.mark.parametrize("text", SHORT)
def test_5_4_features_are_those_of_a_llama_without_positions(folder: Path, text: str) -> None:
    states = llama(folder, tokens(folder, text)).hidden_states
    assert len(states) == 7
    np.testing.assert_allclose(features(make(folder), text)[0].values, sum(states[-4:])[0], atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("text", SHORT[:2])
def test_5_4_the_rotating_model_is_a_llama(rotary: Path, text: str) -> None:
    states = llama(rotary, tokens(rotary, text)).hidden_states
    np.testing.assert_allclose(features(make(rotary), text)[0].values, sum(states[-4:])[0], atol=2e-4, rtol=1e-5)


def test_5_4_the_last_state_gives_the_logits(folder: Path) -> None:
    ids = tokens(folder, SHORT[0])
    last = torch.from_numpy(features(make(folder, layers=1), SHORT[0])[0].values)
    head = Checkpoint(folder).read(["lm_head.weight"])["lm_head.weight"]
    torch.testing.assert_close(last @ head.T, llama(folder, ids).logits[0], atol=2e-4, rtol=1e-4)


def test_5_4_the_order_of_queries_keys_and_values(folder: Path) -> None:
    swapped = llama(folder, tokens(folder, SHORT[0]), swap=True).hidden_states
    assert np.abs(features(make(folder), SHORT[0])[0].values - sum(swapped[-4:])[0].numpy()).max() > 0.1


def test_5_3_the_last_layer_without_its_norm(folder: Path) -> None:
    text = SHORT[1]
    normed, raw = (features(make(folder, layers=1, last=last), text)[0].values for last in ("normed", "raw"))
    weight = weights(CONFIG)["model.norm.weight"].numpy()
    expected = raw / np.sqrt(np.mean(raw**2, axis=1, keepdims=True) + 1e-6) * weight
    np.testing.assert_allclose(normed, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        4 * features(make(folder, combine="mean"), text)[0].values, features(make(folder), text)[0].values, rtol=1e-5
    )


# tokens


def test_5_4_a_text_alone_and_in_a_batch(folder: Path) -> None:
    extractor = make(folder)
    together = features(extractor, *SENTENCES)
    for text, found in zip(SENTENCES, together, strict=True):
        np.testing.assert_allclose(features(extractor, text)[0].values, found.values, atol=1e-4)
        assert len(found.values) == len(tokens(folder, text))
        assert found.times.tolist() == list(range(len(found.values)))


def test_5_4_sentencepiece_reads_back_what_it_wrote(folder: Path) -> None:
    model = make(folder)._tokenizer
    assert [model.piece_to_id(piece) for piece in ("<unk>", "<s>", "</s>")] == [0, 1, 2]
    for text in SENTENCES:
        assert model.decode(model.encode(text)) == text.replace("！", "!").replace("？", "?").replace("，", ",")


def test_5_4_a_first_token_is_read_and_left_out(folder: Path) -> None:
    with_bos, without = (features(make(folder, add_bos=on), SHORT[0])[0].values for on in (True, False))
    assert with_bos.shape == without.shape
    assert not BaichuanOptions().add_bos
    assert np.abs(with_bos - without).max() > 0.1
    states = llama(folder, [1, *tokens(folder, SHORT[0])]).hidden_states
    np.testing.assert_allclose(with_bos, sum(states[-4:])[0][1:], atol=2e-4, rtol=1e-5)


def test_5_3_empty_text_is_missing(folder: Path) -> None:
    found = features(make(folder), "", " ", SHORT[0])
    assert found[:2] == [Missing("no tokens")] * 2
    assert isinstance(found[2], Features)
    assert features(make(folder), "") == [Missing("no tokens")]


def test_long_texts_are_read_in_windows(folder: Path) -> None:
    text = "".join(SENTENCES) * 5
    found = features(make(folder), text)[0].values
    ids = tokens(folder, text)
    assert len(found) == len(ids) > 2 * 64
    np.testing.assert_allclose(found[:64], sum(llama(folder, ids[:64]).hidden_states[-4:])[0], atol=5e-4, rtol=1e-4)
    second = sum(llama(folder, ids[48:112]).hidden_states[-4:])[0]
    np.testing.assert_allclose(found[64:112], second[16:], atol=5e-4, rtol=1e-4)
    with pytest.raises(PluginError, match="reads 64 tokens at once"):
        make(folder, window=65)


class Spliced(Baichuan):
    """Reads something before and behind the transcript."""

    def read(self, sample: Any) -> Reading:
        text = sample.text().content
        return Reading(f"dog {text} happy", slice(4, 4 + len(text)))


def test_more_may_be_read_than_is_used(folder: Path) -> None:
    """What GPT4-Baichuan needs: features of the transcript alone, in the sight of what precedes it."""
    extractor = Spliced(BaichuanOptions(model=str(folder)), "cpu")
    (found,) = features(extractor, SHORT[0])
    whole = features(make(folder), f"dog {SHORT[0]} happy")[0].values
    used = found.times.astype(int)
    assert used[0] > 0
    assert used[-1] < len(whole) - 1
    np.testing.assert_allclose(found.values, whole[used], atol=1e-5)
    decoded = extractor._tokenizer.decode([tokens(folder, f"dog {SHORT[0]} happy")[place] for place in used])
    assert decoded.startswith(SHORT[0][:5])


# checkpoints


@pytest.mark.parametrize("kind", ["bin", "single", "bfloat16"])
def test_5_4_every_published_format_is_read_as_the_same(folder: Path, tmp_path: Path, kind: str) -> None:
    if kind == "bin":
        other = checkpoint(tmp_path, "bin")
    else:
        from safetensors.torch import save_file

        write(tmp_path, {"config.json": json.loads((folder / "config.json").read_text())})
        state = weights(CONFIG)
        state = {name: value.bfloat16() for name, value in state.items()} if kind == "bfloat16" else state
        save_file(state, tmp_path / "model.safetensors")
        (tmp_path / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
        other = tmp_path
    one, same = (features(make(place), SHORT[1])[0].values for place in (folder, other))
    close = {"atol": 0.05 * np.abs(one).max()} if kind == "bfloat16" else {"atol": 1e-6}
    np.testing.assert_allclose(one, same, **close)


def damaged(folder: Path, how: str) -> None:
    shard = sorted(folder.glob("model-*"))[1]
    if how == "gone":
        shard.unlink()
    elif how == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif how == "noise":
        shard.write_bytes(b"\xff" * 1000)
    elif how == "other":
        write(folder, {"config.json": {**CONFIG, "hidden_size": 80, "architectures": [ALIBI]}})
    elif how == "deeper":
        write(folder, {"config.json": {**CONFIG, "num_hidden_layers": 7, "architectures": [ALIBI]}})
    elif how == "llama":
        write(folder, {"config.json": {**CONFIG, "model_type": "llama"}})
    elif how == "words":
        (folder / "tokenizer.model").write_bytes(b"no model")
    elif how == "wordless":
        (folder / "tokenizer.model").unlink()
    elif how == "fewer":
        write(folder, {"config.json": {**CONFIG, "vocab_size": 60}})


REASONS = {
    "gone": r"the shard model-00002-of-00003\.safetensors is missing",
    "cut": r"model-00002-of-00003\.safetensors is cut short",
    "noise": r"model-00002-of-00003\.safetensors is not in the format",
    "other": r"embed_tokens\.weight has the shape \[128, 40\], not \[128, 80\]",
    "deeper": r"the weight model\.layers\.6\.self_attn\.W_pack\.weight is not there",
    "llama": "holds a llama, not a baichuan",
    "words": r"tokenizer\.model cannot be read",
    "wordless": r"tokenizer\.model is not there",
    "fewer": r"has the shape",
}


@pytest.mark.parametrize("how", REASONS)
def test_what_is_wrong_with_a_checkpoint_shows_at_once(tmp_path: Path, how: str) -> None:
    checkpoint(tmp_path)
    damaged(tmp_path, how)
    with pytest.raises(PluginError, match=REASONS[how]):
        make(tmp_path)


def test_5_4_a_damaged_or_dangerous_pickle_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path, "bin")
    shard = sorted(tmp_path.glob("*.bin"))[0]
    content = shard.read_bytes()
    shard.write_bytes(content[:-2000])
    with pytest.raises(PluginError, match="is cut short"):
        make(tmp_path)
    torch.save({"model.norm.weight": print}, shard)
    with pytest.raises(PluginError, match=r"holds code \(builtins.print\)"):
        make(tmp_path)


def test_weights_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(MissingWeightsError, match=r"26\.5 GB, licence Baichuan") as caught:
        Baichuan(BaichuanOptions(), "cpu")
    assert caught.value.hint == "Run: mer weights fetch baichuan-13b-base"
    with pytest.raises(PluginError, match="has 6 layers; 7 were asked for"):
        make(checkpoint(tmp_path / "tiny"), layers=7)


# layer by layer


def test_waves_files_and_batches_change_nothing(folder: Path, tmp_path: Path) -> None:
    samples = [said(text, f"c{number}") for number, text in enumerate([*SENTENCES, "", *SHORT])]
    right = make(folder).extract(samples)
    ways: list[dict[str, Any]] = [
        {},
        {"wave": 1},
        {"wave": 40, "memory": 0, "scratch": str(tmp_path)},
        {"batch_tokens": 9, "keep_layers": "always"},
    ]
    for way in ways:
        found = dict(make(folder, **way).extract_stream(iter(samples)))
        assert list(found) == [sample.id for sample in samples]
        for sample, answer in zip(samples, right, strict=True):
            if isinstance(answer, Missing):
                assert found[sample.id] == answer
            else:
                np.testing.assert_allclose(found[sample.id].values, answer.values, atol=1e-4)
    assert not list(tmp_path.iterdir())
    assert list(make(folder).extract_stream(iter([]))) == []


def test_5_4_each_layer_is_read_once_in_a_wave(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = Checkpoint.read

    def noting(self: Checkpoint, names: Any) -> Any:
        names = list(names)
        read.extend(name for name in names if "W_pack" in name)
        return plain(self, names)

    monkeypatch.setattr(Checkpoint, "read", noting)
    samples = [said(text, str(number)) for number, text in enumerate(SENTENCES)]
    list(make(folder).extract_stream(iter(samples)))
    assert len(read) == len(set(read)) == 6
    read.clear()
    list(make(folder, wave=1).extract_stream(iter(samples)))
    assert len(read) == 24
    read.clear()
    list(make(folder, wave=1, keep_layers="always").extract_stream(iter(samples)))
    assert len(read) == 6


def test_a_full_disk_is_said_before_the_work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    extractor = make(folder, memory=0, scratch=str(tmp_path))
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(EnvironmentProblem, match="no room for hidden states") as caught:
        list(extractor.extract_stream(iter([said("今天太好")])))
    assert "scratch" in caught.value.hint
    with pytest.raises(EnvironmentProblem, match=r"1\d+\.\d GB are needed"):
        Rows(10**12, 40, tmp_path)


MEMORY = """
import sys, threading, time
import numpy as np
from pathlib import Path
from mer_plugins.text.checkpoint import Checkpoint
from mer_plugins.text.decoder import Shape
from mer_plugins.text.streaming import LayerPass

def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024

folder = Path(sys.argv[1])
run = LayerPass(Shape.read(folder), Checkpoint(folder), "cpu", "float32", memory=0, scratch=folder, batch_tokens=64)
run.run([np.arange(4)])
before, most, over = resident(), 0, threading.Event()
def watch():
    global most
    while not over.is_set():
        most = max(most, resident())
        time.sleep(0.002)
watcher = threading.Thread(target=watch)
watcher.start()
run.run([np.arange(8) + n for n in range(64)])
over.set()
watcher.join()
print(most - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_5_4_one_layer_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """A decoder of 12 layers of 13 MB (half that in bfloat16, on disk) never takes three layers' memory."""
    import os
    import subprocess
    import sys

    size = {"hidden_size": 512, "intermediate_size": 1400, "num_hidden_layers": 12, "num_attention_heads": 8}
    config = {**CONFIG, **size, "architectures": [ALIBI]}
    write(tmp_path, {"config.json": config})
    sharded(tmp_path, {name: value.bfloat16() for name, value in weights(config).items()}, shards=2)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    layer = 4 * (4 * 512**2 + 3 * 512 * 1400)
    assert int(done.stdout) < 3 * layer < 12 * layer / 2


# with the engine


def job(folder: Path, kind: type[Any] = Baichuan, **options: Any) -> ExtractorJob:
    spec = next(one for one in TEXT if one.name == "baichuan")
    chosen = BaichuanOptions(model=str(folder), **options)
    about = {"extractor": "baichuan", "options": dict(chosen.fingerprint())}
    return ExtractorJob(
        name="text:baichuan", spec=spec, options=chosen, extractor_class=kind, fingerprint=digest(about), about=about
    )


def clips(*contents: str) -> list[Clip]:
    return [Clip(id=f"c{number}", text=content) for number, content in enumerate(contents)]


def stored(store: FeatureStore, one: ExtractorJob, keys: Any) -> list[Any]:
    table = store.table(one.fingerprint, one.about)
    return [table.get(key) for key in keys[one.name]]


KEEP = EngineSettings(workers=2, keep_frames=True)


def test_the_engine_streams_all_clips_and_tells_how_far(folder: Path, tmp_path: Path) -> None:
    store, told = FeatureStore(tmp_path / "store"), []
    contents = [*SENTENCES, " ", *SHORT, "……"]
    one = job(folder, wave=40)
    report = extract(clips(*contents), [one], {}, store, KEEP, lambda *what: told.append(what))
    assert report.extracted == {"text:baichuan": 10}
    assert report.missing == {"text:baichuan": {"c4": "no text"}}
    right = features(make(folder), *contents)
    for answer, expected in zip(stored(store, one, report.keys), right, strict=True):
        if isinstance(expected, Features):
            np.testing.assert_allclose(answer.values, expected.values, atol=0.01 * np.abs(expected.values).max())
    notes = {note.split(",")[0] for stage, _, _, note in told if stage == "text:baichuan"}
    assert {f"layer {number} of 6" for number in range(1, 7)} < notes
    assert told[-1][1:3] == (10, 10)


def test_a_finished_run_does_not_open_the_model(folder: Path, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    extract(clips(*SHORT), [job(folder)], {}, store, KEEP)

    class Closed:
        def __init__(self, *args: Any) -> None:
            raise AssertionError("not needed")

        def extract_stream(self, samples: Any) -> Any: ...

    assert extract(clips(*SHORT), [job(folder, Closed)], {}, store, KEEP).reused == {"text:baichuan": 4}


class Interrupted(Baichuan):
    """Stopped by Ctrl-C in the third wave."""

    error: BaseException = KeyboardInterrupt()

    def _answers(self, clips: Any) -> Iterator[Any]:
        self.waves = getattr(self, "waves", 0) + 1
        if self.waves == 3:
            raise self.error
        yield from super()._answers(clips)


class Falling(Interrupted):
    """An error in the third wave."""

    error = ValueError("no such luck")


def test_what_was_computed_before_an_interrupt_is_kept(folder: Path, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        extract(clips(*SENTENCES), [job(folder, Interrupted, wave=1)], {}, store, KEEP)
    report = extract(clips(*SENTENCES), [job(folder)], {}, store, KEEP)
    assert (report.extracted, report.reused) == ({"text:baichuan": 2}, {"text:baichuan": 2})
    assert not report.failures
    assert not list((store.root / "state" / "journals").iterdir())


def test_an_error_in_a_wave_leaves_the_other_waves(folder: Path, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    report = extract(clips(*SENTENCES), [job(folder, Falling, wave=1)], {}, store, KEEP)
    assert report.extracted == {"text:baichuan": 4}
    assert not report.failures


def test_a_corrupt_shard_stops_the_run_with_its_name(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model")
    damaged(model, "cut")
    with pytest.raises(PluginError, match=r"model-00002-of-00003\.safetensors is cut short"):
        extract(clips(*SHORT), [job(model)], {}, FeatureStore(tmp_path / "store"), KEEP)


def test_the_decoder_can_be_used_alone(folder: Path) -> None:
    run = LayerPass(Shape.read(folder), Checkpoint(folder), "cpu", "float32", layers=2)
    states = run.run([np.array([5, 6, 7]), np.array([8])])
    assert [states[0].shape, states[1].shape] == [(3, 40), (1, 40)]
    run.run([]).close()


def test_what_counts_for_stored_features(folder: Path) -> None:
    how = {"wave": 5, "memory": 0.5, "batch_tokens": 7, "keep_layers": "never"}
    plain = BaichuanOptions(model=str(folder))
    changed = BaichuanOptions(model=str(folder), **how)
    assert plain.fingerprint() == changed.fingerprint()
    assert {name for name, value in plain.fingerprint().items() if value is None} >= {*how, "scratch"}


@conformance("baichuan")
def test_contract(check: BoundCheck, folder: Path) -> None:
    check(options={"model": str(folder)})
