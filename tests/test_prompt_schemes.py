"""The relatives of EmoVCLIP's prompts, trained weights put in and taken out, what is refused.

Where expected scores come from is said in ``tests.test_prompts``.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.model import CLIP

from mer_core.plugin import PluginError, UsageError
from mer_plugins.video.prompts import PromptedClip, PromptPlan, Scheme, prompted, zero_shot
from mer_plugins.video.prompts_vifi import from_vifi
from tests.prompt_models import (
    DIM,
    SCHEMES,
    SIDE,
    TEXT,
    VISION,
    WORDS,
    clips,
    little,
    made,
    near,
    published,
    settle,
    small,
    tiny,
)


@pytest.fixture(scope="module")
def big() -> Any:
    """A tiny model of CLIP's own vocabulary."""
    return tiny()


# 1.5: relatives

MAPLE = [
    [-2.8788910, 2.1036949, 8.7476215],
    [11.2071505, 16.7424736, 11.8730822],
    [-1.9153767, 1.1810570, -0.9399300],
]
COCOOP = [
    [6.9125333, 6.3152051, 7.8880029],
    [20.6091347, 19.6837368, 15.6632061],
    [5.0272341, 3.9190993, 1.4638445],
]


def test_1_5_scores_are_those_of_maple(big: Any) -> None:
    plan = PromptPlan(scheme="maple", tokens=2, vision_depth=3, text_depth=3)
    model = settle(prompted(big, plan, WORDS, published(), seed=0))
    near(model(clips(3, 1)), MAPLE)


def test_1_5_scores_are_those_of_cocoop(big: Any) -> None:
    model = settle(prompted(big, PromptPlan(scheme="cocoop"), WORDS, published(), seed=0))
    near(model(clips(3, 1)), COCOOP)


@pytest.mark.parametrize(
    ("tokens", "depth", "wanted"),
    [(8, 12, [0.5484295, -1.4118347, -0.3807755]), (3, 2, [-2.8194141, -5.5083637, -3.8160419])],
)
def test_1_5_scores_are_those_of_vpt(big: Any, tokens: int, depth: int, wanted: list[float]) -> None:
    model = settle(prompted(big, PromptPlan("vpt", tokens, depth), WORDS, published(), seed=0))
    near(model(clips(3, 1))[0], wanted)
    near(model.classes(), zero_shot(big, WORDS, published()), 1e-5)


def test_1_5_ivlp_is_the_same_model_under_another_name() -> None:
    near(made(PromptPlan("ivlp"))(clips()), made(PromptPlan("vl"))(clips()), 0)


def test_1_5_maple_couples_the_towers() -> None:
    """The same vectors as prompts of their own give the same scores; deeper couplings begin alike."""
    model = made(PromptPlan("maple"))
    free = made(PromptPlan("vl"), model.model)
    texts, seen = model.prompts.for_text(), model.prompts.for_vision()
    state = {f"text.{i}": one for i, one in enumerate(texts)} | {f"vision.{i}": one for i, one in enumerate(seen)}
    free.load_trained({name: one.detach() for name, one in state.items()})
    near(model(clips()), free(clips()))
    begun = prompted(little(), PromptPlan("maple"), WORDS, small, seed=0).trained()
    assert torch.equal(begun["couple.1.weight"], begun["couple.2.weight"])
    assert not torch.equal(begun["couple.0.weight"], begun["couple.1.weight"])
    assert begun["couple.0.weight"].shape == (VISION, TEXT)


def test_1_5_cocoops_texts_depend_on_what_is_seen() -> None:
    """One video's scores are those of prompts at the input that were moved by hand."""
    model = made(PromptPlan("cocoop"))
    videos = model.frames(clips(2, 1)[:, 0]).detach()
    free = made(PromptPlan("vl", vision_depth=0, text_depth=1), model.model)
    for video, scores in zip(videos, model.logits(videos), strict=True):
        moved = model.prompts.text[0] + model.prompts.meta(video / video.norm())
        free.load_trained({"text.0": moved.detach()})
        near(free.logits(video[None])[0], scores)
    assert model.classes().shape == (3, DIM)


# Trained weights


@pytest.mark.parametrize("scheme", SCHEMES)
def test_trained_weights_come_back(scheme: Scheme) -> None:
    plan = PromptPlan(scheme=scheme)
    model, other = made(plan), prompted(little(), plan, WORDS, small, seed=5)
    wanted, state = model(clips()).detach(), model.trained()
    other.load_trained(state)
    near(other(clips()), wanted, 0)
    next(iter(model.learnable().values())).data += 1
    assert all(torch.equal(one, state[name]) for name, one in other.trained().items())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"text.2": None}, "text.2 is missing"),
        ({"text.3": torch.zeros(4, TEXT)}, "text.3 is unknown"),
        ({"vision.1": torch.zeros(4, TEXT)}, rf"vision.1 is \[4, {TEXT}\], not \[4, {VISION}\]"),
        ({"text.0": torch.zeros(2, TEXT)}, r"text.0 is \[2, 64\], not \[4, 64\]"),
    ],
)
def test_strange_weights_are_refused_and_change_nothing(change: dict[str, Any], told: str) -> None:
    model = made()
    state = {name: one + 1 for name, one in model.trained().items()} | change
    before = model.trained()
    with pytest.raises(PluginError, match=told):
        model.load_trained({name: one for name, one in state.items() if one is not None})
    assert all(torch.equal(one, before[name]) for name, one in model.trained().items())


