"""Bad files, bad tables, bad plugins and Ctrl-C, through the real command line.

Each ends in a clear message or a counted failure, and one bad clip never stops the rest.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_maker import numbered, tone, write_media

from mer_core.cli.app import run_app

Answer = tuple[int, str, str]
Call = Callable[..., Answer]
QUICK = ["--epochs", "3"]
TOY = '''
import os, time
import numpy as np
from mer_core.hookspecs import hookimpl
from mer_core.inputs import TextInput
from mer_core.spec import ExtractorSpec
from mer_core.types import Features


class Moody:
    """Does what a clip's text says."""

    dim = 2

    def __init__(self, options, device):
        pass

    def extract(self, batch):
        return [self.one(sample.text().content) for sample in batch]

    def one(self, text):
        time.sleep(float(os.environ.get("MOODY_SLEEP", "0")))
        if text == "raise":
            raise ValueError("no [such] luck")
        if text == "nowhere":
            return Features(np.full(2, np.nan, np.float32))
        return Features(np.array([len(text), np.inf if text == "part" else 1.0], np.float32))


@hookimpl
def mer_specs():
    spec = ExtractorSpec(name="moody", target="moody:Moody", modality="text", inputs={"text": TextInput()},
                         level="clip", per_thread=True)
    return [spec]
