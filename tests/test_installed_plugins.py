"""Plugins really built and installed: whole ones, broken ones, slow ones, all in one environment."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from installed import NOTE_IMPORT, Environment, make_environment, write_package

SLEEP = "0.7"
"""Seconds that the slow plugin takes to import where a test wants it to be slow."""

SPECS = """\
from mer_core.plugin import ExtractorSpec, TextInput, hookimpl

@hookimpl
def mer_specs():
    return [ExtractorSpec(name={name!r}, modality="text", inputs={{"text": TextInput()}}, level="clip",
                          per_thread=True, target="{module}_impl:Count", {fields})]
"""

IMPLEMENTATION = """\
import numpy as np
from mer_core.plugin import Features, Missing, Options

class CountOptions(Options):
    letters: str = "aeiou"
    "Letters to count."

class Count:
    def __init__(self, options, device):
        self.letters = getattr(options, "letters", "aeiou")
        self.dim = len(self.letters)

    def extract(self, batch):
        return [self.count(sample.inputs["text"]) for sample in batch]

    def count(self, text):
        if isinstance(text, Missing):
            return text
        return Features(np.array([text.content.count(letter) for letter in self.letters], np.float32))
"""

TAKEN = """\
from mer_core.plugin import FusionSpec, hookimpl

@hookimpl
def mer_specs():
    return [FusionSpec(name="attention", target="taker_impl:Attention")]
"""
"""A fusion under a name that mer's own has."""

HOOK = "from mer_core.plugin import ExtractorSpec, hookimpl\n@hookimpl\ndef {hook}():\n    return {value}\n"


class Case(NamedTuple):
    """A plugin that cannot be used as it is: what is said of it."""

    name: str
    status: str
    reason: str
    remedy: str


CASES = [
    Case("needy", "missing", "needs absent_thing, not installed", "Run: pip install 'absent-thing[all]'"),
    Case("twin@twin-a", "ambiguous", "also taken by twin-b", "Write twin@twin-a."),
    Case("twin@twin-b", "ambiguous", "also taken by twin-a", "Write twin@twin-b."),
    Case("future-api", "broken", "written for plugin API 99; this mer has API 1", "update mer-toolkit, or install"),
    Case("raises", "broken", "importing raises_specs raised RuntimeError: boom", "pip uninstall raises"),
    Case("importer", "broken", "ModuleNotFoundError: No module named 'absent_thing'", "Run: pip install absent_thing"),
    Case("nowhere", "broken", "No module named 'nowhere_specs'", "correct the name in its pyproject.toml"),
    Case("future-field", "broken", "unexpected keyword argument 'colour_space'", "may be written for a newer mer"),
    Case("future-name", "broken", "cannot import name 'HologramInput'", "may be written for a newer mer"),
    Case("typo-field", "broken", "unexpected keyword argument 'modalty'", "Did you mean the field 'modality'?"),
    Case("misspelt", "broken", "there is no hook called 'mer_spec'", "Did you mean 'mer_specs'?"),
    Case("unmarked", "broken", "mer_specs is not marked as a hook", "Write @hookimpl"),
    Case("exits", "broken", "importing exits_specs raised SystemExit: 3", "pip uninstall exits"),
    Case("no-list", "broken", "mer_specs returned None, not a list", "Return a list of specs."),
    Case("bare-spec", "broken", "mer_specs returned one ExtractorSpec, not a list", "Return a list of specs."),
    Case("spec-class", "broken", "returned the class ExtractorSpec in its list", "Return specs"),
    Case("no-spec", "broken", "mer_specs returned one dict in its list", "Return specs"),
    Case("hook-raises", "broken", "its hook mer_specs raised ZeroDivisionError", "Repair or update it"),
]
USABLE = ("good", "slow", "noisy", "twin@twin-a", "twin@twin-b")


