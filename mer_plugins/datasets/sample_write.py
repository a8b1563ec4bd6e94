"""Writing the sample data set to disk: media files, manifest, facts and a README."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.plugin import EnvironmentProblem

VIDEO_ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""Tried in this order; every PyAV wheel has the first."""

COLUMNS = ("id", "video", "audio", "text", "label", "speaker", "split", "language", "synthetic")


def write_mp4(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    fps: int,
    size: tuple[int, int],
    sound: NDArray[np.float32] | None,
    rate: int,
) -> None:
    """Write H.264 pictures and, unless ``sound`` is None, an AAC track into ``path``.

    Args:
        images: RGB uint8 [H, W, 3] of ``size`` (width, height), ``fps`` per second.
        sound: mono float32 [N] at ``rate`` Hz.
    """
    import av

    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream(_encoder(), rate=fps)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.time_base = Fraction(1, fps)
        video.codec_context.thread_count = 1
        if video.codec_context.name == "libx264":
            video.options = {"preset": "superfast", "crf": "20", "tune": "animation"}
        audio = None if sound is None else container.add_stream("aac", rate=rate, layout="mono", bit_rate=64000)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            _write_sound(container, audio, sound, rate)


def _write_sound(container: Any, stream: Any, sound: NDArray[np.float32], rate: int) -> None:
    import av

    for start in range(0, len(sound), 1024):
        block = np.ascontiguousarray(sound[None, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_wav(path: Path, sound: NDArray[np.float32], rate: int) -> None:
    """Write mono ``sound`` [N] at ``rate`` Hz as 16-bit WAV."""
    import soundfile

    soundfile.write(path, sound, rate, subtype="PCM_16")


def _encoder() -> str:
    import av

    for name in VIDEO_ENCODERS:
        if name in av.codecs_available:
            return name
    raise EnvironmentProblem("This PyAV cannot encode video.", "Install the official wheel: pip install --force av")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write ``rows`` as UTF-8 CSV; a missing key is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write ``facts`` as indented JSON."""
    path.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def readme(facts: Mapping[str, Any]) -> str:
    """The README beside the data, as text."""
    lines = "\n".join(f"    {name:<7}{value:.2f}" for name, value in facts["ceilings"].items())
    return README.format(ceilings=lines, together=facts["ceiling_together"], **facts["options"])


README = """\
SYNTHETIC DATA. No person was filmed or recorded.

The faces are drawn, the voices computed and the sentences put together by mer's built-in data set
"sample" ({clips} clips, seed {seed}). It shows that an installation works and what mer does. A score
on it says nothing about emotions, about people, or about how good a model is on real recordings.

manifest.csv   one row per clip; the column "synthetic" is true everywhere
clips/         the media: H.264/AAC mp4, a few WAV files
answers.csv    for whoever wants to check the generator: the true class of every clip, unlabelled
               ones included, and the class that each modality shows
dataset.json   options, version and ceilings

Each modality shows a clip's true class only with the probability below, otherwise another class
that it is mistaken for. No classifier of that modality alone can be right more often, except by luck:

{ceilings}

All four together allow at most {together:.2f}. Some clips have no sound, no transcript, nobody in view, or
no picture at all. Clips of the test split are by two speakers who occur nowhere else.
"""
