"""Derived inputs in the checks: which deriver makes them, with which options, and what is said where none can."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from shelf import Shelf

from mer_core.cli.app import run_app
from mer_core.errors import OptionError, UsageError
from mer_core.plugin import (
    Derived,
    DerivedInput,
    DeriverSpec,
    ExtractorSpec,
    Features,
    FusionSpec,
    Missing,
    NoOptions,
    Options,
    Sample,
    TextInput,
)
from mer_core.registry import discover
from mer_core.testing import Report, check_plugin, checks

BUILDING_ON_STARTS = len(checks("extractor")) - 3
"""All but light-import, options and starts."""


class PunctOptions(Options):
    """Options of the deriver."""

    marks: str
    """Characters that end a sentence; there is no default."""


class Punct:
    """Derives lengths where its mark is found: '*' is in every text, '+' in all but empty ones; '#' it cannot bear."""

    def __init__(self, options: PunctOptions, device: str) -> None:
        self.marks = options.marks

    def derive(self, batch: Sequence[Sample]) -> list[Derived | Missing]:
        return [self.split(sample.text().content) for sample in batch]

    def split(self, text: str) -> Derived | Missing:
        if self.marks == "#":
            raise ValueError("no hashes, please.")
        if not {"*": True, "+": bool(text)}.get(self.marks, self.marks in text):
            return Missing("no mark found.")
        return Derived({"lengths": np.array([len(text), text.count(" ")], np.int64)})


class Lengths:
    """Clip-level: what the deriver of sentences counted."""

    dim = 2

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(sample.derived("parts").arrays["lengths"].astype(np.float32)) for sample in batch]


def reader(artefact: str, name: str = "lengths", optional: bool = False) -> ExtractorSpec:
    parts = DerivedInput(artefact, optional=optional)
    return ExtractorSpec(
        name=name, target=f"{__name__}:Lengths", modality="text", inputs={"parts": parts}, level="clip"
    )


def punct(name: str = "punct", produces: str = "sentences", **more: Any) -> DeriverSpec:
    fields = {"inputs": {"text": TextInput()}, "options": f"{__name__}:PunctOptions", **more}
    return DeriverSpec(name=name, target=f"{__name__}:Punct", produces=produces, **fields)


SHELF = Shelf(reader("sentences"), punct())
VOWELS = {"punct": {"marks": "*"}}


def examine(*specs: Any, **more: Any) -> Report:
    """All checks that need no process, of the first spec."""
    names = [check.name for check in checks("extractor") if check.name not in ("light-import", "spawned", "offline")]
    return check_plugin(specs[0].name, plugins=[Shelf(*specs)], only=names, **more)


def why(report: Report) -> str:
    """What ``starts`` says, which is all that failed."""
    assert report.failed == ("starts",), str(report)
    assert {r.outcome for r in report.results if r.check not in ("options", "starts")} == {"blocked"}
    return next(r.reason for r in report.results if r.check == "starts")


def test_a_plugin_whose_inputs_nobody_makes_fails_once() -> None:
    report = check_plugin("lengths", plugins=[Shelf(reader("posture"))])
    assert why_of(report) == (
        "the plugin cannot be tried: nothing installed makes 'posture'. Install the deriver that makes it. In pytest "
        "a stand-in will do: check(derived={'posture': Derived(...)})."
    )
    assert not report.ok
    assert str(report).splitlines()[-1] == f"blocked    {BUILDING_ON_STARTS} checks not run: starts did not pass"


def why_of(report: Report) -> str:
    return next(r.reason for r in report.results if r.check == "starts")


def test_a_misspelt_artefact_is_guessed() -> None:
    said = why(examine(reader("sentence"), punct()))
    assert "makes 'sentence'. Did you mean 'sentences' (punct@extra)? Else install the deriver" in said


def test_a_deriver_gets_its_options() -> None:
    said = why(examine(reader("sentences"), punct()))
    assert "punct@extra, which makes 'sentences', cannot start: " in said
    assert "marks" in said
    assert "Give -o punct.KEY=VALUE, in Python deriver_options. In pytest" in said
    for owner in ("punct", "punct@extra"):
        report = examine(reader("sentences"), punct(), deriver_options={owner: VOWELS["punct"]})
        assert report.ok, str(report)
        assert {r.check: r.outcome for r in report.results}["order"] == "passed"


def test_what_a_deriver_raises_or_refuses_is_not_blamed_on_its_reader() -> None:
    said = why(examine(reader("sentences"), punct(), deriver_options={"punct": {"marks": "#"}}))
    assert "punct@extra, which makes 'sentences', raised ValueError: no hashes, please (" in said
    assert ", in split). Run 'mer plugins check punct@extra'. In pytest" in said
    said = why(examine(reader("sentences"), punct(), deriver_options={"punct": {"marks": "~"}}))
    assert "which makes 'sentences', answered Missing('no mark found.') to a clip of 3 s" in said
    assert ".." not in said.replace("(...)", "")


def test_what_a_deriver_has_nothing_for_is_skipped_and_the_rest_is_checked() -> None:
    report = examine(reader("sentences"), punct(), deriver_options={"punct": {"marks": "+"}})
    assert report.ok, str(report)
    outcomes = {r.check: (r.outcome, r.reason) for r in report.results}
    assert outcomes["finite"] == ("passed", "")
    what = "punct@extra, which makes 'sentences', answered Missing('no mark found.') to a silent clip with the text ''."
    assert outcomes["silence"] == ("skipped", what)


def test_what_a_deriver_lacks_is_said_for_what_it_makes() -> None:
    deep = punct(inputs={"text": TextInput(), "words": DerivedInput("words")})
    said = why(examine(reader("sentences"), deep, deriver_options=VOWELS))
    assert "punct@extra, which makes 'sentences', cannot work: nothing installed makes 'words'." in said
    assert said.count("a stand-in will do") == 1
    assert said.endswith("check(derived={'sentences': Derived(...)}).")


def test_a_stand_in_takes_the_place_of_the_deriver() -> None:
    stand_in = Derived({"lengths": np.array([1, 2], np.int64)})
    assert examine(reader("ranking"), derived={"ranking": stand_in}).ok


def test_of_several_derivers_the_one_with_options_is_taken() -> None:
    other = punct("another")
    report = examine(reader("sentences"), other, punct(), deriver_options=VOWELS)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"haar": {"fps": 3}}, UsageError, r"'haar' is not 'lengths', nor .* \(punct\).*-o lengths.*-o punct"),
        ({"punct": {"mark": "!"}}, OptionError, r"no option 'mark' \(did you mean 'marks'\?\)"),
        ({"punct": {"marks": 3}}, OptionError, r"punct@extra: option marks"),
    ],
)
def test_options_of_derivers_that_cannot_be_meant(given: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_plugin("lengths", plugins=[SHELF], deriver_options=given)


def test_a_fusion_reads_no_artefacts() -> None:
    fusion = Shelf(FusionSpec(name="gate", target="a:B"), punct())
    with pytest.raises(UsageError, match=r"option owner 'punct' is not 'gate'. Write -o gate.KEY=VALUE"):
        check_plugin("gate", plugins=[fusion], deriver_options=VOWELS)


def test_the_command_takes_options_of_derivers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer_core.registry.discover", lambda plugins=(): discover([SHELF, *plugins]))
    monkeypatch.setattr("mer_core.testing.run.discover", lambda plugins=(): discover([SHELF, *plugins]))
    arguments = ["plugins", "check", "lengths", "--only", "starts", "--only", "silence", "--json"]
    assert run_app([*arguments, "-o", "punct.marks=*"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"passed": 2}
    assert run_app([*arguments[:-1], "-o", "lengths.marks=e"]) == 2
    assert "no option 'marks'" in capsys.readouterr().err
