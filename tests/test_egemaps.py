"""``egemaps``: with a stand-in for openSMILE everywhere, and with the real one where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from mer_core.errors import MissingPackageError
from mer_core.options import validate
from mer_core.plugin import Audio, ExtractorSpec, Failure, Features, FloatArray, Missing, Sample
from mer_core.registry import discover
from mer_core.testing import BoundCheck, check_plugin, conformance
from mer_plugins.speech.egemaps import Egemaps
from mer_plugins.speech.egemaps_options import EgemapsOptions

RATE = 16000
SIZES = {"eGeMAPSv02": (88, 25), "eGeMAPSv01b": (88, 23), "GeMAPSv01b": (62, 18), "ComParE_2016": (6373, 65)}
"""By set: functionals, and low-level descriptors, as its authors publish them."""
LEVELS = ("functionals", "frames")


def options(**values: Any) -> EgemapsOptions:
    return validate(EgemapsOptions, values, "egemaps")


def sample(samples: Any, rate: int = RATE) -> Sample:
    return Sample("clip", {"audio": Audio(np.asarray(samples, np.float32), rate)})


def voice(seconds: float, hertz: float = 150.0) -> FloatArray:
    """A steady tone with many overtones [N]."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sign(np.sin(2 * np.pi * hertz * time))).astype(np.float32)


class Table:
    """What openSMILE returns, as far as the plugin looks at it."""

    def __init__(self, values: Any, seconds: list[tuple[float, float]]) -> None:
        self._values = np.asarray(values)
        self.index = [(timedelta(seconds=a), timedelta(seconds=b)) for a, b in seconds]

    def to_numpy(self, dtype: Any = None) -> Any:
        return self._values.astype(dtype or self._values.dtype)


class Smile:
    """Stands in for openSMILE: the mean, and the mean of each 60 ms, in all columns."""

    asked: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, feature_set: str, feature_level: str) -> None:
        self.level = feature_level
        self.num_features = SIZES[feature_set][feature_level == "LowLevelDescriptors"]

    def process_signal(self, signal: FloatArray, sampling_rate: int) -> Table:
        assert signal.ndim == 1
        self.asked.append((len(signal), sampling_rate))
        hop, window = round(0.01 * sampling_rate), round(0.06 * sampling_rate)
        if self.level == "Functionals":
            return Table(np.full((1, self.num_features), signal.mean()), [(0, len(signal) / sampling_rate)])
        means = [signal[start : start + window].mean() for start in range(0, len(signal) - window + 2 * hop, hop)]
        return Table(np.tile(np.array(means)[:, None], self.num_features), [(0, 0)] * len(means))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    module: Any = ModuleType("opensmile")
    module.Smile = Smile
    module.FeatureSet = SimpleNamespace(**{name: name for name in SIZES})
    module.FeatureLevel = SimpleNamespace(Functionals="Functionals", LowLevelDescriptors="LowLevelDescriptors")
    monkeypatch.setitem(sys.modules, "opensmile", module)
    Smile.asked.clear()
    return Smile.asked


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", SIZES)
def test_sets_and_levels(name: str, level: str) -> None:
    made = Egemaps(options(feature_set=name, level=level), "cpu")
    assert made.dim == SIZES[name][level == "frames"]
    (found,) = made.extract([sample(np.full(RATE, 0.25))])
    assert isinstance(found, Features)
    assert found.values.dtype == np.float32
    assert found.level == options(level=level).feature_level() == ("frame" if level == "frames" else "clip")
    np.testing.assert_allclose(found.values, 0.25)
    if found.times is not None:
        centre = 0.03 if name == "ComParE_2016" else 0.01
        np.testing.assert_allclose(found.times, centre + 0.01 * np.arange(96), atol=1e-9)
        assert found.times[-1] < 1


