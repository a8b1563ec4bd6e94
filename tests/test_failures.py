"""Extractors that fail with many clips: the run that stops for it, and failures told by what caused them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shelf_plugin import Shelf

from mer_core import Workspace, extract, open_workspace, run
from mer_core.cli.extract import print_failures
from mer_core.engine import ClipFailure
from mer_core.errors import PluginError
from mer_core.plugin import ExtractorSpec, Features, NoOptions, Sample, TextInput
from mer_core.report.causes import causes

CLIPS = [("a", "so", "happy"), ("b", "no", "sad"), ("c", "hmm", "happy"), ("d", "ahh", "sad"), ("e", "", "sad")]
TEXT = {"text": TextInput()}


class Letters:
    """Counts letters."""

    dim = 2

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [self.one(sample.text().content) for sample in batch]

    def one(self, content: str) -> Features:
        return Features(np.array([len(content), 1], np.float32))


class Boom(Letters):
    """Raises with every clip."""

    def one(self, content: str) -> Features:
        raise ValueError("boom.")


class Counting(Letters):
    """Raises with every clip, and says of which length."""

    def one(self, content: str) -> Features:
        raise ValueError(f"{len(content)} letters")


class Long(Letters):
    """Raises with clips of two letters, at two lines."""

    def one(self, content: str) -> Features:
        if content == "so":
            raise ValueError("so short")
        if content == "no":
            raise ValueError("no way")
        return super().one(content)


def spec(kind: type[Letters]) -> ExtractorSpec:
    target = f"test_failures:{kind.__name__}"
    return ExtractorSpec(name=kind.__name__.lower(), modality="text", target=target, inputs=TEXT, level="clip")


def line_of(kind: type[Letters], number: int = 0) -> int:
    lines, start = inspect.getsourcelines(kind)
    return [start + at for at, line in enumerate(lines) if "raise" in line and "Error" in line][number]


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    rows = [f"{id},{text},{label},{id}" for id, text, label in CLIPS]
    (tmp_path / "clips.csv").write_text("\n".join(["id,text,label,speaker", *rows]), encoding="utf-8")
    return open_workspace(tmp_path / "cache", plugins=[Shelf(map(spec, (Letters, Boom, Counting, Long)))])


def start(space: Workspace, folder: Path, extractors: str) -> Any:
    return run(
        folder / "clips.csv",
        out=folder / "run",
        space=space,
        modalities=["text"],
        extractors={"text": extractors},
        folds=2,
        device="cpu",
        trainer_options={"epochs": 1},
    )


def logged(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "run" / "log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_stops_where_an_extractor_failed_on_all_its_clips(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        start(space, tmp_path, "letters,boom")
    error = caught.value
    place = f"(test_failures.py, line {line_of(Boom)})"
    assert error.message == f"boom failed on all 4 clips that have text: ValueError: boom {place}."
    assert error.hint.startswith("Check it with mer_core.testing.check_plugin('boom'")
    assert error.hint.endswith(f"The traceback is in {tmp_path / 'run' / 'log.jsonl'}.")
    assert error.exit_code == 2
    events = logged(tmp_path)
    assert not any(line["event"].startswith("train") for line in events)
    (traced,) = [line for line in events if "traceback" in line]
    assert (traced["event"], traced["stage"], traced["stream"]) == ("clip failed", "extract", "text:boom")
    assert traced["traceback"].rstrip().endswith("ValueError: boom.")
    assert "in one" in traced["traceback"]


def test_what_the_others_extracted_is_kept(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PluginError):
        start(space, tmp_path, "letters,boom")
    again = extract(tmp_path / "clips.csv", modalities=["text"], extractors={"text": "letters"}, space=space)
    assert (again.report.extracted, again.report.reused) == ({"text:letters": 0}, {"text:letters": 5})


def test_of_different_reasons_the_most_frequent_is_told_and_one_traceback(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"that have text, 2 times with: ValueError: [23] letters \(test_failures"):
        start(space, tmp_path, "counting")
    assert sum("traceback" in line for line in logged(tmp_path)) == 1


def test_a_run_goes_on_where_some_clips_are_left(space: Workspace, tmp_path: Path) -> None:
    found = start(space, tmp_path, "long")
    (told,) = [line for line in found.report.findings() if "failed, wholly" in line]
    assert told == "3 clips failed, wholly or in part, at: extract (2) and data (1). The list is under Failures."
    tracebacks = [line["error"] for line in logged(tmp_path) if "traceback" in line]
    lines = [line_of(Long, number) for number in (0, 1)]
    assert tracebacks == [
        f"ValueError: so short (test_failures.py, line {lines[0]})",
        f"ValueError: no way (test_failures.py, line {lines[1]})",
    ]


def failed(count: int, reason: str, stage: str = "extract") -> list[ClipFailure]:
    return [ClipFailure(id=f"s{number}", stage=stage, reason=reason, stream="speech:x") for number in range(count)]


def test_equal_reasons_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = [*failed(1, "cut.", "decode"), *failed(117, "ValueError: boom (x.py, line 33)"), *failed(2, "odd")]
    print_failures(found)
    assert capsys.readouterr().err.splitlines() == [
        "Warning 117 clips could not be used, wholly or in part:",
        "  117 × (extract) ValueError: boom (x.py, line 33), e.g. s0",
        "  2 × (extract) odd, e.g. s0",
        "  s0 (decode): cut.",
    ]
    print_failures(found, most=1)
    assert capsys.readouterr().err.splitlines()[-1] == "  and 3 more; --json lists them all"


def test_the_report_tells_the_common_reasons() -> None:
    from test_report import report

    from mer_core.report import build
    from mer_core.report.html import render_html

    failures = [*failed(117, "ValueError: boom (x.py, line 33)"), *failed(1, "cut.", "decode")]
    found = report().model_copy(update={"failures": build.failures(failures)})
    (told,) = [line for line in found.findings() if "failed, wholly" in line]
    assert told == (
        "117 clips failed, wholly or in part, at: extract (117) and decode (1)."
        " 117 × ValueError: boom (x.py, line 33), e.g. s0. The list is under Failures."
    )
    page = render_html(found)
    assert page.count("<td>ValueError: boom (x.py, line 33)</td>") == 1
    assert '<td>s0, s1, s2, s3, s4 <span class="note">and 112 more</span></td>' in page


def test_causes_keep_stages_and_streams_apart() -> None:
    other = ClipFailure(id="s9", stage="extract", reason="odd", stream="text:y")
    assert [(one.stream, one.id, one.n) for one in causes([other, *failed(2, "odd")])] == [
        ("speech:x", "s0", 2),
        ("text:y", "s9", 1),
    ]