def whole(folder: Path, name: str, plugin: str = "", fields: str = "", before: str = "") -> Path:
    """A package whose extractor counts vowels; ``before`` runs when its specs are imported."""
    module = name.replace("-", "_")
    specs = SPECS.format(name=plugin or name, module=module, fields=fields)
    files = {f"{module}_specs.py": NOTE_IMPORT + before + specs, f"{module}_impl.py": NOTE_IMPORT + IMPLEMENTATION}
    return write_package(folder, name, files, {plugin or name: f"{module}_specs"})


def broken(folder: Path, name: str, text: str) -> Path:
    """A package with nothing but a module of specs, with ``text``."""
    module = f"{name.replace('-', '_')}_specs"
    return write_package(folder, name, {f"{module}.py": NOTE_IMPORT + text}, {name: module})


def packages(folder: Path) -> list[Path]:
    sleep = "import os, time\ntime.sleep(float(os.environ.get('MER_TEST_SLEEP', 0)))\n"
    odd = {"no-list": "None", "bare-spec": "ExtractorSpec(name='a', target='b:C', modality='text')"}
    odd |= {"spec-class": "[ExtractorSpec]", "no-spec": "[{'name': 'x'}]", "hook-raises": "1 / 0"}
    return [
        whole(folder, "good", fields="options='good_impl:CountOptions'"),
        whole(folder, "slow", before=sleep),
        whole(folder, "noisy", before="print('hello from a plugin')\n"),
        whole(folder, "twin-a", "twin"),
        whole(folder, "twin-b", "twin"),
        whole(folder, "early"),
        broken(folder, "taker", TAKEN),
        whole(folder, "needy", fields="requires=('absent_thing',), install=\"pip install 'absent-thing[all]'\""),
        whole(folder, "future-api", fields="api=99"),
        whole(folder, "future-field", fields="colour_space='lab'"),
        whole(folder, "typo-field", fields="modalty='text'"),
        broken(folder, "future-name", "from mer_core.plugin import HologramInput\n"),
        broken(folder, "raises", "raise RuntimeError('boom')\n"),
        broken(folder, "importer", "import absent_thing\n"),
        broken(folder, "exits", "raise SystemExit(3)\n"),
        broken(folder, "misspelt", HOOK.format(hook="mer_spec", value="[]")),
        broken(folder, "unmarked", "def mer_specs():\n    return []\n"),
        write_package(folder, "nowhere", {"elsewhere.py": ""}, {"nowhere": "nowhere_specs"}),
        write_package(
            folder,
            "odd",
            {f"{name.replace('-', '_')}.py": HOOK.format(hook="mer_specs", value=value) for name, value in odd.items()},
            {name: name.replace("-", "_") for name in odd},
        ),
    ]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """All packages, installed with one call of pip."""
    folder = tmp_path_factory.mktemp("installed")
    made = make_environment(folder / "env", MER_CACHE=str(folder / "cache"))
    made.install(*packages(folder / "source"))
    return made


@pytest.fixture(scope="session")
def listed(environment: Environment) -> dict[str, Any]:
    """The document of ``mer plugins list --json``, which what a plugin prints does not spoil."""
    done = environment.mer("plugins", "list", "--json", MER_TEST_SLEEP=SLEEP)
    assert "hello from a plugin" in done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="session")
def listed_as_text(environment: Environment) -> str:
    return environment.mer("plugins", "list", MER_TEST_SLEEP=SLEEP).stdout


@pytest.fixture(scope="session")
def shown(environment: Environment) -> dict[str, tuple[int, Any]]:
    """Exit code and document of ``mer plugins show --json`` by name."""
    names = [*(case.name for case in CASES), *USABLE, "twin"]
    done = environment.several(*(["plugins", "show", name, "--json"] for name in names))
    return {name: (code, json.loads(out)) for name, (code, out, _) in zip(names, done, strict=True)}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["plugins", "--help"]])
def test_help_imports_no_plugin(environment: Environment, arguments: list[str]) -> None:
    assert environment.imported(*arguments) == []


