"""Manifests and folders become clips, or a message that names file, row, column and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from mer_core.data.dataset import load_clips, scan_clips
from mer_core.data.vocabulary import MER2024_ORDER
from mer_core.errors import DataError, MerError, UsageError


def write(folder: Path, text: str, name: str = "m.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def load_text(folder: Path, text: str, name: str = "m.csv", encoding: str = "utf-8", **options):
    return load_clips(write(folder, text, name, encoding), **options)


def refused(folder: Path, text: str, name: str = "m.csv", **options) -> MerError:
    with pytest.raises(MerError) as caught:
        load_text(folder, text, name, **options)
    assert caught.value.hint
    return caught.value


def test_every_column_arrives_and_others_stay_in_meta(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.mp4").touch()
    header = "id,video,audio,text,label,speaker,split,start,end,language,valence\n"
    row = '007,v/a.mp4,,"well, ""so""\nit is",anger,3,Dev,1,2.5,en,-0.5\n'
    (clip,) = load_text(tmp_path, header + row).clips
    assert clip.id == "007"
    assert clip.video == tmp_path / "v/a.mp4"
    assert clip.audio is None
    assert clip.text == 'well, "so"\nit is'
    assert (clip.label, clip.speaker, clip.split, clip.language) == ("angry", "3", "val", "en")
    assert (clip.start, clip.end) == (1.0, 2.5)
    assert clip.meta == {"valence": "-0.5"}


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("m.csv", "id,text,label\r\na/1 你,好的,happy\r\n\r\n", "utf-8-sig"),
        ("m.csv", "id;text;label\na/1 你;好的;happy", "utf-8"),
        ("m.tsv", "id\ttext\tlabel\na/1 你\t好的\thappy\n", "utf-16"),
        ("m.CSV", "ID,Text,LABEL\ra/1 你,好的,happy\r", "utf-8"),
        ("m.jsonl", '{"id": "a/1 你", "text": "好的", "label": "happy"}\r\n\r\n', "utf-8-sig"),
    ],
)
def test_the_same_clip_in_any_dress(tmp_path, name, text, encoding):
    (clip,) = load_text(tmp_path, text, name, encoding).clips
    assert (clip.id, clip.text, clip.label) == ("a/1 你", "好的", "happy")


def test_parquet_with_numbers_and_gaps(tmp_path):
    table = pa.table(
        {"id": [1, 2], "text": ["a", None], "speaker": [4.0, None], "start": [0.5, float("nan")], "x": [[1], None]}
    )
    pa.parquet.write_table(table, tmp_path / "m.parquet")
    first, second = load_clips(tmp_path / "m.parquet").clips
    assert (first.id, first.speaker, first.start, first.meta["x"]) == ("1", "4", 0.5, [1])
    assert (second.id, second.text, second.speaker, second.start) == ("2", None, None, None)


def test_columns_of_other_names_are_mapped(tmp_path):
    columns = {"id": "name", "text": "chinese", "label": "discrete"}
    table = load_text(tmp_path, "name,discrete,chinese,label\na,worry,糟了,x\n", columns=columns)
    (clip,) = table.clips
    assert (clip.id, clip.text, clip.label) == ("a", "糟了", "worried")
    assert clip.meta == {"label": "x"}


def test_class_order_is_mer2024s_and_the_renaming_is_noted(tmp_path):
    names = ["surprise", "worry", "sadness", "happy", "anger", "neutral"]
    rows = "".join(f"{i},t,{label}\n" for i, label in enumerate(names))
    table = load_text(tmp_path, "id,text,label\n" + rows)
    assert table.targets.classes == MER2024_ORDER
    assert any("'anger' as 'angry'" in note for note in table.notes)


def test_labels_that_may_be_the_same_stay_apart_until_asked(tmp_path):
    text = "id,text,label\na,t,anger\nb,t,angry\nc,t,sad\n"
    table = load_text(tmp_path, text)
    assert table.targets.classes == ("anger", "angry", "sad")
    assert any("--label anger=angry" in note for note in table.notes)
    assert load_text(tmp_path, text, label_map={"anger": "angry"}).targets.classes == ("angry", "sad")


def test_a_dropped_label_leaves_an_unlabelled_clip(tmp_path):
    table = load_text(tmp_path, "id,text,label\na,t,xxx\nb,t,sad\n", label_map={"xxx": ""})
    assert [clip.label for clip in table.clips] == [None, "sad"]


def test_labels_of_the_unlabelled_split_cannot_be_learnt_from(tmp_path):
    table = load_text(tmp_path, "id,text,label,split\na,t,sad,unlabeled\nb,t,happy,train\n")
    assert table.clips[0].label is None
    assert table.clips[0].meta["label"] == "sad"
    assert table.targets.classes == ("happy",)
    assert any("'unlabelled' have a label" in note for note in table.notes)


def test_suspected_misspellings_and_column_names_are_noted(tmp_path):
    rows = "".join(f"{i},t,serene\n" for i in range(9))
    table = load_text(tmp_path, f"id,text,lable\n{rows}9,t,sereen\n", columns={"label": "lable"})
    assert any("'sereen' (1 clip, row 11) looks like 'serene'" in note for note in table.notes)
    assert any("--column label=lable" in note for note in load_text(tmp_path, f"id,text,lable\n{rows}").notes)
    assert any("--column label=emotion" in note for note in load_text(tmp_path, "id,text,emotion\na,t,sad\n").notes)


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ("", "m.csv is empty", "first row"),
        ("id,text\n", "has no rows", "one row per clip"),
        ("name,text\na,b\n", "no column 'id'", "--column id=name"),
        ("id,text,text\na,b,c\n", "column 'text' is there twice", "Rename"),
        ("id,text\na,b\n\na,c\n", "m.csv, row 4 (clip a), column 'id': id 'a' is already that of row 2", "own"),
        ("id,text\n ,b\n", "row 2, column 'id': the id is empty", "id of its own"),
        ("id,text,split\na,b,tset\n", "row 2 (clip a), column 'split': unknown split 'tset'", "Did you mean 'test'?"),
        ("id,text,start,end\na,b,2,2\n", "start 2 s is not before end 2 s", "seconds"),
        ("id,text,start\na,b,0:12\n", "row 2 (clip a), column 'start': '0:12' is not a time", "62.5"),
        ("id,text,end\na,b,-1\n", "column 'end': '-1' is not a time", "62.5"),
        ("id,text\na,so, it is\n", "row 2: 3 cells where the header has 2", "quotes"),
        ('id,text\na,"open\nb,c\n', "row 2: unexpected end of data", "quotes"),
        ("id,video\na,no/a.mp4\nb,no/b.mp4\n", "none of the 2 files exists, e.g. ", "relative to"),
    ],
)
def test_bad_tables_are_refused_with_place_and_remedy(tmp_path, text, said, remedy):
    error = refused(tmp_path, text)
    assert str(tmp_path) in error.message
    assert said in error.message
    assert remedy in error.hint


def test_one_error_says_how_many_more_there_are(tmp_path):
    error = refused(tmp_path, "id,text,split\na,b,x\nb,b,y\nc,b,z\n")
    assert "2 more such rows: mer dataset check" in error.message


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.jsonl", '{"id": "a"}\n{"id": \n', "row 2: not JSON"),
        ("m.jsonl", '["a"]\n', "row 1: list, not a JSON object"),
        ("m.jsonl", '{"id": "a", "text": ["b"]}\n', "row 1 (clip a), column 'text': holds a list"),
        ("m.parquet", "no", "cannot be read as Parquet"),
        ("m.xlsx", "no", "neither a table nor a media file"),
    ],
)
def test_bad_files_of_other_formats(tmp_path, name, text, said):
    assert said in refused(tmp_path, text, name).message


def test_text_that_is_not_utf8_names_the_line_and_the_way_out(tmp_path):
    with pytest.raises(DataError, match="row 2: not UTF-8 text") as caught:
        load_text(tmp_path, "id,text\na,糟了\n", encoding="gb18030")
    assert "iconv -f gb18030" in caught.value.hint


def test_mapping_a_column_that_is_not_there(tmp_path):
    assert "Did you mean 'emotion'?" in refused(tmp_path, "id,emotion\na,b\n", columns={"label": "emotions"}).hint
    assert isinstance(refused(tmp_path, "id,text\na,b\n", columns={"lable": "text"}), UsageError)


@pytest.mark.parametrize(
    ("columns", "rows", "meant"),
    [
        ("clip name,file,emo", ["a,v/a.mp4,sad", "b,v/b.mp4,sad"], '"id=clip name"'),
        ("file,utt id,speaker_id", ["v/a.mp4,a,1", "v/b.mp4,b,2"], '"id=utt id"'),
        ("file_name,clip_name", ["a.mp4,1", "b.mp4,2"], "id=clip_name"),
        ("name,sample,text", ["Ann,a,t", "Ann,b,t"], "id=sample"),
        ("speaker_id,emotion name,file", ["1,sad,a.mp4", "2,happy,b.mp4"], "id=file"),
        ("video_id,start,file", ["v1,0,a.mp4", "v2,0,b.mp4"], "id=video_id"),
        ("name,text", ["a,t", "a,t"], "id=name"),
    ],
)
def test_the_column_that_names_the_clips_is_guessed(tmp_path, columns, rows, meant):
    assert refused(tmp_path, "\n".join([columns, *rows])).hint.endswith(f"--column {meant}")


def test_no_column_of_another_kind_is_guessed_to_name_the_clips(tmp_path):
    assert refused(tmp_path, "speaker_id,emotion name\n1,sad\n").hint == "Add a column 'id'."


def test_short_rows_and_rows_without_modality_load_with_a_note(tmp_path):
    table = load_text(tmp_path, "id,text,label\na\nb,t\n")
    assert [clip.text for clip in table.clips] == [None, "t"]
    assert any(note.startswith("row 2: 1 cells where the header has 3 (and 1 more)") for note in table.notes)
    assert any("row 2 (clip a): neither video nor audio nor text" in note for note in table.notes)


def test_gaps_written_by_pandas_are_empty_but_for_names(tmp_path):
    (clip,) = load_text(tmp_path, "id,text,label,speaker,start\nnan,NaN,nan,<NA>,NaN\n").clips
    assert (clip.id, clip.text) == ("nan", None)
    assert (clip.label, clip.speaker, clip.start) == (None, None, None)


def test_windows_paths_are_understood(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.mp4").touch()
    (clip,) = load_text(tmp_path, "id,video\na,v\\a.mp4\n").clips
    assert clip.video == tmp_path / "v/a.mp4"


def test_a_missing_file_among_others_is_left_to_the_run(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert len(load_text(tmp_path, "id,video\na,a.mp4\nb,b.mp4\n").clips) == 2


def test_scanning_keeps_every_row_and_every_problem(tmp_path):
    scan = scan_clips(write(tmp_path, "id,text,split,start\na,b,x,y\na,b,train,\n,b,,\n"))
    assert scan.rows == (2, 3, 4)
    assert [f.kind for f in scan.findings] == ["unknown-split", "segment", "empty-id", "duplicate-id"]


def media(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_folder_with_a_sub_folder_per_label(tmp_path):
    table = load_clips(media(tmp_path, "anger/a.mp4", "sad/b.MOV", "sad/._b.MOV", "loose.wav", "notes.txt"))
    assert [(c.id, c.label) for c in table.clips] == [("anger/a", "angry"), ("loose", None), ("sad/b", "sad")]
    assert table.clips[1].audio == tmp_path / "loose.wav"
    assert any("read as labels: anger, sad" in note for note in table.notes)


def test_folders_named_like_splits_or_speakers(tmp_path):
    splits = load_clips(media(tmp_path / "s", "train/sad/a.mp4", "test/happy/b.mp4", "unlabelled/c.mp4")).clips
    assert [(c.split, c.label) for c in splits] == [("test", "happy"), ("train", "sad"), ("unlabelled", None)]
    actors = load_clips(media(tmp_path / "a", "Actor_01/x.wav", "Actor_02/y.wav")).clips
    assert [(c.speaker, c.label) for c in actors] == [("Actor_01", None), ("Actor_02", None)]


def test_video_and_sound_of_one_name_are_one_clip(tmp_path):
    clips = load_clips(media(tmp_path, "a.mp4", "a.wav", "b.mp4", "b.mkv")).clips
    assert [c.id for c in clips] == ["a", "b.mkv", "b.mp4"]
    assert (clips[0].video, clips[0].audio) == (tmp_path / "a.mp4", tmp_path / "a.wav")


def test_a_folder_with_a_manifest_is_the_manifest(tmp_path):
    media(tmp_path, "sad/a.mp4")
    write(tmp_path, "id,video,label\nx,sad/a.mp4,happy\n", "manifest.csv")
    assert load_clips(tmp_path).clips[0].id == "x"


def test_folders_without_media_and_paths_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="holds no media files"):
        load_clips(tmp_path)
    write(tmp_path, "id\na\n", "clips.csv")
    with pytest.raises(DataError) as caught:
        load_clips(tmp_path)
    assert f"--data {tmp_path / 'clips.csv'}" in caught.value.hint
    with pytest.raises(DataError, match="Did you mean"):
        load_clips(tmp_path / "clip.csv")


def test_one_media_file_is_one_clip(tmp_path):
    (clip,) = load_clips(media(tmp_path, "my talk.v2.mp4") / "my talk.v2.mp4").clips
    assert (clip.id, clip.video) == ("my talk.v2", tmp_path / "my talk.v2.mp4")


def test_many_rows_keep_their_order(tmp_path):
    lines = [json.dumps({"id": i, "text": "t"}) for i in range(3000)]
    assert [c.id for c in load_text(tmp_path, "\n".join(lines), "m.jsonl").clips] == [str(i) for i in range(3000)]


@pytest.mark.real
def test_real_manifests(real_data):
    clips = load_clips(real_data / "clips.csv")
    assert clips.targets.classes == MER2024_ORDER
    assert len(clips.clips) == 11
    ravdess = load_clips(real_data / "ravdess_speech.csv")
    assert len(ravdess.targets.classes) == 8
    assert {clip.speaker for clip in ravdess.clips} == {"1", "2", "3", "4"}
