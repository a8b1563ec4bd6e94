"""The rooms and arrows of docs/architecture.md, checked over the syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "numpy", "librosa", "cv2", "pandas", "scipy", "av", "transformers", "pyarrow", "open_clip")
DRAWING = {"pydantic", "rich", "typer"}
PUBLIC = {"plugin", "pooling", "modality_dropout", "media", "testing", "weights"}
LIGHT = {"types", "feature_set", "errors", "inputs", "spec", "hookspecs", "registry"}


def imports(file: Path) -> Iterator[str]:
    """Every module name imported anywhere in ``file``, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_core_never_imports_plugins() -> None:
    guilty = [str(f) for f in files("mer_core") if any(name.startswith("mer_plugins") for name in imports(f))]
    assert len(files("mer_core")) > 30
    assert guilty == []


def test_plugins_import_only_the_public_modules() -> None:
    guilty = []
    for file in files("mer_plugins"):
        for name in imports(file):
            parts = name.split(".")
            if parts[0] == "mer_core" and (len(parts) < 2 or parts[1] not in PUBLIC):
                guilty.append(f"{file.name} imports {name}")
    assert guilty == []


def test_lower_rooms_do_not_import_workflows_or_the_command_line() -> None:
    guilty = []
    for file in files("mer_core"):
        room = file.relative_to(ROOT / "mer_core").parts[0]
        above = {"cli": (), "workflows": ("mer_core.cli",)}.get(room, ("mer_core.cli", "mer_core.workflows"))
        if room == "__init__.py":
            continue
        guilty += [f"{file.name} imports {name}" for name in imports(file) if name.startswith(tuple(above) or ("-",))]
    assert guilty == []


def test_only_the_command_line_draws() -> None:
    drawn = {f for f in files("mer_core") if any(name.split(".")[0] in ("rich", "typer") for name in imports(f))}
    assert {f.relative_to(ROOT / "mer_core").parts[0] for f in drawn} == {"cli"}


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["plugins", "list"]])
def test_help_and_plugin_list_import_nothing_heavy(arguments: list[str]) -> None:
    found = loaded_after(f"from mer_core.cli.app import run_app\nassert run_app({arguments!r}) == 0")
    assert "mer_core.cli.app" in found
    assert sorted(found & set(HEAVY)) == []


def test_specs_and_types_import_nothing_heavy() -> None:
    modules = [*(f"mer_core.{name}" for name in sorted(LIGHT)), "mer_core", "mer_core.plugin", "mer_plugins.specs"]
    found = loaded_after("import " + ", ".join(modules))
    assert set(modules) <= found
    assert sorted(found & {*HEAVY, *DRAWING}) == []
