"""The synthetic sample data set: its generative model, its files and what detectors see in them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from scipy.signal import resample_poly

from mer_core.data.dataset import load_clips
from mer_core.options import validate
from mer_core.types import Audio, Features, Sample, Text
from mer_plugins.datasets import sample_face, sample_scene, sample_text, sample_voice
from mer_plugins.datasets.sample import SampleDataset, SampleOptions, make_clip
from mer_plugins.datasets.sample_plan import (
    CEILINGS,
    LABELS,
    SPEAKERS,
    TWINS,
    ceiling,
    channel,
    plan_clips,
)

SMALL = {"clips": 24, "seconds": 1.0, "incomplete": 0.4, "seed": 3}


def dataset(**changes: float) -> SampleDataset:
    return SampleDataset(validate(SampleOptions, {**SMALL, **changes}, "sample"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset().prepare(tmp_path_factory.mktemp("sample"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray8")[:, :320] for frame in container.decode(video=0)]


# --- the generative model


@pytest.mark.parametrize("modality", list(CEILINGS))
def test_ceiling_of_one_modality_is_the_stated_one(modality: str) -> None:
    table = channel(modality)
    assert table.sum(axis=1) == pytest.approx(np.ones(6))
    assert ceiling([modality]) == pytest.approx(CEILINGS[modality])


def test_every_further_modality_raises_the_ceiling_but_never_to_one() -> None:
    for size in (2, 3, 4):
        for chosen in combinations(CEILINGS, size):
            assert ceiling(chosen) > max(ceiling(fewer) for fewer in combinations(chosen, size - 1)) + 0.02
    assert ceiling(CEILINGS) < 0.97


def test_no_two_modalities_share_a_twin() -> None:
    pairs = [frozenset(pair) for twins in TWINS.values() for pair in twins]
    assert len(set(pairs)) == len(pairs) == 12
    assert all(sorted(sum(twins, ())) == sorted(LABELS) for twins in TWINS.values())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_plan_is_balanced_and_keeps_its_promises(seed: int) -> None:
    plans = plan_clips(120, seed)
    train = [plan for plan in plans if plan.split == "train"]
    assert [len([p for p in plans if p.split == split]) for split in ("train", "test", "unlabelled")] == [96, 12, 12]
    assert {plan.speaker for plan in plans if plan.split != "test"} == set(range(SPEAKERS))
    assert not {plan.speaker for plan in plans if plan.split == "test"} & set(range(SPEAKERS))
    assert {label: [p.label for p in train].count(label) for label in LABELS} == dict.fromkeys(LABELS, 16)
    for speaker in range(SPEAKERS):
        assert sorted(p.label for p in train if p.speaker == speaker) == sorted(LABELS * 2)
    for modality, share in CEILINGS.items():
        assert np.mean([p.shown[modality] == p.label for p in train]) == pytest.approx(share, abs=0.04)
    assert {p.absent for p in plans} == {"", "text", "speech", "image", "voice-only"}
    assert not any(p.absent for p in plans if p.split == "test")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_best_guess_from_all_channels_beats_the_best_single_one(seed: int) -> None:
    plans = plan_clips(120, seed)

    def accuracy(modalities: tuple[str, ...]) -> float:
        guesses = [
            sum(np.log(channel(m)[:, LABELS.index(plan.shown[m])]) for m in modalities).argmax() for plan in plans
        ]
        return float(np.mean([LABELS[guess] == plan.label for guess, plan in zip(guesses, plans, strict=True)]))

    best = max(accuracy((modality,)) for modality in CEILINGS)
    assert best + 0.1 < accuracy(("speech", "text", "video")) < 1
    assert best + 0.15 < accuracy(tuple(CEILINGS)) < 1


def test_media_depend_on_the_shown_classes_and_not_on_the_true_one(tmp_path: Path) -> None:
    options = validate(SampleOptions, SMALL, "sample")
    plan = plan_clips(24, 3, incomplete=0)[0]
    made = []
    for label in ("happy", "sad"):
        folder = tmp_path / label
        (folder / "clips").mkdir(parents=True)
        row = make_clip(replace(plan, label=label), folder, options)
        made.append(((folder / row["video"]).read_bytes(), row["text"]))
    assert made[0] == made[1]
    assert plan.label not in made[0][1]


@pytest.mark.parametrize("channel_name", ["speech", "text"])
def test_what_a_channel_shows_can_be_read_across_speakers(channel_name: str) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    plans = [plan for plan in plan_clips(120, 5) if plan.split != "test"]
    features = np.stack([_features(channel_name, plan) for plan in plans])
    shown = np.array([LABELS.index(plan.shown[channel_name]) for plan in plans])
    known = np.array([plan.speaker < 6 for plan in plans])
    scaler = preprocessing.StandardScaler().fit(features[known])
    model = linear.LogisticRegression(C=0.1, max_iter=300).fit(scaler.transform(features[known]), shown[known])
    assert model.score(scaler.transform(features[~known]), shown[~known]) > 0.7


def _features(modality: str, plan) -> np.ndarray:
    rng = np.random.default_rng([9, plan.index])
    if modality == "text":
        from mer_plugins.text.ngram import Ngram, NgramOptions

        written = sample_text.write(plan.shown["text"], plan.language, rng)
        found = Ngram(NgramOptions(), "cpu").extract([Sample("x", {"text": Text(written)})])[0]
    else:
        from mer_plugins.speech.acoustic import Acoustic, AcousticOptions

        sound = sample_voice.speak(plan.shown["speech"], sample_voice.voice_of(plan.speaker, 5), 1.2, rng)
        audio = Audio(resample_poly(sound, 2, 3).astype(np.float32), 16000)
        found = Acoustic(AcousticOptions(), "cpu").extract([Sample("x", {"audio": audio})])[0]
    assert isinstance(found, Features)
    return found.values if found.times is None else np.concatenate([found.values.mean(0), found.values.std(0)])


# --- the files


def test_manifest_loads_and_says_that_it_is_synthetic(manifest: Path) -> None:
    table = load_clips(manifest)
    assert len(table.clips) == 24
    assert table.targets.classes == LABELS
    assert {clip.split for clip in table.clips} == {"train", "test", "unlabelled"}
    assert all((clip.label is None) == (clip.split == "unlabelled") for clip in table.clips)
    assert {clip.language for clip in table.clips} == {"zh", "en"}
    assert all(clip.meta["synthetic"] == "true" for clip in table.clips)
    facts = json.loads((manifest.parent / "dataset.json").read_text("utf-8"))
    assert facts["synthetic"] is True
    assert facts["ceilings"] == dict(CEILINGS)
    readme = (manifest.parent / "README.txt").read_text("utf-8")
    assert readme.startswith("SYNTHETIC DATA")
    assert f"at most {ceiling(CEILINGS):.2f}" in readme


def test_media_are_h264_and_aac_of_the_stated_kind(manifest: Path) -> None:
    plans = {plan.id: plan for plan in plan_clips(24, 3, 0.4)}
    for row in rows_of(manifest):
        absent = plans[row["id"]].absent
        assert (row["text"] == "") == (absent == "text")
        assert (row["video"] == "") == (absent == "voice-only") == (row["audio"] != "")
        if not row["video"]:
            assert (manifest.parent / row["audio"]).stat().st_size > 20000
            continue
        with av.open(str(manifest.parent / row["video"])) as container:
            video = container.streams.video[0]
            assert (video.codec_context.name, video.width, video.height) == ("h264", 320, 240)
            assert container.duration / 1e6 == pytest.approx(1.0, abs=0.3)
            assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"] * (absent != "speech")


def test_prepare_is_idempotent_and_repairs_a_damaged_set(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int, str]] = []
    small = dataset(clips=12, seconds=0.5)
    made = small.prepare(tmp_path, lambda *call: calls.append(call))
    assert [call[1] for call in calls] == list(range(1, 13))
    before = made.stat().st_mtime_ns
    assert small.prepare(tmp_path, lambda *call: pytest.fail("made again")) == made
    assert made.stat().st_mtime_ns == before
    clip = next((made.parent / "clips").glob("*.mp4"))
    content = clip.read_bytes()
    clip.write_bytes(content[:100])
    small.prepare(tmp_path)
    assert clip.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [made.parent.name]


def test_same_options_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    def contents(place: str, seed: int) -> dict[str, bytes]:
        folder = dataset(clips=12, seconds=0.5, seed=seed).prepare(tmp_path / place).parent
        return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first, again, other = contents("a", 1), contents("b", 1), contents("c", 2)
    assert first == again
    shared = [name for name in first.keys() & other.keys() if name.endswith((".mp4", ".wav"))]
    assert shared
    assert all(first[name] != other[name] for name in shared)


def test_folder_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    from mer_core.errors import EnvironmentProblem

    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        dataset().prepare(tmp_path / "file")


# --- what is seen and heard


def test_a_face_and_two_eyes_are_found_where_somebody_is_in_view(manifest: Path) -> None:
    faces = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    eyes = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_eye.xml")
    seen, seen_eyes, empty = [], [], []
    for plan in plan_clips(24, 3, 0.4):
        if plan.absent == "voice-only":
            continue
        for frame in frames_of(manifest.parent / "clips" / f"{plan.id}.mp4")[::5]:
            found = faces.detectMultiScale(frame, 1.1, 4, minSize=(60, 60))
            if plan.absent == "image":
                empty.append(len(found))
                continue
            seen.append(len(found) == 1)
            for x, y, w, h in found[:1]:
                seen_eyes.append(len(eyes.detectMultiScale(frame[y : y + int(0.6 * h), x : x + w], 1.05, 3)) >= 2)
    assert empty
    assert not any(empty)
    assert np.mean(seen) > 0.97
    assert np.mean(seen_eyes) > 0.85


def test_loudness_and_pitch_follow_the_manner() -> None:
    voice = sample_voice.voice_of(0, 0)
    loud = {
        label: np.mean([sample_voice.speak(label, voice, 1.0, np.random.default_rng(i)).std() for i in range(4)])
        for label in LABELS
    }
    assert loud["sad"] < loud["neutral"] < loud["happy"] < loud["angry"]
    sound = sample_voice.speak("surprise", voice, 1.0, np.random.default_rng(0))
    assert sound.dtype == np.float32
    assert len(sound) == sample_voice.RATE
    assert np.abs(sound).max() <= 1


def test_movement_is_what_the_video_channel_changes() -> None:
    times, looks = np.arange(12) / 12, sample_face.looks_of(1, 0)

    def change(label: str) -> float:
        frames = list(sample_scene.film("neutral", label, looks, times, np.random.default_rng(2)))
        return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]))

    moved = {label: change(label) for label in LABELS}
    assert min(moved, key=lambda label: moved[label]) in ("neutral", "sad")
    assert moved["angry"] > 2 * moved["neutral"]
