"""The training of prompts: schedule, views, frames that are kept, steps, epochs, checkpoints, several processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mer_core.media.sampling import segment_indices
from mer_core.plugin import Frames, MediaError, Missing, Sample
from mer_plugins.image.preprocess import Recipe
from mer_plugins.video.tuning_batch import Batches, Mix, Mixing
from mer_plugins.video.tuning_frames import Store, ahead
from mer_plugins.video.tuning_group import Group, own_device
from mer_plugins.video.tuning_inner import held_out
from mer_plugins.video.tuning_options import TuningOptions
from mer_plugins.video.tuning_saved import Saved
from mer_plugins.video.tuning_schedule import Schedule
from mer_plugins.video.tuning_views import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    PLACES,
    SATURATION,
    SCALES,
    Jitter,
    Views,
    brighter,
    coloured,
    grey,
    harder,
    kept_recipe,
    middle_recipe,
    richer,
    turned,
)
from tests.tuning_toy import CLASSES, RECIPE, SIDE, Toy, clips, tuning

ROOT = Path(__file__).parents[1]


def same(one: Any, other: Any) -> bool:
    """Bit by bit."""
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


# 1.3: the learning rate


def test_1_3_rates_are_those_of_the_method() -> None:
    schedule = Schedule(lr=4e-2, total=1100, warmup=500)
    golden = {0: 0.0, 1: 8e-5, 250: 2e-2, 499: 3.992e-2, 500: 0.02301783, 550: 0.0202, 825: 0.00619929, 1100: 4e-4}
    for step, rate in golden.items():
        assert schedule.at(step) == pytest.approx(rate, rel=1e-5), step
    assert schedule.at(5000) == 4e-4


def test_1_3_rates_are_those_of_timm() -> None:
    """CosineLRScheduler of timm 1.0.31: t_initial 97, lr_min 4e-4, warmup_t 13 from 0, cycle_limit 1, by updates."""
    theirs = {0: 0.0, 1: 0.003076923077, 12: 0.036923076923, 13: 0.038270769281, 14: 0.037999244473}
    theirs |= {40: 0.02558223543, 48: 0.020520622762, 80: 0.003326106892, 96: 0.000410383733, 97: 4e-4, 119: 4e-4}
    for step, rate in theirs.items():
        assert Schedule(0.04, 97, 13).at(step) == pytest.approx(rate, abs=1e-11), step


def test_epochs_are_raised_for_few_clips() -> None:
    assert [TuningOptions().epochs_of(steps) for steps in (1, 10, 19, 300)] == [200, 20, 11, 11]
    assert TuningOptions(epochs=3).epochs_of(1) == 3


# 1.3: views


def frames(height: int, width: int, count: int = 2) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(50, 90), (90, 50), (33, 33), (480, 270)])
def test_1_3_the_middle_of_kept_frames_is_the_view_of_features(size: tuple[int, int]) -> None:
    """What epochs are chosen on is, to the last bit, what features are made of."""
    images = frames(*size)
    kept = np.stack([kept_recipe(RECIPE, 32).cut(image) for image in images])
    assert min(kept.shape[1:3]) == 36
    shown = middle_recipe(RECIPE, 32)
    assert shown.size == (32, 32)
    levels = [shown.table[np.arange(3)[:, None, None], shown.cut(image).transpose(2, 0, 1)] for image in images]
    found = Views(RECIPE, 32, Jitter()).middle(kept, "cpu")
    np.testing.assert_allclose(found, np.stack(levels), atol=2e-6)
    assert (kept_recipe(RECIPE, 224).resize, middle_recipe(RECIPE, 224).resize) == (256, 256)


def test_1_3_crops_have_the_methods_sizes_and_places() -> None:
    """Of a frame that holds its own coordinates."""
    height, width = 64, 100
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, rows * 0], axis=-1).astype(np.uint8)[None]
    views = Views(RECIPE, SIDE, Jitter())
    cut = [views._crop(image, np.random.default_rng(seed)) for seed in range(3000)]
    sides = [int(64 * scale) for scale in SCALES]
    assert sides == [64, 56, 48, 42]
    seen = {one.shape[1:3] for one in cut}
    assert seen == {(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1}
    places = {(int(one[0, 0, 0, 0]), int(one[0, 0, 0, 1])) for one in cut if one.shape[1:3] == (48, 56)}
    assert len(places) == len(set(PLACES)) == 13
    assert {top for top, _ in places} == {0, 4, 8, 12, 16}
    assert {left for _, left in places} == {0, 11, 22, 33, 44}


def test_views_of_training_are_those_of_their_seed() -> None:
    views = Views(RECIPE, SIDE, Jitter())
    images = frames(16, 24)
    found = [views.random(images, "cpu", np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert found[0].shape == (2, 3, SIDE, SIDE)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.isfinite(found[0]).all()


def test_without_any_chance_training_shows_the_middle() -> None:
    views = Views(RECIPE, SIDE, Jitter(flip=0, colour=0, grey=0, crops=False))
    images = frames(16, 24)
    found = views.random(images, "cpu", np.random.default_rng(0))
    torch.testing.assert_close(found, views.middle(images, "cpu"), atol=1e-5, rtol=0)
    flipped = Views(RECIPE, SIDE, Jitter(flip=1, colour=0, grey=0, crops=False))
    torch.testing.assert_close(flipped.random(images, "cpu", np.random.default_rng(0)), found.flip(-1))
    colourless = Views(Recipe(SIDE, None, 3, (0.0,) * 3, (1.0,) * 3), SIDE, Jitter(0, 0, 0, 1, False))
    levels = colourless.random(images, "cpu", np.random.default_rng(0))
    assert torch.equal(levels[:, 0], levels[:, 2])


def test_colours_change_alike_in_all_frames_and_stay_in_range() -> None:
    one = torch.rand(1, 3, 5, 5)
    twice = coloured(one.repeat(2, 1, 1, 1), 1.0, np.random.default_rng(3))
    torch.testing.assert_close(twice[0], twice[1])
    assert 0 <= float(twice.min()) <= float(twice.max()) <= 1
    assert not torch.allclose(twice[0], one[0])


def test_1_3_colours_are_those_of_torchvision() -> None:
    from torchvision.transforms import functional as theirs

    images = torch.rand(2, 3, 6, 7)
    images[0, :, 0] = 0.5
    for move in (-0.3, -0.05, 0.0, 0.2):
        for mine, other in [
            (brighter, theirs.adjust_brightness),
            (harder, theirs.adjust_contrast),
            (richer, theirs.adjust_saturation),
        ]:
            torch.testing.assert_close(mine(images, move), other(images, 1 + move), atol=1e-5, rtol=0)
        torch.testing.assert_close(turned(images, move), theirs.adjust_hue(images, move), atol=1e-5, rtol=0)
    torch.testing.assert_close(grey(images), theirs.rgb_to_grayscale(images), atol=1e-6, rtol=0)


# 1.4: frames


@pytest.mark.parametrize("jitter", [1, 3, 5])
@pytest.mark.parametrize("count", [1, 8, 16])
def test_1_4_the_middle_candidate_is_the_test_rule(count: int, jitter: int) -> None:
    """Candidate (j - 1) / 2 of each segment's j is the segment's own centre, for every length."""
    for total in range(1, 130):
        candidates = segment_indices(total, count * jitter)
        middle = [candidates[jitter * i + (jitter - 1) // 2] for i in range(count)]
        assert middle == segment_indices(total, count)
        assert segment_indices(count * jitter, count) == [jitter * i + (jitter - 1) // 2 for i in range(count)]


def test_1_4_golden_frames_of_three_candidates() -> None:
    golden = {
        (100, 8): [6, 18, 31, 43, 56, 68, 81, 93],
        (25, 8): [1, 4, 7, 10, 14, 17, 20, 23],
        (5, 8): [0, 0, 1, 2, 2, 3, 4, 4],
        (30, 16): [0, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 29],
    }
    for (total, count), expected in golden.items():
        candidates = segment_indices(total, 3 * count)
        assert [candidates[3 * i + 1] for i in range(count)] == expected


def test_1_4_training_shows_any_candidate_of_each_segment() -> None:
    seen = np.array([segment_indices(12, 4, np.random.default_rng(seed)) for seed in range(200)])
    for place in range(4):
        assert set(seen[:, place]) == {3 * place, 3 * place + 1, 3 * place + 2}


class Counted(list[Sample]):
    """Samples that count how often they are asked for."""

    asked = 0

    def __getitem__(self, number: Any) -> Any:
        self.asked += 1
        return super().__getitem__(number)


def store(samples: Any, limit: int = 10**9, folder: Path | None = None) -> Store:
    return Store(samples, kept_recipe(RECIPE, SIDE), limit, folder)


@pytest.mark.parametrize("on_disk", [True, False])
def test_frames_are_prepared_once(tmp_path: Path, on_disk: bool) -> None:
    samples = Counted(clips(3)[0])
    folder = tmp_path / "frames" if on_disk else None
    kept = store(samples, folder=folder)
    first = [np.array(kept.clip(number)) for number in range(3)]
    assert first[0].shape == (12, 16, 20, 3)
    assert first[0].dtype == np.uint8
    for number in range(3):
        np.testing.assert_array_equal(kept.clip(number), first[number])
    assert samples.asked == 3
    again = store(samples, folder=folder)
    again.clip(0)
    assert samples.asked == (3 if on_disk else 4)
    kept.clear()
    assert not (tmp_path / "frames").exists()


def test_no_more_frames_are_kept_than_allowed(tmp_path: Path) -> None:
    samples = Counted(clips(4)[0])
    size = 12 * 16 * 20 * 3
    for limit, folder in [(2 * size, None), (2 * (size + 200), tmp_path)]:
        samples.asked, kept = 0, store(samples, limit, folder)
        for _ in range(2):
            for number in range(4):
                kept.clip(number)
        assert samples.asked == 4 + 2
    assert len(list(tmp_path.glob("*.npy"))) == 2
    samples.asked, kept = 0, store(samples, 2 * (size + 200), tmp_path)
    for number in range(4):
        kept.clip(number)
    assert samples.asked == 2
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_a_full_disk_keeps_no_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    samples = Counted(clips(2)[0])
    kept = store(samples, folder=tmp_path)
    monkeypatch.setattr(np, "save", full)
    for _ in range(2):
        assert len(kept.clip(0)) == 12
    assert samples.asked == 2
    assert list(tmp_path.iterdir()) == []


def test_clips_without_frames_are_left_out_and_counted() -> None:
    class Broken(list[Sample]):
        def __getitem__(self, number: Any) -> Any:
            if number == 1:
                raise MediaError("bad.mp4 cannot be decoded.", "")
            return super().__getitem__(number)

    samples, labels = clips(8)
    samples[2] = Sample("none", {"frames": Frames(np.empty((0, 4, 4, 3), np.uint8), np.empty(0))})
    samples[3] = Sample("missing", {"frames": Missing("no video")})
    run = tuning(Toy(), Broken(samples), labels, epochs=1)
    run.run()
    assert set(run.batches.store.lost) == {1, 2, 3}
    assert run.batches.store.lost[2] == "no frame"


def test_work_ahead_keeps_its_order_and_tells_errors() -> None:
    assert list(ahead(lambda job: job * job, range(20), 3, 4)) == [job * job for job in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda job: 1 // job, [1, 0, 1], 2, 2))


# the inner part


def test_the_inner_part_has_the_classes_of_the_whole() -> None:
    labels = np.repeat([0, 1, 2], [100, 60, 20])
    rows = held_out(labels, None, 0.1, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [10, 6, 2]
    assert not np.array_equal(rows, held_out(labels, None, 0.1, np.random.default_rng(1)))


def test_the_inner_part_keeps_groups_together() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    groups = tuple(f"speaker {number}" if number else "" for number in rng.integers(0, 25, 200))
    rows = held_out(labels, groups, 0.15, np.random.default_rng(0))
    inside = {groups[row] for row in rows} - {""}
    assert inside
    assert all(row in rows for row in range(200) if groups[row] in inside)
    assert 20 <= len(rows) <= 40
    assert np.abs(np.bincount(labels[rows], minlength=4) / len(rows) - np.bincount(labels) / 200).max() < 0.1


def test_too_few_clips_give_no_inner_part() -> None:
    assert not len(held_out(np.arange(8) % 2, None, 0.1, np.random.default_rng(0)))
    alone = np.array([0] * 30 + [1] * 30)
    assert not len(held_out(alone, ("a",) * 30 + ("b",) * 30, 0.1, np.random.default_rng(0)))


# steps


def test_loss_falls_and_the_best_epoch_is_kept() -> None:
    samples, labels = clips()
    notes: list[tuple[str, int, int, str]] = []
    model = Toy()
    facts = tuning(model, samples, labels, choose=range(6), tell=lambda *one: notes.append(one)).run()
    assert facts["losses"][-1] < 0.7 * facts["losses"][0]
    assert (facts["selection"], facts["held_out"], facts["epochs"], facts["steps"]) == ("inner", 6, 4, 12)
    assert facts["inner_accuracy"][facts["epoch"] - 1] == max(facts["inner_accuracy"]) > 0.5
    assert [done for _, done, _, _ in notes] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert {(stage, total) for stage, _, total, _ in notes} == {("fit", 12)}
    assert notes[-1][3].startswith("epoch 4 of 4, loss 0.")
    assert re.search(r", inner \d+\.\d%$", notes[-1][3])


def test_without_an_inner_part_the_last_epoch_is_kept() -> None:
    samples, labels = clips(12)
    facts = tuning(Toy(), samples, labels).run()
    assert (facts["selection"], facts["epoch"], facts["inner_accuracy"]) == ("last", 4, [])


@pytest.mark.parametrize("mixing", [None, Mixing(0.8, 1.0)])
def test_1_3_parts_of_a_step_change_nothing_but_rounding(mixing: Mixing | None) -> None:
    samples, labels = clips()
    learnt = []
    for at_once in (1, 4, 6):
        model = Toy()
        tuning(model, samples, labels, at_once=at_once, mixing=mixing, epochs=2).run()
        learnt.append(model.trained())
    for other in learnt[1:]:
        for name, value in learnt[0].items():
            torch.testing.assert_close(other[name], value, atol=1e-4, rtol=1e-4)


def test_classes_are_encoded_once_per_step() -> None:
    samples, labels = clips(12)
    model = Toy()
    tuning(model, samples, labels, at_once=1, epochs=2).run()
    assert model.encoded == 2 * 2
    alone, seen = Toy(), Toy()
    run = tuning(alone, samples, labels, epochs=2)
    run.shared = False
    run.run()
    tuning(seen, samples, labels, epochs=2).run()
    assert alone.encoded > 4
    for name, value in seen.trained().items():
        torch.testing.assert_close(alone.trained()[name], value, atol=1e-4, rtol=1e-4)


def test_1_3_one_step_is_that_of_a_plain_loop() -> None:
    """Cross-entropy with smoothing of the whole batch at once, AdamW, clipped gradients: torch's own."""
    samples, labels = clips(6)
    plain = Jitter(0, 0, 0, 0, False)
    model, other = Toy(), Toy()
    run = tuning(model, samples, labels, epochs=1, clip=0.5, smoothing=0.1, jitter=plain, weight_decay=0.1)
    run.run()
    steps = tuning(other, samples, labels, jitter=plain, at_once=6).batches.epoch(0, np.arange(6))
    step = next(steps)
    ((pictures, _),) = list(step.parts)
    optimizer = torch.optim.AdamW(other.parameters(), Schedule(0.02, 1, 0).at(1), (0.9, 0.98), 1e-8, 0.1)
    scores = other.logits(other.frames(pictures.flatten(0, 1)).view(6, 4, -1).mean(1))
    torch.nn.functional.cross_entropy(scores, torch.tensor(labels[step.rows]), label_smoothing=0.1).backward()
    torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5)
    optimizer.step()
    for name, value in other.trained().items():
        torch.testing.assert_close(model.trained()[name], value, atol=1e-6, rtol=1e-5)


