"""CLIP with prompts: parity with published code and transformers, what is learnt, what does not matter.

Expected scores were computed once, on the weights of ``tests.prompt_models``, by the reference code run beside mer:
ViFi-CLIP (muzairkhattak/ViFi-CLIP, e2d1948: trainers/vificlip.py, clip/model.py) and
multimodal-prompt-learning (muzairkhattak/multimodal-prompt-learning, 69bce21: trainers/maple.py,
trainers/cocoop.py and, through clip/model.py, VPT). Of maple.py the widths 768 and 512 that are written into it were
replaced by the tiny model's; rounding to half precision was switched off in the second repository, and changes nothing
in the first, as the prompts here are exact in half precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import transformers
from open_clip.model import CLIP

from mer_core.weights import Located
from mer_plugins.image.clip_checkpoint import read_clip
from mer_plugins.image.clip_text import tokenizer
from mer_plugins.video.prompts import PromptPlan, Scheme, prompted, zero_shot
from mer_plugins.video.prompts_towers import encode_pictures, encode_words, placed
from tests.prompt_models import (
    LAYERS,
    SCHEMES,
    SHALLOW,
    SIDE,
    TEXT,
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
from tests.vision_models import clip_folder

MARKED = [("joy!", "{label}"), ("joy", "{label}!")]


@pytest.fixture(scope="module")
def big() -> Any:
    """A tiny model of CLIP's own vocabulary."""
    return tiny()


# 1.2: parity with ViFi-CLIP


def test_1_2_scores_are_those_of_vifi_clip(big: Any) -> None:
    model = settle(prompted(big, SHALLOW, WORDS, published(), seed=0))
    near(model(clips()), [[3.2397957, 3.4753475, -3.7704182], [3.1665459, 2.5949993, -3.1290550]])
    near(model.classes()[1, :4], [-0.0978920, 0.0582972, -3.3137734, 2.8249581], 1e-5)
    near(model.frames(clips()[0])[0, :4], [-0.6436443, -0.2570276, 1.1114522, 1.1566938], 1e-5)


@pytest.mark.parametrize(("tokens", "first"), [(4, "a photo of a"), (2, "a photo")])
def test_1_2_learning_begins_at_the_words_of_the_context(big: Any, tokens: int, first: str) -> None:
    model = prompted(big, PromptPlan(tokens=tokens), WORDS, published(), seed=0)
    words = big.token_embedding(published()([first]))[0, 1 : 1 + tokens]
    assert torch.equal(model.trained()["text.0"], words)
    untrained = zero_shot(big, [word.replace("_", " ") for word in WORDS], published())
    near(encode_words(big, model.tokens, [model.prompts.for_text()[0]]), untrained, 1e-5)


@pytest.mark.parametrize(("tokens", "context"), [(6, "a photo of a"), (3, "")])
def test_1_2_learning_begins_at_random_with_many_tokens_or_without_a_context(
    big: Any, tokens: int, context: str
) -> None:
    plan = PromptPlan(tokens=tokens, context=context)
    assert plan.sentences(("joy",)) == ["X " * tokens + "joy."]
    start = prompted(big, plan, WORDS, published(), seed=0).trained()["text.0"]
    assert start.shape == (tokens, TEXT)
    assert 0.01 < start.std() < 0.03


def test_1_2_prompts_begin_alike_for_a_seed_and_deviate_by_two_hundredths() -> None:
    begins = [prompted(little(), PromptPlan(), WORDS, small, seed=seed).trained() for seed in (0, 0, 1)]
    assert all(torch.equal(begins[0][name], begins[1][name]) for name in begins[0])
    assert not torch.equal(begins[0]["vision.0"], begins[2]["vision.0"])
    drawn = torch.cat([one.flatten() for name, one in begins[0].items() if name != "text.0"])
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.05)


# 1.2: what is learnt


def learnt_of(name: str, plan: PromptPlan) -> tuple[int, int]:
    """Parameters and tensors that are learnt of a published model."""
    with torch.device("meta"):
        model = CLIP(**open_clip.get_model_config(name))
    learnable = prompted(model, plan, WORDS, published(), seed=0).learnable()
    return sum(one.numel() for one in learnable.values()), len(learnable)


@pytest.mark.parametrize(("name", "count"), [("ViT-B-16", 61_440), ("ViT-B-32", 61_440), ("ViT-L-14", 86_016)])
def test_1_2_published_sizes(name: str, count: int) -> None:
    assert learnt_of(name, PromptPlan()) == (count, 24)


