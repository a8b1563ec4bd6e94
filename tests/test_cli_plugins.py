"""``mer plugins list|show|check`` as commands: what they print, and how they exit."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len

from mer_core.cli.app import run_app
from mer_core.testing.kit import Check, CheckFailed, NotApplicable
from mer_plugins.text.ranking_prompt import PROMPTS

FIXED_WIDTH = "100"


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer_core.cli.output.PIPE_WIDTH", int(FIXED_WIDTH))


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of extractors that pass, fail, have nothing to say, and print."""

    def fails(subject: Any) -> None:
        raise CheckFailed(f"{subject.spec.name} gave 3 columns, not [4]; options were {subject.options.n_mels} mels")

    def skips(subject: Any) -> None:
        raise NotApplicable("it has no times")

    checks = (
        Check("sound", "It is sound.", lambda subject: print("printed by a plugin")),
        Check("dimension", "The dimension is true.", fails),
        Check("after", "It can be stored.", lambda subject: None, needs=("dimension",)),
        Check("times", "Times are true.", skips),
    )
    monkeypatch.setitem(sys.modules, "mer_core.testing.extractor", SimpleNamespace(CHECKS=checks))


def mer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_app(["plugins", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_list_has_a_line_for_each_plugin_under_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mer(capsys, "list")
    lines = out.splitlines()
    assert code == 0
    assert all(len(line) <= int(FIXED_WIDTH) for line in lines)
    assert lines.index("extractor".ljust(len(lines[1]))) < lines.index("fusion".ljust(len(lines[1])))
    assert [line.split()[:4] for line in lines if "acoustic" in line] == [
        ["acoustic", "speech", "mer-toolkit", "ready"]
    ]


def test_list_says_what_plugins_need(capsys: pytest.CaptureFixture[str]) -> None:
    """Labels, weights, an extra to be installed, and whatever else the spec names."""
    rows = {row["name"]: row["needs"] for row in json.loads(mer(capsys, "list", "--json")[1])["plugins"]}
    assert rows["emovclip"] == ["labels", "weights 1.7 GB"]
    assert rows["baichuan"] == ["weights 26.5 GB", "extra baichuan"]
    assert rows["egemaps"] == ["extra egemaps"]
    assert rows["openface"] == ["OpenFace or its output"]
    assert rows["gpt-ranking"] == ["server or table"]
    assert rows["haar"] == []
    (line,) = (line for line in mer(capsys, "list", "--kind", "deriver")[1].splitlines() if "gpt-ranking" in line)
    assert "ready   server or table" in line


def test_list_of_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(mer(capsys, "list", "--kind", "fusion", "--json")[1])
    assert {"attention", "concat"} <= {row["name"] for row in document["plugins"]}
    assert {row["kind"] for row in document["plugins"]} == {"fusion"}
    code, _, err = mer(capsys, "list", "--kind", "fusions")
    assert code == 2
    assert "no kind 'fusions'" in err


def test_show_has_inputs_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mer(capsys, "show", "haar")
    assert code == 0
    assert "frames=FramesInput(faces=False, fps=5, stream=True)" in out
    assert "haar.fps" in out
    document = json.loads(mer(capsys, "show", "haar@mer-toolkit", "--json")[1])
    assert document["status"] == "ready"
    assert document["options"][0] == {
        "name": "fps", "type": "float", "default": "5.0", "description": "Frames per second to look at.",
    }  # fmt: skip


def test_show_of_an_unknown_name_guesses(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = mer(capsys, "show", "hoar")
    assert code == 2
    assert "Did you mean 'haar'?" in err


@pytest.mark.usefixtures("kit")
def test_check_tells_each_check_and_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mer(capsys, "check", "acoustic", "-o", "acoustic.n_mels=40")
    assert code == 1
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "acoustic@mer-toolkit extractor, 4 checks on cpu"
    assert [line[:1] for line in lines[1:6]] == ["p", "✓", "✗", "–", "–"]
    assert lines[4].endswith("skipped: it has no times")
    assert lines[5] == "– 1 check not run (after): dimension did not pass"
    assert lines[7:9] == ["dimension failed", "acoustic gave 3 columns, not [4]; options were 40 mels"]
    assert lines[-1] == "1 failed, 1 blocked, 1 passed, 1 skipped"


def test_check_refuses_a_device_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, out, err = mer(capsys, "check", "acoustic", "--device", "cuda:0")
    assert (code > 0, out) == (True, "")
    assert "--device cuda:0: torch sees no GPU here" in err


@pytest.mark.usefixtures("kit")
def test_check_with_an_announced_failure(capsys: pytest.CaptureFixture[str]) -> None:
    expected = ("--expect", "dimension=the model pads", "--only", "sound", "--only", "dimension")
    code, out, _ = mer(capsys, "check", "acoustic", *expected)
    assert code == 0
    assert "the model pads (acoustic gave 3 columns" in out
    assert out.splitlines()[-1] == "1 passed, 1 failed as expected"
    code, out, _ = mer(capsys, "check", "acoustic", "--only", "sound", "--expect", "sound=hoarse")
    assert code == 1
    assert "take it off the list" in out
    assert out.splitlines()[-1] == "1 passed unexpectedly"


@pytest.mark.usefixtures("kit")
def test_check_as_a_document_holds_nothing_that_the_plugin_prints(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = mer(capsys, "check", "acoustic", "--json")
    document = json.loads(out)
    assert (code, document["ok"], document["plugin"]) == (1, False, "acoustic@mer-toolkit")
    assert document["counts"] == {"passed": 1, "failed": 1, "blocked": 1, "skipped": 1}
    assert [row["about"] for row in document["results"]][:2] == ["It is sound.", "The dimension is true."]
    assert "printed by a plugin" in err


@pytest.mark.usefixtures("kit")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["acoustic", "--only", "dimensions"], "Did you mean 'dimension'?"),
        (["acoustic", "--expect", "dimensions=why"], "no check called 'dimensions'"),
        (["acoustic", "--expect", "dimension"], "not of the form A=B"),
        (["acoustic", "-o", "hog.cells=3"], "Write -o acoustic.KEY=VALUE."),
        (["acoustic", "-o", "acoustic.mels=3"], "no option 'mels'"),
        (["acoustic", "--kind", "fusion"], "'acoustic' is a plugin of kind extractor, not fusion"),
        (["lite"], "no checks for 'preset'"),
        (["acustic"], "Did you mean 'acoustic'?"),
    ],
)
def test_check_refuses_what_cannot_be_meant(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, err = mer(capsys, "check", *arguments)
    assert code == 2
    assert message in err


@pytest.mark.parametrize("width", [80, 120, 170])
def test_show_has_long_values_in_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Nothing is cut off, however narrow the terminal; a wide one has a row per option."""
    monkeypatch.setattr("mer_core.cli.output.PIPE_WIDTH", width)
    _, out, _ = mer(capsys, "show", "gpt-ranking")
    assert "…" not in out
    assert all(cell_len(line.rstrip()) <= width for line in out.splitlines())
    lines = [line.strip() for line in out.splitlines()]
    flat = "".join(line.replace(" ", "") for line in lines)
    assert PROMPTS["zh"].replace(" ", "") in flat
    assert "gpt-ranking.allow_upload" in out
    rows = [line for line in lines if line.startswith("gpt-ranking.timeout") and line.endswith("an answer may take.")]
    assert ("float" in rows[0]) == ("gpt-ranking.prompt is by default" in lines) == (width > 150)
