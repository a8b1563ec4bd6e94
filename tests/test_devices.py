"""Several devices at once: an instance for each, the same answers, and errors and Ctrl-C as ever."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from engine_toys import Length, Streaming, Trouble, hearing, job, logged, note, shouting, texts
from test_engine_death import finish, journals, start, until

from mer_core.cli.app import run_app
from mer_core.cli.flags import several_devices
from mer_core.engine import EngineSettings, ExtractReport, extract
from mer_core.errors import PluginError, UsageError
from mer_core.store import FeatureStore
from mer_core.types import Features, Sample
from mer_core.workflows.extract import engine_settings
from mer_core.workflows.workspace import open_workspace, pick_devices

BOTH = EngineSettings(workers=2, devices=("first", "second"))
SHORT: Any = {"per_thread": False, "batch_seconds": 0.5}
"""A few clips to a batch: a text counts a twelfth of a second for each letter."""


class Noted(Trouble):
    """Notes each instance that is made."""

    def __init__(self, options: dict[str, Any], device: str) -> None:
        super().__init__(options, device)
        note(options["made"], device)


class Stream(Noted, Streaming):
    """Sees all clips in one pass."""


class Meeting(Length):
    """Answers only where two instances work at the same time."""

    def __init__(self, options: dict[str, Any], device: str) -> None:
        super().__init__(options, device)
        self.door: threading.Barrier = options["door"]

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        self.door.wait(timeout=60)
        return [Features(np.array([threading.get_ident() % 1000, 0], np.float32)) for _ in batch]


class Slow(Length):
    """Works for long, in small steps."""

    def extract(self, batch: Sequence[Sample]) -> list[Any]:
        if batch[0].text().content[0] == "z":
            note(self.options["log"], "begun")
            end = time.monotonic() + 60
            while time.monotonic() < end:
                time.sleep(0.01)
        return super().extract(batch)


class Stubborn(Length):
    """Takes no fitted state."""

    def restore(self, state: Any) -> None:
        raise ValueError("of another size")


def stored(store: FeatureStore, of: Any, report: ExtractReport) -> list[Any]:
    table = store.table(of.fingerprint, of.about)
    answers = [table.get(key) if key else None for key in report.keys[of.name]]
    return [a.values.tolist() if isinstance(a, Features) else a for a in answers]


def words(count: int) -> list[str]:
    return ["abcdefgh"[number % 8] * (1 + number % 7) for number in range(count)]


def test_every_device_has_an_instance_and_all_clips_are_answered(tmp_path: Path) -> None:
    clips, found = texts(*words(40), None), []
    for name, settings in (("one", replace(BOTH, devices=("cpu",))), ("two", BOTH)):
        one = job(Noted, **SHORT, made=str(tmp_path / name))
        store = FeatureStore(tmp_path / f"{name} store")
        report = extract(clips, [one], {}, store, settings)
        assert (report.failures, report.extracted) == ((), {"text:toy": 41})
        found.append(stored(store, one, report))
    assert found[0] == found[1]
    assert logged(tmp_path / "one") == ["cpu"]
    assert logged(tmp_path / "two") == ["first", "second"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mer-")]


def test_devices_work_at_the_same_time(tmp_path: Path) -> None:
    one = job(Meeting, per_thread=False, batch_seconds=0.1, door=threading.Barrier(2))
    report = extract(texts("a", "b", "c", "d"), [one], {}, FeatureStore(tmp_path), BOTH)
    assert not report.failures


def test_a_tiny_window_stops_nothing(tmp_path: Path) -> None:
    one = job(**SHORT)
    report = extract(texts(*words(30)), [one], {}, FeatureStore(tmp_path), replace(BOTH, window_bytes=1))
    assert report.extracted == {"text:toy": 30}


def test_artefacts_are_derived_on_all_devices(tmp_path: Path) -> None:
    clips = texts(*words(20))
    report = extract(clips, [hearing(**SHORT)], shouting(per_thread=False), FeatureStore(tmp_path), BOTH)
    assert (report.failures, report.derived) == ((), {"shout": 20})


def test_a_raising_batch_is_bisected(tmp_path: Path) -> None:
    contents = words(20)
    contents[3], contents[11] = "raise it", "none"
    one = job(Trouble, **SHORT)
    report = extract(texts(*contents), [one], {}, FeatureStore(tmp_path), BOTH)
    assert [(failure.id, failure.stage) for failure in report.failures] == [("c3", "extract"), ("c11", "extract")]
    assert "no such luck" in report.failures[0].reason
    assert report.extracted == {"text:toy": 18}


def test_what_a_device_raises_ends_the_run(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(3, np.float32)}, tmp_path / "state.safetensors")
    one = replace(job(Stubborn, **SHORT), fitted=tmp_path / "state.safetensors", base="b")
    with pytest.raises(PluginError, match=r"does not take the state .* of another size"):
        extract(texts(*words(9)), [one], {}, FeatureStore(tmp_path / "store"), BOTH)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mer-")]
    assert not journals(tmp_path)


def test_streams_stay_on_the_first_device(tmp_path: Path) -> None:
    one = job(Stream, per_thread=False, streamed=str(tmp_path / "streamed"), made=str(tmp_path / "made"))
    report = extract(texts(*words(5)), [one], {}, FeatureStore(tmp_path / "store"), BOTH)
    assert report.extracted == {"text:toy": 5}
    assert sorted(logged(tmp_path / "streamed")) == ["c0", "c1", "c2", "c3", "c4"]
    assert logged(tmp_path / "made") == ["first"]


def test_ctrl_c_is_obeyed_within_a_second_and_keeps_what_is_finished(tmp_path: Path) -> None:
    log, store = tmp_path / "log", FeatureStore(tmp_path / "store")
    one = job(Slow, per_thread=False, batch_seconds=0.5, log=str(log))
    pressed: list[float] = []

    def press() -> None:
        until(lambda: logged(log).count("begun") == 2)
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        extract(texts("aaaaaaa", "bbbbbbb", "zzzzzz", "zzzzz"), [one], {}, store, BOTH)
    assert time.monotonic() - pressed[0] < 1.5  # about one; the machine may be busy
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("mer-")])
    assert not journals(tmp_path)
    again = extract(texts("aaaaaaa", "bbbbbbb"), [replace(one, options={})], {}, store, BOTH)
    assert again.reused == {"text:toy": 2}


def test_a_clip_that_kills_the_process_on_one_device_is_convicted(tmp_path: Path) -> None:
    jobs, settings = "([job(Trouble, per_thread=False, batch_seconds=0.5)], {})", "workers=2, devices=('cpu', 'cpu')"
    process = start(tmp_path, ["aa", "abort", "bb"], jobs, settings)
    process.communicate(timeout=120)
    assert process.returncode
    assert finish(start(tmp_path, ["aa", "abort", "bb"], jobs, settings)) == '[["c1", "crash", "text:toy"]]'


@pytest.mark.parametrize(
    ("device", "devices", "found"),
    [
        (None, None, ()),
        ("cpu", None, ()),
        (None, "cuda:0, cuda:1", ("cuda:0", "cuda:1")),
        ("cuda:0", "cuda:0,cuda:1", ("cuda:0", "cuda:1")),
        (None, "cpu", ("cpu",)),
    ],
)
def test_flags(device: str | None, devices: str | None, found: tuple[Any, ...]) -> None:
    assert several_devices(device, devices) == found


@pytest.mark.parametrize(
    ("device", "devices"), [("cpu", "cuda:0,cuda:1"), ("cuda:1", "cuda:0,cuda:1"), (None, " , "), (None, "auto,cpu")]
)
def test_flags_that_contradict_each_other(device: str | None, devices: str) -> None:
    with pytest.raises(UsageError, match="--devices"):
        several_devices(device, devices)


@pytest.mark.parametrize("command", ["run", "extract"])
def test_commands_refuse_a_device_beside_other_devices(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app([command, "--device", "cpu", "--devices", "cuda:0,cuda:1"]) == 2
    assert "--device cpu beside --devices cuda:0,cuda:1" in capsys.readouterr().err


def test_the_engine_is_told_of_them(tmp_path: Path) -> None:
    config: Any = SimpleNamespace(device="cpu")
    assert engine_settings(config, open_workspace(tmp_path)).places == ("cpu",)
    assert engine_settings(config, open_workspace(tmp_path, devices=("cpu", "cpu"))).places == ("cpu", "cpu")


def test_devices_that_compute_differently_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer_core.workflows.workspace.pick_device", lambda device: device)
    assert pick_devices(("cuda:1", "cuda:0"), "cuda:0") == ("cuda:1", "cuda:0")
    with pytest.raises(UsageError, match="--devices cpu: the run computes on cuda:0"):
        pick_devices(("cuda:0", "cpu"), "cuda:0")
