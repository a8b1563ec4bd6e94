"""Checks that extractors and derivers share: both answer batches of samples, clip by clip."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from mer_core.spec import DeriverSpec, ExtractorSpec
from mer_core.testing import tiny
from mer_core.testing.bench import ALIKE, MIXED, ORDINARY, Bench, bench
from mer_core.testing.compare import distance
from mer_core.testing.inputs import Scene, arrays_of
from mer_core.testing.kit import CheckFailed, NotApplicable, Raised, check, require
from mer_core.testing.subject import Subject
from mer_core.types import Features

SILENT = (
    Scene(mood="silent", text=""),
    Scene(mood="silent", text="……！？ ..."),
)
SHORT = (Scene(seconds=0.05, seed=2, frames=1), Scene(seconds=0.05, seed=3, frames=1))
"""50 ms of sound, a single frame, one character (Chinese, then English)."""
LONG = Scene(seconds=60.0, seed=4)

MISTAKEN = 0.1
"""An answer this much nearer to another clip's than to its own was given to the wrong clip."""

LEAK = (
    "Leave the padding of a batch out of every mean, normalisation and attention (pass the mask), or work clip by clip."
)
EDGE = (
    "Only the ends of clips differ: windows or convolutions look past them into the padding (torch.stft(center=True), "
    "padding='same'). Compute those clip by clip, or clear the padding before each of them."
)
DROPOUT = "Is the model in eval()? Dropout is random."

THREADS = 4


@check(
    needs=("starts",),
    cure="one answer per sample, in the order of the batch, also where it is `Missing`; pad clips before stacking them",
)
def order(subject: Subject) -> None:
    """A batch gets one answer per clip, in the order of the clips."""
    at = bench(subject)
    for scenes in (ALIKE, MIXED):
        answers = at.together(scenes)
        require(
            len(answers) == len(scenes),
            f"{at.method} returned {len(answers)} answers for {len(scenes)} clips: return one per sample, Missing or "
            "Failure where there is nothing else to say.",
        )
        _require_own(at, scenes, answers)


def _require_own(at: Bench, scenes: Sequence[Scene], answers: Sequence[Any]) -> None:
    tolerance = at.subject.tolerance
    alone = [at.alone(scene) for scene in scenes]
    for number, answer in enumerate(answers):
        apart = [distance(answer, other, at.scale, tolerance) for other in alone]
        nearest = int(np.argmin(apart))
        require(
            apart[nearest] >= MISTAKEN * apart[number] or apart[number] <= tolerance,
            f"answer {number} of a batch is that of clip {nearest} ({scenes[nearest]}), not of clip {number} "
            f"({scenes[number]}): return answers in the order of the samples.",
        )


@check(
    needs=("order", "determinism"),
    cure="pass the attention mask, cut the padding off before anything is computed over time, or go clip by clip",
)
def batch_invariance(subject: Subject) -> None:
    """A clip's answer is the same alone and beside longer and shorter clips, a clip of a few samples too."""
    at = bench(subject)
    answers = at.together(MIXED)
    wrong = at.mismatch(answers, MIXED)
    require(
        not wrong,
        f"beside longer clips the answer is another than alone. {wrong}. {EDGE if at.edgy(answers, MIXED) else LEAK}",
    )
    for scene, name in tiny.scenes(at):
        wrong = tiny.beside(at, scene)
        require(not wrong, f"{name} beside one of {MIXED[0].seconds:g} s: {wrong}. {tiny.WINDOW}")


@check(needs=("starts",), cure="answer them, or return `Missing`; silence is no error")
def silence(subject: Subject) -> None:
    """Silent sound, black pictures and empty text get an answer, no exception and no Failure."""
    at = bench(subject)
    for scene in SILENT:
        wrong = at.acceptable(at.alone(scene))
        require(not wrong, f"{scene}: {wrong}. Silence is no error: answer it, or return Missing(reason).")


@check(needs=("starts",), cure="pad to the model's window, or return `Missing`")
def short(subject: Subject) -> None:
    """50 ms of sound, a single frame, one character get an answer, no exception and no Failure."""
    at = bench(subject)
    for scene in SHORT:
        wrong = at.acceptable(at.alone(scene))
        require(
            not wrong,
            f"a clip of 50 ms, one frame, one character: {wrong}. Pad what is shorter than the model's window, or "
            "return Missing(reason).",
        )
    for scene, name in tiny.scenes(at):
        tiny.require_within(at, scene, name)


@check(needs=("starts",), cure="cut long clips into pieces inside of the plugin")
def long(subject: Subject) -> None:
    """A clip of one minute gets an answer of the usual kind."""
    at = bench(subject)
    answer, usual = at.alone(LONG), at.alone(ORDINARY)
    wrong = at.acceptable(answer)
    if not wrong and type(answer) is not type(usual):
        wrong = f"{type(answer).__name__} ({getattr(answer, 'reason', '')}) instead of {type(usual).__name__}"
    require(not wrong, f"a clip of {LONG.seconds:.0f} s: {wrong}. Cut long clips into pieces inside the plugin.")


