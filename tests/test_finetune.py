"""mer finetune: a fit of its own, taken up by runs with --fitted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import LearnerOptions, Learners, Memory, write_texts
from numpy.typing import NDArray

from mer_core import extract, finetune, open_workspace, run
from mer_core.cli.finetune import document
from mer_core.cli.summary import print_plan
from mer_core.configure import make_config
from mer_core.errors import DataError, PluginError, TooLittleDataError, UsageError
from mer_core.fitted import load_state
from mer_core.plugin import Sample, Supervision
from mer_core.workflows.plan import plan_run
from mer_core.workflows.workspace import Workspace
from mer_plugins.video.emovclip_options import EmoVClipOptions, picture_operations

LABELS = ["angry", "happy", "sad"] * 12
SMALL: dict[str, Any] = {"trainer_options": {"epochs": 5}, "extractors": {"text": "memory"}, "modalities": ["text"]}


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    Memory.fitted.clear()
    return open_workspace(tmp_path / "cache", plugins=[Learners()])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "data", LABELS, ["train"] * 30 + ["test"] * 6)


def test_it_learns_from_the_training_split_and_says_what(tmp_path: Path, space: Workspace, data: Path) -> None:
    state = finetune("memory", data, out=tmp_path / "fit", options=["memory.scale=2.0"], space=space)
    assert [len(seen) for seen in Memory.fitted] == [30]
    assert {file.name for file in (tmp_path / "fit").iterdir()} == {"state.safetensors", "state.json"}
    told = document(load_state(tmp_path / "fit"))
    assert (told["clips"], told["classes"], told["options"]) == (30, ["angry", "happy", "sad"], {"scale": 2.0})
    assert told["summary"] == {"texts": 30, "classes": ["angry", "happy", "sad"]}
    assert len(state.keys) == 30
    again = finetune("memory", data, out=tmp_path / "fit", options=["memory.scale=2.0"], space=space)
    assert again.facts == state.facts
    assert len(Memory.fitted) == 1, "what is finished is not fitted again"
    with pytest.raises(UsageError, match="holds a fit of other options"):
        finetune("memory", data, out=tmp_path / "fit", space=space)


def test_a_run_takes_it_with_its_options_and_counts_what_it_had_seen(
    tmp_path: Path, space: Workspace, data: Path
) -> None:
    finetune("memory", data, out=tmp_path / "fit", options=["memory.scale=2.0"], space=space)
    result = run(data, out=tmp_path / "run", space=space, fitted={"memory": tmp_path / "fit"}, **SMALL)
    assert len(Memory.fitted) == 1, "a run that is given a fit makes none"
    assert result.config.streams["text:memory"].options == {"scale": 2.0}
    section, test = result.report.metrics.cv, result.report.metrics.test
    assert section is not None
    assert test is not None
    assert (section.contaminated, test.contaminated) == (30, 0)
    assert (result.report.streams[0].fits, result.report.streams[0].fitted) == (0, "given")
    strangers = write_texts(tmp_path / "others", [*LABELS, *LABELS])
    rows = strangers.read_text(encoding="utf-8").splitlines()
    strangers.write_text("\n".join([rows[0], *rows[37:]]) + "\n", encoding="utf-8")
    other = run(strangers, out=tmp_path / "other", space=space, fitted={"memory": tmp_path / "fit"}, **SMALL)
    assert other.report.metrics.cv is not None
    assert other.report.metrics.cv.contaminated == 0, "clips that the fit never saw are clean"


def test_other_options_than_the_fits_are_refused_except_those_that_are_free(
    tmp_path: Path, space: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = tmp_path / "fit"
    finetune("memory", data, out=fit, options=["memory.scale=2.0"], space=space)
    streams: dict[str, Any] = {"modalities": ["text"], "extractors": {"text": "memory"}, "fitted": {"memory": fit}}
    other = {**streams, "options": ["memory.scale=3.0"]}
    told = rf"text:memory is to have scale = 3\.0, and {fit} was fitted with scale = 2\.0"
    with pytest.raises(UsageError, match=told):
        run(data, out=tmp_path / "run", space=space, **other)
    with pytest.raises(UsageError, match=told):
        plan_run(make_config(space.catalogue, data=data, **other), space)
    with pytest.raises(UsageError, match=told):
        extract(data, space=space, **other)
    extract(data, space=space, **{**other, "options": ["memory.scale=2"]})
    monkeypatch.setattr(LearnerOptions, "free_once_fitted", frozenset({"scale"}), raising=False)
    assert extract(data, space=space, **other).config.streams["text:memory"].options == {"scale": 3.0}


def test_features_can_be_extracted_with_it(tmp_path: Path, space: Workspace, data: Path) -> None:
    finetune("memory", data, out=tmp_path / "fit", space=space)
    settings = {"modalities": ["text"], "extractors": {"text": "memory"}}
    found = extract(data, space=space, fitted={"memory": tmp_path / "fit"}, **settings)
    assert found.features.table["text:memory"].present.all()


def test_what_goes_wrong_is_said(tmp_path: Path, space: Workspace, data: Path) -> None:
    with pytest.raises(UsageError, match="'letters' does not learn from labels") as caught:
        finetune("letters", data, out=tmp_path / "a", space=space)
    assert "memory" in (caught.value.hint or "")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="holds something that is not a fit"):
        finetune("memory", data, out=tmp_path / "full", space=space)
    one = write_texts(tmp_path / "one", ["angry"] * 4)
    with pytest.raises(TooLittleDataError, match="4 clips of 1 classes"):
        finetune("memory", one, out=tmp_path / "b", space=space)
    none = write_texts(tmp_path / "none", [""] * 4)
    with pytest.raises(TooLittleDataError, match="no clip of the training split is labelled"):
        finetune("memory", none, out=tmp_path / "c", space=space)
    with pytest.raises(DataError, match="there is no fitted extractor in"):
        run(data, out=tmp_path / "run", space=space, fitted={"memory": tmp_path / "nowhere"}, **SMALL)


def test_a_state_of_another_plugin_or_damaged_is_refused(tmp_path: Path, space: Workspace, data: Path) -> None:
    finetune("memory", data, out=tmp_path / "fit", space=space)
    facts = json.loads((tmp_path / "fit" / "state.json").read_text(encoding="utf-8"))
    (tmp_path / "fit" / "state.json").write_text(json.dumps({**facts, "version": "0"}), encoding="utf-8")
    with pytest.raises(DataError, match=r"a state of .*memory.* version 0, not of .*memory.* version 1"):
        run(data, out=tmp_path / "run", space=space, fitted={"memory": tmp_path / "fit"}, **SMALL)
    (tmp_path / "fit" / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        run(data, out=tmp_path / "run2", space=space, fitted={"memory": tmp_path / "fit"}, **SMALL)


class Killed(Exception):
    """Stands for a kill."""


class Slow(Memory):
    """Learns in three steps, with a checkpoint after each; dies in the second where told to."""

    steps: list[int] = []  # noqa: RUF012
    die = True

    def fit(self, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        assert supervision.folder is not None
        checkpoint = supervision.folder / "step"
        first = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for step in range(first, 3):
            if step == 1 and Slow.die:
                raise Killed
            Slow.steps.append(step)
            checkpoint.write_text(str(step + 1))
        return super().fit(samples, supervision)


def test_a_fit_that_died_goes_on_from_its_checkpoint(
    tmp_path: Path, space: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.Memory", Slow)
    with pytest.raises(PluginError, match="Killed"):
        finetune("memory", data, out=tmp_path / "fit", space=space)
    Slow.die = False
    finetune("memory", data, out=tmp_path / "fit", space=space)
    assert Slow.steps == [0, 1, 2]
    assert not (tmp_path / "fit" / "work").exists()


def test_decoded_samples_are_kept_while_it_learns_and_gone_afterwards(
    tmp_path: Path, space: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def fit(self: Memory, samples: Sequence[Sample], supervision: Supervision) -> Mapping[str, NDArray[Any]]:
        kept = list((space.cache.fits / "samples").rglob("*.safetensors"))
        seen.append(len(kept))
        assert [sample.id for sample in samples[3:5]] == ["c3", "c4"]
        assert samples[-1].id == "c29"
        return {"texts": np.zeros(1, np.uint8), "labels": np.zeros(1, np.int64)}

    monkeypatch.setattr(Memory, "fit", fit)
    finetune("memory", data, out=tmp_path / "one", space=space)
    finetune("memory", data, out=tmp_path / "two", options=["memory.scale=3.0"], space=space)
    assert seen == [30, 30], "decoded again for the second, since the first one's samples are gone"
    assert not list((space.cache.fits / "samples").rglob("*.safetensors"))


def test_samples_without_room_are_decoded_each_time(
    tmp_path: Path, space: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer_core.workflows.decoded.KEPT_BYTES", 0)
    finetune("memory", data, out=tmp_path / "fit", space=space)
    assert [len(seen) for seen in Memory.fitted] == [30]
    assert all(text.strip() for text in Memory.fitted[0])


def test_the_plan_counts_fits_and_forward_passes(
    space: Workspace, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    def planned(**settings: Any) -> dict[str, Any]:
        config = make_config(space.catalogue, data=data, **SMALL, **settings)
        document = plan_run(config, space)
        print_plan(document, Console(width=200))
        found: dict[str, Any] = document["fits"][0]
        return found

    assert [planned()[key] for key in ("fits", "forwards", "crossfit")] == [5, 180, "fold"]
    assert "text:memory: fit 5 times (fold), then 180 clips through its fits" in capsys.readouterr().out
    assert [planned(deploy="refit")[key] for key in ("fits", "forwards", "crossfit")] == [6, 216, "fold"]
    assert [planned(crossfit="nested")[key] for key in ("fits", "forwards")] == [25, 180]
    assert [planned(crossfit="single")[key] for key in ("fits", "forwards")] == [1, 36]
    assert Memory.fitted == []


def test_the_plan_says_why_there_are_no_folds(
    tmp_path: Path, space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    rows = [f"c{number},{label},said {number}" for number, label in enumerate(("angry", "happy", "sad", "sad"))]
    data = tmp_path / "few.csv"
    data.write_text("\n".join(["id,label,text", *rows]) + "\n", encoding="utf-8")
    document = plan_run(make_config(space.catalogue, data=data, **SMALL), space)
    assert document["training"]["folds"]["planned"] == 0
    print_plan(document, Console(width=200))
    assert "no cross-validation: 2 of 3 classes have one clip each ('angry', 'happy')" in capsys.readouterr().out


def test_what_a_fit_costs_follows_from_clips_epochs_and_scheme() -> None:
    picture = picture_operations("clip-vit-large-patch14", prompts=4)
    plain = EmoVClipOptions(epochs=11, select="last")
    assert plain.learning_operations(100) == pytest.approx(11 * 100 * 16 * 2 * picture)
    assert EmoVClipOptions(epochs=11).learning_operations(100) == pytest.approx(11 * (90 * 2 + 10) * 16 * picture)
    assert EmoVClipOptions(epochs=11, select="last", scheme="full").learning_operations(100) == pytest.approx(
        11 * 100 * 16 * 3 * picture_operations("clip-vit-large-patch14")
    )
    assert EmoVClipOptions(select="last").learning_operations(16) == pytest.approx(200 * 16 * 16 * 2 * picture)
