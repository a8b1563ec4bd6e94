"""What the command line says: examples that fit what was typed, counts, sizes, and how plugins run."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from test_report import report

from mer_core.catalogue import Catalogue, Entry
from mer_core.cli.app import run_app
from mer_core.cli.pairs import label_pairs, pairs
from mer_core.cli.summary import print_summary
from mer_core.errors import PluginError, UsageError
from mer_core.names import OWN
from mer_core.plugin import AudioInput, ExtractorSpec, FusionSpec
from mer_core.report.facts import Stream
from mer_core.report.words import size


@pytest.mark.parametrize(
    ("flag", "given", "example"),
    [
        ("--extractor", "acoustic", "speech=acoustic"),
        ("--extractor", "ngram, acoustic", "text=ngram, acoustic"),
        ("--extractor", "unknown", "speech=acoustic"),
        ("--deriver", "haar", "faces=haar"),
        ("--deriver", "unknown", "faces=haar"),
    ],
)
def test_a_plugin_without_its_key_is_told_with_it(
    capsys: pytest.CaptureFixture[str], flag: str, given: str, example: str
) -> None:
    assert run_app(["run", flag, given]) == 2
    assert f"Write for example {flag} {example}.\n" in capsys.readouterr().err


def test_other_pairs_have_a_plain_example() -> None:
    with pytest.raises(UsageError, match=r"--label 'happy' is not of the form A=B. Write for example --label a=b\."):
        pairs(["happy"], "--label")


def test_a_label_without_a_target_is_dropped_and_no_other_pair_is() -> None:
    assert label_pairs(["joyful=happy", "N/A=", " xxx = "]) == {"joyful": "happy", "N/A": "", "xxx": ""}
    with pytest.raises(UsageError, match="'=happy' is not of the form"):
        label_pairs(["=happy"])
    with pytest.raises(UsageError, match="'id=' is not of the form"):
        pairs(["id="], "--column")


def unknown(name: str, *others: str) -> str:
    found = [("attention", OWN), ("concat", OWN), *((other, "mine") for other in others)]
    entries = [Entry(FusionSpec(name=fusion, target="x:X"), distribution) for fusion, distribution in found]
    with pytest.raises(PluginError) as caught:
        Catalogue(entries).find(FusionSpec, name)
    return caught.value.hint


def test_authors_are_told_to_install_again() -> None:
    again = "If you have just added it to a pyproject.toml, run 'pip install -e' again."
    assert unknown("my-fusion") == f"There are: attention, concat. {again}"
    assert unknown("atention") == "Did you mean 'attention'?"
    assert unknown("my-fusion-2", "my-fusion") == f"Did you mean 'my-fusion'? {again}"


def test_the_summary_says_what_was_reused(tmp_path: Path) -> None:
    streams = [
        Stream(name="speech:a", modality="speech", extractor="a", dim=64, reused=120),
        Stream(name="text:b", modality="text", extractor="b", dim=8, extracted=1, reused=119),
    ]
    console = Console(file=io.StringIO(), width=100)
    print_summary(report().model_copy(update={"streams": tuple(streams)}), tmp_path, console)
    assert isinstance(console.file, io.StringIO)
    told = re.sub(r" +", " ", console.file.getvalue())
    assert "Streams speech:a (64 columns), 120 clips reused\n text:b (8 columns), 1 clip extracted, 119" in told


def test_sizes() -> None:
    found = [size(n) for n in (0, 1, 999, 1001, 999_999, 1_250_000, 3.2e9)]
    assert found == ["0 kB", "1 kB", "1 kB", "2 kB", "1,000 kB", "1.2 MB", "3.2 GB"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("acoustic", ["level +frame", "runs +one instance per thread, on the CPU, one clip at a time"]),
        ("haar", ["runs +one instance per thread, on the CPU"]),
    ],
)
def test_show_says_how_a_plugin_runs(capsys: pytest.CaptureFixture[str], name: str, lines: list[str]) -> None:
    assert run_app(["plugins", "show", name]) == 0
    out = capsys.readouterr().out
    assert [line for line in lines if not re.search(line, out)] == []


def test_how_a_plugin_that_takes_batches_runs() -> None:
    from mer_core.cli.plugins_show import _details

    spec = ExtractorSpec(name="x", modality="speech", target="x:X", inputs={"a": AudioInput()}, batch_seconds=90)
    assert _details(spec)["runs"] == "one instance, on the run's device, in batches of up to 90 s"
    assert "runs" not in _details(FusionSpec(name="y", target="y:Y"))