def test_1_3_mixtures() -> None:
    one, other = torch.zeros(2, 3, 20, 40), torch.ones(2, 3, 20, 40)
    share, found = Mix(0.7, False, np.zeros(2)).of(one, other)
    assert share == 0.7
    torch.testing.assert_close(found, torch.full_like(one, 0.3))
    share, found = Mix(0.75, True, np.array([0.5, 0.5])).of(one, other)
    assert share == 0.75
    assert float(found.mean()) == pytest.approx(0.25)
    assert float(found[..., 5:15, 10:30].min()) == 1
    share, found = Mix(0.75, True, np.array([0.0, 0.99])).of(one, other)
    assert float(found.mean()) == pytest.approx(1 - share)


@pytest.mark.parametrize(("mixup", "cutmix", "joined"), [(0.8, 1.0, 0.5), (0.8, 0.0, 0.0), (0.0, 1.0, 1.0)])
def test_1_3_a_step_is_mixed_in_one_way_each_as_often(mixup: float, cutmix: float, joined: float) -> None:
    """By a share from Beta(a, a), whose variance is 1 / (4 (2 a + 1)); the same for all clips of the step."""
    samples, labels = clips(6)
    batches = tuning(Toy(), samples, labels, mixing=Mixing(mixup, cutmix)).batches
    found = [mix for mix in (batches._mix(0, step) for step in range(2000)) if mix is not None]
    assert len(found) == 2000
    assert np.mean([mix.joined for mix in found]) == pytest.approx(joined, abs=0.04)
    for which, alpha in ((False, mixup), (True, cutmix)):
        shares = [mix.share for mix in found if mix.joined is which]
        if shares:
            assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
            assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_1_3_settings_of_the_optimiser_and_of_chance() -> None:
    asked, jitter = TuningOptions(), Jitter()
    assert (asked.beta1, asked.beta2, asked.epsilon, asked.weight_decay) == (0.9, 0.98, 1e-8, 1e-3)
    assert asked.epochs_of(1000) == 11
    assert (asked.smoothing, asked.flip, asked.grey) == (0.1, 0.5, 0.2)
    assert (jitter.flip, jitter.colour_p, jitter.grey) == (0.5, 0.8, 0.2)
    assert (BRIGHTNESS, CONTRAST, SATURATION, HUE) == (0.4, 0.4, 0.2, 0.1)
    assert SCALES == (1, 0.875, 0.75, 0.66)


