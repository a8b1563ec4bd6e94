"""``mer tune``: what is drawn, that no scored clip has a part in the choice, and what is left."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mer_core
from mer_core.cli.app import run_app
from mer_core.config import PluginChoice, RunConfig
from mer_core.errors import OptionError, TooLittleDataError, UsageError
from mer_core.feature_set import FeatureSet
from mer_core.report.tuning import tuning_findings
from mer_core.search import Listed, Span, draw, read_space, read_values, size
from mer_core.testing.tables import feature_set, relabelled
from mer_core.workflows import searching
from mer_core.workflows.choosing import choose, held_out, standings, tell
from mer_core.workflows.nested import hold_out_inside
from mer_core.workflows.run import RunResult
from mer_core.workflows.scoring import OutOfFold
from mer_core.workflows.searching import Candidate, Search, with_draw
from mer_core.workflows.trial_files import JOURNAL, Journal, Tried
from mer_core.workflows.tune import make_hunt
from mer_core.workflows.workspace import Workspace, open_workspace

QUICK = {"epochs": 2, "batch_size": 16, "modality_dropout": 0.0}
SMALL = {"hidden": 12, "dropout": 0.2}
RATES = ["cv.lr=2e-3..3e-2", "cv.weight_decay=0..0.001"]


# what is drawn


def test_values_are_listed_or_a_range() -> None:
    assert read_values("64,128, 256") == Listed((64, 128, 256))
    assert read_values("mask,zero") == Listed(("mask", "zero"))
    assert read_values("1e-4..1e-3") == Span(1e-4, 1e-3, log=True, whole=False)
    assert read_values("0.1..0.5") == Span(0.1, 0.5, log=False, whole=False)
    assert read_values("0.1..0.5:log").log  # type: ignore[union-attr]
    assert read_values("1..4") == Span(1, 4, log=False, whole=True)
    assert str(read_values("1e-4..1e-3")) == "0.0001 to 0.001, by logarithm"


@pytest.mark.parametrize("text", ["1..", "2..1", "a..b", "1..2:odd", "0..1:log", "1..2..3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--search"):
        read_values(text)


@pytest.mark.parametrize("pair", ["hidden=1,2", "attention.hidden", "attention.hidden=", "=3"])
def test_what_names_no_option_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match=r"not OWNER\.KEY=VALUES"):
        read_space([pair])


def test_draws_are_different_and_the_same_for_the_same_seed() -> None:
    space = {"fusion.hidden": Listed((64, 128, 256)), "trainer.lr": Listed((1e-3, 1e-4))}
    assert size(space) == 6
    found = draw(space, 50, 0)
    assert len({tuple(one.values()) for one in found}) == len(found) == 6, "there are no more"
    assert draw(space, 4, 1) == draw(space, 4, 1)
    assert draw(space, 4, 1) != draw(space, 4, 2)
    many = draw({"trainer.lr": Span(1e-4, 1e-2, log=True, whole=False)}, 200, 0)
    rates = [one["trainer.lr"] for one in many]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    assert 0.4 < np.mean(np.asarray(rates) < 1e-3) < 0.6, "a decade has the share of a decade"


def test_the_usual_space_is_that_of_merbench(space: Workspace) -> None:
    found = make_hunt(config(), space.catalogue).space
    assert found == {
        "fusion.hidden": Listed((64, 128, 256)),
        "fusion.dropout": Listed((0.2, 0.3, 0.4, 0.5)),
        "trainer.lr": Listed((1e-3, 1e-4)),
    }
    lmf = make_hunt(config("lmf"), space.catalogue).space
    assert lmf["fusion.rank"] == Listed((3, 4, 5, 6))


def test_every_shipped_fusion_can_be_built_with_what_is_drawn_for_it(space: Workspace) -> None:
    from mer_core.spec import FusionSpec

    names = [entry.spec.name for entry in space.catalogue.of_kind(FusionSpec) if entry.own]
    assert len(names) > 8
    for name in names:
        own = config(name)
        for one in draw(make_hunt(own, space.catalogue).space, 20, 0):
            assert with_draw(own, one, space.catalogue).fusion.options["hidden"] == one["fusion.hidden"]


def test_a_draw_that_cannot_be_is_refused_before_any_work(space: Workspace) -> None:
    with pytest.raises(UsageError, match="draws options of attention or cv"):
        make_hunt(config(), space.catalogue, ["haar.size=1,2"])
    with pytest.raises(OptionError, match="no option"):
        with_draw(config(), {"fusion.hiden": 3}, space.catalogue)
    with pytest.raises(UsageError, match="cannot be made"):
        make_hunt(config(), space.catalogue, inner=6)


# the search itself


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(tmp_path_factory.mktemp("tune") / "cache")


def config(fusion: str = "attention") -> RunConfig:
    options = SMALL if fusion == "attention" else {}
    return RunConfig(
        streams={}, fusion=PluginChoice(name=fusion, options=options), trainer=PluginChoice(name="cv", options=QUICK)
    )


def searched(
    data: FeatureSet, space: Workspace, folder: Path, count: int = 2, inner: int = 1, halvings: int = 0
) -> Search:
    hunt = make_hunt(config(), space.catalogue, RATES, trials=count)
    own = [
        Candidate(number, one, with_draw(config(), one, space.catalogue))
        for number, one in enumerate(draw(hunt.space, count, 0), 1)
    ]
    inside = hold_out_inside(data, inner, config())
    search = Search(inside, own, config(), space, Journal(folder), halvings)
    assert list(search.run()) == search.tried, "each as it is done"
    return search


def test_labels_of_held_out_clips_change_no_choice(space: Workspace, tmp_path: Path) -> None:
    data = feature_set(60, folds=3)
    other = relabelled(data, data.folds[0].val)
    (tmp_path / "other").mkdir()
    before, after = (searched(one, space, place) for one, place in ((data, tmp_path), (other, tmp_path / "other")))
    assert [one.inner[0] for one in before.tried] == [one.inner[0] for one in after.tried]
    assert [one.guess[0] for one in before.tried] == [one.guess[0] for one in after.tried]
    assert [one.inner[1:] for one in before.tried] != [one.inner[1:] for one in after.tried], "others learn from them"
    assert [one.held_out[0] for one in before.tried] != [one.held_out[0] for one in after.tried]


def test_inner_parts_lie_in_the_training_part_and_keep_speakers_together() -> None:
    data = feature_set(60, folds=3)
    data = dataclasses.replace(data, groups=tuple(f"s{row % 3}{row % 4}" for row in range(60)))
    inside = hold_out_inside(data, 2, config())
    assert inside.owner == (0, 0, 1, 1, 2, 2)
    for fold, owner in zip(inside.data.folds, inside.owner, strict=True):
        outer = data.folds[owner]
        assert {*fold.train} | {*fold.val} == {*outer.train}
        learnt, held = ({data.groups[row] for row in part} for part in (fold.train, fold.val))  # type: ignore[index]
        assert not learnt & held
    assert not {*inside.data.folds[0].val} & {*inside.data.folds[1].val}


def test_a_trainer_that_takes_no_trials_gets_one_after_the_other(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = feature_set(40, folds=2)
    (tmp_path / "alone").mkdir()
    together = searched(data, space, tmp_path, inner=2)

    class Nobody:
        """No trainer is one."""

    monkeypatch.setattr(searching, "TrialTrainer", Nobody)
    alone = searched(data, space, tmp_path / "alone", inner=2)
    for one, two in zip(*(sorted(found.tried, key=lambda own: own.trial) for found in (together, alone)), strict=True):
        assert (one.trial, one.inner, one.guess) == (two.trial, two.inner, two.guess)
    with pytest.raises(OptionError, match="part of its epochs"):
        searched(feature_set(44, folds=2), space, tmp_path / "alone", halvings=1)


def test_each_halving_keeps_a_third_in_every_fold(space: Workspace, tmp_path: Path) -> None:
    found = searched(feature_set(40, folds=2), space, tmp_path, count=9, halvings=2).tried
    counts = Counter((one.rung, fold) for one in found for fold in one.folds)
    assert counts == {(0, 0): 9, (0, 1): 9, (1, 0): 3, (1, 1): 3, (2, 0): 1, (2, 1): 1}
    assert {one.rung: round(one.share, 3) for one in found} == {0: 0.111, 1: 0.333, 2: 1.0}
    for fold in range(2):
        first = {one.trial: one.inner[one.folds.index(fold)] for one in found if one.rung == 0}
        kept = {one.trial for one in found if one.rung == 1 and fold in one.folds}
        assert min(first[trial] for trial in kept) >= max(first[t] for t in first if t not in kept)


def test_lines_cut_off_by_a_kill_are_left_out(space: Workspace, tmp_path: Path) -> None:
    search = searched(feature_set(40, folds=2), space, tmp_path)
    file = tmp_path / JOURNAL
    file.write_text(file.read_text()[:-40])
    again = searched(feature_set(40, folds=2), space, tmp_path)
    assert again.reused == 1
    assert [one.guess for one in again.tried] == [one.guess for one in search.tried]
    assert len(file.read_text().splitlines()) == 2
    assert searched(feature_set(40, folds=2, seed=1), space, tmp_path).reused == 0, "other data, other trials"


def test_the_best_of_many_draws_that_guess_is_optimistic_and_the_nested_choice_is_not() -> None:
    rng = np.random.default_rng(0)
    data = feature_set(150, folds=3)
    folds = tuple(range(3))

    def guessing(number: int) -> Tried:
        guess = tuple(tuple(rng.integers(0, 3, len(fold.val)).tolist()) for fold in data.folds)
        scores = tuple(rng.random(3).tolist())
        return Tried(key=str(number), trial=number, draw={"a": number}, folds=folds, inner=scores, guess=guess)

    tried = [guessing(number) for number in range(1, 51)]
    found = standings(tried, 3)
    choice = choose(found, 3)
    chosen = held_out(data, found, choice.folds)
    fold = np.concatenate([np.full(len(one.val), number) for number, one in enumerate(data.folds)])
    where = np.empty(150, np.int64)
    where[np.concatenate([one.val for one in data.folds])] = fold
    nested = OutOfFold(np.eye(3)[chosen], where)
    told = tell(data, tried, choice, nested, {"a": Listed((1,))}, config(), asked=60, inner=1, halvings=0, reused=0)
    assert abs(told.nested.value - 1 / 3) < 0.06  # type: ignore[operator]
    assert told.before == told.nested
    assert told.optimistic.value > 1 / 3 + 0.05  # type: ignore[operator]
    assert told.gap.value > 0.01  # type: ignore[operator]
    assert "only 50 different draws" in " ".join(tuning_findings(told))


# the whole command


def table(folder: Path, signal: float, count: int = 96) -> Path:
    rng = np.random.default_rng(5)
    labels = np.arange(count) % 2
    parts = {name: rng.normal(size=(count, 6)).astype("f4") for name in ("speech", "text")}
    for part in parts.values():
        part[:, 0] += signal * labels
    speaker = np.asarray([f"s{number}" for number in rng.permutation(count) % 12])
    names = np.asarray(["angry", "sad"])[labels]
    np.savez(folder / "f.npz", speech=parts["speech"], text=parts["text"], labels=names, speaker=speaker)
    return folder / "f.npz"


def tuned(
    folder: Path, space: Workspace, signal: float = 0.0, trials: int = 12, epochs: int = 4, **more: Any
) -> RunResult:
    return mer_core.tune(
        features=table(folder, signal),
        streams=["speech", "text"],
        out=folder / "run",
        space=space,
        folds=3,
        trials=trials,
        search=RATES,
        fusion="concat",
        fusion_options=SMALL,
        trainer_options=QUICK | {"epochs": epochs},
        **more,
    )


@pytest.fixture(scope="module")
def chance(tmp_path_factory: pytest.TempPathFactory, space: Workspace) -> RunResult:
    """Labels that mean nothing."""
    return tuned(tmp_path_factory.mktemp("chance"), space)


def test_with_labels_that_mean_nothing_the_score_stays_at_chance(chance: RunResult) -> None:
    found, section = chance.report.tuning, chance.report.metrics.cv
    assert found is not None
    assert section is not None
    assert section.waf == found.nested
    assert not section.optimistic
    assert abs(found.nested.value - 0.5) < 0.1  # type: ignore[operator]
    assert abs(found.before.value - 0.5) < 0.1  # type: ignore[operator]
    assert found.optimistic.value >= found.before.value - 1e-9  # type: ignore[operator]
    assert found.gap.value == pytest.approx(found.optimistic.value - found.before.value)  # type: ignore[operator]
    assert found.optimistic.value == pytest.approx(max(one.held_out or 0 for one in found.trials), abs=1e-5)


def test_the_report_tells_of_every_trial(chance: RunResult) -> None:
    found = chance.report.tuning
    assert found is not None
    assert [one.trial for one in found.trials] == list(range(1, 13))
    assert sorted(fold for one in found.trials for fold in one.chosen_by) == [1, 2, 3]
    for fold in range(3):
        chosen = next(one for one in found.trials if fold + 1 in one.chosen_by)
        assert chosen.inner[fold] == max(one.inner[fold] or 0 for one in found.trials)
    assert found.final.mean == max(one.mean or 0 for one in found.trials)
    said = " ".join(tuning_findings(found))
    assert "optimistic" in said
    assert "do not quote it" in said
    page = (chance.folder / "report.html").read_text()
    assert "12 trials, the best on inner parts first" in page
    lines = list(csv.DictReader((chance.folder / "trials.csv").open()))
    assert len(lines) == 12
    assert {"fusion.hidden", "trainer.lr"} & set(lines[0]) == {"trainer.lr"}
    assert json.loads((chance.folder / "report.json").read_text())["files"]["trials.csv"]


def test_the_config_repeats_the_model_that_was_kept(chance: RunResult, tmp_path: Path, space: Workspace) -> None:
    found = chance.report.tuning
    assert found is not None
    assert chance.config.trainer.options["lr"] == found.final.draw["trainer.lr"]
    again = mer_core.run(file=chance.folder / "config.toml", out=tmp_path / "again", space=space)
    ours, theirs = (folder / "model" / "members.safetensors" for folder in (chance.folder, again.folder))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_search_that_was_killed_goes_on(tmp_path: Path, space: Workspace) -> None:
    def killing(stage: str, done: int, total: int, note: str) -> None:
        if stage == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path, dataclasses.replace(space, progress=killing), trials=3)
    assert len((tmp_path / "run" / JOURNAL).read_text().splitlines()) == 3
    found = tuned(tmp_path, space, trials=4).report.tuning
    assert found is not None
    assert (found.reused, len(found.trials)) == (3, 4), "more may be asked for the second time"


def test_what_can_be_learnt_is_found(tmp_path: Path, space: Workspace) -> None:
    found = tuned(tmp_path, space, signal=5.0, trials=3, epochs=24, halving=1, inner=2).report.tuning
    assert found is not None
    assert found.nested.value > 0.75  # type: ignore[operator]
    assert found.ranked[0].share == 1.0


def test_without_folds_or_with_several_seeds_nothing_is_searched(tmp_path: Path, space: Workspace) -> None:
    with pytest.raises(UsageError, match="one seed"):
        tuned(tmp_path, space, seeds=2)
    np.savez(tmp_path / "few.npz", speech=np.ones((3, 2), "f4"), labels=np.asarray(["angry", "sad", "angry"]))
    with pytest.raises(TooLittleDataError, match="without folds"):
        mer_core.tune(features=tmp_path / "few.npz", streams=["speech"], out=tmp_path / "few", space=space)


def test_the_command_line_searches_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["tune", "--features", str(table(tmp_path, 4.0)), "--streams", "speech,text", "--folds", "2"]
    base += ["--epochs", "1", "-o", "attention.hidden=4", "--cache", str(tmp_path / "cache"), "--out"]
    assert run_app([*base, str(tmp_path / "run"), "--trials", "2", "--search", "cv.lr=1e-3,1e-2,1e-1"]) == 0
    said = capsys.readouterr().out
    assert "Search: the best of 2 draws" in said
    assert "trials.jsonl" in said
    assert run_app([*base, str(tmp_path / "no"), "--search", "cv.lr=7..3"]) == 2
    assert not (tmp_path / "no").exists()
