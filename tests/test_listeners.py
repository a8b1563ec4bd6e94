"""Listeners in the catalogue and on the command line: what they hear, what is wrong with them, how to silence them."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mer_core import open_workspace, registry, run
from mer_core.announce import deaf_plugins
from mer_core.cli.app import run_app
from mer_core.configure import make_config
from mer_core.errors import PluginError
from mer_core.events import FoldFinished, RunFinished
from mer_core.hookspecs import hookimpl
from mer_core.registry import discover
from mer_core.spec import FusionSpec, ListenerSpec, PluginSpec
from mer_core.testing import check_plugin
from mer_core.workflows import doctor
from mer_core.workflows.log import RunLog
from mer_core.workflows.telling import Teller

QUIET = """
from mer_core.plugin import hookimpl

@hookimpl
def mer_run_finished(event): ...

@hookimpl
def mer_fold_finished(): ...
"""
WRONG = """
from mer_core.plugin import hookimpl

def mer_run_finished(event): ...

@hookimpl
def mer_fold_finished(fold, score): ...
"""


def spec_of(plugin: object) -> ListenerSpec:
    (entry,) = discover([plugin]).of_kind(ListenerSpec)
    assert isinstance(entry.spec, ListenerSpec)
    return entry.spec


def listener(hook: str, function: Any) -> object:
    """An object with one hook."""
    return type("Thing", (), {hook: hookimpl(function)})()


def test_a_module_with_event_hooks_is_a_listener() -> None:
    class Both:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return [FusionSpec(name="mix", target="collections:Counter")]

        @hookimpl
        def mer_run_finished(self, event: RunFinished) -> None: ...

        @hookimpl
        def mer_run_started(self) -> None: ...

    catalogue = discover([Both()])
    (entry,) = catalogue.of_kind(ListenerSpec)
    assert (entry.full_name, entry.spec.summary) == ("Both@extra", "hears mer_run_started, mer_run_finished")
    assert catalogue.find(FusionSpec, "mix")
    assert discover().of_kind(ListenerSpec) == []


class Tracker:
    """A class, where an object is wanted."""

    @hookimpl
    def mer_run_finished(self, event: RunFinished) -> None: ...

    @staticmethod
    @hookimpl
    def mer_fold_finished(event: FoldFinished) -> None: ...


async def waiting(self: object, event: object) -> None: ...


def yielding(self: object, event: object) -> Any:
    yield event


@pytest.mark.parametrize(
    ("plugin", "reason", "remedy"),
    [
        (
            listener("mer_fold_finished", lambda self, fold, score: None),
            "mer_fold_finished(fold, score): this hook has one argument, 'event', which may be left out.",
            "Write 'def mer_fold_finished(event)'.",
        ),
        (
            listener("mer_run_started", lambda self, *, event: None),
            "mer_run_started(*, event): this hook has one argument, 'event', which may be left out.",
            "Write 'def mer_run_started(event)'.",
        ),
        (
            listener("mer_run_started", lambda self, event=None: None),
            "mer_run_started(event=None): an argument with a default is never given.",
            "Write 'def mer_run_started(event)'.",
        ),
        (listener("mer_run_started", waiting), "mer_run_started does nothing when it is called", "Write a plain def"),
        (listener("mer_run_started", yielding), "mer_run_started does nothing when it is called", "Write a plain def"),
        (
            SimpleNamespace(mer_run_started=lambda event: None),
            "mer_run_started is not marked as a hook.",
            "Write @hookimpl (from mer_core.plugin) above 'def mer_run_started(event)'.",
        ),
        (
            Tracker,
            "mer_run_finished: Tracker is a class, and its hooks need an object of it.",
            "Write 'listener = Tracker()' in the module, and name that in pyproject.toml.",
        ),
    ],
)
def test_a_hook_that_cannot_be_called_is_explained(plugin: object, reason: str, remedy: str) -> None:
    (fault,) = spec_of(plugin).faults
    assert fault[0].startswith(reason)
    assert fault[1].startswith(remedy)


def test_other_hooks_of_a_faulty_listener_are_called() -> None:
    assert spec_of(Tracker).hooks == ("mer_fold_finished",)


def test_further_arguments_with_defaults_harm_nothing() -> None:
    assert spec_of(listener("mer_run_started", lambda self, event, tries=3: None)).faults == ()


def test_mer_specs_with_an_argument_is_no_listener_and_explained() -> None:
    catalogue = discover([listener("mer_specs", lambda self, config: [])])
    assert [(p.reason, p.remedy) for p in catalogue.problems] == [
        ("mer_specs(config): this hook has no argument.", "Write 'def mer_specs()'.")
    ]
    assert catalogue.of_kind(ListenerSpec) == []


def test_check_prefers_the_plugin_over_the_listener_of_its_name() -> None:
    class Mix:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return [FusionSpec(name="Mix", target="collections:Counter")]

        @hookimpl
        def mer_run_started(self) -> None: ...

    both = discover([Mix()])
    named = [entry.spec.kind for entry in both.entries if entry.spec.name == "Mix"]
    assert sorted(named) == ["fusion", "listener"]
    report = check_plugin("Mix", kind="listener", plugins=[Mix()], only=("hooks",))
    assert (report.kind, report.ok) == ("listener", True)
    with pytest.raises(PluginError, match="fusion 'Mix' cannot be used"):
        check_plugin("Mix", plugins=[Mix()])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two listeners beside what is installed, as if packages had brought them."""
    for name, text in {"quiet_one": QUIET, "wrong_one": WRONG}.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    real = registry.entry_points
    group = "mer.plugins"
    more = [EntryPoint(name.replace("_", "-"), name, group) for name in ("quiet_one", "wrong_one")]
    monkeypatch.setattr(registry, "entry_points", lambda group: [*real(group=group), *more])


