"""``mer doctor`` says what does not fit together, and imports no more than it must."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from mer_core.workflows import doctor
from mer_core.workflows.doctor import Check

VERSIONS = {"torch": "2.13.0+cpu", "torchvision": "0.29.0"}


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was imported; versions are those of a torch without CUDA and a torchvision with it."""
    seen: list[str] = []

    def version(name: str) -> str:
        if name not in VERSIONS:
            raise PackageNotFoundError(name)
        return VERSIONS[name]

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor.importlib, "import_module", seen.append)
    return seen


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(name: str) -> Any:
        raise error

    monkeypatch.setattr(doctor.importlib, "import_module", refuse)


def test_torch_and_torchvision_that_match(imported: list[str]) -> None:
    assert list(doctor._torchvision()) == [Check("torchvision", "ok", "0.29.0 loads beside torch 2.13.0+cpu")]
    assert imported == ["torchvision"]


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("operator torchvision::nms does not exist\nmore"), "operator torchvision::nms does not exist"),
        (AttributeError("partially initialized module"), "partially initialized module"),
        (ImportError(), "ImportError"),
    ],
)
def test_0_torch_and_torchvision_that_do_not_match(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    (found,) = doctor._torchvision()
    assert (found.state, found.name) == ("problem", "torchvision")
    assert found.found == (f"0.29.0 was not built for torch 2.13.0+cpu, so that open_clip cannot be imported: {reason}")
    assert "pip install --force-reinstall torch torchvision" in found.remedy


def test_what_is_not_installed_is_not_imported(imported: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(VERSIONS, "torchvision")
    (found,) = doctor._torchvision()
    assert (found.state, found.found) == ("note", "not installed")
    assert imported == []


@pytest.mark.usefixtures("imported")
def test_packages_that_are_not_there_are_problems() -> None:
    found = {check.name: check for check in doctor._packages()}
    assert (found["torch"].state, found["torch"].found, found["torch"].remedy) == ("ok", "2.13.0+cpu", "")
    assert (found["av"].state, found["av"].remedy) == ("problem", "Run: pip install av")
