"""The openface deriver: its geometry, its tables, output that is there, and a program that is run."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_openface import (
    COLUMNS,
    SHAPE,
    aligned,
    depth,
    header,
    landmarks_of,
    rows_of,
    transform_of,
    turned,
    write_fake,
    write_pdm,
    write_table,
)
from media_maker import write_media

from mer_core.errors import DataError, EnvironmentProblem, OptionError
from mer_core.inputs import FramesInput
from mer_core.media.align import apply, fit_face
from mer_core.media.decode import decode_inputs
from mer_core.media.faces import FaceTrack
from mer_core.testing import check_plugin
from mer_core.types import Clip, Derived, Failure, Frames, Missing, Sample
from mer_plugins.faces.openface import OpenFace, five_points
from mer_plugins.faces.openface_hog import read_hog
from mer_plugins.faces.openface_options import OpenFaceOptions
from mer_plugins.faces.openface_output import picture_numbers
from mer_plugins.faces.openface_shape import find_shape, own_shape, read_shape
from mer_plugins.faces.openface_table import read_table

COUNT = 6
SIZE = (320, 240)
GOLDEN = {112: {36: (23.77, 29.77), 45: (87.62, 29.34), 30: (56.86, 50.11), 48: (35.76, 76.03)}}
GOLDEN |= {128: {36: (27.16, 34.02), 45: (100.14, 33.53), 54: (87.04, 86.46), 8: (64.08, 125.65)}}


@pytest.fixture(autouse=True)
def _no_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENFACE_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@pytest.fixture(scope="module")
def pdm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pdm(tmp_path_factory.mktemp("model") / "pdm.txt")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (COUNT, 12, 16, 3), dtype=np.uint8)
    return [cv2.resize(image, SIZE, interpolation=cv2.INTER_CUBIC) for image in small]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, pictures: list[np.ndarray]) -> Clip:
    path = tmp_path_factory.mktemp("video") / "x.mkv"
    return Clip(id="talk/一", video=write_media(path, pictures, codec="ffv1", pixels="bgr0"))


def derive(clip: Clip, **options: object) -> Derived | Missing | Failure:
    chosen = OpenFaceOptions.model_validate(options)
    return OpenFace(chosen).derive([Sample(clip.id, decode_inputs(clip, chosen.inputs(), {}))])[0]


def crops(clip: Clip, faces: object, size: int = 112, **how: object) -> Frames:
    assert isinstance(faces, Derived), faces
    wanted = FramesInput(faces=True, size=size, **how)  # type: ignore[arg-type]
    found = decode_inputs(clip, {"faces": wanted}, {"faces": faces})["faces"]
    assert isinstance(found, Frames), found
    return found


def mertools(folder: Path, clip: Clip, count: int = COUNT, size: int = 112) -> Path:
    """``openface_face/<name>/<name>.npy`` whose pictures are ever brighter blues."""
    place = folder / clip.id / f"{Path(clip.id).name}.npy"
    place.parent.mkdir(parents=True)
    images = np.zeros((count, size, size, 3), np.uint8)
    images[..., 0] = 10 * np.arange(1, count + 1)[:, None, None]
    np.save(place, images)
    return folder


# 8.2: ALIGNMENT


@pytest.mark.parametrize("size", [112, 128])
def test_8_2_a_frontal_face_lands_on_the_published_points(size: int) -> None:
    moved = apply(fit_face(five_points(SHAPE, SHAPE, np.zeros(2)), size), SHAPE)
    for index, expected in GOLDEN[size].items():
        assert moved[index] == pytest.approx(expected, abs=0.011)


def test_8_2_the_published_transform_of_a_turned_face() -> None:
    landmarks = turned(SHAPE, 20, 1.9, (320, 240))
    matrix, shift = fit_face(five_points(landmarks, SHAPE, np.array([320.0, 240.0])), 112)
    assert matrix == pytest.approx(np.array([[0.346203, 0.126007], [-0.126007, 0.346203]]), abs=2e-6)
    assert np.sqrt(np.linalg.det(matrix)) == pytest.approx(0.368421, abs=1e-6)
    assert np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])) == pytest.approx(-20)
    assert shift == pytest.approx(-matrix @ [320, 240] + [56, 56])


def test_8_3_a_mirrored_face_is_never_reflected() -> None:
    matrix, _ = fit_face(five_points(SHAPE * [-1, 1] + 200, SHAPE), 112)
    assert np.linalg.det(matrix) > 0


def test_8_2_the_model_s_translation_is_the_middle_not_the_landmarks_mean() -> None:
    centre = np.array([303.0, 222.0])
    matrix, shift = fit_face(five_points(SHAPE * 1.5 + 300, SHAPE, centre), 128)
    assert matrix @ centre + shift == pytest.approx([64, 64])
    for unknown in (None, np.full(2, np.nan)):
        matrix, shift = fit_face(five_points(SHAPE * 1.5 + 300, SHAPE, unknown), 128)
        assert matrix @ [300, 300] + shift == pytest.approx([64, 64], abs=0.01)


@pytest.mark.parametrize("angle", [-30, 0, 25])
def test_8_2_the_own_template_aligns_nearly_as_openface_does(angle: float) -> None:
    landmarks = turned(SHAPE, angle, 1.4, (200, 160))
    ours, theirs = (fit_face(five_points(landmarks, shape), 128)[0] for shape in (own_shape(), SHAPE))
    ratio = complex(ours[0, 0], ours[1, 0]) / complex(theirs[0, 0], theirs[1, 0])
    assert abs(ratio) == pytest.approx(1, abs=0.01)
    assert np.degrees(np.angle(ratio)) == pytest.approx(0, abs=0.5)


def test_8_2_the_mean_shape_is_read_from_an_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_shape() is None
    file = write_pdm(tmp_path / "build/bin/AU_predictors/In-the-wild_aligned_PDM_68.txt")
    assert read_shape(file) == pytest.approx(SHAPE)
    assert find_shape(tmp_path / "build" / "bin" / "FeatureExtraction") == file
    monkeypatch.setenv("OPENFACE_HOME", str(tmp_path))
    assert find_shape() == file
    for content in ("", "204 1 6 1 2 3", "no numbers at all"):
        (tmp_path / "other.txt").write_text(content)
        with pytest.raises(DataError, match=r"other.txt is no mean shape"):
            read_shape(tmp_path / "other.txt")


# 8.1: TABLES


@pytest.mark.parametrize("gap", ["", " "])
def test_8_1_tables_are_read_with_and_without_spaces(tmp_path: Path, gap: str) -> None:
    landmarks = landmarks_of(3)
    table = read_table(write_table(tmp_path / "a.csv", rows_of(landmarks, [0.9, 0.2, 0.98]), gap=gap))
    assert table.frames.tolist() == [1, 2, 3]
    assert table.stamps == pytest.approx([0, 0.04, 0.08])
    assert table.success.tolist() == [True, False, True]
    assert table.points == pytest.approx(landmarks)
    assert table.centres == pytest.approx(landmarks.mean(1))
    assert table.tracked(0.5, successful=False).tolist() == [True, False, True]


def test_8_1_all_columns_of_a_table_are_found_by_name(tmp_path: Path) -> None:
    assert len(COLUMNS) == len(set(COLUMNS)) == 714
    landmarks = landmarks_of(2)
    known = [dict(zip(header(), row, strict=True)) for row in rows_of(landmarks, centres=np.array([[1, 2], [3, 4]]))]
    rows = [[row.get(name, -1.0) for name in COLUMNS] for row in known]
    table = read_table(write_table(tmp_path / "a.csv", rows, COLUMNS, gap=" "))
    assert table.points == pytest.approx(landmarks)
    assert table.centres.tolist() == [[1, 2], [3, 4]]
    assert table.confidence.tolist() == [0.98, 0.98]


def test_8_1_rows_come_in_order_and_the_main_face_is_the_largest(tmp_path: Path) -> None:
    landmarks = np.concatenate([landmarks_of(2), 0.5 * landmarks_of(3)])
    rows = rows_of(landmarks, faces=[1, 1, 0, 0, 0], frames=[2, 1, 3, 2, 1])
    main = read_table(write_table(tmp_path / "a.csv", rows)).main()
    assert main.frames.tolist() == [1, 2]
    assert main.faces.tolist() == [1, 1]
    assert main.points == pytest.approx(landmarks[[1, 0]])


def test_broken_tables_are_refused(tmp_path: Path) -> None:
    whole = write_table(tmp_path / "a.csv", rows_of(landmarks_of(2))).read_text()
    cases = {"is empty": "", "no column frame": "a,b\n1,2\n", "cut off in line 3": whole[:-40]}
    cases["no number"] = whole.replace("0.98", "high")
    for words, content in cases.items():
        (tmp_path / "b.csv").write_text(content)
        with pytest.raises(DataError, match=f"b.csv.*{words}"):
            read_table(tmp_path / "b.csv")


def test_8_1_pictures_sort_by_frame_beyond_six_digits(tmp_path: Path) -> None:
    for name in ("frame_det_00_1000000", "frame_det_00_999999", "frame_det_01_000007", "frame_det_00_000010"):
        (tmp_path / f"{name}.bmp").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("1")
    assert picture_numbers(tmp_path, None) == {7: 0, 10: 1, 999999: 2, 1000000: 3}
    assert picture_numbers(tmp_path, 0) == {10: 1, 999999: 2, 1000000: 3}
    (tmp_path / "still").mkdir()
    (tmp_path / "still" / "face_det_000003.bmp").write_bytes(b"")
    assert picture_numbers(tmp_path / "still", 0) == {3: 0}


def hog(values: np.ndarray, valid: float, sizes: tuple[int, int, int] = (2, 3, 31)) -> bytes:
    """A frame of a .hog file."""
    return struct.pack("<iiif", *sizes, valid) + values.astype("<f4").tobytes()


def test_8_1_histograms_say_their_size_with_every_frame(tmp_path: Path) -> None:
    file, values = tmp_path / "a.hog", np.random.default_rng(0).random((4, 2 * 3 * 31)).astype(np.float32)
    frames = [hog(one, valid) for one, valid in zip(values, (1.0, 0.0, -1.0, 1.0), strict=True)]
    file.write_bytes(b"".join(frames))
    found = read_hog(file)
    np.testing.assert_array_equal(found.values, values)
    assert found.valid.tolist() == [True, False, False, True]
    file.write_bytes(hog(np.ones(4464), 1, (12, 12, 31)))
    assert read_hog(file).values.shape == (1, 4464)
    file.write_bytes(b"")
    assert read_hog(file).values.shape == (0, 0)
    other = hog(values[0], 1, (3, 2, 31))
    for content in (frames[0][:-4], frames[0][:7], frames[0] + other, hog(values[0], 1, (-2, 3, 31)), b"text" * 99):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.hog is no \.hog of OpenFace, or is cut off"):
            read_hog(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_hog(tmp_path / "none.hog")


# 8.1: OUTPUT THAT IS THERE


@pytest.mark.parametrize("size", [112, 128])
def test_8_2_mer_cuts_what_openface_cuts(
    tmp_path: Path, clip: Clip, pictures: list[np.ndarray], pdm: Path, size: int
) -> None:
    landmarks = landmarks_of(COUNT)
    centres = landmarks.mean(1) + np.array((3, -2))
    write_table(tmp_path / f"{clip.id}.csv", rows_of(landmarks, centres=centres), gap=" ")
    found = crops(clip, derive(clip, folder=tmp_path, shape=pdm, mask=False), size)
    assert found.times == pytest.approx(np.arange(COUNT) / 25)
    assert found.quality == pytest.approx(np.full(COUNT, 0.98))
    expected = [aligned(*each, size) for each in zip(pictures, landmarks, centres, strict=True)]
    assert np.abs(found.images.astype(int) - np.stack(expected)).max() <= 2


@pytest.mark.parametrize("size", [112, 128])
def test_8_2_what_is_not_face_is_black_by_default(tmp_path: Path, clip: Clip, pdm: Path, size: int) -> None:
    landmarks = landmarks_of(COUNT)
    centres = landmarks.mean(1) + np.array((3, -2))
    write_table(tmp_path / f"{clip.id}.csv", rows_of(landmarks, centres=centres))
    masked, whole = (
        crops(clip, derive(clip, folder=tmp_path, shape=pdm, **how), size).images for how in ({}, {"mask": False})
    )
    inside = np.stack([depth(*each, size) for each in zip(landmarks, centres, strict=True)])
    assert (masked[inside > 1] == whole[inside > 1]).all()
    assert (masked[inside < -1] == 0).all()
    assert 0.05 < (inside < -1).mean() < 0.4
    assert whole[inside < -1].mean() > 100
    bare = derive(clip, folder=tmp_path, mask=False)
    assert isinstance(bare, Derived)
    assert "outlines" not in bare.arrays


def test_8_2_what_is_out_of_sight_is_black_under_a_mask_too(tmp_path: Path, clip: Clip, pdm: Path) -> None:
    write_table(tmp_path / f"{clip.id}.csv", rows_of(landmarks_of(COUNT), [0.9, 0.1, 0.9, 0.9, 0.9, 0.9]))
    how = {"folder": tmp_path, "shape": pdm, "require_success": True}
    black, again = (derive(clip, **how, on_missing=what) for what in ("zeros", "repeat_last"))
    assert [bool(image.any()) for image in crops(clip, black).images] == [True, False, True, True, True, True]
    assert isinstance(again, Derived)
    assert (again.arrays["outlines"][1] == again.arrays["outlines"][0]).all()


def test_8_2_reference_transform_is_that_of_the_aligner() -> None:
    for landmarks in landmarks_of(3):
        matrix, shift = fit_face(five_points(landmarks, SHAPE), 112)
        assert np.column_stack([matrix, shift]) == pytest.approx(transform_of(landmarks, landmarks.mean(0), 112))


def test_8_3_frames_without_a_face_follow_the_option(tmp_path: Path, clip: Clip, pdm: Path) -> None:
    landmarks = landmarks_of(COUNT)
    landmarks[0] = 0
    sure = [0.0, 0.9, 0.9, 0.3, 0.9, 0.9]
    write_table(tmp_path / f"{clip.id}.csv", rows_of(landmarks, sure))

    def times(**options: object) -> list[float]:
        found = derive(clip, folder=tmp_path, shape=pdm, **options)
        assert isinstance(found, Derived)
        return [round(25 * float(t)) for t in FaceTrack.from_derived(found).times]

    assert times() == [1, 2, 3, 4, 5]
    assert times(min_confidence=0.5) == times(require_success=True) == [1, 2, 4, 5]
    assert times(require_success=True, on_missing="repeat_last") == [1, 2, 3, 4, 5]
    repeated = derive(clip, folder=tmp_path, shape=pdm, require_success=True, on_missing="repeat_last")
    assert isinstance(repeated, Derived)
    assert (repeated.arrays["points"][2] == repeated.arrays["points"][1]).all()
    assert repeated.arrays["scores"][2] == 0
    black = crops(clip, derive(clip, folder=tmp_path, shape=pdm, require_success=True, on_missing="zeros"))
    assert [bool(image.any()) for image in black.images] == [False, True, True, False, True, True]
    assert black.quality == pytest.approx([0, 0.9, 0.9, 0, 0.9, 0.9])
    assert derive(clip, folder=tmp_path, min_confidence=0.99) == Missing("OpenFace found no face in 6 frames")


def test_8_1_mertools_arrays_are_faces(tmp_path: Path, clip: Clip) -> None:
    faces = derive(clip, folder=mertools(tmp_path, clip))
    found = crops(clip, faces, 112)
    assert found.times == pytest.approx(np.arange(COUNT) / 25)
    assert found.images.shape == (COUNT, 112, 112, 3)
    assert found.images[:, 50, 50].tolist() == [[0, 0, 10 * i] for i in range(1, COUNT + 1)]
    assert crops(clip, faces, 128, count=2).images[:, 5, 5, 2].tolist() == [20, 50]
    assert crops(clip, faces, 32, fps=12.5).images[:, 5, 5, 2].tolist() == [10, 30, 50]
    both = {"faces": FramesInput(faces=True, size=64), "whole": FramesInput(count=2, max_side=160)}
    both["lazy"] = FramesInput(faces=True, stream=True)
    assert isinstance(faces, Derived)
    answers = decode_inputs(clip, both, {"faces": faces})
    assert answers["whole"].images.shape == (2, 120, 160, 3)  # type: ignore[union-attr]
    assert answers["lazy"].size == (128, 128)  # type: ignore[union-attr]
    assert [image[0, 0, 2] for _, image in answers["lazy"]] == [10 * i for i in range(1, 7)]  # type: ignore


def test_pictures_of_another_rate_are_spread_over_the_clip(tmp_path: Path, clip: Clip) -> None:
    found = crops(clip, derive(clip, folder=mertools(tmp_path, clip, count=11)))
    assert found.times == pytest.approx(np.linspace(0, 0.2, 11))
    longer = derive(clip, folder=mertools(tmp_path / "b", clip, count=40))
    assert isinstance(longer, Failure)
    assert "has 40 frames, and the clip has 6" in longer.reason


def test_arrays_that_are_empty_gone_or_something_else(tmp_path: Path, clip: Clip) -> None:
    folder = mertools(tmp_path, clip)
    place = folder / clip.id / "一.npy"
    faces = derive(clip, folder=folder)
    assert isinstance(faces, Derived)
    place.rename(folder / "away.npy")
    request = {"faces": FramesInput(faces=True)}
    gone = decode_inputs(clip, request, {"faces": faces})["faces"]
    assert isinstance(gone, Failure)
    assert "一.npy is gone. Put it back" in gone.reason
    absent = derive(clip, folder=folder)
    assert isinstance(absent, Failure)
    assert "no output of OpenFace for the clip talk/一" in absent.reason
    np.save(place, np.array([]))
    assert derive(clip, folder=folder) == Missing("OpenFace found no face: 一.npy shows none in 0 frames")
    np.save(place, np.zeros((COUNT, 112, 112, 3), np.uint8))
    assert derive(clip, folder=folder) == Missing("OpenFace found no face: 一.npy shows none in 6 frames")
    for content in (np.zeros((3, 4)), np.array([{}], object)):
        np.save(place, content)
        assert isinstance(derive(clip, folder=folder), Failure)
    place.write_bytes(b"PK")
    assert isinstance(derive(clip, folder=folder), Failure)


def test_8_1_aligned_pictures_are_faces_with_and_without_a_table(tmp_path: Path, clip: Clip) -> None:
    folder = tmp_path / f"{clip.id}_aligned"
    folder.mkdir(parents=True)
    for frame in (1, 2, 4, 6):
        _, data = cv2.imencode(".bmp", np.full((112, 112, 3), (10 * frame, 0, 0), np.uint8))
        (folder / f"frame_det_00_{frame:06d}.bmp").write_bytes(data.tobytes())
    alone = crops(clip, derive(clip, folder=tmp_path))
    assert alone.times == pytest.approx(np.array([0, 1, 3, 5]) / 25)
    assert alone.images[:, 0, 0].tolist() == [[0, 0, 10], [0, 0, 20], [0, 0, 40], [0, 0, 60]]
    rows = rows_of(landmarks_of(COUNT), [0.9, 0.1, 0.9, 0.9, 0.9, 0.9])
    write_table(tmp_path / f"{clip.id}.csv", rows)
    chosen = {"folder": tmp_path, "take": "pictures", "require_success": True}
    sure = crops(clip, derive(clip, **chosen))
    assert sure.times == pytest.approx(np.array([0, 3, 5]) / 25)
    last = crops(clip, derive(clip, **chosen, on_missing="repeat_last"))
    assert last.images[:, 0, 0, 2].tolist() == [10, 10, 10, 40, 40, 60]
    black = crops(clip, derive(clip, **chosen, on_missing="zeros"))
    assert black.images[:, 0, 0, 2].tolist() == [10, 0, 0, 40, 0, 60]
    bare = write_table(tmp_path / f"{clip.id}.csv", [row[:6] for row in rows], header()[:6])
    assert len(crops(clip, derive(clip, folder=tmp_path))) == 4
    bare.rename(tmp_path / "only.csv")
    only = derive(Clip(id="only", video=clip.video), folder=tmp_path)
    assert isinstance(only, Failure)
    assert "only.csv comes without landmarks" in only.reason


def test_ids_never_lead_out_of_the_folder(tmp_path: Path, clip: Clip) -> None:
    for name in ("../x", "/etc/x", "a/../../x"):
        found = derive(Clip(id=name, video=clip.video), folder=tmp_path)
        assert isinstance(found, Failure)
        assert "names no place" in found.reason


def test_other_output_is_another_fingerprint(tmp_path: Path, clip: Clip) -> None:
    options = OpenFaceOptions(folder=mertools(tmp_path, clip))
    before = options.fingerprint()
    assert before == options.fingerprint() == OpenFaceOptions(folder=tmp_path, timeout=3).fingerprint()
    assert "mask" not in before  # its value counts
    np.save(tmp_path / clip.id / "一.npy", np.zeros((1, 8, 8, 3), np.uint8))
    assert options.fingerprint() != before
    with pytest.raises(OSError):
        OpenFaceOptions(folder=tmp_path / "none").fingerprint()


# 8.1: A PROGRAM THAT IS RUN


@pytest.fixture
def program(tmp_path: Path) -> Path:
    write_pdm(tmp_path / "openface/AU_predictors/In-the-wild_aligned_PDM_68.txt")
    return write_fake(tmp_path / "openface", landmarks_of(COUNT))


def narrow(folder: Path, width: int) -> Clip:
    """A clip whose width tells the program how to behave."""
    images = [np.zeros((48, width, 3), np.uint8)] * 2
    return Clip(id=str(width), video=write_media(folder / f"{width}.mkv", images, codec="ffv1", pixels="bgr0"))


def heard(path: Path) -> tuple[list[str], list[str]]:
    words, frames = json.loads(path.read_text().splitlines()[-1])
    return words, frames


def test_8_1_the_program_is_run_on_the_clip_s_frames(
    tmp_path: Path, clip: Clip, pictures: list[np.ndarray], program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HEARD", str(tmp_path / "heard"))
    found = crops(clip, derive(clip, binary=str(program), mask=False), 128)
    expected = [aligned(i, p, p.mean(0), 128) for i, p in zip(pictures, landmarks_of(COUNT), strict=True)]
    assert np.abs(found.images.astype(int) - np.stack(expected)).max() <= 2
    words, frames = heard(tmp_path / "heard")
    assert frames == [f"{i:09d}.png" for i in range(1, COUNT + 1)]
    assert words[-4:] == ["clip", "-2Dfp", "-pdmparams", "-q"]
    assert not Path(words[1]).exists()
    part = Clip(id="part", video=clip.video, start=0.08, end=0.16)
    assert crops(part, derive(part, binary=str(program))).times == pytest.approx([0, 0.04])
    assert len(heard(tmp_path / "heard")[1]) == 2


def test_8_1_the_program_s_pictures_are_kept_where_asked(
    tmp_path: Path, clip: Clip, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HEARD", str(tmp_path / "heard"))
    kept = tmp_path / "kept"
    found = crops(clip, derive(clip, binary=str(program), keep=kept), 128)
    assert heard(tmp_path / "heard")[0][-3:] == ["-simalign", "-simsize", "128"]
    assert found.images[:, 3, 3].tolist() == [[200, 20, 10 * i] for i in range(1, COUNT + 1)]
    assert sorted(place.name for place in (kept / "talk").iterdir()) == ["一.csv", "一_aligned"]
    derive(clip, binary=str(program), keep=kept, size=112, mask=False)
    assert heard(tmp_path / "heard")[0][-4:] == ["-simalign", "-simsize", "112", "-nomask"]
    again = derive(clip, folder=kept, take="pictures")
    assert crops(clip, again, 112).images[:, 3, 3].tolist() == found.images[:, 3, 3].tolist()


def test_a_clip_that_the_program_fails_on_does_not_stop_the_others(tmp_path: Path, clip: Clip, program: Path) -> None:
    options = OpenFaceOptions(binary=str(program))
    clips = [narrow(tmp_path, 64), narrow(tmp_path, 68), clip]
    samples = [Sample(one.id, decode_inputs(one, options.inputs(), {})) for one in clips]
    samples.append(Sample("none", {"frames": Missing("no video")}))
    failed, silent, good, none = OpenFace(options).derive(samples)
    assert none == Missing("no video")
    assert isinstance(good, Derived)
    assert isinstance(failed, Failure)
    assert failed.reason.startswith("OpenFace ended with code 1: Could not read the model. ")
    assert failed.stage == "faces"
    assert isinstance(silent, Failure)
    assert silent.reason.startswith("OpenFace wrote no table: Reading the input sequence. ")


def test_8_1_a_program_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path, program: Path) -> None:
    slow = derive(narrow(tmp_path, 66), binary=str(program), timeout=1.5)
    assert isinstance(slow, Failure)
    assert slow.reason.startswith("OpenFace took longer than 1.5 s")
    assert slow.reason.endswith("openface.timeout=SECONDS.")


def test_the_program_is_found_or_the_ways_to_it_are_said(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentProblem, match=r"no program FeatureExtraction.*OPENFACE_HOME.*openface.folder"):
        OpenFace()
    with pytest.raises(EnvironmentProblem, match="no program /none/x"):
        OpenFace(OpenFaceOptions(binary="/none/x"))
    monkeypatch.setenv("OPENFACE_HOME", str(program.parent))
    assert OpenFaceOptions().program() == program
    monkeypatch.delenv("OPENFACE_HOME")
    monkeypatch.setenv("PATH", str(program.parent))
    assert OpenFaceOptions().program() == program
    facts = OpenFaceOptions().fingerprint()
    program.write_text(program.read_text() + "# newer\n")
    assert OpenFaceOptions().fingerprint()["binary"] != facts["binary"]
    assert facts["shape"] != "own"


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="runs nothing"):
        OpenFaceOptions(folder=tmp_path, keep=tmp_path)
    with pytest.raises(OptionError, match=r"openface\.keep"):
        OpenFaceOptions(take="pictures")
    with pytest.raises(DataError, match="no folder"):
        OpenFace(OpenFaceOptions(folder=tmp_path / "none"))


def test_the_contract_is_kept(program: Path) -> None:
    checks = ["light-import", "options", "starts", "silence", "short", "determinism", "inputs-unchanged", "storable"]
    report = check_plugin("openface", options={"binary": str(program), "fps": 1}, only=[*checks, "threads"])
    assert [result for result in report.results if not result.good] == []