@pytest.mark.usefixtures("installed")
def test_list_has_a_section_for_listeners(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["plugins", "list", "--kind", "listener", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["plugins"]
    assert [(row["name"], row["distribution"], row["status"]) for row in rows] == [
        ("quiet-one", "unknown", "ready"),
        ("wrong-one", "unknown", "broken"),
    ]
    assert rows[0]["summary"] == "hears mer_fold_finished, mer_run_finished"
    assert "mer_fold_finished(fold, score): this hook has one argument" in rows[1]["reason"]
    assert "mer_run_finished is not marked as a hook." in rows[1]["reason"]
    assert "Write 'def mer_fold_finished(event)'." in rows[1]["remedy"]
    assert run_app(["plugins", "list"]) == 0
    shown = capsys.readouterr().out
    assert "\nlistener" in shown
    assert "broken wrong-one@unknown: mer_fold_finished(fold, score)" in shown


@pytest.mark.usefixtures("installed")
def test_show_and_check_know_listeners(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["plugins", "show", "quiet-one", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["hooks"]) == ("listener", ["mer_fold_finished", "mer_run_finished"])
    assert document["target"] == "quiet_one"
    assert run_app(["plugins", "show", "wrong-one"]) == 1
    assert "is not marked as a hook" in capsys.readouterr().out
    assert run_app(["plugins", "check", "quiet-one", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"passed": 6}
    assert run_app(["plugins", "check", "wrong-one", "--json", "--only", "hooks"]) == 1
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert "this hook has one argument" in result["reason"]


@pytest.mark.usefixtures("installed")
def test_the_doctor_names_listeners_and_counts_them_apart() -> None:
    found = {check.name: check for check in doctor._plugins()}
    assert found["listener quiet-one@unknown"].found == "hears mer_fold_finished, mer_run_finished"
    wrong = found["listener wrong-one@unknown"]
    assert (wrong.state, wrong.remedy) == ("note", "Write 'def mer_fold_finished(event)'.")
    own = [entry for entry in discover().entries if entry.spec.kind != "listener"]
    assert found["plugins"].found.endswith(f"of {len(own)}")


class Heard:
    """Remembers that it was told anything."""

    def __init__(self) -> None:
        self.folders: list[Path] = []

    @hookimpl
    def mer_run_started(self, event: Any) -> None:
        self.folders.append(event.folder)


def test_a_workspace_without_listeners_tells_nobody(sample_cache: Path, tmp_path: Path) -> None:
    heard = Heard()
    for number, listeners in enumerate((True, False)):
        run(
            "sample",
            out=tmp_path / str(number),
            space=open_workspace(sample_cache, plugins=[heard], listeners=listeners),
            modalities=["text"],
            options={"sample": {"clips": 48}},
            trainer_options={"epochs": 2},
        )
    assert heard.folders == [tmp_path / "0"]


@pytest.mark.parametrize("command", ["run", "train"])
def test_the_flag_makes_such_a_workspace(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def opened(*args: Any, listeners: bool, **more: Any) -> None:
        asked.append(listeners)
        raise PluginError("enough.", "Stop here.")

    monkeypatch.setattr("mer_core.workflows.workspace.open_workspace", opened)
    for words in ([command], [command, "--no-listeners"]):
        run_app(words)
    assert asked == [True, False]


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """What a run with the plugins that are there tells at its beginning: on screen, in the log, in the report."""

    def tell(**more: Any) -> tuple[list[str], list[tuple[str, str]], list[str]]:
        shown: list[str] = []
        log = RunLog(tmp_path / "log.jsonl")
        teller = Teller(discover([Heard(), Tracker()]), tmp_path, log, notice=shown.append, **more)
        with teller.run(make_config(discover()), 3):
            pass
        lines = [json.loads(line) for line in log.file.read_text(encoding="utf-8").splitlines()]
        logged = [(line["plugin"], line["error"]) for line in lines if line["event"] == "listener unusable"]
        return shown, logged, teller.warnings

    return tell


@pytest.mark.usefixtures("installed")
def test_a_run_says_once_which_plugins_it_cannot_tell(told: Any, tmp_path: Path) -> None:
    (tmp_path / "quiet_one.py").write_text("import no_such_tracker\n")
    sys.modules.pop("quiet_one", None)
    shown, logged, warnings = told()
    assert [name for name, _ in logged] == ["quiet-one@unknown", "wrong-one@unknown"]
    assert "no_such_tracker" in logged[0][1]
    assert logged[1][1].startswith("mer_fold_finished(fold, score): this hook has one argument")
    assert shown == warnings
    assert len(shown) == 1
    assert all(
        part in shown[0] for part in ("quiet-one@unknown (", "no_such_tracker", "wrong-one@unknown (", "mer doctor")
    )


@pytest.mark.usefixtures("installed")
def test_a_run_that_tells_nobody_says_nothing_of_them(told: Any) -> None:
    assert told(listeners=False) == ([], [], [])


def test_a_run_whose_listeners_hear_says_nothing(told: Any) -> None:
    assert told() == ([], [], [])


def test_a_misspelt_hook_is_named_and_a_bad_spec_is_not() -> None:
    class Late:
        @hookimpl
        def mer_run_finish(self, event: RunFinished) -> None: ...

    class NoSpec:
        @hookimpl
        def mer_specs(self) -> list[Any]:
            return ["mix"]

    catalogue = discover([Late(), NoSpec()])
    assert len(catalogue.problems) == 2
    assert [(one.plugin, one.reason) for one in deaf_plugins(catalogue)] == [
        ("0@extra", "there is no hook called 'mer_run_finish'.")
    ]
