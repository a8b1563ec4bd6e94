"""What an extractor has to keep to, as named checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mer_core.spec import ExtractorSpec, declared_level
from mer_core.testing import answering
from mer_core.testing.answering import SHORT, SILENT, require_answer, require_sequence
from mer_core.testing.bench import FIT_SEED, MIXED, ORDINARY, Bench, bench
from mer_core.testing.common import light_import, options
from mer_core.testing.inputs import NoInput, seconds_of
from mer_core.testing.kit import Check, CheckFailed, NotApplicable, Raised, check, require
from mer_core.testing.padding import padding
from mer_core.testing.subject import Subject
from mer_core.types import Features, Sample

EARLY, LATE = 0.5, 0.25
"""The last time lies past this share of the clip, and at most so many seconds beyond its end."""


@check(cure="take `(options, device)` and be ready when `__init__` returns; look at what the plugin asks of its inputs")
def starts(subject: Subject) -> None:
    """It can be made, and turns an ordinary clip of three seconds into features."""
    from mer_core.engine.answers import not_numbers

    at = bench(subject)
    at.require_inputs()
    answer = at.alone(ORDINARY)
    require_answer(at, answer, Features)
    for name in ("values", "times"):
        if type(getattr(answer, name)).__module__.partition(".")[0] == "torch":
            raise CheckFailed(f"Features.{not_numbers(name, getattr(answer, name))}.")
    require_sequence(at)


@check(needs=("starts",), cure="compute `dim` from the options or the model")
def dimension(subject: Subject) -> None:
    """``dim`` and the level of the spec are those of the features."""
    from mer_core.engine.answers import wrong_features

    at = bench(subject)
    spec = subject.spec
    assert isinstance(spec, ExtractorSpec)
    declared: Any = getattr(at.instance if at.supervised else at.new(), "dim", None)
    require(
        isinstance(declared, int | np.integer) and declared > 0,
        f"dim is {declared!r} before the first clip: give the class an attribute or property dim, the number of "
        "columns, a whole number above 0.",
    )
    answer = at.alone(ORDINARY)
    level = declared_level(spec, subject.options)
    wrong = wrong_features(_without_flaws(answer), int(declared), level)
    require(not wrong, f"{ORDINARY}: {wrong}. {right_shape(answer, level)}")
    now = at.instance.dim
    require(now == declared, f"dim was {declared} before the first clip and is {now} after it: it must not change.")


def right_shape(answer: Features, level: str) -> str:
    """What to do about features that are not of the ``level`` of the spec, or have not ``dim`` columns."""
    vector, timed = np.ndim(answer.values) == 1, answer.times is not None
    if level == "clip" and (timed or not vector):
        return 'Return Features(vector), [D] and no times, or leave level="clip" out of the spec.'
    if level == "frame" and vector:
        return 'For one vector per clip, write level="clip" in the spec.'
    return "Correct dim or the features." if timed or level == "clip" else "Give the time of each frame, too."


def _without_flaws(answer: Features) -> Features:
    """The features without what other checks look at: cells that are not finite, and times."""
    values = answer.values
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        values = np.nan_to_num(values)
    return Features(values, None if answer.times is None else np.arange(float(len(values))))


@check(needs=("starts",), cure="give the centre of each frame in seconds from the clip's start")
def times(subject: Subject) -> None:
    """Times are seconds from the clip's start, in order, from its beginning to its end."""
    at = bench(subject)
    for scene in (ORDINARY, MIXED[2]):
        answer = at.alone(scene)
        if not isinstance(answer, Features) or answer.times is None or not at.maker.timed:
            raise NotApplicable("the features have no time axis")
        wrong = wrong_times(answer, seconds_of(at.maker.sample(scene)))
        require(not wrong, f"{scene}: {wrong}. Give the centre of each frame in seconds from the clip's start.")


def wrong_times(answer: Features, seconds: float) -> str:
    """What is wrong with the times of features of a clip of ``seconds``; empty if nothing is."""
    moments = np.asarray(answer.times)
    if moments.shape != (len(answer.values),) or moments.dtype.kind not in "fiu":
        return f"times are {moments.dtype} {list(moments.shape)} for {len(answer.values)} frames"
    if not np.isfinite(moments).all():
        return "some times are not finite"
    if (np.diff(moments) < 0).any():
        return f"times go back from {moments[:-1][np.diff(moments) < 0][0]:g} s"
    first, last = float(moments[0]), float(moments[-1])
    step = float(np.median(np.diff(moments))) if len(moments) > 1 else 0.0
    if first < -1e-6 or last > seconds + LATE + min(step, 1.0):
        return (
            f"times run from {first:g} to {last:g}, but the clip from 0 to {seconds:g} s (milliseconds? frame numbers?)"
        )
    if last < EARLY * seconds or first > (1 - EARLY) * seconds:
        return f"times run from {first:g} to {last:g}, but the clip has something to see and hear until {seconds:g} s"
    return ""


