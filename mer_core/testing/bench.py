"""The bench on which extractors and derivers are examined: instances, synthetic clips, answers."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.feature_set import Supervision
from mer_core.spec import DeriverSpec, ExtractorSpec, declared_inputs
from mer_core.testing.child import Order
from mer_core.testing.common import last_line, python
from mer_core.testing.compare import described, difference, only_at_ends, spread
from mer_core.testing.inputs import Maker, NoInput, Scene
from mer_core.testing.kit import CheckFailed, Raised
from mer_core.testing.subject import Subject
from mer_core.testing.words import said
from mer_core.types import Derived, Features, Missing, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDINARY = Scene(seconds=3.0, seed=0)
ALIKE = tuple(Scene(seconds=1.5, seed=seed) for seed in range(1, 6))
"""Five clips of one length."""
MIXED = tuple(Scene(seconds=s, seed=n) for n, s in enumerate((2.0, 1.0, 5.0, 1.4, 3.0), start=1))
"""Five clips of different lengths, neither sorted up nor down."""

FIT_CLIPS, FIT_SEED = 8, 7
"""A supervised extractor learns from so many clips of two classes, with this seed."""

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
_START = "from mer_core.testing.child import main; main()"


class Bench:
    """One plugin, its instances and what it answered; see :func:`bench`."""

    def __init__(self, subject: Subject) -> None:
        spec = subject.spec
        assert isinstance(spec, ExtractorSpec | DeriverSpec)
        self.subject, self.spec = subject, spec
        self.method = "extract" if isinstance(spec, ExtractorSpec) else "derive"
        self.maker = Maker(
            subject.catalogue,
            declared_inputs(spec, subject.options),
            subject.derived,
            subject.deriver_options,
            subject.entry.distribution,
        )
        self.state: Mapping[str, NDArray[Any]] | None = None
        self._alone: dict[Scene, Any] = {}
        self._together: dict[tuple[Scene, ...], list[Any]] = {}
        self._elsewhere: dict[bool, str] = {}

    @property
    def supervised(self) -> bool:
        """The plugin learns from labels."""
        return isinstance(self.spec, ExtractorSpec) and self.spec.supervised

    def new(self) -> Any:
        """A new instance, not fitted.

        Raises:
            Raised: it cannot be made.
            MerError: its class cannot be imported.
        """
        cls = self.subject.plugin_class
        try:
            return cls(self.subject.options, self.subject.device)
        except (Exception, SystemExit) as error:
            call = f"{cls.__name__}(options, {self.subject.device!r})"
            raise Raised(f"{call} raised {self.said(error)}.") from error

    def said(self, error: BaseException) -> str:
        """An exception in one line, with the plugin's own line that led to it."""
        return said(error, self.spec.target)

    def require_inputs(self) -> None:
        """Fail unless an ordinary clip with all inputs of the plugin can be made.

        Raises:
            CheckFailed: it cannot; saying what to install, or how to give a stand-in.
        """
        try:
            self.maker.sample(ORDINARY)
        except NoInput as error:
            stand_in = f"In pytest a stand-in will do: check(derived={{{error.artefact!r}: Derived(...)}})."
            raise CheckFailed(f"the plugin cannot be tried: {error} {stand_in}") from error

    def fit(self, instance: Any) -> Any:
        """Fit ``instance`` on synthetic clips of two classes; its state."""
        scenes = [Scene(seconds=1.5, seed=seed) for seed in range(FIT_CLIPS)]
        samples = [self.maker.sample(scene, number) for number, scene in enumerate(scenes)]
        try:
            return instance.fit(samples, _supervision())
        except (Exception, SystemExit) as error:
            raise Raised(f"fit on {FIT_CLIPS} clips of two classes raised {self.said(error)}.") from error

    @cached_property
    def instance(self) -> Any:
        """The instance that most checks share, fitted if the plugin learns."""
        made = self.new()
        if self.supervised:
            self.state = self.fit(made)
        return made

    def another(self) -> Any:
        """A new instance in the same state as :attr:`instance`."""
        shared, made = self.instance, self.new()
        if self.supervised and shared is not None:
            made.restore({name: np.array(array) for name, array in (self.state or {}).items()})
        return made

    def ask(self, instance: Any, samples: Sequence[Sample], about: str) -> list[Any]:
        """What ``instance`` answers to a batch.

        Raises:
            Raised: it raises.
        """
        try:
            return list(getattr(instance, self.method)(samples))
        except (Exception, SystemExit) as error:
            raise Raised(f"{self.method} raised {self.said(error)} on {about}.") from error

    def fresh(self, scene: Scene, instance: Any = None) -> Any:
        """The answer to one clip in a batch of its own, asked now."""
        found = self.ask(instance or self.instance, [self.maker.sample(scene)], str(scene))
        if len(found) != 1:
            raise CheckFailed(f"{self.method} returned {len(found)} answers for 1 clip: return one per sample.")
        return found[0]

    def alone(self, scene: Scene) -> Any:
        """The answer to one clip in a batch of its own."""
        if scene not in self._alone:
            self._alone[scene] = self.fresh(scene)
        return self._alone[scene]

    def together(self, scenes: tuple[Scene, ...]) -> list[Any]:
        """The answers to a batch of clips."""
        if scenes not in self._together:
            samples = [self.maker.sample(scene, number) for number, scene in enumerate(scenes)]
            self._together[scenes] = self.ask(self.instance, samples, f"a batch of {len(scenes)} clips")
        return self._together[scenes]

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """How far each feature column varies over ordinary clips."""
        return spread([self.alone(scene) for scene in (*MIXED, ORDINARY)])

    def differs(self, found: Any, expected: Any) -> str:
        """How two answers differ beyond the tolerance; empty if they do not."""
        return difference(found, expected, self.scale, self.subject.tolerance)

    def mismatch(self, answers: Sequence[Any], scenes: Sequence[Scene], expected: Sequence[Any] = ()) -> str:
        """Where ``answers`` to ``scenes`` differ from those of clips asked alone; empty if nowhere."""
        wanted = list(expected) or [self.alone(scene) for scene in scenes]
        for scene, found, right in zip(scenes, answers, wanted, strict=True):
            if differs := self.differs(found, right):
                return f"{scene}: {differs}"
        return ""

    def edgy(self, answers: Sequence[Any], scenes: Sequence[Scene]) -> bool:
        """Whether ``answers`` differ from those of clips asked alone in their first or last frames only."""
        pairs = [(found, self.alone(scene)) for found, scene in zip(answers, scenes, strict=True)]
        wrong = [pair for pair in pairs if self.differs(*pair)]
        return all(only_at_ends(*pair, self.scale, self.subject.tolerance) for pair in wrong)

    def engine_answer(self, samples: Sequence[Sample]) -> list[Any]:
        """What a run makes of a batch: where it raises, its halves are asked, down to a Failure of a single clip."""
        from mer_core.engine.answers import bisect

        return bisect(getattr(self.instance, self.method), samples, self.method, self.spec.target)

    def acceptable(self, answer: Any) -> str:
        """Why ``answer`` is none that the contract knows, whatever its numbers; empty if it is one."""
        kind = Features if isinstance(self.spec, ExtractorSpec) else Derived
        if isinstance(answer, Missing):
            return ""
        if not isinstance(answer, kind):
            return f"{described(answer)} instead of {kind.__name__} or Missing"
        if isinstance(answer, Features) and not np.size(answer.values):
            return f"{described(answer)}, which has no frames: return Missing(reason) instead"
        return ""

    def elsewhere(self, *, offline: bool) -> str:
        """What is wrong with the answers of a fresh process, without network or with; empty if nothing is."""
        if offline not in self._elsewhere:
            self._elsewhere[offline] = self._judge(self._run_child(offline))
        return self._elsewhere[offline]

    def _judge(self, reply: tuple[list[Any] | None, str]) -> str:
        answers, error = reply
        return self.mismatch(answers, MIXED[:3]) if answers is not None else f"it ended with {error}"

    def _run_child(self, offline: bool) -> tuple[list[Any] | None, str]:
        samples = [self.maker.sample(scene) for scene in MIXED[:3]]
        subject = self.subject
        order = Order(self.spec.target, subject.options, subject.device, self.state, self.method, samples)
        try:
            sent = pickle.dumps((offline, pickle.dumps(order)))
        except Exception as error:
            return None, f"the options cannot be pickled ({self.said(error)})"
        return run_child(sent, _OFFLINE if offline else {})


def _supervision() -> Supervision:
    """Two classes in turn, and no folder."""
    labels = np.arange(FIT_CLIPS, dtype=np.int64) % 2
    return Supervision(labels=labels, classes=("angry", "happy"), seed=FIT_SEED)


def run_child(sent: bytes, environment: Mapping[str, str]) -> tuple[list[Any] | None, str]:
    """What :mod:`mer_core.testing.child` replies in a fresh process: answers, or None and an error.

    Text is hashed otherwise there than here.
    """
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    process = python(["-c", _START], stdin=sent, environment={"PYTHONHASHSEED": seed, **environment})
    if process.returncode or not process.stdout:
        return None, f"exit status {process.returncode}: {last_line(process.stderr)}"
    reply: tuple[list[Any] | None, str] = pickle.loads(process.stdout)
    return reply


def bench(subject: Subject) -> Bench:
    """The bench of ``subject``, set up once."""
    if "bench" not in subject.memory:
        subject.memory["bench"] = Bench(subject)
    found: Bench = subject.memory["bench"]
    return found
