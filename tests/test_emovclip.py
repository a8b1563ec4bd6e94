"""EmoVCLIP on a tiny CLIP in the published format: what it asks for, learns, gives out and keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mer_core.media.sampling import segment_indices
from mer_core.plugin import (
    DataError,
    ExtractorSpec,
    Features,
    Frames,
    FramesInput,
    Missing,
    OptionError,
    PluginError,
    Sample,
    Supervision,
    UsageError,
)
from mer_core.registry import discover
from mer_core.spec import declared_inputs
from mer_core.testing import BoundCheck, conformance
from mer_plugins.image.weights import CLIP
from mer_plugins.video.emovclip_options import EmoVClipOptions, picture_operations
from mer_plugins.video.emovclip_words import class_words
from tests.vision_models import clip_folder, make, pictures

CLASSES = ("neutral", "angry", "happy", "sad", "worried", "surprise")
"""In the order of the data set."""

QUICK: dict[str, Any] = {"frames": 4, "epochs": 2, "batch": 6, "max_side": 64}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the published vocabulary, so that the published tokens go in."""
    return clip_folder(tmp_path_factory.mktemp("clip"), vocab_size=49408, max_position_embeddings=16)


def sample(label: int, seed: int, count: int = 12) -> Sample:
    """Noisy frames with stripes whose colour and direction are the class."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:40, :48]
    wave = np.sin((rows if label % 2 else columns) / 3 + rng.uniform(0, 6))[..., None]
    colour = np.eye(3)[label // 2] * 70 + 90
    images = colour + 40 * wave + rng.normal(0, 20, (count, 40, 48, 3))
    return Sample(f"clip-{seed}", {"frames": Frames(np.clip(images, 0, 255).astype(np.uint8), np.arange(count) / 5)})


def clips(count: int, first: int = 0) -> list[Sample]:
    return [sample(number % 6, first + number) for number in range(count)]


def told(count: int, **more: Any) -> Supervision:
    return Supervision(labels=np.arange(count) % 6, classes=CLASSES, **{"seed": 3, **more})


def fitted(folder: Path, count: int = 12, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    extractor = make("emovclip", folder, **{**QUICK, **options})
    return extractor, extractor.fit(clips(count), told(count))


@pytest.fixture(scope="module")
def learnt(tiny: Path) -> tuple[Any, Mapping[str, Any]]:
    return fitted(tiny)


# what is asked of the decoder, and what options say


def test_1_4_frames_that_are_asked_for() -> None:
    catalogue = discover()
    spec = catalogue.find(ExtractorSpec, "emovclip")
    assert spec.supervised
    assert (spec.level, spec.modality, spec.weights) == ("frame", "video", CLIP)
    asked = declared_inputs(spec, catalogue.options(ExtractorSpec, "emovclip", {}))
    assert asked == dict(spec.inputs) == {"frames": FramesInput(count=48, max_side=480)}
    assert EmoVClipOptions(frames=8, jitter=1).inputs()["frames"] == FramesInput(count=8, max_side=480)


def test_1_1_defaults_are_those_of_the_paper() -> None:
    options = EmoVClipOptions()
    plan = options.plan()
    assert (plan.scheme, plan.tokens, plan.vision_depth, plan.text_depth) == ("vl", 4, 12, 12)
    assert (options.frames, options.output, options.normalise) == (16, "embedding", False)
    assert options.model == CLIP[0].name == "clip-vit-large-patch14"
    with pytest.raises(OptionError, match="jitter is even"):
        discover().options(ExtractorSpec, "emovclip", {"jitter": 2})
    with pytest.raises(UsageError, match="text_depth is at least 1"):
        EmoVClipOptions(text_depth=0).plan()


def test_1_5_all_weights_are_trained_gently() -> None:
    def rate(**values: Any) -> float:
        return float(discover().options(ExtractorSpec, "emovclip", values).model_dump()["lr"])

    assert (rate(), rate(scheme="maple")) == (4e-3, 4e-3)
    assert rate(scheme="full") == 8e-6
    assert rate(scheme="full", lr=1e-5) == 1e-5


def test_1_6_words_for_the_classes() -> None:
    assert class_words(CLASSES) == ("neutral", "anger", "happiness", "sadness", "worry", "surprise")
    assert class_words(CLASSES, "dataset") == CLASSES
    people = ("neutral", "angry", "happy", "sad", "worried", "surprised")
    assert class_words(CLASSES, "sentence") == tuple(f"{one} person" for one in people)
    assert class_words(("Angry", "very_bored"), "paper") == ("anger", "very bored")
    assert class_words(("生气", "happy"), "paper", {"生气": "anger"}) == ("anger", "happiness")


def test_operations_of_one_clip() -> None:
    """A frame of ViT-L/14 at 224: 24 layers of 257 tokens, about 162e9; B/16 35e9, B/32 9e9."""
    published = {one.name: picture_operations(one.name) for one in CLIP}
    assert published["clip-vit-large-patch14"] == pytest.approx(162e9, rel=0.01)
    assert published["clip-vit-base-patch16"] == pytest.approx(35.1e9, rel=0.01)
    assert published["clip-vit-base-patch32"] == pytest.approx(8.8e9, rel=0.01)
    assert published["clip-vit-large-patch14-336"] == pytest.approx(382e9, rel=0.01)
    assert all(published.values())
    assert picture_operations("ViT-L-14:openai") == published["clip-vit-large-patch14"]
    assert picture_operations("/models/mine") == 0
    assert 16 * 162e9 < EmoVClipOptions().operations() < 16 * 166e9


def test_fingerprints_are_of_what_shapes_features(tiny: Path) -> None:
    found = EmoVClipOptions(model=str(tiny)).fingerprint()
    assert found["model"].startswith("sha256:")
    assert {name for name, value in found.items() if value is None} == {
        *("revision", "precision", "accumulate", "cache_gb", "save_minutes", "checkpointing", "pictures")
    }


# learning


def test_loss_falls_and_held_out_clips_are_told_better_than_without_learning(tiny: Path) -> None:
    extractor = make("emovclip", tiny, **{**QUICK, "output": "logits", "epochs": 10, "lr": 0.02, "inner": 0.25})
    state = extractor.fit(clips(48), told(48))
    facts = extractor.summary
    assert facts["losses"][-1] < 0.8 * facts["losses"][0]
    assert (facts["selection"], facts["held_out"], facts["clips"]) == ("inner", 12, 48)
    assert facts["words"] == ["neutral", "anger", "happiness", "sadness", "worry", "surprise"]
    held = clips(24, first=1000)
    truth = np.arange(24) % 6
    scores = np.stack([one.values for one in extractor.extract(held)])
    words = extractor.class_embeddings(CLASSES)
    plain = make("clip-video", tiny, count=4)
    means = np.stack([one.values[[1, 4, 7, 10]].mean(axis=0) for one in plain.extract(held)])
    zero_shot = (unit(means) @ unit(words).T).argmax(axis=1)
    assert (scores.argmax(axis=1) == truth).mean() > (zero_shot == truth).mean() + 0.2
    assert sum(one.nbytes for one in state.values()) < 1e6


def unit(values: Any) -> Any:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_states_are_arrays_of_numbers(learnt: tuple[Any, Mapping[str, Any]]) -> None:
    extractor, state = learnt
    assert {value.dtype.name for name, value in state.items() if name != "about"} == {"float32"}
    # 3 of 12 layers of the image tower (width 32), 2 of the text tower (32): 4 tokens each
    assert sum(value.size for name, value in state.items() if name != "about") == 4 * 5 * 32
    about = json.loads(state["about"].tobytes())
    assert tuple(about["classes"]) == CLASSES
    assert about["words"][1] == "anger"
    assert about["plan"]["tokens"] == 4
    assert about["summary"]["backbone"] == extractor.options.located().identity


def test_a_restored_extractor_answers_alike(tiny: Path, learnt: tuple[Any, Mapping[str, Any]]) -> None:
    extractor, state = learnt
    other = make("emovclip", tiny, **QUICK)
    with pytest.raises(PluginError, match="has learnt nothing yet"):
        other.extract(clips(1))
    other.restore(state)
    for one, two in zip(extractor.extract(clips(3)), other.extract(clips(3)), strict=True):
        np.testing.assert_array_equal(one.values, two.values)
    assert other.summary == json.loads(json.dumps(extractor.summary))


def test_one_instance_serves_many_states(tiny: Path, learnt: tuple[Any, Mapping[str, Any]]) -> None:
    """There and back, without another backbone; other classes, too."""
    extractor, state = make("emovclip", tiny, **{**QUICK, "output": "logits"}), learnt[1]
    other = fitted(tiny, lr=0.05)[1]
    answers = []
    for one in (state, other, state):
        extractor.restore(one)
        answers.append(extractor.extract(clips(1))[0].values)
        assert extractor.clip.model is extractor.model
    np.testing.assert_array_equal(answers[0], answers[2])
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    two = make("emovclip", tiny, **QUICK).fit(clips(6), Supervision(labels=np.arange(6) % 2, classes=("angry", "x")))
    extractor.restore(two)
    assert extractor.dim == 2
    assert extractor.extract(clips(1))[0].values.shape == (2,)


def test_foreign_states_are_refused(tiny: Path, learnt: tuple[Any, Mapping[str, Any]]) -> None:
    extractor, state = make("emovclip", tiny, **QUICK), dict(learnt[1])
    with pytest.raises(PluginError, match="no state of emovclip"):
        extractor.restore({"weights": np.ones(3, np.float32)})
    name = next(name for name in state if name != "about")
    with pytest.raises(PluginError, match="not the trained weights"):
        extractor.restore({**state, name: np.ones((4, 7), np.float32)})


def test_the_same_seed_learns_the_same(tiny: Path, learnt: tuple[Any, Mapping[str, Any]]) -> None:
    again = fitted(tiny)[1]
    for name, value in learnt[1].items():
        np.testing.assert_array_equal(again[name], value)
    extractor = make("emovclip", tiny, **QUICK)
    other = extractor.fit(clips(12), told(12, seed=4))
    assert any((other[name] != value).any() for name, value in learnt[1].items() if name != "about")


@pytest.mark.parametrize("scheme", ["vpt", "maple", "cocoop", "full"])
def test_other_schemes_learn_and_come_back(tiny: Path, scheme: str) -> None:
    depths = {"vision_depth": 2, "text_depth": 2}
    extractor, state = fitted(tiny, 6, scheme=scheme, output="logits", epochs=1, lr=1e-3, **depths)
    other = make("emovclip", tiny, **QUICK, scheme=scheme, output="logits", **depths)
    other.restore(state)
    found, expected = (one.extract(clips(2))[1].values for one in (other, extractor))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    plain = fitted(tiny, 6, scheme=scheme, output="logits", epochs=1, lr=1e-12, **depths)[0]
    assert np.abs(plain.extract(clips(2))[1].values - expected).max() > 1e-5


class Killed(Exception):
    """Stands for a kill."""


def test_killed_and_resumed_gives_the_same_prompts(tiny: Path, tmp_path: Path) -> None:
    """Bit by bit; and what lay in the folder meanwhile is gone, but for the checkpoint."""
    options = {**QUICK, "epochs": 3}
    whole = make("emovclip", tiny, **options).fit(clips(12), told(12))

    def kill(stage: str, done: int, total: int, note: str) -> None:
        if note.startswith("epoch 2 of 3") and done == 4:
            raise Killed

    with pytest.raises(Killed):
        make("emovclip", tiny, **options).fit(clips(12), told(12, folder=tmp_path, progress=kill))
    assert len(list(tmp_path.glob("frames-*/*.npy"))) == 12
    notes: list[str] = []
    supervision = told(12, folder=tmp_path, progress=lambda *one: notes.append(one[3]))
    found = make("emovclip", tiny, **options).fit(clips(12), supervision)
    assert notes[0] == "going on after 2 of 3 epochs"
    for name, value in whole.items():
        np.testing.assert_array_equal(found[name], value)
    assert [file.name for file in tmp_path.iterdir()] == ["tuning.pt"]
    for change in ({"lr": 0.01}, {"tokens": 3}):
        notes.clear()
        make("emovclip", tiny, **{**options, **change}).fit(clips(12), supervision)
        assert notes[0] == "the checkpoint is of other options or labels: begun anew"


def test_options_that_change_no_result_keep_the_checkpoint(tiny: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    supervision = told(12, folder=tmp_path, progress=lambda *one: notes.append(one[3]))
    first = make("emovclip", tiny, **QUICK).fit(clips(12), supervision)
    notes.clear()
    again = make("emovclip", tiny, **QUICK, accumulate=3, cache_gb=0, save_minutes=1, pictures=2)
    found = again.fit(clips(12), supervision)
    assert notes == ["going on after 2 of 2 epochs"]
    for name, value in first.items():
        np.testing.assert_array_equal(found[name], value)


def test_saving_memory_changes_nothing(tiny: Path, learnt: tuple[Any, Mapping[str, Any]]) -> None:
    found = fitted(tiny, checkpointing=True, accumulate=6)[1]
    for name, value in learnt[1].items():
        if name != "about":
            np.testing.assert_allclose(found[name], value, atol=1e-4)


def test_clips_without_frames_end_in_a_clear_error(tiny: Path) -> None:
    none = Sample("none", {"frames": Frames(np.empty((0, 4, 4, 3), np.uint8), np.empty(0))})
    with pytest.raises(DataError, match="no clip to learn from has a frame"):
        make("emovclip", tiny, **{**QUICK, "epochs": 1}).fit(
            [none] * 4, Supervision(labels=np.arange(4) % 2, classes=("a", "b"))
        )
    extractor = make("emovclip", tiny, **{**QUICK, "epochs": 1})
    extractor.fit([*clips(5), none], told(6))
    assert extractor.summary["without_frames"] == 1


# features


def test_1_7_features_are_the_mean_of_frames_before_it_is_normalised(
    tiny: Path, learnt: tuple[Any, Mapping[str, Any]]
) -> None:
    state = learnt[1]
    found = {}
    for output in ("embedding", "frames", "logits", "probabilities"):
        extractor = make("emovclip", tiny, **QUICK, output=output)
        extractor.restore(state)
        found[output] = extractor.extract(clips(2))[1]
        assert found[output].values.shape[-1] == extractor.dim == (24 if output in ("embedding", "frames") else 6)
    frames, mean = found["frames"].values, found["embedding"].values
    assert (frames.shape, mean.shape) == ((4, 24), (24,))
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found["frames"].times, np.array([1, 4, 7, 10]) / 5)
    assert found["embedding"].times is None
    assert abs(np.linalg.norm(mean) - 1) > 0.1
    clip = extractor.clip
    with torch.no_grad():
        words, scale = clip.classes().numpy(), float(clip.model.logit_scale.exp())
    expected = scale * unit(mean[None])[0] @ unit(words).T
    np.testing.assert_allclose(found["logits"].values, expected, atol=1e-4)
    chances = np.exp(expected - expected.max())
    np.testing.assert_allclose(found["probabilities"].values, chances / chances.sum(), atol=1e-5)
    normal = make("emovclip", tiny, **QUICK, normalise=True)
    normal.restore(state)
    np.testing.assert_allclose(normal.extract(clips(2))[1].values, unit(mean), atol=1e-6)


def test_1_3_pixels_are_those_of_the_options(tiny: Path) -> None:
    images = list(pictures(2, (60, 90)))
    mine, theirs = (make("emovclip", tiny, normalisation=one).pictures.prepared(images) for one in ("clip", "imagenet"))
    assert mine.shape == (2, 3, 32, 32)
    levels = mine * torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    levels += torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    other = (levels - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    torch.testing.assert_close(theirs, other, atol=1e-5, rtol=1e-5)


def test_neither_batches_nor_other_clips_change_features(tiny: Path, learnt: tuple[Any, Mapping[str, Any]]) -> None:
    extractor = make("emovclip", tiny, **QUICK, pictures=3)
    extractor.restore(learnt[1])
    none = Sample("none", {"frames": Frames(np.empty((0, 4, 4, 3), np.uint8), np.empty(0))})
    asked = [sample(0, 1), none, sample(1, 2, count=5), sample(2, 3, count=1)]
    together = extractor.extract(asked)
    assert together[1] == Missing("no frame")
    for one, found in zip(asked, together, strict=True):
        if isinstance(found, Features):
            alone = learnt[0].extract([one])[0]
            np.testing.assert_allclose(found.values, alone.values, atol=1e-5)
    assert segment_indices(5, 4) == [0, 1, 3, 4]


def test_dimensions_are_known_as_soon_as_they_can_be(tiny: Path) -> None:
    assert make("emovclip", tiny, **QUICK).dim == 24
    with pytest.raises(PluginError, match="has learnt nothing yet"):
        _ = make("emovclip", tiny, **QUICK, output="logits").dim


# without learning


def test_what_clip_knows_without_labels(tiny: Path) -> None:
    """Embeddings of "a photo of a {label}." by both extractors, and by open_clip itself."""
    import open_clip

    from mer_core.weights import locate
    from mer_plugins.image.clip_checkpoint import read_clip

    model = read_clip(locate(tiny)).model()
    tokens = open_clip.tokenizer.SimpleTokenizer(context_length=16)(["a photo of a anger.", "a photo of a worry."])
    with torch.no_grad():
        expected = model.encode_text(tokens).numpy()
    for name in ("clip", "clip-video", "emovclip"):
        found = make(name, tiny).class_embeddings(("angry", "worried"))
        assert (found.shape, found.dtype) == ((2, 24), np.float32)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_text_tower_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    """Features need no text tower that takes the published tokens; class embeddings do."""
    other = clip_folder(tmp_path)
    extractor = make("clip", other)
    with pytest.raises(PluginError, match="more words than the model"):
        extractor.class_embeddings(("angry",))


@conformance("emovclip")
def test_emovclip_contract(check: BoundCheck, tiny: Path) -> None:
    check(options={"model": str(tiny), **QUICK})