def test_1_2_prompts_of_vifi_clips_checkpoints(tmp_path: Path) -> None:
    model = made()
    torch.save(as_vifi(model), tmp_path / "best.pth")
    found = from_vifi(tmp_path / "best.pth")
    assert all(torch.equal(one, found[name]) for name, one in model.trained().items())
    model.load_trained(found)


def test_settings_beside_vifi_clips_weights_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checkpoints hold a yacs.config.CfgNode, which torch refuses where it reads weights only."""
    node = type("CfgNode", (dict,), {"__module__": "yacs.config", "__qualname__": "CfgNode"})
    package = types.ModuleType("yacs.config")
    package.CfgNode = node  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
        patch.setitem(sys.modules, "yacs.config", package)
        settings = node(TRAINER=node(N_CTX=4))
        vars(settings).update(__immutable__=True, __deprecated_keys__=set("a"), __renamed_keys__={})
        torch.save({**as_vifi(made()), "config": settings}, tmp_path / "best.pth")
    assert sorted(from_vifi(tmp_path / "best.pth"))[0] == "text.0"


def as_vifi(model: PromptedClip) -> dict[str, Any]:
    names = {"text.0": "prompt_learner.ctx", "vision.0": "image_encoder.VPT"}
    towers = {"text": "text_encoder", "vision": "image_encoder"}
    state = {"prompt_learner.token_prefix": torch.zeros(3, 1, TEXT), "image_encoder.proj": torch.zeros(VISION, DIM)}
    state |= {
        "prompt_learner.token_suffix": torch.zeros(3, 72, TEXT),
        "text_encoder.positional_embedding": torch.zeros(2),
    }
    state |= {"prompt_learner.complete_text_embeddings": torch.zeros(3, 77, TEXT), "logit_scale": torch.tensor(4.6)}
    for name, one in model.trained().items():
        tower, _, layer = name.partition(".")
        state[names.get(name, f"{towers[tower]}.transformer.resblocks.{layer}.VPT_shallow")] = one
    return {"model": {f"module.{name}": one for name, one in state.items()}, "epoch": 3, "max_accuracy": 61.5}


def test_checkpoints_without_prompts_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {"module.image_encoder.proj": torch.zeros(2)}}, tmp_path / "full.pth")
    with pytest.raises(PluginError, match="holds no prompts"):
        from_vifi(tmp_path / "full.pth")


# Refused


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"tokens": 0}, "nothing to learn"),
        ({"text_depth": 0}, "text_depth is at least 1"),
        ({"scheme": "vpt", "vision_depth": 0}, "image tower"),
        ({"scheme": "maple", "text_depth": 9}, "together"),
        ({"vision_depth": -1}, "negative"),
    ],
)
def test_1_2_plans_that_make_no_sense(values: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        PromptPlan(**values)


def test_a_context_shorter_than_the_prompts(big: Any) -> None:
    with pytest.raises(UsageError, match="has 1 tokens, fewer than the 4"):
        prompted(big, PromptPlan(context="photo"), WORDS, published(), seed=0)


def test_a_tokenizer_of_another_model() -> None:
    with pytest.raises(PluginError, match="knows more words than the model, which has 60"):
        prompted(little(), PromptPlan(), WORDS, published(), seed=0)
    with pytest.raises(PluginError, match="17 tokens, and the model takes 14"):
        prompted(little(), PromptPlan(), ["a b c d e f g h i j"], lambda texts: small(texts, 20), seed=0)


def test_classes_that_cannot_be_told_apart() -> None:
    with pytest.raises(UsageError, match="cannot tell apart 'a photo of a ab"):
        prompted(little(), PromptPlan(), ["ab", "ba"], small, seed=0)


def test_other_towers_are_refused() -> None:
    words = {"context_length": 8, "vocab_size": 60, "width": 64, "heads": 1, "layers": 1}
    resnet = CLIP(DIM, {"layers": (1, 1, 1, 1), "width": 32, "image_size": SIDE}, words)
    with pytest.raises(PluginError, match="this image tower is a ModifiedResNet"):
        prompted(resnet, PromptPlan(), WORDS, small, seed=0)
    model = little()
    model.positional_embedding = torch.nn.Parameter(torch.zeros(15, TEXT))
    with pytest.raises(PluginError, match="CLIP's own text tower"):
        prompted(model, PromptPlan(), WORDS, small, seed=0)