@check(needs=("starts",), cure="guard logarithms and divisions, or return `Missing`")
def finite(subject: Subject) -> None:
    """No cell is NaN or infinite, not even in silence or 50 ms."""
    at = bench(subject)
    for scene in (ORDINARY, *MIXED, *SILENT, *SHORT):
        try:
            answer = at.alone(scene)
        except (CheckFailed, NoInput):
            continue  # another check tells of it
        if isinstance(answer, Features):
            bad = int((~np.isfinite(np.asarray(answer.values, np.float64))).sum())
            require(
                not bad,
                f"{scene}: {bad} of {np.size(answer.values)} cells are NaN or infinite. Guard logarithms and "
                "divisions (log(x + 1e-10)), or return Missing(reason).",
            )


@check(needs=("determinism",), cure="yield `(sample.id, answer)` once for every sample")
def stream(subject: Subject) -> None:
    """``extract_stream`` answers every clip once, as ``extract`` does."""
    at = bench(subject)
    if not hasattr(at.instance, "extract_stream"):
        raise NotApplicable("the class has no extract_stream")
    answers = _streamed(at)
    samples = [f"clip-{number}" for number in range(len(MIXED))]
    seen = [name for name, _ in answers]
    twice = sorted({name for name in seen if seen.count(name) > 1})
    require(not twice, f"extract_stream answered {', '.join(twice)} more than once: yield each sample id once.")
    require(
        sorted(seen) == sorted(samples),
        f"extract_stream answered {len(seen)} of {len(samples)} clips (not "
        f"{', '.join(sorted(set(samples) - set(seen))) or 'more'}): yield (sample.id, answer) for every sample.",
    )
    found = dict(answers)
    wrong = at.mismatch([found[name] for name in samples], MIXED)
    require(not wrong, f"extract_stream answers otherwise than extract. {wrong}.")


def _streamed(at: Bench) -> list[tuple[str, Any]]:
    def samples() -> Iterator[Sample]:
        yield from (at.maker.sample(scene, number) for number, scene in enumerate(MIXED))

    try:
        return [(str(name), answer) for name, answer in at.instance.extract_stream(samples())]
    except (Exception, SystemExit) as error:
        raise Raised(f"extract_stream raised {at.said(error)}.") from error


@check(needs=("determinism",), cure="put all that `fit` learns into the state; draw all chance from `supervision.seed`")
def restore(subject: Subject) -> None:
    """What ``fit`` returns brings a new instance into the same state; the same seed, the same fit."""
    at = bench(subject)
    if not at.supervised:
        raise NotApplicable("the spec does not say supervised")
    expected = [at.alone(scene) for scene in MIXED[:3]]
    _require_state(at.state)
    try:
        restored = at.another()
    except CheckFailed:
        raise
    except Exception as error:
        raise Raised(f"restore raised {at.said(error)}: it has to take what fit returned.") from error
    wrong = at.mismatch([at.fresh(scene, restored) for scene in MIXED[:3]], MIXED[:3], expected)
    require(not wrong, f"a new instance, restored, answers otherwise. {wrong}. Put all that fit learns into its state.")
    again = at.new()
    at.fit(again)
    wrong = at.mismatch([at.fresh(scene, again) for scene in MIXED[:3]], MIXED[:3], expected)
    require(not wrong, f"fitted again with seed {FIT_SEED} it answers otherwise. {wrong}. Draw all chance from seed.")


def _require_state(state: Any) -> None:
    require(
        isinstance(state, Mapping) and len(state) > 0,
        f"fit returned {type(state).__name__}: return the learnt state as named arrays.",
    )
    bad = [
        str(name)
        for name, array in state.items()
        if not isinstance(name, str) or not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf"
    ]
    require(not bad, f"{', '.join(bad)} of the state is no numpy array of numbers under a text name: make it one.")


CHECKS: tuple[Check, ...] = (
    light_import,
    options,
    starts,
    dimension,
    times,
    answering.order,
    answering.batch_invariance,
    padding,
    answering.silence,
    answering.short,
    answering.long,
    answering.determinism,
    answering.inputs_unchanged,
    finite,
    answering.threads,
    answering.spawned,
    answering.offline,
    stream,
    restore,
)
