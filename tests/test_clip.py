"""CLIP on faces and whole frames: formats, preprocessing, quick GELU, batches; parity with transformers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from mer_core.errors import EnvironmentProblem, MissingWeightsError, PluginError, UsageError
from mer_core.plugin import ExtractorSpec, FramesInput, Missing
from mer_core.pooling import pool_frames
from mer_core.registry import discover
from mer_core.spec import declared_inputs
from mer_core.testing import BoundCheck, check_plugin, conformance
from mer_core.weights import Located, locate
from mer_plugins.image.clip_checkpoint import ClipCheckpoint, _trained_quick, read_clip
from mer_plugins.image.clip_names import renamed
from mer_plugins.image.clip_options import ClipOptions, tagged
from mer_plugins.image.preprocess import of_folder, of_open_clip
from mer_plugins.image.weights import CLIP
from tests.vision_models import CLIP_PICTURES, MEAN, SIDE, STD, clip_config, clip_folder, make, pictures, sample

TOLERANCE = 1e-5
"""Float32 products in other orders; of embeddings of size 1 to 3."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clip"))


def read(folder: Path) -> ClipCheckpoint:
    return read_clip(Located(folder, "sha256:0"))


def tensor(output: Any) -> Any:
    """What get_image_features returns: a tensor in transformers 4, an output in 5 (0)."""
    return output if torch.is_tensor(output) else output.pooler_output


def by_transformers(folder: Path, images: Any) -> Any:
    """Embeddings as the MER2024 baseline computes them."""
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return tensor(model.get_image_features(prepared(folder, images))).numpy()


def prepared(folder: Path, images: Any) -> Any:
    """Pictures as transformers prepares them on Pillow."""
    told = json.loads((folder / "preprocessor_config.json").read_text())
    told.pop("feature_extractor_type", None)
    cls = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    faces = [Image.fromarray(image) for image in images]
    return torch.from_numpy(np.stack(cls(**told)(faces, return_tensors="np")["pixel_values"]))


def open_clip_folder(folder: Path, tiny: Path, **changes: Any) -> Path:
    """The same model as open_clip publishes it."""
    folder.mkdir(exist_ok=True)
    checkpoint = read(tiny)
    told = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": {**checkpoint.config, **changes}, "preprocess_cfg": told}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(checkpoint.state, folder / "open_clip_model.safetensors")
    return folder


# 7: preprocessing


@pytest.mark.parametrize("size", [(112, 112), (128, 128), (32, 32), (20, 20), (40, 61), (95, 33), (480, 270)])
def test_7_preprocessing_is_that_of_transformers_to_the_last_bit(tiny: Path, size: tuple[int, int]) -> None:
    images = pictures(2, size)
    expected = prepared(tiny, images)
    found = make("clip", tiny).pictures.prepared(list(images))
    assert found.shape == expected.shape == (2, 3, SIDE, SIDE)
    assert float((found - expected).abs().max()) == 0


def test_7_openai_preprocessing_at_its_own_size(tmp_path: Path) -> None:
    """Faces of 112 and 128 pixels are enlarged to 224, and lose nothing at their borders."""
    told = {**CLIP_PICTURES, "size": 224, "crop_size": 224}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    recipe = of_folder(tmp_path)
    assert (recipe.size, recipe.resize, recipe.method) == ((224, 224), 224, Image.Resampling.BICUBIC)
    for side in (112, 128):
        image = pictures(1, (side, side))[0]
        whole = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(recipe.cut(image), np.asarray(whole))
        mine = recipe.table[np.arange(3)[:, None, None], recipe.cut(image).transpose(2, 0, 1)]
        np.testing.assert_array_equal(mine, prepared(tmp_path, [image])[0].numpy())