'''


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run ``mer ARGUMENTS``: exit code, stdout, stderr."""

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run_app([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, " ".join(captured.err.split())

    return run


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of whole files, and of every kind of broken one."""
    folder = tmp_path_factory.mktemp("media")
    for number in range(8):
        soundfile.write(folder / f"{number}.wav", tone(0.5, 16000, 150 + 50 * number), 16000)
    _videos(folder)
    _sounds(folder)
    whole = (folder / "fast.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "headless.mp4").write_bytes(whole[len(whole) // 2 :])
    (folder / "empty.mp4").touch()
    (folder / "prose.mp4").write_text("this is not a video\n" * 50)
    (folder / "folder.mp4").mkdir()
    return folder


def _videos(folder: Path) -> None:
    pictures = [numbered(index) for index in range(25)]
    write_media(folder / "good.mp4", pictures, tone(1, 48000))
    write_media(folder / "fast.mp4", pictures * 2, tone(2, 48000), options={"movflags": "faststart"})
    write_media(folder / "silent.mp4", pictures, np.zeros(48000))
    write_media(folder / "mute.mp4", pictures)
    write_media(folder / "brief.mp4", pictures[:1], tone(0.02, 48000))
    write_media(folder / "tiny.mp4", [np.full((2, 2, 3), 9 * i, np.uint8) for i in range(25)], tone(1, 48000))
    write_media(folder / "dot.mp4", [np.full((1, 1, 3), 9 * i, np.uint8) for i in range(25)], tone(1, 48000))


def _sounds(folder: Path) -> None:
    broken = tone(0.5, 16000).astype(np.float32)
    broken[100:200] = np.nan
    soundfile.write(folder / "nan.wav", broken, 16000, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0), 16000)


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    """As a spreadsheet on Windows does: a byte order mark and CR LF."""
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def spoken(media: Path, count: int = 8, **more: str) -> list[dict[str, str]]:
    """Rows of whole clips, two labels, four speakers."""
    return [
        {
            "id": f"ok{n}",
            "video": "",
            "audio": str(media / f"{n}.wav"),
            "text": f"words {n}",
            "label": "happy" if n % 2 else "sad",
            "speaker": f"s{n // 2}",
            **more,
        }
        for n in range(count)
    ]


STRANGE_IDS = ("a/b/../c", "with space", "中文 片段", "x" * 3000)
FAILING = {
    "cut": "cut.mp4 is truncated: it ends after",
    "headless": "headless.mp4 cannot be read as media",
    "empty": "empty.mp4 is empty",
    "prose": "prose.mp4 cannot be read as media",
    "folder": "folder.mp4",
    "gone": "gone.mp4",
}
PARTLY = {
    "silent": {"video"},
    "mute": {"video"},
    "brief": {"speech"},
    "tiny": {"speech", "video"},
    "dot": {"speech", "video"},
}


@pytest.fixture(scope="session")
def everything(media: Path) -> Path:
    """A table with every broken file, strange ids, and a row without anything."""
    rows = spoken(media)
    rows += [{"id": name, "video": str(media / f"{name}.mp4"), "label": "sad"} for name in (*FAILING, *PARTLY)]
    rows += [{"id": name, "audio": str(media / f"{name}.wav"), "label": "happy"} for name in ("nan", "none")]
    rows += [{"id": name, "video": str(media / "good.mp4"), "label": "happy"} for name in STRANGE_IDS]
    rows += [{"id": "nothing", "label": "happy"}]
    return write_table(media / "everything.csv", rows)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("robust-cache")


@pytest.fixture(scope="session")
def finished(everything: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over all of it."""
    folder = tmp_path_factory.mktemp("robust-runs") / "all"
    modalities = ["-m", "speech,image,video,text"]
    arguments = ["run", "-d", everything, *modalities, *QUICK, "--out", folder, "--cache", shared_cache]
    assert run_app([str(argument) for argument in arguments]) == 0
    return folder


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    csv.field_size_limit(1 << 20)
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


def heard(row: dict[str, str]) -> set[str]:
    return {name[4:] for name, value in row.items() if name.startswith("has_") and value == "1"}


def test_bad_clips_are_counted_and_the_others_go_on(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    reasons = {failure["id"]: failure["reason"] for failure in report["failures"]}
    assert set(reasons) == {*FAILING, "nan", "none", "nothing"}
    assert {name: FAILING[name] in reasons[name] for name in FAILING} == dict.fromkeys(FAILING, True)
    assert "not finite" in reasons["nan"]
    assert "no modality" in reasons["nothing"]
    assert report["metrics"]["cv"]["waf"]["value"] is not None


def test_clips_are_used_for_what_they_have(finished: Path) -> None:
    rows = rows_of(finished)
    assert {name: heard(rows[name]) for name in PARTLY} == PARTLY
    assert all(heard(rows[name]) == {"speech", "video"} for name in STRANGE_IDS)
    assert all(rows[name]["prediction"] for name in (*PARTLY, *STRANGE_IDS))
    assert not any(rows[name]["prediction"] for name in FAILING)


def test_strict_makes_failures_count(everything: Path, finished: Path, shared_cache: Path, call: Call) -> None:
    arguments = ("extract", "-d", everything, "-m", "speech,video,text", "--cache", shared_cache)
    code, _, err = call(*arguments)
    assert code == 0
    assert "9 clips could not be used" not in err
    assert "8 clips could not be used" in err
    code, out, _ = call(*arguments, "--strict", "--json")
    assert code == 1
    assert set(json.loads(out)["extracted"].values()) == {0}


def test_check_names_every_one_of_them(everything: Path, call: Call) -> None:
    code, out, _ = call("dataset", "check", everything, "--json")
    kinds: dict[str, set[str]] = {}
    for finding in json.loads(out)["rows"]:
        assert finding["remedy"]
        kinds.setdefault(finding["id"], set()).add(finding["kind"])
    assert code == 1
    assert "truncated" in kinds["cut"] & kinds["none"]
    assert all("unreadable" in kinds[name] for name in ("headless", "empty", "prose"))
    assert all("missing-file" in kinds[name] for name in ("folder", "gone"))
    assert "no-modality" in kinds["nothing"]
    assert "no-audio" in kinds["mute"]
    assert "unreadable" in kinds["nan"]


def test_predict_a_folder_of_bad_files(finished: Path, media: Path, shared_cache: Path, call: Call) -> None:
    arguments = ("predict", "--model", finished / "model", "--cache", shared_cache)
    code, out, _ = call(*arguments, media, "--json", "--column", "audio=sound")
    assert (code, json.loads(out)["error"]["kind"]) == (2, "UsageError")
    code, out, err = call(*arguments, media / "prose.mp4")
    assert (code, out) == (1, "")
    assert "prose.mp4 cannot be read as media" in err
    code, out, _ = call(*arguments, media / "cut.mp4", "--window", "0.5", "--json")
    found = json.loads(out)
    assert code == 0
    assert [p["start"] for p in found["predictions"]][:2] == [0.0, 0.25]
    assert len(found["predictions"]) + len(found["failures"]) == 7
    assert all("truncated" in failure["reason"] for failure in found["failures"])


TABLES: dict[str, tuple[str, list[str], str, str]] = {
    "not there": ("", [], "no file or folder", "Give a path"),
    "empty": ("", [], "is empty", "name the columns"),
    "no rows": ("id,audio\n", [], "has no rows", "one row per clip"),
    "no id": ("name,audio\na,0.wav\n", [], "no column 'id'", "--column id=name"),
    "other names": ("id,wav,emotion\na,0.wav,sad\n", [], "no clip of the training split has a label", "label=emotion"),
    "no such column": ("id,audio\na,0.wav\n", ["--column", "label=emo"], "no column 'emo'", "columns are id, audio"),
    "repeated id": ("id,audio\na,0.wav\na,1.wav\n", [], "row 3 (clip a)", "id of its own"),
    "unknown split": ("id,audio,split\na,0.wav,tran\n", [], "unknown split 'tran'", "Did you mean 'train'?"),
    "segment": ("id,audio,start,end\na,0.wav,3,1\n", [], "start 3 s is not before end 1 s", "seconds"),
    "one class": ("id,audio,label\na,0.wav,sad\nb,1.wav,sad\n", [], "all 2 labelled training clips are 'sad'", "Label"),
    "one clip": ("id,audio,label\na,0.wav,sad\n", [], "the only labelled training clip is 'sad'", "other class"),
    "all gone": ("id,audio,label\na,x.wav,sad\nb,y.wav,sad\n", [], "none of the 2 files exists", "relative to"),
    "all silent": ("id,text,label\na,x,sad\nb,y,happy\n", [], "no labelled clip has any modality", "--modalities"),
    "not a number": ("id,audio\na,0.wav\n", ["--folds", "few"], "--folds few", "from 2 on, or loo"),
    "one fold": ("id,audio\na,0.wav\n", ["--folds", "1"], "--folds 1", "from 2 on, or loo"),
    "device": ("id,audio,label\na,0.wav,sad\nb,1.wav,happy\n", ["--device", "abacus"], "--device abacus", "cpu"),
    "option": ("id,audio\na,0.wav\n", ["-o", "acoustic.n_mel=3"], "no option 'n_mel'", "plugins show acoustic"),
    "flag": ("id,audio\na,0.wav\n", ["--epoch", "3"], "--epoch", "--help"),
    "flag value": ("id,audio\na,0.wav\n", ["--epochs", "x"], "--epochs", "--help"),
    "modality": ("id,audio\na,0.wav\n", ["-m", "smell"], "'smell'", "speech"),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_cannot_work_is_refused_in_one_document(name: str, media: Path, tmp_path: Path, call: Call) -> None:
    content, extra, said, remedy = TABLES[name]
    table = media / f"{name}.csv"
    if name != "not there":
        table.write_text(content, encoding="utf-8")
    code, out, _ = call("run", "-d", table, "-m", "speech", "--out", tmp_path / "r", *QUICK, "--json", *extra)
    error = json.loads(out)["error"]
    assert code == error["exit_code"] == 2
    assert said in error["message"]
    assert remedy in error["hint"]
    assert not (tmp_path / "r" / "report.json").exists()


def test_a_refused_run_leaves_nothing_behind(media: Path, tmp_path: Path, call: Call) -> None:
    write_table(tmp_path / "t.csv", [{"id": "a", "audio": str(media / "0.wav"), "label": "sad"}])
    code, out, err = call("run", "-d", tmp_path / "t.csv", "--out", tmp_path / "r")
    assert (code, out) == (2, "")
    assert err.startswith("Error: the only labelled training clip is 'sad'")
    assert not (tmp_path / "r").exists()


def test_a_folder_for_each_label(media: Path, shared_cache: Path, tmp_path: Path, call: Call) -> None:
    for number in range(6):
        folder = tmp_path / "clips" / ("happy" if number % 2 else "sad")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(media / f"{number}.wav", folder)
    shutil.copy(media / "empty.mp4", tmp_path / "clips" / "sad")
    (tmp_path / "clips" / "notes.txt").write_text("not a clip")
    common = ("run", "-d", tmp_path / "clips", "-m", "speech", *QUICK, "--cache", shared_cache, "--json")
    code, out, _ = call(*common, "--out", tmp_path / "r", "--strict")
    report = json.loads(out)
    assert code == 1
    assert report["data"]["class_counts"] == {"happy": 3, "sad": 3}
    assert [failure["id"] for failure in report["failures"]] == ["sad/empty"]


def test_parquet_with_numbers_for_ids_gaps_and_segments(
    media: Path, shared_cache: Path, tmp_path: Path, call: Call
) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = {
        "id": list(range(6)),
        "audio": [str(media / f"{n}.wav") for n in range(6)],
        "label": ["sad", "happy", "sad", "happy", "worried", None],
        "start": [0.1, None, None, 9.0, None, None],
        "end": [0.3, 0.2, None, None, None, None],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    common = ("-d", tmp_path / "t.parquet", "-m", "speech", *QUICK, "--cache", shared_cache)
    code, out, _ = call("run", *common, "--out", tmp_path / "r", "--json")
    report = json.loads(out)
    assert code == 0
    assert [failure["id"] for failure in report["failures"]] == ["3"]
    assert "from 9.0 s on" in report["failures"][0]["reason"]
    assert report["metrics"]["cv"] is None
    assert "'happy'" in report["metrics"]["cv_reason"]
    assert "'worried'" in report["metrics"]["cv_reason"]
    assert rows_of(tmp_path / "r")["5"]["prediction"]


def test_labels_that_look_alike_are_told_and_kept(media: Path, shared_cache: Path, tmp_path: Path, call: Call) -> None:
    rows = spoken(media)
    rows[1]["label"] = "hapy"
    table = write_table(tmp_path / "t.csv", rows)
    common = ("-d", table, "-m", "speech", *QUICK, "--cache", shared_cache)
    code, out, _ = call("run", *common, "--out", tmp_path / "r")
    assert code == 0
    assert "3 classes" in out
    assert "--label hapy=happy" in out


def test_out_that_cannot_be_used(media: Path, shared_cache: Path, tmp_path: Path, call: Call) -> None:
    common = ("run", "-d", write_table(tmp_path / "t.csv", spoken(media)), "-m", "speech", "--cache", shared_cache)
    code, _, err = call(*common, "--out", media)
    assert (code, "holds something that is not a run" in err) == (2, True)
    code, _, err = call(*common, "--out", tmp_path / "t.csv")
    assert (code, "t.csv is a file" in err) == (2, True)
    code, _, err = call(*common, "--out", tmp_path / "t.csv" / "below")
    assert (code, "cannot be made" in err, "--out FOLDER" in err) == (3, True, True)


def test_an_earlier_run_survives_a_failed_one(finished: Path, media: Path, tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "r"
    shutil.copytree(finished, folder)
    before = (folder / "config.toml").read_bytes()
    rows = [{"id": str(n), "text": "x", "label": label} for n, label in enumerate(("sad", "happy"))]
    code, _, _ = call("run", "-d", write_table(tmp_path / "t.csv", rows), "-m", "speech", "--out", folder)
    assert code == 2
    assert (folder / "config.toml").read_bytes() == before


def test_a_cache_that_cannot_be_written(media: Path, tmp_path: Path, call: Call) -> None:
    table = write_table(tmp_path / "t.csv", spoken(media))
    code, out, _ = call("extract", "-d", table, "--cache", table, "--json")
    error = json.loads(out)["error"]
    assert code == error["exit_code"] == 3
    assert "--cache FOLDER" in error["hint"]
    if os.geteuid() == 0:
        return  # permissions do not bind the superuser
    (tmp_path / "locked").mkdir(mode=0o555)
    code, _, err = call("extract", "-d", table, "--cache", tmp_path / "locked")
    assert (code, "not writable" in err) == (3, True)


@pytest.mark.parametrize("damage", ["cut", "noise", "emptied"])
def test_damaged_shards_are_extracted_again(
    damage: str, finished: Path, everything: Path, shared_cache: Path, tmp_path: Path, call: Call
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(shared_cache, cache)
    shards = list(cache.glob("features/tables/*/*.safetensors"))
    for shard in shards:
        data = shard.read_bytes()
        shard.write_bytes({"cut": data[: len(data) // 2], "noise": os.urandom(500), "emptied": b""}[damage])
    code, out, _ = call("extract", "-d", everything, "-m", "speech,text", "--cache", cache, "--json")
    found = json.loads(out)
    assert shards
    assert code == 0
    assert found["extracted"]["text:ngram"] > 0
    assert found["extracted"]["speech:acoustic"] >= 8
    assert len(found["failures"]) == 8


def test_a_damaged_model_is_refused(finished: Path, media: Path, tmp_path: Path, call: Call) -> None:
    for name in [path.name for path in (finished / "model").iterdir()]:
        for content in (b"", b"{}", os.urandom(300), None):
            folder = tmp_path / "model"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(finished / "model", folder)
            (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
            code, out, err = call("predict", "--model", folder, media / "0.wav")
            assert (code, out) == (2, ""), (name, content)
            assert err.startswith(f"Error: {folder}"), (name, content)
            assert "Traceback" not in err
    code, _, err = call("predict", "--model", finished, media / "0.wav")
    assert (code, f"Did you mean {finished / 'model'}?" in err) == (2, True)


def test_predict_refuses_what_it_could_not_write(finished: Path, media: Path, tmp_path: Path, call: Call) -> None:
    arguments = ("predict", "--model", finished / "model", media / "0.wav")
    code, out, _ = call(*arguments, "--out", tmp_path / "no" / "x.csv", "--json")
    assert (code, json.loads(out)["error"]["exit_code"]) == (3, 3)
    code, _, err = call(*arguments, "--window", "0")
    assert (code, "positive seconds" in err) == (2, True)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like an installed distribution with one extractor."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "moody.py").write_text(TOY)
    facts = folder / "moody-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[mer.plugins]\nmoody = moody\n")
    return folder


@pytest.fixture(scope="session")
def moody_run(media: Path, toys: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with features that are not finite."""
    rows = spoken(media)
    for number, word in enumerate(("nowhere", "part", "raise")):
        rows[number]["text"] = word
    folder = tmp_path_factory.mktemp("moody-runs") / "r"
    table = write_table(folder.parent / "t.csv", rows)
    arguments = ["run", "-d", table, "-m", "speech,text", "-e", "text=moody", *QUICK, "--out", folder]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(toys)
        assert run_app([*map(str, arguments), "--cache", str(shared_cache)]) == 0
    return folder


def test_features_that_are_not_finite_are_imputed_and_counted(moody_run: Path) -> None:
    report = json.loads((moody_run / "report.json").read_text(encoding="utf-8"))
    rows = rows_of(moody_run)
    assert [(f["id"], f["stage"]) for f in report["failures"]] == [("ok0", "extract"), ("ok2", "extract")]
    assert "every value is NaN" in report["failures"][0]["reason"]
    assert "no [such] luck" in report["failures"][1]["reason"]
    assert heard(rows["ok2"]) == {"speech"}
    assert report["model"]["imputed"]["text:moody"] > 0
    assert all(np.isfinite([float(row["p_happy"]), float(row["p_sad"])]).all() for row in rows.values())


def interrupt(arguments: list[object], sign: str, toys: Path, sleep: float) -> tuple[int, float, str]:
    """Start ``mer``, press Ctrl-C once it has said ``sign``: exit code, seconds until its end, stdout."""
    environment = {**os.environ, "PYTHONPATH": str(toys), "MOODY_SLEEP": str(sleep), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", "from mer_core.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    try:
        seen = next((line for line in process.stderr if sign in line), None)
        assert seen is not None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert "Interrupted" in err
        return process.returncode, time.monotonic() - began, out
    finally:
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
@pytest.mark.parametrize("command", ["extract", "train", "predict"])
def test_ctrl_c_ends_it_at_once(
    command: str, media: Path, toys: Path, moody_run: Path, shared_cache: Path, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "t.csv", [{**row, "text": row["text"] + command} for row in spoken(media)])
    cache = ["--cache", shared_cache]
    streams = ["-m", "text", "-e", "text=moody", *cache]
    if command == "extract":
        arguments, sign = [command, "-d", table, *streams, "--device", "cpu"], "extract: 1/"
    elif command == "train":
        data = ["-d", moody_run.parent / "t.csv", "-m", "speech", *cache]
        arguments, sign = ["run", *data, "--epochs", 10**7, "--out", tmp_path / "r"], "train: 1/"
    else:
        arguments, sign = [command, table, "--model", moody_run / "model", *cache], "extract: 1/"
    code, seconds, out = interrupt(arguments, sign, toys, sleep=1.0 if command != "train" else 0.0)
    assert (code, out) == (130, "")
    assert seconds < 6  # promised are two; a busy machine gets more
