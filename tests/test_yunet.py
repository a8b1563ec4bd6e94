"""The yunet deriver: OpenCV's own loading and reading of the network, on one whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_maker import Shown, write_media
from tiny_yunet import CENTRE, POINTS, SIDES, SURE, write_yunet

from mer_core.errors import MissingWeightsError, PluginError
from mer_core.inputs import FramesInput
from mer_core.media.align import apply, fit_face, target_points
from mer_core.media.decode import decode_inputs
from mer_core.media.faces import FaceTrack
from mer_core.spec import DeriverSpec
from mer_core.testing import check_plugin
from mer_core.types import Clip, Derived, Frames, Missing, Sample
from mer_core.workflows.weights import locate_weights, verify_weights
from mer_core.workflows.workspace import open_workspace
from mer_plugins.faces.yunet import Yunet, YunetOptions

WIDTH, HEIGHT = 320, 192


def cells(*corners: tuple[int, int], side: int = 8, light: int = 255) -> np.ndarray:
    """A black picture with a light square at each of ``corners`` (x, y)."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for x, y in corners:
        image[y : y + side, x : x + side] = light
    return image


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yunet(tmp_path_factory.mktemp("yunet") / "tiny.onnx", seen=(8,))


def finder(network: Path, **options: object) -> Yunet:
    return Yunet(YunetOptions.model_validate({"model": str(network), **options}))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_boxes_landmarks_and_scores_are_those_of_the_network(tmp_path: Path, stride: int) -> None:
    network = write_yunet(tmp_path / "n.onnx", seen=(stride,))
    [found] = finder(network).detect(cells((96, 64), side=stride))
    sides = np.array(SIDES[stride])
    assert found.box[:2] == pytest.approx(np.array((96, 64)) + CENTRE - sides / 2, abs=1e-3)
    assert found.box[2:] == pytest.approx(sides, rel=1e-5)
    assert found.points == pytest.approx(POINTS + np.array((96, 64)), abs=1e-3)
    assert found.score == pytest.approx(SURE**0.5, abs=1e-5)


def test_scores_below_the_threshold_small_faces_and_overlaps_are_dropped(network: Path) -> None:
    dim = cells((96, 64), light=100)
    assert finder(network).detect(dim) == []
    [found] = finder(network, min_score=0.5).detect(dim)
    assert found.score == pytest.approx((SURE * 100 / 255) ** 0.5, abs=1e-5)
    assert finder(network, min_size=0.3).detect(cells((96, 64))) == []
    assert len(finder(network).detect(cells((96, 64), (104, 64)))) == 1
    assert len(finder(network, overlap=0.9).detect(cells((96, 64), (104, 64)))) == 2
    assert len(finder(network, most=1).detect(cells((96, 64), (200, 64)))) == 1


def test_pictures_of_any_size_are_looked_at(network: Path) -> None:
    found = finder(network)
    assert len(found.detect(np.ascontiguousarray(cells((96, 64))[:101, :201]))) == 1
    assert found.detect(np.zeros((1, 1, 3), np.uint8)) == []
    assert len(found.detect(cells((96, 64)))) == 1


def test_channels_come_in_the_order_that_the_network_knows(tmp_path: Path) -> None:
    import onnx

    network = onnx.load(write_yunet(tmp_path / "n.onnx"))
    for tensor in network.graph.initializer:
        if tensor.name == "cls_8_weight":
            weight = onnx.numpy_helper.to_array(tensor).copy()
            weight[:, 1:] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(3 * weight, tensor.name))
    onnx.save(network, tmp_path / "blue.onnx")
    blue = cells((96, 64)) * np.array([0, 0, 1], np.uint8)
    assert len(finder(tmp_path / "blue.onnx").detect(blue)) == 1
    assert finder(tmp_path / "blue.onnx").detect(blue[..., ::-1].copy()) == []