def test_7_preprocessing_of_open_clip(tiny: Path) -> None:
    """Its own transform, on torchvision; faces are square, so that crops cannot differ."""
    told = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    image = pictures(1, (112, 112))[0]
    config = open_clip.transform.PreprocessCfg(size=SIDE, **told)
    expected = open_clip.transform.image_transform_v2(config, is_train=False)(Image.fromarray(image)).numpy()
    recipe = of_open_clip(told, (SIDE, SIDE))
    found = recipe.table[np.arange(3)[:, None, None], recipe.cut(image).transpose(2, 0, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    wide = of_open_clip({**told, "resize_mode": "squash"}, SIDE).cut(pictures(1, (40, 90))[0])
    assert wide.shape == (SIDE, SIDE, 3)
    with pytest.raises(PluginError, match="longest"):
        of_open_clip({"resize_mode": "longest"}, SIDE)


def test_without_preprocessor_config_the_reason_is_told(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(PluginError, match="how to prepare pictures") as caught:
        make("clip", folder)
    assert "preprocessor_config.json" in str(caught.value.hint)


# 7: embeddings


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_7_embeddings_are_those_of_transformers(tmp_path: Path, activation: str) -> None:
    """Projected, not normalised; the activation is what config.json says."""
    folder = clip_folder(tmp_path, activation)
    assert read(folder).config["quick_gelu"] == (activation == "quick_gelu")
    images = pictures(5, (112, 112))
    extractor = make("clip", folder)
    found = extractor.extract([sample(images)])[0]
    expected = by_transformers(folder, images)
    assert extractor.dim == 24
    assert found.values.shape == (5, 24)
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, expected, atol=TOLERANCE)
    np.testing.assert_array_equal(found.times, np.arange(5) / 5)
    assert np.abs(np.linalg.norm(found.values, axis=1) - 1).min() > 0.1


def test_1_2_quick_gelu_matters(tiny: Path, tmp_path: Path) -> None:
    """The wrong one gives other embeddings without any error, so that it is never a default."""
    config = json.loads((copied(tiny, tmp_path) / "config.json").read_text())
    for part in ("vision_config", "text_config"):
        config[part]["hidden_act"] = "gelu"
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = sample(pictures())
    one, other = (make("clip", folder).extract([images])[0].values for folder in (tiny, tmp_path))
    assert np.abs(one - other).max() > 100 * TOLERANCE


def test_other_activations_are_refused(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path, "relu")
    with pytest.raises(PluginError, match="activation is relu"):
        make("clip", folder)


def test_configurations_of_openai_repositories_leave_out_defaults(tmp_path: Path) -> None:
    """Theirs name few values, some of them in text_config_dict and vision_config_dict."""
    told = {"model_type": "clip", "projection_dim": 768, "text_config": {"projection_dim": 768}}
    told["vision_config_dict"] = {"hidden_size": 1024, "num_hidden_layers": 24, "patch_size": 14}
    told["vision_config_dict"] |= {"intermediate_size": 4096, "num_attention_heads": 16}
    told["text_config_dict"] = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
    (tmp_path / "config.json").write_text(json.dumps(told))
    from mer_plugins.image.clip_names import config_of

    found, published = config_of(tmp_path), open_clip.get_model_config("ViT-L-14-quickgelu")
    assert found["quick_gelu"] is published["quick_gelu"] is True
    for part in ("vision_cfg", "text_cfg"):
        assert {key: found[part][key] for key in published[part]} == published[part]
    assert found["embed_dim"] == published["embed_dim"]
    assert (found["vision_cfg"]["head_width"], found["vision_cfg"]["mlp_ratio"]) == (64, 4)


def test_normalised_embeddings_have_length_one(tiny: Path) -> None:
    images = sample(pictures())
    plain, unit = (make("clip", tiny, normalise=which).extract([images])[0].values for which in (False, True))
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=TOLERANCE)


@pytest.mark.parametrize("eos", [2, 49])
def test_1_8_both_towers_are_those_of_transformers(tmp_path: Path, eos: int) -> None:
    """The key map of the text tower, and where a text is read: its largest token (legacy), or the first eos."""
    folder = clip_folder(tmp_path, eos_token_id=eos)
    tokens = torch.tensor([[0, 7, 9, 30, 49, 1, 1], [0, 5, 49, 1, 1, 1, 1]])
    theirs = transformers.CLIPModel.from_pretrained(folder).eval()
    ours = read(folder).model()
    padded = torch.nn.functional.pad(tokens, (0, 5), value=1)
    images = prepared(folder, pictures())
    with torch.no_grad():
        expected = tensor(theirs.get_text_features(input_ids=padded))
        np.testing.assert_allclose(ours.encode_text(padded), expected, atol=TOLERANCE)
        expected = tensor(theirs.get_image_features(images))
        np.testing.assert_allclose(ours.encode_image(images), expected, atol=TOLERANCE)
    assert ours.logit_scale.item() == pytest.approx(theirs.logit_scale.item())


# batches


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
def test_7_neither_batches_nor_other_clips_change_features(tiny: Path, batch: int) -> None:
    shapes = [(3, (40, 40)), (1, (60, 50)), (6, (128, 128))]
    clips = [pictures(count, size, seed) for seed, (count, size) in enumerate(shapes)]
    whole, parted = make("clip", tiny, batch=100), make("clip", tiny, batch=batch)
    together = parted.extract([sample(clip) for clip in clips])
    for clip, found in zip(clips, together, strict=True):
        alone = whole.extract([sample(clip)])[0]
        np.testing.assert_allclose(found.values, alone.values, atol=TOLERANCE)
        np.testing.assert_array_equal(found.times, alone.times)


def test_7_no_more_than_a_batch_is_in_memory(tiny: Path) -> None:
    extractor = make("clip", tiny, batch=4)
    seen: list[int] = []
    extractor.model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    extractor.extract([sample(pictures(5)), sample(pictures(0)), sample(pictures(4))])
    assert seen == [4, 4, 1]


def test_7_one_frame_and_none(tiny: Path) -> None:
    extractor = make("clip", tiny)
    none, one, many = extractor.extract([sample(pictures(0)), sample(pictures(1)), sample(pictures(3))])
    assert none == Missing("no picture")
    assert one.values.shape == (1, 24)
    np.testing.assert_allclose(one.values[0], extractor.extract([sample(pictures(1))])[0].values[0], atol=TOLERANCE)
    assert many.values.shape == (3, 24)
    np.testing.assert_array_equal(pool_frames(one.values, "mean_var")[24:], 0)
    assert extractor.extract([]) == []
    assert extractor.extract([sample(pictures(0))]) == [Missing("no picture")]


def test_half_precision_is_near(tiny: Path) -> None:
    images = sample(pictures())
    exact, half = (make("clip", tiny, precision=one).extract([images])[0].values for one in ("auto", "bfloat16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(exact - half).max() < 0.05 * np.abs(exact).max()


# what is asked of the decoder


def test_faces_and_frames_that_are_asked_for() -> None:
    catalogue = discover()

    def asked(name: str, **values: Any) -> Any:
        options = catalogue.options(ExtractorSpec, name, values)
        return declared_inputs(catalogue.find(ExtractorSpec, name), options)["frames"]

    assert asked("clip") == FramesInput(fps=5, faces=True, size=128)
    assert asked("clip", fps=None, size=112) == FramesInput(faces=True, size=112)
    assert asked("clip-video") == FramesInput(fps=5, max_side=640)
    assert asked("clip-video", count=16) == FramesInput(count=16, max_side=640)
    assert asked("clip-video", fps=None) == FramesInput(max_side=640)
    for name in ("clip", "clip-video"):
        spec = catalogue.find(ExtractorSpec, name)
        assert asked(name) == spec.inputs["frames"]
        assert spec.weights == CLIP
        assert spec.level == "frame"


def test_whole_frames_give_what_faces_give(tiny: Path) -> None:
    images = sample(pictures(4, (60, 90)))
    one, other = (make(name, tiny).extract([images])[0] for name in ("clip", "clip-video"))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.times, other.times)


# formats


def test_all_formats_give_the_same(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' folder, with shards and pickled; open_clip's; files of weights with a name."""
    images = sample(pictures())
    expected = make("clip", tiny).extract([images])[0].values
    checkpoint = read(tiny)
    folders = [open_clip_folder(tmp_path / "open_clip", tiny)]
    pickled = copied(tiny, tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    sharded = tmp_path / "sharded"
    transformers.CLIPModel.from_pretrained(tiny).save_pretrained(sharded, max_shard_size="50kB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    (sharded / "preprocessor_config.json").write_text(json.dumps(CLIP_PICTURES))
    for folder in [*folders, pickled, sharded]:
        np.testing.assert_allclose(make("clip", folder).extract([images])[0].values, expected, atol=TOLERANCE)
    registered(monkeypatch, "ViT-tiny", checkpoint.config)
    files = [tmp_path / "open.safetensors", tmp_path / "train.pt", tmp_path / "hf.safetensors"]
    save_file(checkpoint.state, files[0])
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in checkpoint.state.items()}}, files[1])
    save_file(load_file(tiny / "model.safetensors"), files[2])
    for file in files:
        extractor = make("clip", file, architecture="ViT-tiny")
        np.testing.assert_allclose(extractor.extract([images])[0].values, expected, atol=TOLERANCE)


def registered(monkeypatch: pytest.MonkeyPatch, name: str, config: dict[str, Any]) -> None:
    """A model that open_clip knows by name."""
    monkeypatch.setattr("open_clip.factory.list_models", lambda: [name])
    monkeypatch.setattr("open_clip.factory.get_model_config", lambda wanted: dict(config) if wanted == name else None)


def test_half_precision_files_are_computed_in_float32(tiny: Path, tmp_path: Path) -> None:
    folder = open_clip_folder(tmp_path / "half", tiny)
    state = {name: value.half() for name, value in read(tiny).state.items()}
    save_file(state, folder / "open_clip_model.safetensors")
    extractor = make("clip", folder)
    assert {weight.dtype for weight in extractor.model.parameters()} == {torch.float32}


def test_a_text_tower_that_is_not_clips_own_is_never_built(tiny: Path, tmp_path: Path) -> None:
    """open_clip would ask the hub for its configuration."""
    text = {"hf_model_name": "xlm-roberta-base", "hf_proj_type": "mlp"}
    folder = open_clip_folder(tmp_path / "multilingual", tiny, text_cfg=text)
    images = sample(pictures())
    found = make("clip", folder).extract([images])[0].values
    np.testing.assert_allclose(found, make("clip", tiny).extract([images])[0].values, atol=TOLERANCE)
    with pytest.raises(PluginError, match="text tower"):
        read(folder).model()


def test_the_table_of_published_weights_decides_on_quick_gelu(tiny: Path, tmp_path: Path) -> None:
    """A configuration that forgets it, of weights that open_clip's table knows to want it."""
    assert _trained_quick("timm/vit_large_patch14_clip_224.openai")
    assert not _trained_quick("laion/CLIP-ViT-L-14-laion2B-s32B-b82K")
    folder = open_clip_folder(tmp_path / "openai", tiny, quick_gelu=False)
    known = read_clip(Located(folder, "timm/vit_large_patch14_clip_224.openai@0123"))
    assert known.config["quick_gelu"] is True
    assert read(folder).config["quick_gelu"] is False


def test_models_and_tags_of_open_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert tagged("ViT-L-14:openai").repo == "timm/vit_large_patch14_clip_224.openai"
    assert tagged("ViT-B-16:laion2b-s34b-b88k").repo == "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    with pytest.raises(MissingWeightsError, match=r"mer weights fetch timm/vit_large_patch14_clip_224\.openai"):
        make("clip", "ViT-L-14:openai")
    with pytest.raises(UsageError, match=r"no weights 'ViT-B-32:mine'\. Tags of ViT-B-32: openai, "):
        make("clip", "ViT-B-32:mine")
    with pytest.raises(UsageError, match="no weights of a model 'ViT-Q'"):
        make("clip", "ViT-Q:openai")


def test_tagged_weights_are_found_in_the_cache(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    top, commit = tmp_path / "models--timm--vit_large_patch14_clip_224.openai", "0123456789abcdef" * 2 + "01234567"
    (top / "refs").mkdir(parents=True)
    (top / "refs" / "main").write_text(commit)
    (top / "snapshots").mkdir()
    open_clip_folder(top / "snapshots" / commit, tiny)
    options = ClipOptions(model="ViT-L-14:openai")
    assert options.fingerprint()["model"] == f"timm/vit_large_patch14_clip_224.openai@{commit}"
    assert make("clip", "ViT-L-14:openai").dim == 24


# what cannot be read


def copied(folder: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_openais_archives_are_refused_with_the_reason(tmp_path: Path) -> None:
    """They are TorchScript: nothing of them can be read without running them."""
    file = tmp_path / "ViT-L-14.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(file))
    with pytest.raises(PluginError, match="TorchScript archive: it holds code") as caught:
        make("clip", file, architecture="ViT-L-14-quickgelu")
    assert "openai/clip-vit-large-patch14" in str(caught.value.hint)


class Nasty:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> Any:
        return eval, ("__import__('sys').modules.setdefault('nasty_was_run', 1)",)


def test_pickles_run_nothing(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"a": Nasty()}, folder / "pytorch_model.bin")
    with pytest.raises(PluginError, match="holds code"):
        make("clip", folder)
    assert "nasty_was_run" not in sys.modules


def test_files_need_a_name_of_their_architecture(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(read(tiny).state, file)
    with pytest.raises(PluginError, match="does not say what model it is") as caught:
        make("clip", file)
    assert "ViT-L-14-quickgelu" in str(caught.value.hint)
    with pytest.raises(PluginError, match="no model 'ViT-Q'"):
        make("clip", file, architecture="ViT-Q")
    with pytest.raises(PluginError, match="does not hold this CLIP"):
        make("clip", file, architecture="ViT-S-32-alt")


def test_damaged_and_foreign_checkpoints_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"it has no config\.json"):
        make("clip", tmp_path)
    folder = copied(tiny, tmp_path)
    (folder / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(PluginError, match=r"model\.safetensors is cut short"):
        make("clip", folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(PluginError, match=r"holds no weights"):
        make("clip", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    with pytest.raises(PluginError, match="holds a siglip, not a CLIP") as caught:
        make("clip", folder)
    assert "hf-vision" in str(caught.value.hint)


def test_weights_of_another_size_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 4
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PluginError, match="does not hold this CLIP: Missing key"):
        make("clip", folder)


def test_weights_that_are_not_here_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name in ("clip", "clip-video"):
        with pytest.raises(MissingWeightsError, match="mer weights fetch clip-vit-large-patch14"):
            make(name, "clip-vit-large-patch14")


def test_0_torch_and_torchvision_that_do_not_match_are_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "open_clip":
                raise RuntimeError("operator torchvision::nms does not exist")

    for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(EnvironmentProblem, match="operator torchvision::nms does not exist") as caught:
        read(tiny)
    assert caught.value.hint == "Run: mer doctor"


# what the specs promise


@pytest.mark.parametrize("weights", CLIP, ids=lambda one: one.name)
def test_7_sizes_of_the_published_models(weights: Any) -> None:
    """Counted on models of open_clip's configurations without memory."""
    large = weights.name.replace("clip-vit-large-patch", "ViT-L-").replace("clip-vit-base-patch", "ViT-B-")
    name = next(one for one in ("ViT-L-14-336", "ViT-L-14", "ViT-B-32", "ViT-B-16", "ViT-H-14") if one in large)
    with torch.device("meta"):
        model = open_clip.model.CLIP(**open_clip.get_model_config(name))
    assert sum(one.numel() for one in model.visual.parameters()) == weights.parameters
    assert weights.dim == model.visual.output_dim
    total = 4 * sum(one.numel() for one in model.parameters())
    assert weights.bytes == pytest.approx(total, rel=0.002)


def test_all_weights_are_renamed(tiny: Path) -> None:
    """Nothing is lost on the way, and a tower alone is enough for pictures."""
    state = load_file(tiny / "model.safetensors")
    total = sum(value.numel() for value in renamed(state).values())
    assert total == sum(one.numel() for one in transformers.CLIPModel(clip_config()).parameters())
    vision = {name: value for name, value in state.items() if name.startswith(("vision", "visual"))}
    checkpoint = ClipCheckpoint(tiny, read(tiny).config, renamed(vision), None)
    checkpoint.tower()
    with pytest.raises(PluginError, match="does not hold this CLIP"):
        checkpoint.model()


@conformance("clip")
def test_clip_contract(check: BoundCheck, tiny: Path) -> None:
    """But for the fresh process, which imports open_clip for long: that of emovclip reads the same checkpoint."""
    if check.check.name in ("spawned", "offline"):
        pytest.skip("checked with emovclip")
    check(options={"model": str(tiny)})


def test_clip_video_contract(tiny: Path) -> None:
    only = ["light-import", "options", "starts", "dimension", "times", "order", "batch-invariance", "finite", "short"]
    report = check_plugin("clip-video", options={"model": str(tiny)}, only=only)
    assert report.ok, str(report)


def test_fingerprints_are_of_what_shapes_features(tiny: Path) -> None:
    found = ClipOptions(model=str(tiny)).fingerprint()
    assert found["model"] == locate(tiny).identity
    assert found["batch"] is found["precision"] is None