def test_1_3_targets_of_mixtures() -> None:
    samples, labels = clips(6)
    run = tuning(Toy(), samples, labels, mixing=Mixing(mixup=0.8), smoothing=0.1, at_once=6)
    for epoch in range(3):
        steps = run.batches.epoch(epoch, np.arange(6))
        step = next(steps)
        ((_, targets),) = list(step.parts)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
        assert float(targets.min()) == pytest.approx(0.1 / CLASSES)


def test_batches_do_not_depend_on_their_order() -> None:
    """A clip looks alike in an epoch whatever came before, so that a fit can go on anywhere."""
    samples, labels = clips(12)
    run = tuning(Toy(), samples, labels, at_once=6)

    def seen(epoch: int, first: int) -> list[Any]:
        return [pictures for step in run.batches.epoch(epoch, np.arange(12), first) for pictures, _ in step.parts]

    whole = seen(1, 0)
    assert len(whole) == 2
    assert torch.equal(seen(1, 1)[0], whole[1])
    assert not torch.equal(seen(2, 0)[0], whole[0])


def test_processes_share_a_step() -> None:
    samples, labels = clips(12)
    views, jobs = Views(RECIPE, SIDE, Jitter()), []
    for rank in range(2):
        batches = Batches(
            store(samples), views, labels, CLASSES, frames=4, size=3, at_once=9, group=Group(rank, 2), seed=5
        )
        assert batches.steps(np.arange(12)) == 2
        steps = [(step.rows, list(step.parts)) for step in batches.epoch(0, np.arange(12))]
        jobs.append(steps)
    for one, other in zip(*jobs, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert len(one[1][0][0]) == len(other[1][0][0]) == 3
        assert not torch.equal(one[1][0][0], other[1][0][0])


# going on


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("after", [1, 4, 6, 8])
def test_killed_and_resumed_is_not_killed(tmp_path: Path, after: int) -> None:
    """Bit by bit; from the last epoch, or from a step in between."""
    samples, labels = clips()
    whole, parted = Toy(), Toy()
    expected = tuning(whole, samples, labels, choose=range(6)).run()

    def kill(_: str, done: int, __: int, ___: str) -> None:
        if done == after:
            raise Killed

    minutes = 1e-9 if after % 2 else 10
    with pytest.raises(Killed):
        tuning(parted, samples, labels, choose=range(6), folder=tmp_path, tell=kill, save_minutes=minutes).run()
    notes: list[str] = []
    again = Toy(seed=99)
    run = tuning(again, samples, labels, choose=range(6), folder=tmp_path, tell=lambda *one: notes.append(one[3]))
    assert run.run() == expected
    assert same(again.trained(), whole.trained())
    if after != 1 or minutes < 1:
        steps = f" and {after % 3} of 3 steps" if after % 3 and minutes < 1 else ""
        assert notes[0] == f"going on after {after // 3} of 4 epochs{steps}"


def test_a_finished_fit_is_not_begun_again(tmp_path: Path) -> None:
    samples, labels = clips(12)
    model = Toy()
    facts = tuning(model, samples, labels, folder=tmp_path).run()
    counted = Counted(samples)
    again = Toy(seed=3)
    assert tuning(again, counted, labels, folder=tmp_path).run() == facts
    assert same(again.trained(), model.trained())
    assert counted.asked == 0


def test_a_checkpoint_of_another_fit_is_not_used(tmp_path: Path) -> None:
    samples, labels = clips(12)
    tuning(Toy(), samples, labels, folder=tmp_path, key="one").run()
    notes: list[str] = []
    model, plain = Toy(), Toy()
    tuning(model, samples, labels, folder=tmp_path, key="two", tell=lambda *one: notes.append(one[3])).run()
    assert notes[0] == "the checkpoint is of other options or labels: begun anew"
    tuning(plain, samples, labels).run()
    assert same(model.trained(), plain.trained())


def test_a_damaged_checkpoint_is_not_used(tmp_path: Path) -> None:
    saved = Saved(tmp_path, "key")
    saved.save({"a": torch.ones(3)})
    assert torch.equal(saved.load()["a"], torch.ones(3))  # type: ignore[index]
    assert [file.name for file in tmp_path.iterdir()] == ["tuning.pt"]
    saved.file.write_bytes(saved.file.read_bytes()[:50])  # type: ignore[union-attr]
    assert saved.load() is None
    assert "cannot be read" in saved.note
    assert Saved(None, "key").load() is None
    Saved(None, "key").save({})


# several processes


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind, told of each other as torch's launcher does it (whose own start takes longer)."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "tests.tuning_toy", str(folder / "two.pt"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_learn_what_one_does(left: Path) -> None:
    """Two with batches of three are one with batches of six, up to rounding."""
    found = torch.load(left / "two.pt", weights_only=True)
    assert found["size"] == 2
    model = Toy()
    samples, labels = clips()
    facts = tuning(model, samples, labels, choose=range(6), batch=6).run()
    for name, value in model.trained().items():
        torch.testing.assert_close(found["trained"][name], value, atol=1e-4, rtol=1e-4)
    assert found["facts"]["losses"] == pytest.approx(facts["losses"], rel=1e-3)
    assert found["facts"]["steps"] == facts["steps"] == 12


def test_a_fit_survives_kill_9(left: Path) -> None:
    """Bit by bit what an uninterrupted one in another process learns."""
    samples, labels = clips()
    notes: list[str] = []
    model, whole = Toy(seed=9), Toy()
    run = tuning(model, samples, labels, choose=range(6), folder=left, tell=lambda *one: notes.append(one[3]))
    facts = run.run()
    assert notes[0] == "going on after 1 of 4 epochs"
    assert facts == tuning(whole, samples, labels, choose=range(6)).run()
    assert same(model.trained(), whole.trained())


def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cuda") == "cuda"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("cuda") == "cuda"
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert [own_device(one) for one in ("cuda", "cuda:0", "cpu", "cuda:3")] == ["cuda:1", "cuda:1", "cpu", "cuda:3"]
