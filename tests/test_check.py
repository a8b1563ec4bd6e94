"""``check_dataset`` opens every file and lists every problem, row by row."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from mer_core.errors import DataError
from mer_core.workflows.check import check_dataset


def make_wav(path: Path, seconds: float = 1.0, seed: int = 0, rate: int = 8000) -> Path:
    samples = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * rate), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def make_video(path: Path, seconds: float = 1.0, seed: int = 0, sound: bool = False) -> Path:
    images = np.random.default_rng(seed).integers(0, 255, (int(seconds * 10), 48, 64, 3), dtype=np.uint8)
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        pictures = container.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p")
        voice = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for image in images:
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(pictures.encode())
        if voice is not None:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, int(16000 * seconds)), np.float32), "fltp", "mono")
            frame.sample_rate = 16000
            container.mux(voice.encode(frame))
            container.mux(voice.encode())
    return path


def check(folder: Path, text: str, **options):
    path = folder / "m.csv"
    path.write_text(text, encoding="utf-8")
    return check_dataset(path, workers=2, **options)


def kinds(report) -> list[tuple[int | None, str]]:
    return [(finding.row, finding.kind) for finding in report.rows]


@pytest.fixture
def sounds(tmp_path):
    for index, name in enumerate("abcd"):
        make_wav(tmp_path / f"{name}.wav", seed=index)
    return tmp_path


def test_a_clean_data_set_is_clean_and_counted(sounds):
    text = "id,audio,text,label,speaker,split\na,a.wav,x,anger,1,train\nb,b.wav,x,sad,1,\nc,c.wav,x,sad,2,test\n"
    seen = []
    report = check(sounds, text, progress=lambda *step: seen.append(step))
    assert report.clean
    assert report.errors == 0
    assert report.class_counts == {"angry": 1, "sad": 2}
    assert report.class_splits["sad"] == {"train": 1, "test": 1}
    assert report.splits == {"train": 2, "test": 1}
    assert report.modalities == {"sound": 3, "picture": 0, "text": 3}
    assert report.speakers == 2
    assert report.hours == pytest.approx(3 / 3600, rel=0.01)
    assert seen[-1][:3] == ("check", 3, 3)
    assert any("'anger' as 'angry'" in note for note in report.notes)


def test_problems_of_files_are_each_named(sounds):
    (sounds / "empty.wav").touch()
    (sounds / "words.mp4").write_text("this is not a video\n" * 50)
    (sounds / "folder").mkdir()
    rows = ["a,a.wav", "b,A.flac", "c,empty.wav", "d,words.mp4", "e,folder", "f,gone.wav"]
    report = check(sounds, "id,audio\n" + "\n".join(rows))
    assert kinds(report) == [
        (3, "missing-file"),
        (4, "unreadable"),
        (5, "unreadable"),
        (6, "missing-file"),
        (7, "missing-file"),
    ]
    assert "'a.wav'" in report.rows[0].remedy
    assert all(finding.level == "error" and finding.column == "audio" and finding.remedy for finding in report.rows)
    assert "empty.wav" in report.rows[1].message


def test_truncated_media_are_found(tmp_path):
    whole = make_video(tmp_path / "whole.mp4", seconds=4, sound=True)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    report = check(tmp_path, "id,video\na,whole.mp4\nb,cut.mp4\n")
    assert kinds(report) == [(3, "truncated")]
    assert "cut.mp4 is truncated" in report.rows[0].message


def test_streams_that_are_not_there(tmp_path):
    make_wav(tmp_path / "a.wav")
    make_video(tmp_path / "mute.mp4")
    text = "id,video,audio\nonly-sound,a.wav,\nmute,mute.mp4,\ndubbed,mute.mp4,a.wav\nwrong,,mute.mp4\n"
    report = check(tmp_path, text)
    found = [(f.row, f.kind, f.level) for f in report.rows if f.kind in ("no-audio", "no-video")]
    assert found == [(2, "no-video", "error"), (3, "no-audio", "warning"), (5, "no-audio", "error")]


def test_text_segments_ids_and_splits(sounds):
    rows = [
        "a,a.wav,  ,train,,",
        "a,b.wav,x,tran,,",
        "c,c.wav,x,,5,",
        "d,d.wav,x,,0,9",
        "e,,,,,",
    ]
    report = check(sounds, "id,audio,text,split,start,end\n" + "\n".join(rows))
    assert kinds(report) == [
        (2, "empty-text"),
        (3, "unknown-split"),
        (3, "duplicate-id"),
        (4, "segment"),
        (5, "segment"),
        (6, "no-modality"),
    ]
    assert report.hours == pytest.approx(3 / 3600, rel=0.01)


def test_labels_that_look_alike(sounds):
    rows = [f"{i},x,angry" for i in range(6)] + ["6,x,Angray", "7,x,anger", "8,x,serene"]
    report = check(sounds, "id,text,label\n" + "\n".join(rows))
    variants, typo = report.rows
    assert (variants.row, variants.kind) == (None, "label-variants")
    assert "--label anger=angry" in variants.remedy
    assert (typo.row, typo.kind) == (8, "label-typo")
    assert "'Angray' (1 clip, row 8) looks like 'angry'" in typo.message
    asked = {"Angray": "angry", "anger": "angry"}
    assert check(sounds, "id,text,label\n" + "\n".join(rows), label_map=asked).clean


def test_suggestions_about_labels_agree_and_make_the_data_set_clean(sounds):
    labels = ["hapy", "开心", "快乐", *["高兴"] * 2]
    text = "id,text,label\n" + "".join(f"{i},x,{label}\n" for i, label in enumerate(labels))
    flags = [
        flag for found in check(sounds, text).rows for flag in re.findall(r"--label (\S+)=([^\s.]+)", found.remedy)
    ]
    assert set(flags) == {("hapy", "高兴"), ("开心", "高兴"), ("快乐", "高兴")}
    report = check(sounds, text, label_map=dict(flags))
    assert (report.clean, report.class_counts) == (True, {"高兴": 5})


def test_a_speaker_in_train_and_test(sounds):
    rows = ["a,x,1,train", "b,x,2,", "c,x,1,test", "d,x,1,test", "e,x,3,test", "f,x,3,unlabelled"]
    report = check(sounds, "id,text,speaker,split\n" + "\n".join(rows))
    assert kinds(report) == [(4, "shared-speaker")]
    assert report.rows[0].message == "speaker '1' is in train and in test"


def test_identical_media_across_splits_by_content(sounds):
    (sounds / "copy.wav").write_bytes((sounds / "a.wav").read_bytes())
    (sounds / "again.wav").write_bytes((sounds / "b.wav").read_bytes())
    rows = ["a,a.wav,train", "b,b.wav,train", "c,c.wav,test", "copy,copy.wav,test", "again,again.wav,train"]
    report = check(sounds, "id,audio,split\n" + "\n".join(rows))
    assert [(f.row, f.kind, f.level) for f in report.rows] == [
        (5, "same-media-across-splits", "error"),
        (6, "same-media", "warning"),
    ]
    assert report.rows[0].message == "in test, the same media as clip 'a' (row 2) in train"


def test_segments_of_one_recording_are_not_the_same_media(sounds):
    rows = ["a,a.wav,0,0.4,train", "b,a.wav,0.4,0.8,test", "c,a.wav,0.45,0.8,train"]
    report = check(sounds, "id,audio,start,end,split\n" + "\n".join(rows))
    assert kinds(report) == [(4, "same-media-across-splits")]


def test_a_row_with_too_many_cells_does_not_stop_the_others(sounds):
    report = check(sounds, "id,text,split\na,well, so,train\nb,x,nowhere\n")
    assert (2, "row-length") in kinds(report)
    assert (3, "unknown-split") in kinds(report)


def test_a_table_that_cannot_be_read_raises(tmp_path):
    with pytest.raises(DataError, match="no column 'id'"):
        check(tmp_path, "name,text\na,b\n")


def test_a_folder_is_checked_too(sounds):
    make_wav(sounds / "e.wav", seed=0)
    report = check_dataset(sounds, workers=1)
    assert report.n_clips == 5
    assert [f.place for f in report.rows] == ["e"]


@pytest.mark.real
def test_the_real_clips_are_whole(real_data):
    report = check_dataset(real_data / "clips.csv")
    assert {finding.kind for finding in report.rows} == {"empty-text"}
    assert report.modalities == {"sound": 11, "picture": 11, "text": 7}