@check(needs=("starts",), cure="`eval()`, no random crops, nothing kept from one clip to the next")
def determinism(subject: Subject) -> None:
    """The same clip gets the same answer again, also after other clips and from a new instance."""
    at = bench(subject)
    remedy = "Seed what is random, and keep nothing from one clip to the next."
    before = [at.alone(scene) for scene in MIXED[:2]]
    at.together(ALIKE[:2])
    wrong = at.mismatch([at.fresh(scene) for scene in MIXED[:2]], MIXED[:2], before)
    require(
        not wrong, f"{DROPOUT} The same instance, asked again after other clips, answers otherwise. {wrong}. {remedy}"
    )
    if not at.supervised:
        other = at.new()
        wrong = at.mismatch([at.fresh(scene, other) for scene in MIXED[:2]], MIXED[:2], before)
        require(not wrong, f"a new instance answers otherwise. {wrong}. {remedy}")


@check(needs=("starts",), cure="copy before working in place")
def inputs_unchanged(subject: Subject) -> None:
    """The arrays of a sample are as they were: other plugins read them too."""
    at = bench(subject)
    sample = at.maker.sample(ORDINARY)
    before = {name: array.tobytes() for name, array in arrays_of(sample).items()}
    if not (before or sample.inputs):
        raise NotApplicable("the plugin declares no inputs")
    names = sorted(sample.inputs)
    at.ask(at.instance, [sample], str(ORDINARY))
    after = {name: array.tobytes() for name, array in arrays_of(sample).items()}
    changed = [name for name in before if after.get(name) != before[name]]
    changed += sorted(set(names) ^ set(sample.inputs))
    require(
        not changed,
        f"{at.method} changed {', '.join(changed)} of the sample it was given: work on a copy, as other plugins "
        "receive the same arrays.",
    )


@check(needs=("determinism", "restore"), cure="keep state in the instance, not in the class or module")
def threads(subject: Subject) -> None:
    """Four instances in four threads answer as one does alone."""
    at = bench(subject)
    spec = subject.spec
    if not (isinstance(spec, ExtractorSpec | DeriverSpec) and spec.per_thread):
        raise NotApplicable("the spec does not say per_thread")
    scenes = [(*MIXED[number:], *MIXED[:number])[:3] for number in range(THREADS)]
    answers = _in_threads(at, scenes)
    for asked, found in zip(scenes, answers, strict=True):
        wrong = f"it raised {at.said(found)}" if isinstance(found, BaseException) else at.mismatch(found, asked)
        require(
            not wrong,
            f"{THREADS} instances at work in {THREADS} threads: {wrong}. Keep all state in the instance, none in "
            "the class or module, or leave per_thread out of the spec.",
        )


def _in_threads(at: Bench, scenes: Sequence[Sequence[Scene]]) -> list[Any]:
    samples = [[at.maker.sample(scene) for scene in asked] for asked in scenes]
    found: list[Any] = [None] * len(scenes)
    gate = threading.Barrier(len(scenes))

    def work(number: int) -> None:
        gate.wait()
        try:
            instance = at.another()
            found[number] = [at.ask(instance, [sample], "a clip")[0] for sample in samples[number]]
        except BaseException as error:
            found[number] = error

    crew = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(scenes))]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return found


@check(
    needs=("determinism", "restore"), cure="depend on the options alone: no state set up elsewhere, no `hash()` of text"
)
def spawned(subject: Subject) -> None:
    """A fresh process gives the same answers."""
    at = bench(subject)
    # A process without network that gives the right answers shows as much, and is needed anyway.
    wrong = at.elsewhere(offline=True) and at.elsewhere(offline=False)
    require(
        not wrong,
        f"in a fresh process: {wrong}. Depend on nothing but the options: no state set up elsewhere, no hash() "
        "of text (it differs from process to process).",
    )


@check(needs=("spawned",), cure="load from the cache or from a local folder; ask no server")
def offline(subject: Subject) -> None:
    """Once it has been used, the plugin works without network."""
    wrong = bench(subject).elsewhere(offline=True)
    require(
        not wrong,
        f"in a process without network: {wrong}. Load what was downloaded from the cache (HF_HUB_OFFLINE is set "
        "there), and ask no server.",
    )


def require_answer(at: Bench, answer: Any, wanted: type[Any]) -> None:
    """The ordinary clip has to be answered with ``wanted``.

    Raises:
        CheckFailed: it is not; the message says what came instead.
    """
    reason = getattr(answer, "reason", None)
    if isinstance(answer, wanted):
        return
    name = type(answer).__name__
    if wanted is Features and hasattr(answer, "shape"):
        raise CheckFailed(f"{at.method} answered {name}: return Features(values, times), not the array.")
    came = f"{name}({reason!r})" if reason is not None else name
    raise CheckFailed(
        f"{at.method} answered {came} to {ORDINARY}, where {wanted.__name__} was expected: speech, a face and a "
        "sentence are in it. Check what the plugin asks of its inputs."
    )


def require_sequence(at: Bench) -> None:
    """The answers come as a list or another sequence, not one by one or stacked into an array."""
    try:
        found = getattr(at.instance, at.method)([at.maker.sample(ORDINARY)])
    except (Exception, SystemExit) as error:
        raise Raised(f"{at.method} raised {at.said(error)} on {ORDINARY}.") from error
    require(
        isinstance(found, Sequence) and not isinstance(found, str),
        f"{at.method} returned a {type(found).__name__}, not a list: return [answer, ...], one answer per sample.",
    )
