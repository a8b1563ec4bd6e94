"""Features that users have already: npz, parquet and folders of npy, from the command line to a prediction."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from mer_core import fit, load_fit, predict, read_features, run
from mer_core.cli.app import run_app
from mer_core.data.array_files import numbered_columns, open_arrays
from mer_core.data.votes import majority
from mer_core.errors import MerError
from mer_core.feature_choice import stream_arrays

NAN = float("nan")
N = 48
TINY = {"hidden": 8}
QUICK = {"epochs": 4}


def arrays(**more: Any) -> dict[str, Any]:
    """Three classes, eight speakers, two streams; clip 5 has no audio, clip 7 one gap."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    known = np.eye(3)[labels]
    found: dict[str, Any] = {
        "audio": (3 * known + rng.normal(size=(N, 3))).astype(np.float32),
        "video": 2 * known @ rng.normal(size=(3, 5)) + rng.normal(size=(N, 5)),
        "labels": labels,
        "label_names": np.array(["ANG", "HAP", "bored stiff"]),
        "speaker": np.arange(N) // 6,
        "ids": np.array([f"clip-{row}" for row in range(N)]),
        "session": np.array(["x", "y"] * (N // 2)),
    }
    found["audio"][5] = NAN
    found["audio"][7, 1] = NAN
    return {name: values for name, values in {**found, **more}.items() if values is not None}


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    np.savez(tmp_path / "mine.npz", **arrays())
    return tmp_path / "mine.npz"


def save(folder: Path, **more: Any) -> Path:
    np.savez(folder / "mine.npz", **arrays(**more))
    return folder / "mine.npz"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with mine.npz and what ``mer train`` made of it."""
    folder = tmp_path_factory.mktemp("trained")
    file = save(folder, split=np.array(["train"] * 30 + ["dev"] * 6 + ["test"] * 12))
    flags = ["--streams", "audio,video", "--labels", "labels", "--group", "speaker", "--epochs", "80"]
    options = ["-o", "attention.hidden=64", "--out", str(folder / "out")]
    assert run_app(["train", "--features", str(file), *flags, *options]) == 0
    return folder


def test_train_leaves_what_a_run_leaves(trained: Path) -> None:
    names = {"report.html", "report.json", "predictions.csv", "model", "config.toml", "folds.json", "log.jsonl"}
    assert names <= {one.name for one in (trained / "out").iterdir()}
    found = json.loads((trained / "out" / "report.json").read_text(encoding="utf-8"))
    assert found["data"]["source"] == found["data"]["features"] == str(trained / "mine.npz")
    assert (found["data"]["group"], found["metrics"]["cv"]["unit"]) == ("speaker", "speaker")
    assert found["classes"] == ["angry", "happy", "bored stiff"]  # the file's order
    assert {tuple(one["modalities"]) for one in found["subsets"]} == {("video", "audio"), ("video",), ("audio",)}
    streams = {one["name"]: one for one in found["streams"]}
    assert (streams["audio"]["array"], streams["audio"]["dim"], streams["audio"]["missing"]) == ("audio", 3, 1)
    assert found["modalities"] == ["video", "audio"]
    assert found["failures"] == []
    page = (trained / "out" / "report.html").read_text(encoding="utf-8")
    assert "array <code>audio</code>" in page
    assert str(trained / "mine.npz") in page


def test_the_test_split_is_kept_out_and_val_joins_the_folds(trained: Path) -> None:
    found = json.loads((trained / "out" / "report.json").read_text(encoding="utf-8"))
    assert (found["data"]["n_labelled"], found["data"]["n_test"], found["metrics"]["test"]["n"]) == (36, 12, 12)
    assert found["metrics"]["cv"]["n"] == 36
    said = " ".join(found["data"]["notes"])
    assert "30 train, 6 val, 12 test" in said
    assert "--split split" in said


def test_predictions_score_against_the_table(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (trained / "out" / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == N
    assert (rows[5]["id"], rows[5]["has_audio"], rows[5]["has_video"], rows[5]["label"]) == (
        "clip-5",
        "0",
        "1",
        "bored stiff",
    )
    assert (
        run_app(["evaluate", str(trained / "out" / "predictions.csv"), "-d", str(trained / "mine.npz"), "--json"]) == 0
    )
    scored = json.loads(capsys.readouterr().out)
    assert (scored["n"], scored["unit"], scored["n_units"]) == (N, "speaker", 8)
    report = json.loads((trained / "out" / "report.json").read_text(encoding="utf-8"))["metrics"]
    assert scored["sections"]["out-of-fold"]["waf"] == pytest.approx(report["cv"]["waf"])
    assert scored["sections"]["new"]["waf"] == pytest.approx(report["test"]["waf"])


def test_the_saved_config_repeats_it(trained: Path, tmp_path: Path) -> None:
    config = trained / "out" / "config.toml"
    data = tomllib.loads(config.read_text(encoding="utf-8"))["data"]
    assert data["streams"] == {"audio": "audio", "video": "video"}
    for command in ("run", "train"):
        assert run_app([command, "--config", str(config), "--out", str(tmp_path / command)]) == 0
        again = (tmp_path / command / "predictions.csv").read_bytes()
        assert again == (trained / "out" / "predictions.csv").read_bytes()
    assert run_app(["run", "--config", str(config), "--plan"]) == 0
    assert run_app(["run", "--config", str(config), "-m", "speech"]) == 2


def test_a_saved_model_predicts_tables_and_no_media(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, new = trained / "out" / "model", tmp_path / "new.npz"
    values = arrays(labels=None, label_names=None, speaker=None)
    np.savez(new, **values)
    found = predict(model, features=new)
    assert [one.id for one in found.predictions] == list(values["ids"])
    assert dict(found.predictions[5].present) == {"video": True, "audio": False}
    truth = np.array(["angry", "happy", "bored stiff"])[np.arange(N) % 3]
    assert np.mean([one.label for one in found.predictions] == truth) > 0.5
    np.savez(new, Audio=values["audio"])
    assert len(predict(model, features=new, streams={"audio": "Audio"}).predictions) == N - 1  # nothing of clip 5
    assert len(load_fit(model).labels(read_features(new, {"audio": "Audio"}))) == N
    np.savez(new, video=values["video"])
    alone = predict(model, features=new)
    assert alone.warnings == ("new.npz has no audio: every clip counts as without it",)
    assert alone.predictions[0].present["audio"] is False
    np.savez(new, video=values["video"][:, :3])
    with pytest.raises(MerError, match=r"new.npz, array 'video': 3 columns; the model learnt 5"):
        predict(model, features=new)
    np.savez(new, gaze=values["video"])
    with pytest.raises(MerError, match="has no array 'video' to read the stream 'video' from"):
        predict(model, features=new)
    with pytest.raises(MerError, match="the model has no stream 'gaze'"):
        predict(model, features=new, streams="gaze")
    capsys.readouterr()
    assert run_app(["predict", "--model", str(model), "clip.mp4"]) == 2
    assert "was fitted to arrays: no extractor makes video, audio." in capsys.readouterr().err
    assert run_app(["predict", "--model", str(model)]) == 2
    assert run_app(["predict", "--model", str(model), "clip.mp4", "--features", str(new)]) == 2
    assert run_app(["predict", "--model", str(model), "--features", str(trained / "mine.npz"), "--json"]) == 0


def test_a_stream_may_have_a_modality_of_its_own_and_a_mask(tmp_path: Path) -> None:
    there = np.arange(N) != 3
    file = save(tmp_path, has_video=there, audio_present=np.arange(N) != 5, **{"speech:hubert": np.ones((N, 2))})
    found = read_features(file, "speech=audio,face=video,speech:hubert")
    assert list(found.streams) == ["speech", "speech:hubert", "face"]
    assert found.table["face"].present.tolist() == there.tolist()
    assert not found.table["speech"].present[5]
    assert found.table["speech"].present[7]
    assert [info.modality for info in found.streams.values()] == ["speech", "speech", "face"]
    save(tmp_path, has_audio=np.ones(N, bool))
    with pytest.raises(MerError, match=r"array 'audio': stream 'audio', row 5: it counts as present and holds no"):
        read_features(file, "audio")


def test_names_of_streams() -> None:
    assert stream_arrays("Eye_Gaze, speech=wav2vec, video") == {
        "speech": "wav2vec",
        "video": "video",
        "eye-gaze": "Eye_Gaze",
    }
    assert stream_arrays({"text": "bert"}) == {"text": "bert"}
    for wrong in ("", "speech=", "a b", "speech=one,speech=two", "=x"):
        with pytest.raises(MerError) as caught:
            stream_arrays(wrong)
        assert caught.value.hint


def test_zeros_are_remarked_on(npz: Path) -> None:
    values = arrays()
    values["video"][:4] = 0
    np.savez(npz, **values)
    found = run(features=npz, streams="video", out=npz.parent / "out", fusion_options=TINY, trainer_options=QUICK)
    assert any("video: 4 clips with features that are all 0" in one for one in found.report.warnings)


def test_votes_become_the_majority_and_ties_are_left_out(tmp_path: Path) -> None:
    votes = np.eye(3)[np.arange(N) % 3] * 4 + [0, 1, 0]
    votes[0], votes[1], votes[2] = [2, 2, 1], [0, 0, 0], [0.1 + 0.2, 0.3, 0]
    file = save(tmp_path, votes=votes, labels=None)
    found = run(
        features=file,
        streams=["audio"],
        labels="votes",
        out=tmp_path / "out",
        fusion_options=TINY,
        trainer_options=QUICK,
    )
    data = found.report.data
    assert (data.n_labelled, data.n_unlabelled) == (N - 3 - 1, 3)  # clip 5 has no audio
    assert "2 clips left out of training and scores: a tie of the votes" in data.notes
    assert "1 clip left out of training and scores: no vote" in data.notes
    assert found.report.classes == ("angry", "happy", "bored stiff")
    assert majority("v", np.array([[0.2, 0.8], [1, 0]]))[0] == [1, 0]
    with pytest.raises(MerError, match="row 1: a negative vote"):
        majority("v", np.array([[1, 0], [1, -1]]))


def test_labels_that_are_names_and_a_split_that_is_asked_for(tmp_path: Path) -> None:
    names = np.array(["sad", "anger", "sad", "calm", "", "sad"] * 8)
    split = np.array(["train", "train", "dev", "train", "unlabeled", "test"] * 8)
    file = save(tmp_path, labels=None, label_names=None, mood=names[:, None], part=split)
    found = read_features(file, "audio", labels="mood", split="part", group="session", label_map={"calm": "sad"})
    assert found.targets.classes == ("angry", "sad")
    assert found.labels[:6].tolist() == [1, 0, 1, 1, -1, 1]
    assert found.splits is not None
    assert found.splits[:6] == ("train", "train", "val", "train", "unlabelled", "test")
    assert found.groups is not None
    assert found.groups[:3] == ("x", "y", "x")
    assert read_features(file, "audio", labels="mood", split="none").splits is None
    fitted = fit(found, group="session", fusion_options=TINY, trainer_options=QUICK)
    assert fitted.plan.kind == "val"


@pytest.mark.parametrize("lists", [True, False])
def test_parquet_holds_lists_or_numbered_columns(tmp_path: Path, lists: bool) -> None:
    values = arrays()
    audio: dict[str, Any] = {f"audio_{column}": values["audio"][:, column] for column in range(3)}
    if lists:
        audio = {"audio": [None if row == 5 else list(map(float, cells)) for row, cells in enumerate(values["audio"])]}
    plain = {"id": values["ids"].tolist(), "label": [("sad", "happy", "angry")[row % 3] for row in range(N)]}
    file = tmp_path / "mine.parquet"
    pyarrow.parquet.write_table(pyarrow.table({**plain, **audio, "actor": values["speaker"]}), file)
    found = read_features(file, "audio", group="actor")
    assert found.targets.classes == ("angry", "happy", "sad")
    assert found.labels[:3].tolist() == [2, 1, 0]
    np.testing.assert_allclose(found.table["audio"].values, values["audio"])
    assert found.table["audio"].present.tolist() == [row != 5 for row in range(N)]
    assert (found.ids[3], found.groups and found.groups[6]) == ("clip-3", "1")


def test_parquet_that_does_not_fit_is_named(tmp_path: Path) -> None:
    file = tmp_path / "odd.parquet"
    rows = [[1.0, 2.0], [1.0], [1.0, 2.0]]
    pyarrow.parquet.write_table(pyarrow.table({"a": rows, "b": [["x"], ["y"], ["z"]], "c": [1, 2, 3]}), file)
    with pytest.raises(MerError, match="column 'a', row 1: a list of 1 numbers, where row 0 has 2"):
        open_arrays(file).read("a")
    with pytest.raises(MerError, match="column 'b': its lists are not numbers"):
        open_arrays(file).read("b")
    assert numbered_columns(["a_1", "a_2", "b_0", "b_2", "c"]) == {"a": ["a_1", "a_2"]}
    file.write_bytes(b"PAR1nonsense")
    with pytest.raises(MerError, match=r"odd.parquet cannot be read"):
        _ = open_arrays(file).shapes


def mertools(folder: Path) -> list[str]:
    """``features/<feature>-UTT/<clip>.npy`` beside a table of labels."""
    values = arrays()
    for name, feature in (("audio", "chinese-hubert-large-UTT"), ("video", "clip-vit-large-UTT")):
        (folder / "features" / feature).mkdir(parents=True)
        for row in range(N):
            vector = values[name][row] if row % 2 else values[name][row][None]
            if not (name == "audio" and row == 5):
                np.save(folder / "features" / feature / f"clip-{row}.npy", vector)
    lines = [f"clip-{row},{('sad', 'happy', 'angry')[row % 3]},-10" for row in range(N)]
    (folder / "label.csv").write_text("\n".join(["name,discrete,valence", *lines]), encoding="utf-8")
    flags = ["--data", str(folder / "label.csv"), "--column", "id=name", "--labels", "discrete"]
    streams = ["--streams", "speech=chinese-hubert-large-UTT,video=clip-vit-large-UTT"]
    return ["train", "--features", str(folder / "features"), *streams, *flags]


def test_the_folders_of_mertools_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*mertools(tmp_path), "-o", "attention.hidden=8", "--epochs", "2"]
    assert run_app([*flags, "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n_clips"], found["data"]["n_labelled"]) == (N, N)
    assert {one["modality"]: one["missing"] for one in found["presence"]} == {"speech": 1, "video": 0}
    assert found["data"]["source"] == str(tmp_path / "label.csv")
    assert not any("nothing to extract" in note for note in found["data"]["notes"])
    assert len(predict(tmp_path / "out" / "model", features=tmp_path / "features").predictions) == N
    np.save(tmp_path / "features" / "clip-vit-large-UTT" / "clip-9.npy", np.ones((4, 5)))
    assert run_app([*flags, "--out", str(tmp_path / "two")]) == 2
    assert "clip-9.npy is an array [4, 5], not one vector." in capsys.readouterr().err
    assert run_app([word.replace("clip-vit-large", "clip-vit-larg") for word in flags]) == 2
    assert "Did you mean 'clip-vit-large-UTT'?" in capsys.readouterr().err
    assert run_app(flags[:5]) == 2
    assert "Name a table of labels: --data label.csv" in capsys.readouterr().err


def test_labels_of_a_manifest_are_joined_by_id(npz: Path) -> None:
    table = npz.with_name("labels.csv")
    rows = [f"clip-{row},{'sad' if row % 2 else 'angry'}" for row in reversed(range(N))]
    table.write_text("\n".join(["id,label", *rows, "stranger,sad"]), encoding="utf-8")
    found = read_features(npz, "audio", data=table)
    assert (found.ids[0], found.ids[-1], found.table["audio"].present[-1]) == ("clip-47", "stranger", False)
    np.testing.assert_array_equal(found.table["audio"].values[0], arrays()["audio"][47])
    assert not found.table["audio"].present[N - 1 - 5]
    table.write_text("id,label\na,sad\nb,angry\n", encoding="utf-8")
    with pytest.raises(MerError, match="has none of the clips: the first is 'clip-0', the data begin with 'a'"):
        read_features(npz, "audio", data=table)


@pytest.mark.parametrize(
    ("more", "flags", "said", "remedy"),
    [
        ({}, {"streams": "vide"}, "mine.npz has no array 'vide' to read the stream 'vide' from", "mean 'video'?"),
        ({}, {"labels": "label"}, "has no array 'label' to read labels from", "mean 'labels'?"),
        ({}, {"group": "speakers"}, "has no array 'speakers' to read groups from", "mean 'speaker'?"),
        ({}, {"streams": "speaker"}, "array 'speaker' has the shape [48], neither [N, D]", "video [48, 5]"),
        ({"audio": np.ones((N, 2, 2, 2))}, {}, "has the shape [48, 2, 2, 2], neither [N, D]", "video [48, 5]"),
        ({"audio": np.ones((N - 1, 2))}, {}, "the array 'labels' has 48 rows and 'audio' has 47", "one row per clip"),
        ({"speaker": np.arange(3)}, {"group": "speaker"}, "'speaker' has 3 rows and 'audio' has 48", "one row"),
        ({"labels": np.array(["a", 1] * 24, dtype=object)}, {}, "array 'labels': holds Python objects", "savez"),
        ({"audio": np.array([[1.0], None] * 24, dtype=object)}, {}, "array 'audio': holds Python objects", "savez"),
        ({"audio": np.array([["x"]] * N)}, {}, "array 'audio': stream 'audio' cannot be read as numbers", "[N, D]"),
        ({"labels": np.arange(N) % 4}, {}, "array 'labels': row 3: the label 3 is none of", "count them from 0"),
        ({"labels": np.arange(N) % 3 / 2}, {}, "array 'labels': row 1: the label 0.5 is neither", "no label"),
        ({"ids": np.array(["a"] * N)}, {}, "array 'ids': rows 0 and 1 have the same id 'a'", "once"),
        ({"part": np.array(["trian"] * N)}, {"split": "part"}, "'part', row 0: unknown split 'trian'", "--split none"),
        ({"labels": np.ones((N, 4))}, {}, "4 columns of votes, and there are 3 names", "classes=ARRAY"),
        ({}, {"labels": "audio"}, "the array 'audio' is a stream and the labels", "--streams"),
        ({"labels": None}, {}, "label", ""),
    ],
)
def test_what_does_not_fit_is_named_before_there_is_a_folder(
    tmp_path: Path, more: Mapping[str, Any], flags: Mapping[str, Any], said: str, remedy: str
) -> None:
    file = save(tmp_path, **more)
    with pytest.raises(MerError) as caught:
        run(features=file, **{"streams": "audio", "out": tmp_path / "out", **flags})
    assert said in str(caught.value)
    assert remedy in caught.value.hint
    assert not (tmp_path / "out" / "report.json").exists()


def test_what_is_no_table_of_features_is_refused(tmp_path: Path) -> None:
    single, pickled, torn = tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "c.npz"
    with single.open("wb") as stream:
        np.save(stream, np.ones(3))
    pickled.write_bytes(b"\x80\x04N.")
    torn.write_bytes(save(tmp_path).read_bytes()[:-400])
    for name, said in (("a.npz", "single array"), ("b.npz", "run code"), ("c.npz", "copy it again"), ("d.npz", "")):
        with pytest.raises(MerError) as caught:
            read_features(tmp_path / name, "audio")
        assert said in caught.value.hint
        assert name in caught.value.message
    for name, said in (("x.pkl", "run code"), ("x.npy", "one array only"), ("x.csv", "numpy.savez")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(MerError, match=rf"{name} is not a feature table") as caught:
            read_features(tmp_path / name, "audio")
        assert said in caught.value.hint


def test_a_damaged_array_is_named(npz: Path) -> None:
    data = bytearray(npz.read_bytes())
    place = data.index(b"audio.npy") + 400
    data[place : place + 8] = bytes(8)
    npz.write_bytes(bytes(data))
    with pytest.raises(MerError, match=r"mine.npz cannot be read: .*CRC"):
        read_features(npz, "audio")


def test_flags_that_need_a_table_say_so(npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, said in (
        (["--streams", "audio"], "--streams is for a feature table"),
        (["--labels", "mood"], "--labels is for a feature table"),
        (["--features", str(npz)], "which of its arrays are the streams?"),
        (
            ["--features", str(npz), "--streams", "audio", "-e", "speech=acoustic"],
            "--extractor: the features are those",
        ),
    ):
        assert run_app(["train", *flags]) == 2
        assert said in capsys.readouterr().err
    assert run_app(["run", "--data", str(npz)]) == 2
    assert f"Write mer train --features {npz} --streams" in capsys.readouterr().err


def test_real_recordings_train(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "features" / "ravdess_av.npz"
    flags = ["--streams", "audio,video", "--labels", "labels", "--group", "speaker", "--epochs", "25"]
    assert run_app(["train", "--features", str(file), *flags, "--out", str(tmp_path / "o")]) == 0
    found = json.loads((tmp_path / "o" / "report.json").read_text(encoding="utf-8"))
    assert (found["n_clips"], found["data"]["n_groups"], found["data"]["n_test"]) == (360, 20, 60)
    assert found["model"]["imputed"]["audio"] > 0
    assert found["metrics"]["cv"]["waf"]["value"] > 0.2
    assert len(predict(tmp_path / "o" / "model", features=file).predictions) == 360


def test_real_votes_train(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "features" / "crema_d_ratings.npz"
    found = read_features(file, {"speech": "audio", "video": "video"}, labels="av_votes", group="speaker")
    assert found.targets.classes == ("angry", "disgust", "fear", "happy", "neutral", "sad")
    assert (found.labels < 0).sum() == 420
    result = run(
        features=file,
        streams="audio,video",
        labels="av_votes",
        group="speaker",
        folds=2,
        out=tmp_path / "o",
        fusion_options=TINY,
        trainer_options={"epochs": 1, "batch_size": 512},
    )
    assert "420 clips left out of training and scores: a tie of the votes" in result.report.data.notes
    assert result.report.metrics.cv is not None