def test_the_main_face_is_chosen_as_haar_does(network: Path) -> None:
    images = [cells((96 + 8 * i, 64), *[(240, 120)] * (i == 4)) for i in range(8)]
    track = finder(network).track(Shown(images))
    assert isinstance(track, FaceTrack)
    assert track.points.shape == (8, 5, 2)
    assert track.points[:, 2, 0] == pytest.approx(96 + 4 + 8 * np.arange(8), abs=1e-3)
    assert track.quality() | {"size": 0} == {"coverage": 1.0, "size": 0, "score": 0.9, "jumps": 0.0}
    lone = [cells(*[(96, 64)] * (i == 4)) for i in range(8)]
    answers = finder(network).derive([Sample("a", {"frames": Shown(lone)}), Sample("b", {"frames": Missing("none")})])
    assert answers[0] == Missing("no face found in 8 frames, only 1 lone or weak detection")
    assert answers[1] == Missing("none")


def test_8_2_five_points_align_a_turned_face_to_the_published_targets() -> None:
    angle = np.radians(25)
    turn = 1.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for size in (112, 128):
        points = target_points(size) @ turn.T + (200, 90)
        assert apply(fit_face(points, size), points) == pytest.approx(target_points(size))


def test_a_video_gives_aligned_faces(network: Path, tmp_path: Path) -> None:
    images = [np.repeat(np.repeat(cells((96, 64), side=16), 3, 0), 3, 1) for _ in range(8)]
    clip = Clip(id="x", video=write_media(tmp_path / "x.mp4", images, fps=5, pixels="yuv420p"))
    options = YunetOptions(model=str(network), max_side=WIDTH)
    decoded = decode_inputs(clip, options.inputs(), {})
    [answer] = Yunet(options).derive([Sample("x", decoded)])
    assert isinstance(answer, Derived)
    track = FaceTrack.from_derived(answer)
    assert track.size == (WIDTH, HEIGHT)
    crops = decode_inputs(clip, {"faces": FramesInput(faces=True, size=112)}, {"faces": answer})["faces"]
    assert isinstance(crops, Frames)
    assert crops.images.shape == (8, 112, 112, 3)
    assert crops.quality == pytest.approx(np.full(8, 0.9), abs=0.02)


def test_other_files_are_refused_with_the_remedy(tmp_path: Path) -> None:
    for name, content in (("text.onnx", b"version https://git-lfs.github.com/spec/v1"), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PluginError, match=f"{name} is no ONNX network.*mer weights fetch yunet"):
            finder(tmp_path / name)
    fewer = write_yunet(tmp_path / "fewer.onnx", without=("kps_8", "cls_32"))
    with pytest.raises(PluginError, match=r"fewer.onnx is another network: it gives no cls_32, kps_8.*face_detection"):
        finder(fewer)
    with pytest.raises(PluginError, match=r"kps_8 has shape \[1, 96, 8\], not \[1, 96, 10\]"):
        finder(write_yunet(tmp_path / "narrow.onnx", columns=8))
    with pytest.raises(PluginError, match=r"holds no files \*.onnx"):
        finder(tmp_path.joinpath("nothing").mkdir() or tmp_path / "nothing")


def test_weights_are_found_by_name_or_the_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(MissingWeightsError, match=r"yunet .232\.6 kB, licence MIT.*Run: mer weights fetch yunet"):
        Yunet()
    (tmp_path / "prepared" / "yunet").mkdir(parents=True)
    write_yunet(tmp_path / "prepared" / "yunet" / "face_detection_yunet_2023mar.onnx")
    monkeypatch.setenv("MER_WEIGHTS", str(tmp_path / "prepared"))
    assert len(Yunet().detect(cells((96, 64)))) == 1
    catalogue = open_workspace(tmp_path / "cache").catalogue
    assert locate_weights(catalogue, "yunet") == tmp_path / "prepared" / "yunet"
    assert [one.wrong for one in verify_weights(catalogue, "yunet")] == [()]
    assert catalogue.find(DeriverSpec, "yunet").produces == "faces"


def test_the_network_s_content_counts_not_its_place(network: Path, tmp_path: Path) -> None:
    other = write_yunet(tmp_path / "other.onnx", seen=(16,))
    same = tmp_path / "same.onnx"
    same.write_bytes(network.read_bytes())
    facts = [YunetOptions(model=str(path)).fingerprint() for path in (network, same, other)]
    assert facts[0] == facts[1] != facts[2]


def test_the_contract_is_kept(network: Path) -> None:
    report = check_plugin("yunet", options={"model": str(network), "fps": 1})
    assert [result for result in report.results if not result.good] == []
