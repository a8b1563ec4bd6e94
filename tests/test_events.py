"""What plugins hear of a run, in which order, and that none of them can harm it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pages import files

from mer_core import open_workspace
from mer_core.announce import HOOKS, Announcer, ListenerProblem
from mer_core.cli.progress import show_progress
from mer_core.events import Event, FeaturesReady, FoldFinished, RunFinished, RunStarted
from mer_core.hookspecs import hookimpl
from mer_core.plugin import FusionSpec, PluginError
from mer_core.registry import discover
from mer_core.scaffold import render_package
from mer_core.workflows.run import RunResult, run

PAGE = Path(__file__).parent.parent / "docs" / "plugins" / "events.md"


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    @hookimpl
    def mer_run_started(self, event: RunStarted) -> None:
        assert event.folder.is_dir()
        self.heard.append(event)

    @hookimpl
    def mer_features_ready(self, event: FeaturesReady) -> None:
        self.heard.append(event)

    @hookimpl
    def mer_fold_finished(self, event: FoldFinished) -> None:
        self.heard.append(event)

    @hookimpl
    def mer_run_finished(self, event: RunFinished) -> None:
        self.heard.append(event)


class Failing:
    """Raises whenever it hears anything; its hooks leave out the argument."""

    calls = 0

    @hookimpl
    def mer_run_started(self) -> None:
        raise SystemExit(1)

    @hookimpl
    def mer_fold_finished(self) -> None:
        self.calls += 1
        raise ValueError("no connection")

    @hookimpl
    def mer_run_finished(self) -> None:
        raise OSError("disk full")


class Impatient:
    """Somebody presses Ctrl-C when the features are ready."""

    @hookimpl
    def mer_features_ready(self) -> None:
        raise KeyboardInterrupt


class BrokenFusion:
    """Offers a fusion whose network cannot be built."""

    def __init__(self, options: object) -> None: ...

    def build(self, streams: object, targets: object) -> None:
        raise RuntimeError("no such layer")


class Broken:
    """The plugin around it."""

    @hookimpl
    def mer_specs(self) -> list[FusionSpec]:
        return [FusionSpec(name="broken", target=f"{__name__}:BrokenFusion")]


def small_run(out: Path, cache: Path, plugins: list[object], **settings: Any) -> RunResult:
    space = open_workspace(cache, plugins=plugins)
    return run(
        "sample",
        out=out,
        space=space,
        modalities=["text"],
        options={"sample": {"clips": 48}},
        trainer_options={"epochs": 5},
        **settings,
    )


@pytest.fixture(scope="module")
def heard(sample_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Listener, Failing, RunResult]:
    """A run with a listener behind one that always raises."""
    failing, listener = Failing(), Listener()
    out = tmp_path_factory.mktemp("heard") / "run"
    return listener, failing, small_run(out, sample_cache, [failing, listener])


def test_every_event_is_heard_in_order(heard: tuple[Listener, Failing, RunResult]) -> None:
    events = heard[0].heard
    folds = len(heard[2].training.plan.folds)
    assert [type(e) for e in events] == [RunStarted, FeaturesReady, *[FoldFinished] * folds, RunFinished]
    assert folds == 5
    assert {event.folder for event in events} == {heard[2].folder}


def test_events_say_what_the_run_did(heard: tuple[Listener, Failing, RunResult]) -> None:
    started, ready, *folds, finished = heard[0].heard
    result = heard[2]
    assert isinstance(started, RunStarted)
    assert started.config == result.config.model_dump(mode="json")
    assert started.clips == 48
    assert isinstance(ready, FeaturesReady)
    stream = result.extraction.features.table["text:ngram"]
    assert ready.dims == {"text:ngram": stream.info.dim}
    assert ready.present == {"text:ngram": int(stream.present.sum())}
    assert ready.extracted["text:ngram"] + ready.reused["text:ngram"] == 48
    assert ready.failures == len({failure.id for failure in result.report.failures})
    assert isinstance(finished, RunFinished)
    assert (finished.status, finished.error) == ("finished", "")
    scored = finished.report["metrics"]["cv"]
    assert [(f.fold, f.clips, round(f.scores["waf"], 9)) for f in folds if isinstance(f, FoldFinished)] == [
        (int(line["name"]), line["n"], round(line["waf"], 9)) for line in scored["folds"]
    ]


def test_fold_scores_are_those_of_the_clips_that_the_fold_held_out(heard: tuple[Listener, Failing, RunResult]) -> None:
    fold = next(event for event in heard[0].heard if isinstance(event, FoldFinished))
    with (heard[2].folder / "predictions.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["fold"] == "1"]
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert (fold.clips, fold.folds) == (len(rows), 5)
    assert fold.scores["accuracy"] == pytest.approx(right / len(rows))
    assert set(fold.scores) == {"waf", "uar", "accuracy", "macro_f1"}


def test_events_are_plain_data(heard: tuple[Listener, Failing, RunResult]) -> None:
    for event in heard[0].heard:
        facts = {name: getattr(event, name) for name in type(event).__dataclass_fields__ if name != "folder"}
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_a_listener_that_raises_is_reported_once_and_harms_nothing(
    heard: tuple[Listener, Failing, RunResult],
) -> None:
    _, failing, result = heard
    assert failing.calls == 5
    lines = [json.loads(line) for line in (result.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [(line["hook"], line["error"]) for line in lines if line["event"] == "listener failed"]
    assert told == [
        ("mer_run_started", "SystemExit: 1"),
        ("mer_fold_finished", "ValueError: no connection"),
        ("mer_run_finished", "OSError: disk full"),
    ]
    saved = json.loads((result.folder / "report.json").read_text(encoding="utf-8"))
    assert saved["warnings"] == list(result.report.warnings)
    for (hook, error), warning in zip(told, saved["warnings"][-3:], strict=True):
        assert f"Failing@extra: {hook} raised {error} (test_events.py, line " in warning
    assert any("no connection" in finding for finding in saved["findings"])
    assert any(line["event"] == "finished" for line in lines)


def test_a_run_that_fails_is_announced_as_failed(sample_cache: Path, tmp_path: Path) -> None:
    listener = Listener()
    with pytest.raises(PluginError, match="raised RuntimeError in build: no such layer"):
        small_run(tmp_path / "run", sample_cache, [Broken(), listener], fusion="broken")
    assert [type(event) for event in listener.heard] == [RunStarted, RunFinished]
    last = listener.heard[-1]
    assert isinstance(last, RunFinished)
    assert (last.status, last.report) == ("failed", {})
    assert "fusion broken@extra raised RuntimeError in build: no such layer" in last.error


def test_an_interrupted_run_is_announced_as_interrupted(sample_cache: Path, tmp_path: Path) -> None:
    listener = Listener()
    with pytest.raises(KeyboardInterrupt):
        small_run(tmp_path / "run", sample_cache, [Impatient(), listener])
    last = listener.heard[-1]
    assert isinstance(last, RunFinished)
    assert [type(event) for event in listener.heard] == [RunStarted, RunFinished]
    assert last.status == "interrupted"


def test_announcing_needs_no_run() -> None:
    listener, problems = Listener(), list[ListenerProblem]()
    announcer = Announcer(discover([Failing(), listener]), problems.append)
    event = FoldFinished(folder=Path("x"), fold=1, folds=2, clips=3, scores={})
    for _ in range(2):
        announcer.announce(event)
    assert listener.heard == [event, event]
    (problem,) = problems
    assert (problem.plugin, problem.hook, problem.error) == (
        "Failing@extra",
        "mer_fold_finished",
        "ValueError: no connection",
    )
    assert problem.where.startswith("test_events.py, line ")


def test_what_listeners_print_spoils_no_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(quiet=True):
        print("logged in")
    assert capsys.readouterr() == ("", "logged in\n")


def test_the_files_of_the_page_are_those_that_the_scaffold_writes() -> None:
    shown, written = files(PAGE), render_package("fold-csv", "listener")
    assert set(shown) == {"pyproject.toml", "fold_csv/listener.py", "tests/test_fold_csv.py"}
    version = re.compile(r"mer-toolkit>=[\d.]+")
    for path, text in shown.items():
        assert version.sub("mer", text) == version.sub("mer", written[path]), path


def test_the_page_names_every_hook_and_what_its_event_has() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `mer_")]
    for event, hook in HOOKS.items():
        row = next(line for line in rows if line.startswith(f"| `{hook}`"))
        assert [name for name in event.__dataclass_fields__ if f"`{name}`" not in row] == []
