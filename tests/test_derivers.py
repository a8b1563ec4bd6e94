"""Derivers of third parties: found by what they make, chosen where there are several, read through each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mer_core.configure import make_config
from mer_core.errors import UsageError
from mer_core.plugin import (
    Derived,
    DerivedInput,
    DeriverSpec,
    ExtractorSpec,
    Features,
    NoOptions,
    PluginSpec,
    Sample,
    TextInput,
    hookimpl,
)
from mer_core.registry import discover
from mer_core.workflows.extract import extract
from mer_core.workflows.workspace import open_workspace


class Letters:
    """Derives the codes of the text's letters."""

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def derive(self, batch: Sequence[Sample]) -> list[Derived]:
        return [Derived({"codes": np.array([ord(c) for c in s.text().content], np.int64)}) for s in batch]


class Doubled:
    """Derives the letters' codes times two, from the letters."""

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def derive(self, batch: Sequence[Sample]) -> list[Derived]:
        return [Derived({"codes": 2 * s.derived("letters").arrays["codes"]}) for s in batch]


class Sum:
    """Clip-level: sum of the doubled codes."""

    dim = 1

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(s.derived("doubled").arrays["codes"].sum(keepdims=True).astype(np.float32)) for s in batch]


def deriver(name: str, produces: str, target: str, reads: DerivedInput | TextInput) -> DeriverSpec:
    return DeriverSpec(
        name=name, produces=produces, target=f"test_derivers:{target}", inputs={produces_in(reads): reads}
    )


def produces_in(reads: DerivedInput | TextInput) -> str:
    return reads.name if isinstance(reads, DerivedInput) else "text"


LETTERS = deriver("spell", "letters", "Letters", TextInput())
DOUBLED = deriver("double", "doubled", "Doubled", DerivedInput("letters"))
SUM = ExtractorSpec(
    name="sum", modality="text", target="test_derivers:Sum", inputs={"doubled": DerivedInput("doubled")}, level="clip"
)


def plugin(*specs: PluginSpec) -> object:
    class Plugin:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return list(specs)

    return Plugin()


def test_the_only_maker_is_taken_also_of_what_a_deriver_reads(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("id,text,label\na,ab,happy\nb,c,sad\n", encoding="utf-8")
    space = open_workspace(tmp_path / "cache", plugins=[plugin(LETTERS, DOUBLED, SUM)])
    found = extract(table, modalities=["text"], extractors={"text": "sum"}, space=space)
    assert found.config.derivers.keys() == {"doubled", "letters"}
    assert found.features.table["text:sum"].values[:, 0].tolist() == [2 * (97 + 98), 2 * 99]
    assert found.report.derived == {"letters": 2, "doubled": 2}


def test_no_maker_is_said_before_anything_is_decoded() -> None:
    with pytest.raises(UsageError, match=r"text:sum reads 'doubled', and no installed plugin makes it"):
        make_config(discover([plugin(SUM)]), extractors={"text": "sum"})


def test_an_artefact_that_is_nearly_called_so_is_guessed() -> None:
    misspelt = replace(SUM, inputs={"doubled": DerivedInput("doubld")})
    with pytest.raises(UsageError, match=r"Did you mean 'doubled' \(double@extra\)\?"):
        make_config(discover([plugin(LETTERS, DOUBLED, misspelt)]), extractors={"text": "sum"})


def test_of_two_makers_one_must_be_named() -> None:
    other = deriver("double-again", "doubled", "Doubled", DerivedInput("letters"))
    catalogue = discover([plugin(LETTERS, DOUBLED, other, SUM)])
    with pytest.raises(UsageError, match=r"double, double-again make.*--deriver doubled=double"):
        make_config(catalogue, modalities=["text"], extractors={"text": "sum"})
    config = make_config(
        catalogue, modalities=["text"], extractors={"text": "sum"}, derivers={"doubled": "double-again"}
    )
    assert config.derivers["doubled"].name == "double-again@extra"


def test_a_deriver_of_something_else_or_that_nobody_reads_is_refused() -> None:
    catalogue = discover([plugin(LETTERS, DOUBLED, SUM)])
    with pytest.raises(UsageError, match="'spell' makes 'letters', not 'doubled'"):
        make_config(catalogue, modalities=["text"], extractors={"text": "sum"}, derivers={"doubled": "spell"})
    with pytest.raises(UsageError, match="names 'ranking', which no stream"):
        make_config(catalogue, modalities=["text"], extractors={"text": "sum"}, derivers={"ranking": "spell"})


def test_a_run_without_faces_has_no_deriver_of_faces() -> None:
    assert make_config(discover(), modalities=["text"]).derivers == {}
    assert make_config(discover(), modalities=["image"]).derivers["faces"].name == "haar"
