"""Nothing that plugins and scripts rely on changes unannounced: names, signatures, fields, checks, options."""

from __future__ import annotations

import difflib
import inspect
import re
from pathlib import Path

import pytest
from write_surface import FACADES, SNAPSHOT, facade_names, public, surface, text

import mer_core

REMEDY = (
    "The public surface changed:\n\n{diff}\n\nIf that is meant, announce it in docs/plugins/policy.md (Changes) "
    "and write the snapshot anew with: python tests/write_surface.py"
)


def difference(old: str, new: str) -> str:
    """Lines that went (-) and came (+); empty where nothing did."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("---", "+++"))


def test_the_surface_is_the_announced_one() -> None:
    diff = difference(SNAPSHOT.read_text(encoding="utf-8"), text())
    if diff:
        pytest.fail(REMEDY.format(diff=diff), pytrace=False)


@pytest.mark.parametrize("module", FACADES)
def test_every_exported_name_is_held(module: str) -> None:
    held = {re.split(r"[(:]| =", line)[0] for line in surface()}
    assert {f"{module}.{name}" for name in facade_names(module)} - held == set()


def test_what_library_functions_return_is_exported() -> None:
    functions = [getattr(mer_core, name) for name in mer_core.__all__ if name.islower()]
    returned = {str(inspect.signature(function).return_annotation) for function in functions}
    assert len(functions) > 5
    assert returned - set(mer_core.__all__) == set()


def test_lines_do_not_depend_on_the_run() -> None:
    assert surface() == surface()
    assert not [line for line in surface() if " at 0x" in line or "<" in line]


THING = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Thing:
    rate: int = 16000
    size: int = 1
"""


def test_a_changed_default_and_a_lost_field_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for module, source in {
        "surface_old": THING,
        "surface_new": THING.replace("16000", "8000").replace("    size: int = 1\n", ""),
    }.items():
        (tmp_path / f"{module}.py").write_text(source)
        found.append("\n".join(line.removeprefix(module) for line in public(module, "Thing")))
    assert difference(*found).splitlines() == [
        "-.Thing(rate, size)",
        "-.Thing.rate: int = 16000",
        "-.Thing.size: int = 1",
        "+.Thing(rate)",
        "+.Thing.rate: int = 8000",
    ]