def test_listing_and_showing_import_specs_but_no_implementation(environment: Environment) -> None:
    found = environment.imported("plugins", "list")
    assert {"good_specs", "raises_specs", "importer_specs", "slow_specs", "future_api_specs"} <= set(found)
    assert [name for name in found if name.endswith("_impl")] == []
    assert "twin_a_impl" not in environment.imported("plugins", "show", "twin")


@pytest.mark.parametrize("name", USABLE)
def test_none_breaks_another(listed: dict[str, Any], name: str) -> None:
    row = next(row for row in listed["plugins"] if name in (row["name"], row["full_name"]))
    assert row["status"] == ("ambiguous" if "@" in name else "ready")
    assert sum(row["distribution"] == "mer-toolkit" and row["status"] == "ready" for row in listed["plugins"]) > 9


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_is_explained_by_list(listed: dict[str, Any], listed_as_text: str, case: Case) -> None:
    rows = [*listed["plugins"], *listed["problems"]]
    row = next(row for row in rows if case.name in (row["name"], row["full_name"]))
    assert row["status"] == case.status
    assert case.reason in row["reason"]
    assert case.remedy in row["remedy"]
    text = " ".join(listed_as_text.split())
    assert f"{row['full_name']}: {row['reason']}" in text
    assert row["remedy"] in text


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_is_explained_by_show(shown: dict[str, tuple[int, Any]], case: Case) -> None:
    code, document = shown[case.name]
    assert code == (1 if case.status == "broken" else 0)
    assert document["status"] == case.status
    assert case.reason in document["reason"]
    assert case.remedy in document["remedy"]


def test_show_tells_where_a_module_raised(shown: dict[str, tuple[int, Any]]) -> None:
    line = NOTE_IMPORT.count("\n") + 1
    assert shown["raises"][1]["where"].endswith(f"raises_specs.py:{line}")
    assert shown["nowhere"][1]["where"] is None


def test_show_of_an_ambiguous_name_has_both(shown: dict[str, tuple[int, Any]]) -> None:
    code, documents = shown["twin"]
    assert code == 0
    assert [document["full_name"] for document in documents] == ["twin@twin-a", "twin@twin-b"]


def test_a_name_of_mers_own_is_taken_by_nobody(listed: dict[str, Any], listed_as_text: str) -> None:
    rows = {row["full_name"]: row for row in listed["plugins"] if row["name"] == "attention"}
    calls = {name: (row["status"], row["call"]) for name, row in rows.items()}
    assert calls == {
        "attention@mer-toolkit": ("ready", "attention"),
        "attention@taker": ("ready", "attention@taker"),
    }
    assert re.search(r"attention\s+taker\s+ready as attention@taker", listed_as_text)
    assert "ready attention@taker: its name alone means mer's own plugin" in listed_as_text


def test_show_as_text(environment: Environment) -> None:
    [good, broken_one] = environment.several(["plugins", "show", "good"], ["plugins", "show", "raises"])
    assert good[0] == 0
    assert re.search(r"good\.letters\s+str\s+\"aeiou\"\s+Letters to count\.", good[1])
    assert broken_one[0] == 1
    assert "broken: importing raises_specs raised RuntimeError: boom" in broken_one[1]
    assert "pip uninstall raises" in broken_one[1]


def test_the_slow_one_is_told_to_import_later(listed: dict[str, Any], listed_as_text: str) -> None:
    row = next(row for row in listed["slow"] if row["target"] == "slow_specs")
    assert row["seconds"] >= float(SLEEP)
    said = r"importing slow_specs took \d+\.\d s; import heavy packages inside the class"
    assert re.search(rf"^slow: {said}$", row["note"])
    assert re.search(rf"slow slow@slow: {said}", listed_as_text)


