"""The plugin reference has every part of the contract, with its default, and nothing that is not in it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from write_surface import PARTS, WHOLE, own_names

from mer_core import hookspecs, plugin, testing
from mer_core.errors import MerError
from mer_core.spec import KINDS

PAGE = Path(__file__).parent.parent / "docs" / "plugins" / "reference.md"
SPECS = [value for name, value in vars(plugin).items() if name.endswith("Spec") and name != "TargetSpec"]
INPUTS = [plugin.AudioInput, plugin.FramesInput, plugin.TextInput, plugin.DerivedInput, plugin.Outlook]
PROTOCOLS = [
    plugin.Extractor, plugin.StreamExtractor, plugin.SupervisedExtractor, plugin.Deriver, plugin.Fusion,
    plugin.Trainer, plugin.TrainingData, plugin.Model, plugin.Dataset,
]  # fmt: skip
TYPES = [
    plugin.Sample, plugin.Audio, plugin.Frames, plugin.Text, plugin.Features, plugin.Missing, plugin.Failure,
    plugin.Derived, plugin.TargetSpec, plugin.StreamInfo, plugin.StreamData, plugin.Fold, plugin.FeatureSet,
    plugin.FusionOutput, plugin.Clip,
]  # fmt: skip
CHECKED = ("extractor", "deriver", "fusion", "trainer", "dataset", "listener")


@cache
def sections() -> dict[str, str]:
    """The text below each heading, up to the next one."""
    parts = re.split(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> dict[str, list[str]]:
    """First cell without backticks and arguments -> the other cells, of the section's tables."""
    found = {}
    for line in sections()[section].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| `") else []
        if cells:
            found[cells[0].strip("`| ").split("(")[0]] = [cell.strip("| ") for cell in cells[1:]]
    return found


def own_fields(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """Fields that ``cls`` has, or has with another default, than the class it derives from."""
    derived = issubclass(cls, plugin.PluginSpec) and cls is not plugin.PluginSpec
    base = {item.name: item for item in dataclasses.fields(plugin.PluginSpec)} if derived else {}
    found = {item.name: item for item in dataclasses.fields(cls)}
    return {name: item for name, item in found.items() if _differs(item, base.get(name))}


def _differs(item: dataclasses.Field[Any], base: dataclasses.Field[Any] | None) -> bool:
    return base is None or item.default != base.default


def default(item: dataclasses.Field[Any]) -> str:
    if item.default_factory is not dataclasses.MISSING:
        return f"`{item.default_factory()!r}`"
    return "required" if item.default is dataclasses.MISSING else f"`{item.default!r}`".replace("'", '"')


@pytest.mark.parametrize("cls", [*SPECS, *INPUTS], ids=lambda cls: cls.__name__)
def test_specs_and_inputs_have_all_fields_and_their_defaults(cls: type[Any]) -> None:
    written = {name: cells[0] for name, cells in rows(cls.__name__).items()}
    assert written == {name: default(item) for name, item in own_fields(cls).items()}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda cls: cls.__name__)
def test_protocols_have_all_members(protocol: type[Any]) -> None:
    members = {name for name in [*vars(protocol), *inspect.get_annotations(protocol)] if not name.startswith("_")}
    assert set(rows(protocol.__name__)) == members
    for name in members:
        value = getattr(protocol, name, None)
        if inspect.isfunction(value):
            arguments = list(inspect.signature(value).parameters)[1:]
            assert f"`{name}({', '.join(arguments)})`" in sections()[protocol.__name__]


def test_hooks() -> None:
    declared = {name: value for name, value in vars(hookspecs).items() if hasattr(value, "mer_spec")}
    written = rows("Hooks")
    assert list(written) == list(declared)
    for name, value in declared.items():
        events = [str(item.annotation) for item in inspect.signature(value).parameters.values()]
        assert written[name][0].strip("`") == (events[0] if events else "nothing")


@pytest.mark.parametrize("kind", CHECKED)
def test_checks_in_their_order_and_with_a_cure(kind: str) -> None:
    section = f"Checks of {'an' if kind == 'extractor' else 'a'} {kind}"
    assert list(rows(section)) == [check.name for check in testing.checks(kind)]
    assert all(len(cells) == 2 and all(cells) for cells in rows(section).values())
    cures = {name: re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", cells[1]) for name, cells in rows(section).items()}
    assert cures == {check.name: check.cure for check in testing.checks(kind)}


def test_every_exported_name_appears() -> None:
    page = " ".join(re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8")))
    words = set(re.findall(r"\w+", page)) | set(sections())
    missing = [name for name in [*plugin.__all__, *testing.__all__] if name not in words]
    assert missing == []


def fields_by_type() -> dict[str, set[str]]:
    """Of the tables of types: what stands in backticks in the second cell, also of rows without a first one."""
    found: dict[str, set[str]] = {}
    current: list[str] = []
    for section in ("What arrives", "What is returned", "Types of training"):
        for line in sections()[section].splitlines():
            cells = line.split("|")
            if len(cells) > 3:
                current = re.findall(r"`(\w+)`", cells[1]) or current
                for name in current:
                    found.setdefault(name, set()).update(re.findall(r"`(\w+)", cells[2]))
    return found


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
def test_types_have_all_fields_and_members(cls: type[Any]) -> None:
    names = set(getattr(cls, "_fields", ())) or {item.name for item in dataclasses.fields(cls)}
    assert names - fields_by_type()[cls.__name__] == set()


def test_errors_with_their_exit_codes() -> None:
    classes = {n: v for n, v in vars(plugin).items() if inspect.isclass(v) and issubclass(v, MerError)}
    assert {name: int(cells[-1]) for name, cells in rows("Errors").items()} == {
        name: cls.exit_code for name, cls in classes.items()
    }


def test_arguments_of_the_kit_and_its_outcomes() -> None:
    text = sections()["Checks"]
    for function in (testing.check_plugin, testing.conformance):
        arguments = [name for name in inspect.signature(function).parameters if name != "name"]
        assert [name for name in arguments if f"`{name}`" not in text] == []
    outcomes = ("passed", "failed", "skipped", "blocked", "expected", "unexpected")
    for outcome in outcomes:
        assert rows("Checks")[outcome][1] == ("yes" if testing.Result("x", outcome).good else "no")


HELPERS = {
    "mer_core.pooling": "Pooling",
    "mer_core.modality_dropout": "Modality dropout",
    "mer_core.presence": "Presence",
    "mer_core.media.align": "Aligned faces",
    "mer_core.media.faces": "Face tracks",
    "mer_core.media.crops": "Stored faces",
    "mer_core.media.sampling": "Segments",
}


def helpers(module: str) -> dict[str, Any]:
    """What plugins may use of a module beside ``mer_core.plugin``, methods as ``Class.method``."""
    found = {}
    for name in PARTS.get(module) or own_names(module):
        value = getattr(import_module(module), name)
        found[name] = value
        if inspect.isclass(value):
            fields = {item.name for item in dataclasses.fields(value)}
            own = {key: getattr(value, key) for key in vars(value) if not key.startswith("_")}
            found |= {f"{name}.{key}": item for key, item in own.items() if key not in fields}
    return found


def call(name: str, value: Any) -> str:
    """A function or class as the page writes it: arguments with their defaults, without annotations."""
    parameters = [item for item in inspect.signature(value).parameters.values() if item.name != "self"]
    arguments = [item.name if item.default is item.empty else f"{item.name}={item.default!r}" for item in parameters]
    return f"{name}({', '.join(arguments)})".replace("'", '"')


def test_modules_beside_the_facade_are_those_of_the_contract() -> None:
    assert set(HELPERS) == {*WHOLE, *PARTS}
    assert [module for module in HELPERS if f"`{module}`" not in sections()["Beside mer_core.plugin"]] == []


@pytest.mark.parametrize(("module", "section"), HELPERS.items(), ids=HELPERS)
def test_helpers_have_all_names_with_their_arguments(module: str, section: str) -> None:
    written = [cell for line in sections()[section].splitlines() for cell in line.split(" | ")[:1] if line[:3] == "| `"]
    names = {name for cell in written for name in re.findall(r"`([^`]+)`", cell)}
    callables = {
        name: item for name, item in helpers(module).items() if inspect.isroutine(item) or inspect.isclass(item)
    }
    calls = {call(name, item) for name, item in callables.items()}
    assert names == calls | (set(helpers(module)) - set(callables))


def test_kinds() -> None:
    assert [kind for kind in KINDS if f"`{kind}`" not in sections()["PluginSpec"]] == []
