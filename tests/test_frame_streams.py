"""Frames of extractors, tables and arrays on their way to a fusion: kept, packed, refused where they do not fit."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frame_toys import Toys, Words, write_words
from numpy.typing import NDArray

from mer_core import compose, extract, fit, load_fit, open_workspace, predict, read_features, run
from mer_core.cli.app import run_app
from mer_core.configure import make_config
from mer_core.errors import DataError, MerError, StoreError, UsageError
from mer_core.feature_set import StreamData, StreamInfo
from mer_core.frame_pooling import bins_of, check_pooling, level_of
from mer_core.frames import as_level, bin_frames, clip_means, pad_clips
from mer_core.store import FeatureStore, Table
from mer_core.store.packs import packed
from mer_core.types import Features, Missing
from mer_core.workflows.plan import plan_run, refuse_unextracted
from mer_core.workflows.preflight import protocol_gaps
from mer_core.workflows.run import RunResult
from mer_core.workflows.workspace import Workspace

NAN = float("nan")
QUICK: dict[str, Any] = {"trainer_options": {"epochs": 3}, "modalities": ["text"], "folds": 2}
BOTH = {**QUICK, "extractors": {"text": "words,whole"}, "fusion": "framewise"}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(tmp_path_factory.mktemp("toys"), plugins=[Toys()])


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def result(toys: Workspace, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(manifest, out=tmp_path_factory.mktemp("out") / "run", space=toys, **BOTH)


def frames(rng: np.random.Generator, length: int, dim: int = 3) -> NDArray[np.float32]:
    return rng.normal(size=(length, dim)).astype(np.float32)


# Names of poolings, and bins.


def test_poolings_have_levels() -> None:
    assert [level_of(one) for one in ("mean", "mean_std", "mean_var", "frames", "frames:8")] == ["clip"] * 3 + [
        "frame"
    ] * 2
    assert (bins_of("frames"), bins_of("frames:8")) == (None, 8)
    for wrong in ("frame", "frames:0", "frames:", "frames:-1", "frames:8x", "", "mean:2"):
        with pytest.raises(UsageError, match="there is no pooling"):
            check_pooling(wrong)


def test_bins_average_neighbours_and_leave_short_clips_alone() -> None:
    values = np.arange(7, dtype=np.float32)[:, None]
    assert bin_frames(values, 3).ravel().tolist() == [0.5, 2.5, 5.0]
    assert bin_frames(values, 7) is values
    assert bin_frames(values, None) is values
    long = np.random.default_rng(0).normal(size=(1000, 2))
    found = bin_frames(long, 64)
    assert found.shape == (64, 2)
    edges = [b * 1000 // 64 for b in range(65)]
    expected = [long[start:end].mean(0) for start, end in itertools.pairwise(edges)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    holed = np.where(np.arange(1000)[:, None] == 3, NAN, long)
    assert np.isnan(bin_frames(holed, 64)).any(axis=1).tolist() == [True] + [False] * 63


def test_levels_are_turned_one_way_only() -> None:
    info = StreamInfo("a", "a", 2)
    vectors = StreamData(info, np.arange(6, dtype=np.float32).reshape(3, 2), np.array([True, False, True]))
    rows = as_level(vectors, StreamInfo("a", "a", 2, "frame"))
    assert (rows.info.level, rows.values is vectors.values) == ("frame", True)
    assert as_level(vectors, info) is vectors
    assert as_level(rows, rows.info) is rows
    values, mask = pad_clips(rows, np.arange(3))
    assert (values.shape, mask.tolist()) == ((3, 1, 2), [[True], [False], [True]])
    with pytest.raises(DataError, match="a has frames"):
        as_level(rows, info)
    longer = StreamData(rows.info, vectors.values, vectors.present, np.array([[0, 2], [0, 0], [2, 3]]))
    assert clip_means(longer, np.array([2, 1, 0])).tolist() == [[4, 5], [0, 0], [1, 2]]


# The store.


def stored(root: Path, answers: dict[str, Any], keep_frames: bool = True) -> Table:
    table = FeatureStore(root).table("f" * 8, {"extractor": "toy"})
    with table.writer(keep_frames=keep_frames) as writer:
        for name, answer in answers.items():
            writer.add(name, answer)
    table.refresh()
    return table


def test_frames_of_all_clips_are_packed_into_one_mapped_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    own = {str(length): Features(frames(rng, length), np.arange(length, dtype=np.float64)) for length in (3, 1, 100)}
    table = stored(tmp_path, {**own, "clip": Features(np.ones(3, np.float32)), "gone": Missing("no face")})
    digests = ["100", None, "gone", "clip", "3", "unknown", "1"]
    values, offsets = table.framed(digests, "frames:64")
    assert isinstance(values, np.memmap)
    assert values.dtype == np.float16
    assert (offsets[:, 1] - offsets[:, 0]).tolist() == [64, 0, 0, 1, 3, 0, 1]
    np.testing.assert_allclose(values[:64], bin_frames(own["100"].values, 64), atol=2e-3)
    np.testing.assert_allclose(values[offsets[4, 0] : offsets[4, 1]], own["3"].values, atol=2e-3)
    assert values[offsets[3, 0]].tolist() == [1, 1, 1]
    files = sorted((table.folder / "packed").iterdir())
    assert len(files) == 2
    before = [file.stat().st_ino for file in files]
    again = table.framed(digests, "frames:64")
    assert np.array_equal(again[0], values)
    assert np.array_equal(again[1], offsets)
    assert [file.stat().st_ino for file in files] == before
    everything = table.framed(digests, "frames")
    assert len(everything[0]) == 105
    assert len(list((table.folder / "packed").iterdir())) == 4


def test_what_half_precision_would_spoil_is_packed_whole(tmp_path: Path) -> None:
    values = np.array([[1e6, 1.0], [2e6, 2.0]], np.float32)
    holed = np.array([[NAN, 1.0]], np.float32)
    for name, own in (("big", values), ("nan", holed)):
        found, _ = stored(tmp_path / name, {"a": Features(own, np.arange(len(own), dtype=np.float64))}).framed(
            ["a"], "frames"
        )
        assert found.dtype == np.float32
        assert np.array_equal(found, own, equal_nan=True)


def test_statistics_alone_cannot_be_packed_and_leave_nothing(tmp_path: Path) -> None:
    table = stored(tmp_path, {"a": Features(np.ones((2, 2), np.float32), np.arange(2.0))}, keep_frames=False)
    with pytest.raises(StoreError, match="--frames"):
        table.framed(["a"], "frames")
    assert not list((table.folder / "packed").iterdir())
    nobody = table.framed([None, "unknown"], "frames")
    assert (nobody[0].shape, nobody[1].tolist()) == ((0, 0), [[0, 0], [0, 0]])


def test_a_pack_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    made = [np.ones((4, 2), np.float32), None]
    values, _ = packed(tmp_path, "x", lambda: made)
    assert values.shape == (4, 2)
    file = tmp_path / "x.npy"
    file.write_bytes(file.read_bytes()[:-3])
    assert packed(tmp_path, "x", lambda: made)[0].shape == (4, 2)
    with pytest.raises(StoreError, match="frames of 2 columns, and another of 3"):
        packed(tmp_path, "y", lambda: [np.ones((1, 2)), np.ones((1, 3))])
    assert {one.name for one in tmp_path.iterdir()} == {"x.npy", "x.offsets.npy"}


def test_prune_removes_packs_that_nobody_uses(tmp_path: Path) -> None:
    table = stored(tmp_path, {"a": Features(np.ones((2, 2), np.float32), np.arange(2.0))})
    store = FeatureStore(tmp_path)
    table.framed(["a"], "frames")
    packed(store.packed, "x", lambda: [np.ones((1, 2))])
    assert store.tables()[0].bytes == table.nbytes() > 128
    assert store.prune().files == 0
    old = time.time() - 2 * 86400
    for folder in (table.folder / "packed", store.packed):
        for file in folder.iterdir():
            os.utime(file, (old, old))
    assert store.prune(dry_run=True).files == 4
    assert store.prune().files == 4
    assert len(table.framed(["a"], "frames")[0]) == 2
    store.prune(lambda info: True)
    assert not table.folder.exists()


# Runs.


def test_a_run_keeps_frames_where_its_fusion_reads_them(result: RunResult, toys: Workspace) -> None:
    table = result.extraction.features.table
    assert {name: choice.pooling for name, choice in result.config.streams.items()} == {
        "text:whole": "frames:64",
        "text:words": "frames:64",
    }
    words, whole = table["text:words"], table["text:whole"]
    assert isinstance(words.values, np.memmap)
    assert (words.info.level, words.info.dim, whole.info.level) == ("frame", 4, "frame")
    assert words.offsets is not None
    assert whole.offsets is not None
    lengths = words.offsets[:, 1] - words.offsets[:, 0]
    assert (lengths[0], lengths[5], lengths[-1], lengths.max()) == (1, 0, 64, 64)
    assert not words.present[5]
    assert (whole.offsets[:, 1] - whole.offsets[:, 0] == 1).all()
    assert [(one.name, one.level, one.pooling) for one in result.report.streams] == [
        ("text:whole", "frame", "frames:64"),
        ("text:words", "frame", "frames:64"),
    ]
    assert result.report.metrics.cv is not None
    assert (result.report.metrics.cv.waf.value or 0) > 0.3
    assert "T × 4" in (result.folder / "report.html").read_text(encoding="utf-8")


def test_a_saved_model_predicts_frames_of_media_again(result: RunResult, toys: Workspace, manifest: Path) -> None:
    document = json.loads((result.folder / "model" / "pipeline.json").read_text(encoding="utf-8"))
    assert document["streams"]["text:words"] == {"modality": "text", "dim": 4, "level": "frame"}
    found = predict(result.folder / "model", manifest, space=toys)
    fresh = predict(result.folder / "model", manifest, space=open_workspace(toys.cache.root / "new", plugins=[Toys()]))
    assert len(found.predictions) == 24
    for one, other in zip(found.predictions, fresh.predictions, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_what_only_has_statistics_is_extracted_again_and_the_plan_says_so(
    tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = open_workspace(tmp_path, plugins=[Toys()])
    settings = {**QUICK, "extractors": {"text": "words"}}
    extract(manifest, space=space, **{**settings, "fusion": "clipwise"})
    config = make_config(space.catalogue, data=manifest, **{**settings, "fusion": "framewise"})
    planned = plan_run(config, space)["streams"]["text:words"]
    assert (planned["extract"], planned["again"], planned["reuse"]) == (23, 23, 1)
    with pytest.raises(DataError, match="not extracted yet") as caught:
        refuse_unextracted(config, space)
    assert "mer extract --frames" in caught.value.hint
    Words.asked.clear()
    extract(manifest, space=space, **{**settings, "fusion": "framewise"})
    assert len(Words.asked) == 23
    assert plan_run(config, space)["streams"]["text:words"]["again"] == 0
    extract(manifest, space=space, **{**settings, "fusion": "clipwise"})
    extract(manifest, space=space, **{**settings, "fusion": "either", "pooling": "frames"})
    assert len(Words.asked) == 23


def test_fusions_choose_their_pooling_and_refuse_the_other(toys: Workspace, manifest: Path, tmp_path: Path) -> None:
    def pooling(**settings: Any) -> set[str]:
        found = make_config(toys.catalogue, data=manifest, **{**QUICK, "extractors": {"text": "words"}, **settings})
        return {choice.pooling for choice in found.streams.values()}

    assert pooling(fusion="framewise") == {"frames:64"}
    assert pooling(fusion="framewise", pooling="frames:8", protocol="mer2024") == {"frames:8"}
    assert pooling(fusion="either") == {"mean_std"}
    assert pooling(fusion="either", pooling="frames") == {"frames"}
    file = tmp_path / "config.toml"
    file.write_text('[streams."text:words"]\nextractor = "words"\npooling = "mean"\n[fusion]\nname = "clipwise"\n')
    assert pooling(file=file, extractors=None) == {"mean"}
    assert pooling(file=file, extractors=None, fusion="framewise") == {"frames:64"}
    with pytest.raises(
        UsageError, match="clipwise reads one vector per clip, and text:words is pooled to frames:8"
    ) as no:
        pooling(fusion="clipwise", pooling="frames:8")
    assert "--pooling mean_std" in no.value.hint
    assert "a fusion that reads frames: attention" in no.value.hint
    with pytest.raises(UsageError, match="framewise reads frames, and text:words is pooled to one vector") as no:
        pooling(fusion="framewise", pooling="mean")
    assert "--pooling frames:64" in no.value.hint
    with pytest.raises(UsageError, match="there is no pooling 'median'"):
        pooling(pooling="median")


def test_a_supervised_extractor_gives_one_frame(tmp_path: Path) -> None:
    from learners import Learners, write_texts

    data = write_texts(tmp_path / "data", ["angry", "happy"] * 10)
    space = open_workspace(tmp_path / "cache", plugins=[Learners(), Toys()])
    found = run(
        data, out=tmp_path / "run", space=space, **{**QUICK, "extractors": {"text": "memory"}, "fusion": "framewise"}
    )
    parts = [found.extraction.features.table, *found.extraction.features.fold_tables.values()]
    assert len(parts) == 3
    assert {table["text:memory"].info.level for table in parts} == {"frame"}
    assert len(predict(found.folder / "model", data, space=space).predictions) == 20


# Features of one's own.


def ragged(seed: int = 0, count: int = 24) -> tuple[list[Any], list[str]]:
    rng = np.random.default_rng(seed)
    labels = ["happy" if row % 2 else "sad" for row in range(count)]
    clips: list[Any] = [frames(rng, 1 + row % 5) + (2 if row % 2 else -2) for row in range(count)]
    clips[3] = None
    return clips, labels


def padded(clips: list[Any]) -> NDArray[np.float32]:
    found = np.full((len(clips), 6, 3), NAN, np.float32)
    for row, one in enumerate(clips):
        if one is not None:
            found[row, : len(one)] = one
    return found


def same(one: StreamData, other: StreamData) -> None:
    rows = np.arange(len(one.present))
    for a, b in zip(pad_clips(one, rows), pad_clips(other, rows), strict=True):
        assert np.array_equal(a, b)


def test_ragged_lists_padded_arrays_and_masks_mean_the_same() -> None:
    clips, _ = ragged()
    expected = compose({"speech": clips}).table["speech"]
    assert (expected.info.level, expected.info.dim) == ("frame", 3)
    assert not expected.present[3]
    values = padded(clips)
    found = compose({"speech": values}).table["speech"]
    same(found, expected)
    assert np.shares_memory(found.values, values)
    mask = ~np.isnan(values).all(2)
    same(compose({"speech": (np.nan_to_num(values, nan=7.0), mask)}).table["speech"], expected)
    same(compose({"speech": [None if one is None else one.tolist() for one in clips]}).table["speech"], expected)
    same(compose({"speech": ([*clips[:3], clips[4], *clips[4:]], np.arange(24) != 3)}).table["speech"], expected)
    same(compose({"speech": expected}).table["speech"], expected)
    gap = np.insert(values, 2, NAN, axis=1)
    same(compose({"speech": gap}).table["speech"], expected)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([np.ones((2, 3)), np.ones((1, 4))], "row 1 has 4 columns and row 0 has 3"),
        ([np.ones((2, 3)), np.ones(3)], r"row 1: an array \[3\], where others have frames"),
        ([np.ones((0, 3)), np.full((2, 3), NAN)], "no clip has a frame"),
        ([np.ones((2, 3)), [["a", "b", "c"]]], "row 1 cannot be read as numbers"),
        ((np.ones((2, 3, 2)), np.ones((2, 2), bool)), r"its presence is bool \[2, 2\]"),
        ((np.full((2, 3, 2), NAN), np.ones((2, 3), bool)), "row 0, frame 0: it counts as present and holds no number"),
        (([np.ones((2, 3)), None], [True, True]), "row 1: it counts as present and holds no frame"),
    ],
)
def test_frames_that_cannot_be_composed_are_named(given: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        compose({"speech": given})


def test_a_fit_over_frames_is_saved_and_predicts_them(toys: Workspace, tmp_path: Path) -> None:
    clips, labels = ragged()
    data = compose({"speech": clips, "text": np.eye(24, dtype=np.float32)[:, :2]}, labels)
    model = fit(data, fusion="framewise", folds=2, trainer_options={"epochs": 30, "lr": 0.02}, space=toys)
    assert {info.level for info in model.model.streams.values()} == {"frame"}
    assert model.evaluation is not None
    assert model.evaluation.scores.waf > 0.9
    model.save(tmp_path / "model")
    again = load_fit(tmp_path / "model", space=toys)
    assert np.array_equal(again.predict(data), model.predict(data))
    with pytest.raises(DataError, match="speech has frames, and the fusion clipwise reads one vector per clip"):
        fit(data, fusion="clipwise", space=toys)


def test_a_table_holds_frames(tmp_path: Path) -> None:
    clips, labels = ragged()
    values = padded(clips)
    lengths = (~np.isnan(values).all(2)).sum(1)
    np.savez(tmp_path / "nan.npz", speech=values, labels=labels)
    np.savez(tmp_path / "length.npz", speech=np.nan_to_num(values), speech_length=lengths, labels=labels)
    expected = compose({"speech": clips}).table["speech"]
    for name in ("nan.npz", "length.npz"):
        same(read_features(tmp_path / name, "speech").table["speech"], expected)
    binned = read_features(tmp_path / "nan.npz", "speech", pooling="frames:2").table["speech"]
    assert binned.offsets is not None
    assert (binned.offsets[:, 1] - binned.offsets[:, 0])[:5].tolist() == [1, 2, 2, 0, 2]
    pooled = read_features(tmp_path / "nan.npz", "speech", pooling="mean_std").table["speech"]
    assert (pooled.values.shape, pooled.offsets, pooled.present[3]) == ((24, 6), None, False)
    np.testing.assert_allclose(pooled.values[2], [*clips[2].mean(0), *clips[2].std(0)], rtol=1e-5)
    lengths[4] = 9
    np.savez(tmp_path / "odd.npz", speech=values, speech_length=lengths, labels=labels)
    with pytest.raises(MerError, match=r"odd.npz, array 'speech': row 4 of 'speech_length' is 9."):
        read_features(tmp_path / "odd.npz", "speech")


def write_folder(folder: Path, clips: list[Any], labels: list[str]) -> None:
    (folder / "features" / "hubert-FRA").mkdir(parents=True)
    for row, one in enumerate(clips):
        if one is not None:
            np.save(folder / "features" / "hubert-FRA" / f"c{row}.npy", one[0] if len(one) == 1 else one)
    lines = ["name,emotion", *(f"c{row},{label}" for row, label in enumerate(labels))]
    (folder / "label.csv").write_text("\n".join(lines), encoding="utf-8")


def test_folders_of_frames_are_trained_on_and_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, labels = ragged()
    write_folder(tmp_path, clips, labels)
    where = ["--features", str(tmp_path / "features"), "--data", str(tmp_path / "label.csv"), "--column", "id=name"]
    flags = ["train", *where, "--streams", "speech=hubert-FRA", "--labels", "emotion", "--folds", "2", "--epochs", "2"]
    assert run_app([*flags, "--fusion", "mult", "--out", str(tmp_path / "out"), "--json"]) == 0
    stream = json.loads(capsys.readouterr().out)["streams"][0]
    assert (stream["level"], stream["dim"], stream["present"], stream["pooling"]) == ("frame", 3, 23, "frames:64")
    found = predict(tmp_path / "out" / "model", features=tmp_path / "features")
    assert len(found.predictions) == 23
    assert run_app([*flags, "--fusion", "late", "--pooling", "mean_var", "--out", str(tmp_path / "two"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["streams"][0]["dim"] == 6
    assert run_app([*flags, "--fusion", "mult", "--pooling", "mean"]) == 2
    assert "reads frames" in capsys.readouterr().err
    np.save(tmp_path / "features" / "hubert-FRA" / "c9.npy", np.ones((2, 4)))
    assert run_app([*flags, "--fusion", "mult", "--out", str(tmp_path / "three")]) == 2
    assert "c9.npy has 4 columns, and c0.npy has 3." in capsys.readouterr().err


def test_a_protocol_that_pools_is_not_kept_by_frames(toys: Workspace, manifest: Path) -> None:
    def gaps(**settings: Any) -> str:
        own = {**QUICK, "extractors": {"text": "words"}, "protocol": "pooled", **settings}
        return " ".join(protocol_gaps(make_config(toys.catalogue, data=manifest, **own), toys.catalogue))

    assert "text:words keeps frames in place of mean_var" in gaps(fusion="framewise")
    assert gaps(fusion="clipwise") == ""