@pytest.mark.parametrize(
    ("samples", "answer"),
    [
        (np.zeros(RATE), Missing("the sound is silent")),
        (voice(0.05), Missing("the sound is shorter than 60 ms")),
        (np.zeros(0), Missing("the sound is shorter than 60 ms")),
        ([np.nan] * RATE, Failure("the sound has samples that are not numbers")),
    ],
)
def test_what_cannot_be_measured(samples: Any, answer: Any, stand_in: list[tuple[int, int]]) -> None:
    assert Egemaps(options(), "cpu").extract([sample(samples)]) == [answer]
    assert stand_in == []


def test_each_clip_goes_alone_and_whole(stand_in: list[tuple[int, int]]) -> None:
    found = Egemaps(options(), "cpu").extract([sample(voice(seconds)) for seconds in (0.06, 1.0, 12.5)])
    assert all(isinstance(one, Features) for one in found)
    assert stand_in == [(960, RATE), (RATE, RATE), (200000, RATE)]


def test_the_licence_and_what_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = discover()
    spec = catalogue.entry(ExtractorSpec, "egemaps").spec
    assert isinstance(spec, ExtractorSpec)
    assert "non-commercial" in spec.licence
    assert "non-commercial" in spec.summary
    monkeypatch.setattr("mer_core.catalogue.find_spec", lambda name: None, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    monkeypatch.delitem(sys.modules, "opensmile", raising=False)
    with pytest.raises(MissingPackageError, match=r"pip install 'mer-toolkit\[egemaps\]'"):
        discover().load(ExtractorSpec, "egemaps")


# with openSMILE itself


@pytest.fixture
def real() -> Any:
    return pytest.importorskip("opensmile")


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", SIZES)
def test_real_sizes(name: str, level: str) -> None:
    made = Egemaps(options(feature_set=name, level=level), "cpu")
    assert made.dim == SIZES[name][level == "frames"]
    (short, shortest) = made.extract([sample(voice(0.05)), sample(voice(0.06))])
    assert isinstance(short, Missing)
    assert isinstance(shortest, Features)
    assert np.isfinite(shortest.values).all()


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("hertz", [110.0, 150.0, 220.0])
def test_pitch_is_in_semitones_above_27_5_hz(hertz: float) -> None:
    """Closed form: 12 log2(f / 27.5 Hz), the first functional of the set and a descriptor of every frame."""
    (whole,) = Egemaps(options(), "cpu").extract([sample(voice(1.0, hertz))])
    expected = 12 * np.log2(hertz / 27.5)
    assert isinstance(whole, Features)
    assert whole.values[0] == pytest.approx(expected, abs=0.05)
    frames = Egemaps(options(level="frames"), "cpu")
    column = frames._smile.feature_names.index("F0semitoneFrom27.5Hz_sma3nz")
    (found,) = frames.extract([sample(voice(1.0, hertz))])
    assert isinstance(found, Features)
    np.testing.assert_allclose(found.values[5:-5, column], expected, atol=0.05)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("name", ["eGeMAPSv02", "ComParE_2016"])
def test_real_times(name: str) -> None:
    made = Egemaps(options(feature_set=name, level="frames"), "cpu")
    (found,) = made.extract([sample(voice(1.0))])
    table = made._smile.process_signal(voice(1.0), RATE)
    spans = [(start.total_seconds(), end.total_seconds()) for start, end in table.index]
    assert isinstance(found, Features)
    assert found.times is not None
    np.testing.assert_allclose(found.times[:-2], [(a + b) / 2 for a, b in spans][:-2], atol=1e-6)
    assert found.times[-1] < 1


@conformance("egemaps")
def test_contract(check: BoundCheck) -> None:
    pytest.importorskip("opensmile")
    check()


def test_contract_of_frames() -> None:
    pytest.importorskip("opensmile")
    only = ["dimension", "times"]
    report = check_plugin("egemaps", options={"level": "frames"}, only=only)
    assert report.ok, str(report)
