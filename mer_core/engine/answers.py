"""Calling plugins and judging what they return: bad output becomes a Failure of one clip."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mer_core.blame import place, said
from mer_core.engine.types import ExtractorJob, Job, Raised
from mer_core.errors import EnvironmentProblem, MediaError, MerError, PluginError
from mer_core.files import AGAIN, disk_full
from mer_core.types import Audio, Derived, Failure, Features, Frames, Missing, Sample, Text

Answer = Features | Derived | Missing | Failure


def make_instance(job: Job, device: str) -> Any:
    """The plugin, ready to work.

    Raises:
        PluginError: its constructor failed (a MerError of its own passes as it is).
    """
    try:
        return job.plugin_class(job.options, device)
    except MerError:
        raise
    except Exception as error:
        _refuse_full_disk(error, job.spec.name)
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"{job.spec.name} cannot start ({reason}).", f"See mer plugins show {job.spec.name}."
        ) from error


def answer_batch(job: Job, instance: Any, samples: Sequence[Sample]) -> list[Answer]:
    """One checked answer per sample, whatever the plugin does short of killing the process."""
    call = instance.extract if isinstance(job, ExtractorJob) else instance.derive
    dim = int(instance.dim) if isinstance(job, ExtractorJob) else 0
    return [check_answer(job, dim, answer) for answer in bisect(call, samples, _stage(job), job.spec.target)]


def bisect(
    call: Callable[[Sequence[Sample]], Any], samples: Sequence[Sample], stage: str, target: str = ""
) -> list[Any]:
    """``call(samples)``; where it raises, or miscounts, the halves one by one, down to single clips.

    Args:
        target: ``package.module:Class`` of the plugin, to say which line of it raised.
    """
    try:
        answers = list(call(samples))
        if len(answers) == len(samples):
            return answers
        failure = Failure(f"returned {_count(len(answers), 'answer')} for {_count(len(samples), 'clip')}", stage)
    except MediaError as error:
        failure = Failure(str(error), "decode")
    except (Exception, SystemExit) as error:
        _refuse_full_disk(error, target)
        failure = raised(error, stage, target)
    if len(samples) == 1:
        return [failure]
    half = len(samples) // 2
    return bisect(call, samples[:half], stage, target) + bisect(call, samples[half:], stage, target)


def _refuse_full_disk(error: BaseException, plugin: str) -> None:
    """A full disk is no fault of a clip, and the next clips would find it full, too.

    Raises:
        EnvironmentProblem: ``error`` says that there is no space left.
    """
    if disk_full(error):
        place = getattr(error, "filename", None)
        where = f" while writing {place}" if place else ""
        raise EnvironmentProblem(f"the disk is full: {plugin.rpartition(':')[2]} stopped{where}.", AGAIN) from error


def raised(error: BaseException, stage: str, target: str) -> Raised:
    """``ValueError: boom (my_package/extractor.py, line 33)``, with the traceback."""
    where = place(error, target)
    text = sys.intern("".join(traceback.format_exception(error)))  # equal ones are kept once
    return Raised(said(error, where), stage, f"{type(error).__name__} ({where})", text)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun if n == 1 else noun + 's'}"


def _stage(job: Job) -> str:
    return "extract" if isinstance(job, ExtractorJob) else job.name


def check_answer(job: Job, dim: int, answer: Any) -> Answer:
    """``answer`` if the contract allows it (features as float32), else a Failure that says why not."""
    if isinstance(answer, Failure | Missing):
        return answer
    if isinstance(job, ExtractorJob):
        wrong = f"returned {type(answer).__name__}, not Features" if not isinstance(answer, Features) else ""
        wrong = wrong or wrong_features(answer, dim, job.level)
        return Failure(wrong) if wrong else Features(np.asarray(answer.values, np.float32), answer.times)
    wrong = (
        f"returned {type(answer).__name__}, not Derived" if not isinstance(answer, Derived) else wrong_derived(answer)
    )
    return Failure(wrong, job.name) if wrong else answer


def wrong_features(answer: Features, dim: int, level: str) -> str:
    """What is wrong with features that should be [T, ``dim``] or [``dim``]; empty if nothing is."""
    values, times = answer.values, answer.times
    if wrong := not_numbers("values", values) or (not_numbers("times", times) if times is not None else ""):
        return wrong
    if answer.level != level or values.ndim != (1 if level == "clip" else 2):
        shape = f"{answer.level}-level features of shape {values.shape}"
        return f"returned {shape}, but the spec says level {level!r}"
    if values.shape[-1] != dim:
        return f"returned {values.shape[-1]} columns, but dim is {dim}"
    if not values.size:
        return "returned no frames"
    if times is not None and (times.shape != (len(values),) or not np.isfinite(times).all()):
        return f"returned times of shape {np.shape(times)} for {len(values)} frames, or times that are not finite"
    return "" if np.isfinite(values).any() else "every value is NaN or infinite"


def not_numbers(name: str, array: Any) -> str:
    """Why the part ``name`` of features is no numpy array of numbers, and what to do; empty if it is one."""
    if isinstance(array, np.ndarray) and array.dtype.kind in "fiu":
        return ""
    if type(array).__module__.partition(".")[0] == "torch":
        cure = ".float().cpu().numpy()" if name == "values" else ".cpu().numpy()"
        return f"{name} are a torch.{type(array).__name__}, not a numpy array: return {name}{cure}"
    return f"{name} are {getattr(array, 'dtype', type(array).__name__)}, not a numpy array of numbers"


def wrong_derived(answer: Derived) -> str:
    """What keeps an artefact from being stored; empty if nothing does."""
    for name, array in answer.arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or "/" in name:
            return f"array {name!r} is no array of numbers"
    try:
        json.dumps(dict(answer.info))
    except (TypeError, ValueError) as error:
        return f"info is not JSON-able ({error})"
    return ""


def nonfinite_cells(answer: Answer) -> int:
    """NaN and infinite cells of features."""
    return int((~np.isfinite(answer.values)).sum()) if isinstance(answer, Features) else 0


def unusable(inputs: Mapping[str, Any], optional: frozenset[str] = frozenset()) -> Missing | Failure | None:
    """The first input that is not there, a failed one before a missing one; None if all are."""
    failed = next((value for value in inputs.values() if isinstance(value, Failure)), None)
    gone = next((v for n, v in inputs.items() if isinstance(v, Missing) and n not in optional), None)
    return failed or gone


def playing_time(inputs: Mapping[str, Any]) -> float:
    """Seconds of the longest input (a text counts as if read aloud); at least 0.1."""
    aloud = [len(value.content) / 12 for value in inputs.values() if isinstance(value, Text)]
    return max([0.1, media_time(inputs), *aloud])


def media_time(inputs: Mapping[str, Any]) -> float:
    """Seconds of the longest sound or pictures; 0 if there are none."""
    return max(map(_seconds, inputs.values()), default=0.0)


def _seconds(value: Any) -> float:
    if isinstance(value, Audio):
        return value.duration
    if isinstance(value, Frames) and len(value):
        span = float(value.times[-1] - value.times[0])
        return max(span * len(value) / max(len(value) - 1, 1), len(value) / 30)
    return 0.0


def decoded_bytes(inputs: Mapping[str, Any]) -> int:
    """Memory that decoded inputs hold."""
    sizes = [
        v.samples.nbytes if isinstance(v, Audio) else v.images.nbytes if isinstance(v, Frames) else 0
        for v in inputs.values()
    ]
    return sum(sizes) + 1024
