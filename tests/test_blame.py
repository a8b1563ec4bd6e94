"""What a plugin raises is told as the plugin's error, with its file and line; the machine's stays the machine's."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from mer_core.blame import blame
from mer_core.catalogue import Entry
from mer_core.errors import DataError, EnvironmentProblem, MerError, MissingPackageError, PluginError
from mer_core.plugin import DatasetSpec, FusionSpec, PluginSpec, TrainerSpec

FUSION = FusionSpec(name="tok-former", target="test_blame:TokFormer")
TRAINER = TrainerSpec(name="patient", target="test_blame:Patient")


class TokFormer:
    """A fusion that breaks when it is built."""

    def build(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        raise AssertionError("embed_dim must be\ndivisible by num_heads.")


class Patient:
    """A trainer that builds the fusion it is given, or breaks by itself."""

    def fit(self, fusion: TokFormer | None) -> None:
        if fusion is None:
            raise KeyError("streams")
        fusion.build()


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def told(work: Callable[[], object], entry: Entry, method: str = "build", *beside: Entry) -> MerError:
    with pytest.raises(MerError) as caught, blame(entry, method, *beside):
        work()
    return caught.value


def raised(error: BaseException) -> MerError:
    def work() -> None:
        raise error

    return told(work, Entry(TRAINER, "tired"), "fit")


def line_of(function: Callable[..., object], text: str) -> int:
    lines, start = inspect.getsourcelines(function)
    return start + next(number for number, line in enumerate(lines) if text in line)


def test_plugin_method_error_file_and_line_are_named() -> None:
    error = told(TokFormer().build, Entry(FUSION, "tok-former"))
    line = line_of(TokFormer._refuse, "raise")
    assert error.message == (
        "fusion tok-former@tok-former raised AssertionError in build: embed_dim must be divisible by num_heads"
        f" (test_blame.py, line {line})."
    )
    assert error.hint == "Run 'mer plugins check tok-former', or report it to the authors of tok-former."
    assert isinstance(error, PluginError)
    assert isinstance(error.__cause__, AssertionError)


def test_a_name_that_is_not_its_distributions_is_given_in_full() -> None:
    assert "'mer plugins check tok-former@many'" in told(TokFormer().build, Entry(FUSION, "many")).hint


def test_what_the_fusion_raises_inside_the_trainer_is_the_fusions() -> None:
    trainer, fusion = Entry(TRAINER, "slow"), Entry(FUSION, "tok-former")
    theirs = told(lambda: Patient().fit(TokFormer()), trainer, "fit", fusion)
    assert theirs.message.startswith("fusion tok-former@tok-former raised AssertionError in build")
    own = told(lambda: Patient().fit(None), trainer, "fit", fusion)
    assert own.message.startswith("trainer patient@slow raised KeyError in fit: 'streams' (test_blame.py, line ")


def test_a_shipped_plugin_points_at_the_other_one() -> None:
    trainer = Entry(TRAINER, "mer-toolkit")
    error = told(lambda: Patient().fit(None), trainer, "fit", Entry(FUSION, "tok-former"))
    assert error.hint == "Run 'mer plugins check tok-former': patient works together with it."
    alone = told(lambda: Patient().fit(None), trainer, "fit", Entry(FUSION, "mer-toolkit"))
    assert alone.hint == "Please report it with the output of 'mer doctor'."


def test_a_wrong_signature_is_the_plugins_too() -> None:
    error = told(lambda: TokFormer().build("too", "much"), Entry(FUSION, "tok-former"))  # type: ignore[call-arg]
    assert "raised TypeError in build" in error.message


def test_errors_of_mers_own_and_ctrl_c_pass() -> None:
    deliberate = DataError("no folds.", "Give more clips.")
    assert raised(deliberate) is deliberate
    with pytest.raises(KeyboardInterrupt), blame(Entry(TRAINER, "tired"), "fit"):
        raise KeyboardInterrupt


def test_a_plugin_that_leaves_the_process_does_not() -> None:
    assert "raised SystemExit in fit: 3" in raised(SystemExit(3)).message


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (MemoryError(), "less data"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "--device cpu"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "close other programs"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "Free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "permissions"),
        (ConnectionResetError("peer"), "network"),
    ],
)
def test_the_machines_errors_are_not_the_plugins(error: Exception, remedy: str) -> None:
    found = raised(error)
    assert isinstance(found, EnvironmentProblem)
    assert found.exit_code == 3
    assert remedy in found.hint
    assert found.message.startswith(f"trainer patient@tired raised {type(error).__name__} in fit")


def test_a_missing_package_comes_with_its_install_line() -> None:
    found = raised(ModuleNotFoundError("No module named 'xgboost'", name="xgboost"))
    assert isinstance(found, MissingPackageError)
    assert "pip install xgboost" in found.hint


def test_a_file_that_is_not_there_is_no_fault_of_the_machine() -> None:
    spec: PluginSpec = DatasetSpec(name="ravens", target="test_blame:Ravens")
    error = told(lambda: Path("/nowhere/at/all").read_text(), Entry(spec, "birds"), "prepare")
    assert isinstance(error, PluginError)
    assert error.message.startswith("data set ravens@birds raised FileNotFoundError in prepare: ")
    assert "/nowhere/at/all" in error.message
