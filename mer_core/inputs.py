"""What extractors and derivers read of a clip, as they declare it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioInput:
    """Mono float32 sound at ``rate`` Hz. Arrives as :class:`mer_core.types.Audio`."""

    rate: int = 16000


@dataclass(frozen=True, slots=True)
class FramesInput:
    """Frames of the video: at ``fps`` per second, or ``count`` spread over the clip, or all.

    Args:
        fps: frames per second, by presentation time; never more than the video has.
        count: exactly this many frames, centred in equal segments (test sampling of ViFi-CLIP).
        faces: aligned crops of the main face instead of whole frames, ``size`` pixels square.
        size: side of the square crop in pixels, for faces.
        max_side: whole frames are scaled down so that the longer side has at most this many pixels.
        stream: arrive as an iterator (:class:`mer_core.types.FrameStream`) instead of an array.
    """

    fps: float | None = None
    count: int | None = None
    faces: bool = False
    size: int | None = None
    max_side: int | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class TextInput:
    """The transcript. Arrives as :class:`mer_core.types.Text`."""


TRANSCRIPT = "transcript"
"""Name of the artefact that stands for the text of clips without one, where transcribing is asked for."""


@dataclass(frozen=True, slots=True)
class Transcribed(TextInput):
    """The transcript of a clip that has none of its own: read from the artefact ``TRANSCRIPT``.

    Made by mer in place of :class:`TextInput`; no plugin declares it.
    """


@dataclass(frozen=True, slots=True)
class DerivedInput:
    """What the deriver producing ``name`` made. Arrives as :class:`mer_core.types.Derived`.

    Where it is missing for a clip, so are the features; with ``optional`` the plugin is called all
    the same, where it failed too (the next run tries it again), and finds
    :class:`mer_core.types.Missing` in ``sample.inputs``.
    """

    name: str
    optional: bool = False


Input = AudioInput | FramesInput | TextInput | DerivedInput


def derived_names(inputs: Mapping[str, Input]) -> tuple[str, ...]:
    """Names of the derived artefacts that ``inputs`` read, sorted; aligned faces read ``faces``."""
    named = {item.name for item in inputs.values() if isinstance(item, DerivedInput)}
    crops = any(isinstance(item, FramesInput) and item.faces for item in inputs.values())
    heard = any(isinstance(item, Transcribed) for item in inputs.values())
    return tuple(sorted(named | ({"faces"} if crops else set()) | ({TRANSCRIPT} if heard else set())))


def transcribed(inputs: Mapping[str, Input]) -> dict[str, Input]:
    """``inputs`` of a clip that has sound and no text, where texts are transcribed."""
    return {name: Transcribed() if isinstance(item, TextInput) else item for name, item in inputs.items()}