@pytest.mark.parametrize(
    ("plan", "count", "tensors"),
    [
        (PromptPlan(scheme="maple", tokens=2, vision_depth=9, text_depth=9), 3_555_072, 9 + 9 * 2),
        (PromptPlan(scheme="ivlp", tokens=2), 30_720, 24),
        (PromptPlan(scheme="vpt", tokens=8), 8 * 12 * 768, 12),
        (PromptPlan(scheme="cocoop"), 4 * 512 + 512 * 32 + 32 + 32 * 512 + 512, 5),
    ],
)
def test_1_5_published_sizes_of_the_relatives(plan: PromptPlan, count: int, tensors: int) -> None:
    assert learnt_of("ViT-B-16", plan) == (count, tensors)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_1_2_gradients_reach_all_that_is_learnt_and_nothing_else(scheme: Scheme) -> None:
    backbone = little()
    model = made(PromptPlan(scheme=scheme, vision_depth=3, text_depth=3), backbone).train()
    if scheme == "cocoop":
        model.prompts.meta[0].bias.data += 1  # the only unit inside is past the ReLU's corner
    torch.nn.functional.cross_entropy(model(clips()), torch.tensor([0, 2])).backward()
    learnt = model.learnable()
    assert all(one.grad is not None and float(one.grad.abs().max()) > 0 for one in learnt.values())
    others = {id(one) for one in model.parameters()} - {id(one) for one in learnt.values()}
    assert not any(one.requires_grad for one in model.parameters() if id(one) in others)
    assert not any(one.requires_grad or one.grad is not None for one in backbone.parameters())
    assert not any(part.training for part in backbone.modules())


def test_1_5_full_training_leaves_the_given_model_and_the_word_vectors_alone() -> None:
    backbone = little()
    model = prompted(backbone, PromptPlan(scheme="full"), WORDS, small, seed=0)
    assert set(model.trained()) == {name for name, _ in backbone.named_parameters()} - {"token_embedding.weight"}
    model.load_trained({name: one + 1 for name, one in model.trained().items()})
    assert torch.equal(backbone.visual.proj, little().visual.proj)
    assert torch.equal(model.model.visual.proj, backbone.visual.proj + 1)