def test_asking_for_one_that_cannot_be_used(environment: Environment) -> None:
    """The exit code, and the same reason and remedy as in the list."""
    asked = {
        "raises": (2, "boom", "pip uninstall raises"),
        "needy": (3, "needs absent_thing", "Run: pip install 'absent-thing[all]'"),
        "future-api": (2, "plugin API 99", "update mer-toolkit"),
        "twin": (2, "2 extractors are called 'twin'", "twin@twin-a or twin@twin-b"),
        "godo": (2, "no extractor called 'godo'", "Did you mean 'good'?"),
        "attention": (2, "'attention' is a plugin of kind fusion, not extractor", "There are: acoustic, "),
    }
    write_clips(environment.work / "asked.csv")
    run = ["extract", "--data", "asked.csv", "--modalities", "text", "--json"]
    done = environment.several(*([*run, "--extractor", f"text={name}"] for name in asked))
    for (name, (code, message, hint)), (found, out, _) in zip(asked.items(), done, strict=True):
        error = json.loads(out)["error"]
        assert (found, error["exit_code"]) == (code, code), name
        assert message in error["message"]
        assert hint in error["hint"]


CHOICE = ("--data", "clips.csv", "--modalities", "text", "--extractor", "text=good,twin@twin-a,early")
"""Third parties' extractors, one by its full name."""


@pytest.fixture(scope="session")
def imported_by_run(environment: Environment) -> list[str]:
    """What a whole run imported. It is in the folder ``o``."""
    write_clips(environment.work / "clips.csv")
    small = ("-o", "good.letters=ae", "--folds", "2", "--epochs", "1", "--out", "o")
    return environment.imported("run", *CHOICE, *small)


def test_the_good_ones_run_beside_all_the_others(environment: Environment, imported_by_run: list[str]) -> None:
    """Nothing else is imported. The fusion is ``attention``, a name that one of the others has, too."""
    implementations = [name for name in imported_by_run if name.endswith("_impl")]
    assert implementations == ["early_impl", "good_impl", "twin_a_impl"]
    report = json.loads((environment.work / "o" / "report.json").read_text(encoding="utf-8"))
    assert report["model"]["fusion"] == "attention"
    assert {"good@good", "twin@twin-a"} <= set(re.findall(r"\w+@[\w-]+", json.dumps(report)))
    config = (environment.work / "o" / "config.toml").read_text(encoding="utf-8")
    assert {'extractor = "twin@twin-a"', 'extractor = "good@good"', 'letters = "ae"'} <= set(config.splitlines())
    assert 'name = "attention"' in config


@pytest.mark.usefixtures("imported_by_run")
def test_a_saved_run_and_model_outlive_a_later_twin(environment: Environment, tmp_path: Path) -> None:
    """They were made with ``early``, before another package of that name was installed."""
    environment.install(whole(tmp_path, "early-twin", "early"))
    bare, again, predicted = environment.several(
        ["extract", *CHOICE, "--json"],
        ["run", "--config", "o/config.toml", "--plan", "--json"],
        ["predict", "clips.csv", "--model", "o/model", "--json"],
    )
    assert bare[0] == 2
    assert "early@early or early@early-twin" in bare[1]
    planned = json.loads(again[1])["streams"]["text:early"]
    assert (planned["extractor"], planned["extract"], planned["reuse"]) == ("early@early", 0, 16)
    assert predicted[0] == 0, predicted
    assert len(json.loads(predicted[1])["predictions"]) == 16


def test_an_installed_plugin_is_checked(environment: Environment) -> None:
    """The checks that start processes of their own find it there, too."""
    only = [part for name in ("light-import", "options", "spawned") for part in ("--only", name)]
    done = environment.mer("plugins", "check", "good", *only)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "3 passed"


def write_clips(file: Path) -> None:
    rows = [f"c{number},{'happy' if number % 2 else 'sad'},{'la ' * (number + 1)}" for number in range(16)]
    file.write_text("\n".join(["id,label,text", *rows]) + "\n", encoding="utf-8")
