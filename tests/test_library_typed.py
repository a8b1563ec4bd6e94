"""The library as its user's type checker sees it, and how little ``import mer_core`` costs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mer_core
from mer_core.configure import make_config
from mer_core.errors import UsageError
from mer_core.registry import discover
from mer_core.settings import Settings

CONFIG = """
[mypy]
strict = True
warn_unreachable = True
# Checking torch's own sources takes three times as long as the rest and says nothing about mer.
[mypy-torch.*]
follow_imports = skip
"""

GOOD = """
from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mer_core import (
    Extraction, FeatureSet, Fit, FittedModel, Predictions, RunResult, Settings, Workspace,
    compose, evaluate, extract, fit, load_fit, open_workspace, predict, run, train,
)
from mer_core.errors import MerError


def show(stage: str, done: int, total: int, note: str) -> None:
    print(stage, done, total, note)


def whole(folder: Path) -> float | None:
    space: Workspace = open_workspace(folder, workers=2, progress=show)
    common: Settings = {"modalities": ["speech", "text"], "seed": 1}
    result: RunResult = run("clips.csv", out=folder, space=space, **common)
    run(folds="loo", options={"sample": {"clips": 48}}, fusion_options={"hidden": 8})
    for subset in result.report.subsets:
        print(subset.modalities, subset.waf)
    for row in result.rows:
        print(row.prediction.id, row.prediction.probabilities["sad"])
    cv = result.report.metrics.cv
    return None if cv is None else cv.waf.value


def steps(folder: Path) -> list[str]:
    extraction: Extraction = extract("clips.csv", shard=(1, 2), extractors={"speech": "acoustic"})
    training = train(extraction)
    print([len(fold.val) for fold in training.plan.folds], training.model.summary["parameters"])
    found: Predictions = predict(folder / "model", "new.mp4", window=5.0)
    scored = evaluate(found.predictions, "clips.csv")
    print(scored.evaluation.intervals["waf"].low)
    return [failure.reason for failure in extraction.report.failures]


def arrays(folder: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    speech, rng = np.zeros((4, 3)), np.random.default_rng(0)
    streams: dict[str, ArrayLike] = {"speech:mine": speech, "text": rng.normal(size=(4, 2)).astype(np.float32)}
    features: FeatureSet = compose(streams, ["sad", "happy", None, "sad"], groups=["a", "b", None, "a"])
    mixed = compose({"speech": (speech, [True, True, False, True]), "gaze": [[1.0], [2.0], [3.0], [4.0]]}, [0, 1, 1, 0])
    try:
        fitted: Fit = fit(features, options={"attention": {"hidden": 8}}, trainer_options={"epochs": 3})
    except MerError as error:
        raise SystemExit(error.exit_code) from error
    if fitted.evaluation is not None:
        print(fitted.evaluation.scores.waf, fitted.evaluation.intervals["waf"].high)
    fitted.save(folder)
    again: FittedModel = load_fit(folder, device="cpu")
    labels: list[str | None] = again.labels(mixed)
    print(labels, again.classes.index("sad"), fitted.held_out.probabilities.mean())
    return again.predict(features)
"""

BAD = """
from mer_core import comopse  # wrong: attr-defined
from mer_core import Settings, compose, extract, fit, run
from mer_core.plugin import Features, Fetures  # wrong: attr-defined

run("clips.csv", modalites=["text"])  # wrong: call-arg
run("clips.csv", seed="1")  # wrong: arg-type
extract("clips.csv", out="runs/a")  # wrong: call-arg
wanted: Settings = {"fusions": "concat"}  # wrong: typeddict-unknown-key
fit(compose({"text": [[1.0]]}), folds=None)  # wrong: arg-type
fit(compose({"text": [[1.0]]})).evaluation.scores  # wrong: union-attr
fit(compose({"text": [[1.0]]})).probabilities  # wrong: attr-defined
compose([1.0], ["sad"])  # wrong: arg-type
"""


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_strict_consumer_type_checks_and_its_mistakes_are_found(tmp_path: Path) -> None:
    for name, text in (("mypy.ini", CONFIG), ("good.py", GOOD), ("bad.py", BAD)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    arguments = ["--config-file", "mypy.ini", "--cache-dir", "cache", "good.py", "bad.py"]
    found = subprocess.run([sys.executable, "-m", "mypy", *arguments], cwd=tmp_path, capture_output=True, text=True)
    errors = re.findall(r"^(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", found.stdout, re.MULTILINE)
    wrong = enumerate(BAD.splitlines(), 1)
    expected = [("bad.py", str(number), line.split("wrong: ")[1]) for number, line in wrong if "wrong: " in line]
    assert errors == expected, found.stdout + found.stderr


def test_every_setting_is_described() -> None:
    described = Settings.__doc__ or ""
    assert [name for name in Settings.__annotations__ if not re.search(rf"\b{name}\b", described)] == []
    with pytest.raises(UsageError, match=r"make_config\(\) has no setting 'epoch'"):
        make_config(discover(), epoch=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("function", ["run", "extract"])
def test_an_unknown_keyword_is_refused_with_the_close_match(function: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"{function}\(\) has no setting 'modalites'. Did you mean 'modalities'\?"):
        getattr(mer_core, function)("nowhere.csv", modalites=["text"])


def test_every_public_name_is_there_and_no_other() -> None:
    assert dir(mer_core) == sorted(mer_core.__all__)
    for name in mer_core.__all__:
        found = getattr(mer_core, name)
        assert found.__name__ == name
        assert found.__doc__
    with pytest.raises(AttributeError, match="comopse"):
        mer_core.comopse  # noqa: B018


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = "import sys, mer_core, mer_core.announce, mer_core.settings, mer_core.plugin; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "mer_core.announce" in found
    assert not {"numpy", "torch", "pydantic", "typer", "rich", "mer_core.workflows"} & set(found)