def test_1_8_loss_falls_on_six_classes() -> None:
    words = ("anger", "joy", "sadness", "worry", "surprise", "peace")
    model = prompted(little(), PromptPlan(), words, small, seed=0)
    optimiser = torch.optim.AdamW(model.learnable().values(), lr=0.02)
    pictures, labels = clips(12, 1), torch.arange(12) % 6
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(model(pictures), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# 1.2: depth


def test_1_2_prompts_replace_what_former_ones_became() -> None:
    """Noise in the prompts' places before a layer with prompts changes nothing; before one without, all."""
    model, pictures = made(), clips()
    plain = model(pictures).detach()
    for layer, same in [(1, True), (2, True), (3, False)]:
        for tower, start in [(model.model.visual.transformer, 17), (model.model.transformer, 1)]:
            hook = tower.resblocks[layer - 1].register_forward_hook(lambda *a, s=start: noisy(a[2], s))
            changed = not torch.allclose(model(pictures), plain, atol=1e-3)
            hook.remove()
            assert changed != same


def noisy(states: Any, start: int) -> Any:
    return placed(states, [torch.full((4, states.shape[-1]), 3.0)], 0, start)


def test_1_2_prompts_of_every_layer_matter() -> None:
    model, pictures = made(), clips()
    plain, state = model(pictures), model.trained()
    for name in state:
        model.load_trained({**state, name: -state[name]})
        assert not torch.allclose(model(pictures), plain, atol=1e-2)


def test_1_2_sequences_do_not_grow() -> None:
    model, lengths = made(), set()
    for block in model.model.visual.transformer.resblocks:
        block.register_forward_hook(lambda *a: lengths.add(a[2].shape[1]))
    model.frames(clips()[0])
    assert lengths == {(SIDE // 8) ** 2 + 1 + 4}


def test_1_8_depth_one_is_clip_with_more_tokens() -> None:
    """The tower's own pass, with the prompts appended to its positions as if they were patches."""
    model = made(PromptPlan(vision_depth=1, text_depth=1))
    visual, pictures = model.model.visual, clips()[0]
    hook = visual.ln_pre.register_forward_pre_hook(lambda *a: (placed(a[1][0], model.prompts.for_vision(), 0, 17),))
    own = visual(pictures)
    hook.remove()
    near(model.frames(pictures), own, 1e-5)
    hook = model.model.token_embedding.register_forward_hook(lambda *a: placed(a[2], model.prompts.for_text(), 0, 1))
    padded = torch.nn.functional.pad(model.tokens, (0, 14 - model.tokens.shape[1]))
    own = model.model.encode_text(padded)
    hook.remove()
    near(model.classes(), own, 1e-5)


def test_1_2_a_depth_beyond_the_tower_means_all_of_it() -> None:
    names = sorted(made(PromptPlan(vision_depth=2)).trained())
    assert names == [*(f"text.{layer}" for layer in range(LAYERS)), "vision.0", "vision.1"]


def test_1_2_no_prompts_in_the_image_tower_at_depth_zero() -> None:
    model = made(PromptPlan(vision_depth=0))
    near(model.frames(clips()[0]), model.model.encode_image(clips()[0]), 1e-5)


# 1.8: without prompts it is plain CLIP


def test_1_8_without_prompts_it_is_the_clip_of_transformers(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path)
    reference: Any = transformers.CLIPModel.from_pretrained(folder).eval()
    backbone = read_clip(Located(folder, "sha256:0")).model()
    pictures, tokens = clips()[0], small(["a photo.", "joy of anger."], 12, 50)
    with torch.no_grad():
        seen, said = reference.get_image_features(pictures), reference.get_text_features(tokens)
    plain = prompted(backbone, PromptPlan(scheme="full"), ("b", "c"), lambda texts: small(texts, 12, 50), seed=0)
    near(plain.frames(pictures), tensor(seen), 1e-5)
    near(encode_words(backbone, tokens, []), tensor(said), 1e-5)
    near(encode_pictures(backbone.visual, pictures, []), backbone.encode_image(pictures), 1e-5)


def tensor(output: Any) -> Any:
    """What get_image_features returns: a tensor in transformers 4, an output in 5."""
    return output if torch.is_tensor(output) else output.pooler_output


def test_1_8_tokens_are_those_of_openai() -> None:
    tokens = tokenizer(little(context_length=77, vocab_size=49408))(["A photo of a Cat.", "a photo of a cat."])
    assert tokens.shape == (2, 77)
    assert torch.equal(tokens[0], tokens[1])  # in small letters
    assert tokens[0, :8].tolist() == [49406, 320, 1125, 539, 320, 2368, 269, 49407]
    assert not tokens[0, 8:].any()
    assert int(tokens.max()) == 49408 - 1  # the end is the largest of all: there a text is read


def test_1_6_zero_shot_is_plain_clip(big: Any) -> None:
    own = big.encode_text(published()(["a photo of a worried face.", "a photo of a anger."]))
    near(zero_shot(big, ["worried_face", "anger"], published()), own, 1e-5)
    bare, marked = (zero_shot(big, [text], published(), template) for text, template in MARKED)
    assert torch.equal(bare, marked)


# 1.8: what does not matter


@pytest.mark.parametrize("scheme", SCHEMES)
def test_1_8_order_and_company_do_not_matter(scheme: Scheme) -> None:
    model, pictures = made(PromptPlan(scheme=scheme)), clips(3)
    scores = model(pictures)
    near(model(pictures.flip(0)), scores.flip(0))
    near(model(pictures[1:2]), scores[1:2])


def test_1_8_repeated_frames_are_one_frame() -> None:
    model, picture = made(), clips(2, 1)
    near(model(picture.expand(-1, 5, -1, -1, -1)), model(picture))


def test_1_2_frames_are_averaged_before_they_are_brought_to_length_one() -> None:
    model, pictures = made(), clips(1, 2)
    frames = model.frames(pictures[0]) * torch.tensor([[5.0], [1.0]])
    mean, words = frames.mean(dim=0), model.classes()
    cosines = [torch.cosine_similarity(mean, word, dim=0).item() for word in words]
    near(model.logits(mean[None])[0] / 100, cosines, 1e-5)


def test_1_2_padding_behind_the_last_end_can_be_cut() -> None:
    model = made()
    longer = torch.nn.functional.pad(model.tokens, (0, 14 - model.tokens.shape[1]))
    assert longer.shape[1] > model.tokens.shape[1]
    full = encode_words(model.model, longer, model.prompts.for_text())
    near(full / full.norm(dim=1, keepdim=True), model.classes() / full.norm(dim=1, keepdim=True), 1e-6)


def test_a_text_tower_that_sees_ahead_keeps_its_padding() -> None:
    model = made(no_causal_mask=True)
    assert model.tokens.shape == (3, 14)
    near(encode_words(model.model, model.tokens, []), model.model.encode_text(model.tokens), 1e-5)


def test_1_2_layouts_of_other_versions_of_open_clip_and_saving_memory_change_nothing() -> None:
    model, pictures = made(), clips()
    wanted = model(pictures).detach()
    for tower in (model.model.visual.transformer, model.model.transformer):
        tower.batch_first, tower.grad_checkpointing = False, True
        for block in tower.resblocks:
            block.attn.batch_first = False
    found = model(pictures)
    found.sum().backward()
    near(found, wanted)
    assert all(one.grad is not None for one in model.learnable().values())


def test_scores_are_in_float32_under_autocast() -> None:
    model = made()
    with torch.autocast("cpu", torch.bfloat16):
        frames = model.frames(clips()[0])
        scores = model.logits(frames.float())
    assert (frames.dtype, scores.dtype) == (torch.bfloat16, torch.float32)
    near(scores, model.compared(frames, model.classes()), 8)
