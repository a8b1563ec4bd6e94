"""Sound of any rate, layout and sample format as mono float32 at the rate that is asked for.

Plain audio files are read by libsndfile (through ``soundfile``), everything else by PyAV. A
segment is cut on the output's own sample grid, so that it equals the same part of the whole file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from mer_core.errors import MediaError
from mer_core.media.container import Media, check_file
from mer_core.types import Audio

if TYPE_CHECKING:
    from mer_core.aliases import FloatArray

PLAIN = frozenset({".wav", ".flac", ".ogg", ".oga", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"})
PREROLL = 0.25
"""Seconds decoded ahead of a segment: lossy codecs need what came before (Opus 80 ms)."""
ZERO_CROSSINGS = 32
"""Half length of the resampling filter, in samples of the lower rate."""
CENTRES = {"FC": 1.0, "LFE": 0.0, "FL": math.sqrt(0.5), "FR": math.sqrt(0.5)}
"""Weights of a downmix of more than two channels (ITU-R BS.775); 0.5 for those behind."""

PLACES = frozenset({"FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR", "BC", "FLC", "FRC"})
USUAL = ["FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"]
"""Order of the channels of 5.1 and 7.1 sound whose file does not name them."""

Loader = Callable[[int, "int | None"], "FloatArray"]
"""``load(first, last)``: mono samples at the file's own rate, ``last`` exclusive or None."""


def read_audio(path: Path, rate: int, start: float | None = None, end: float | None = None) -> Audio:
    """Sound of a media file as mono float32 at ``rate`` Hz.

    Channels are averaged; of more than two, front ones weigh more and the subwoofer nothing
    (ITU-R BS.775). ``start`` and ``end`` (seconds) cut a segment; past the end of the file there
    is less to return. Where the sound starts after the pictures, silence fills the difference.

    Raises:
        MediaError: the file cannot be read, has no sound track, nothing of the segment decodes,
            or it holds values that are not finite.
    """
    plain = read_plain(path, rate, start, end)
    if plain is not None:
        return plain
    with Media(path) as media:
        return read_sound(media, rate, start, end)


def read_sound(media: Media, rate: int, start: float | None = None, end: float | None = None) -> Audio:
    """As :func:`read_audio`, from a file that is open already."""
    native = media.stream("sound").codec_context.sample_rate
    if not native:
        raise MediaError(f"the sound of {media.path} cannot be decoded.", "Check that it plays.")
    return _segment(media.path, lambda first, last: _decode(media, native, first, last), native, rate, start, end)


def read_plain(path: Path, rate: int, start: float | None = None, end: float | None = None) -> Audio | None:
    """As :func:`read_audio` with libsndfile; None where that cannot: no plain audio file, an unknown
    coding, or more than two channels, whose order it does not tell.
    """
    check_file(path)
    if path.suffix.lower() not in PLAIN:
        return None
    try:
        with soundfile.SoundFile(str(path)) as file:
            if file.channels > 2:
                return None
            return _segment(path, lambda a, b: _read_samples(file, a, b), file.samplerate, rate, start, end)
    except soundfile.LibsndfileError:
        return None


def _read_samples(file: Any, first: int, last: int | None) -> FloatArray:
    """Mono samples ``first`` to ``last``; block by block, so that the channels are never all held."""
    if first >= file.frames:
        return np.zeros(0, dtype=np.float32)
    file.seek(first)
    wanted = -1 if last is None else last - first
    blocks = file.blocks(blocksize=1 << 18, frames=wanted, dtype="float32", always_2d=True)
    with np.errstate(all="ignore"):
        found = [block.mean(axis=1, dtype=np.float32) for block in blocks]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.float32)


def _segment(path: Path, load: Loader, native: int, rate: int, start: float | None, end: float | None) -> Audio:
    """Load, resample and cut: output sample k of the segment is sample ``start * rate + k`` of the file."""
    first = max(0, round((start or 0.0) * rate))
    last = None if end is None else max(first + 1, round(end * rate))
    up, down = _ratio(native, rate)
    margin = 0 if up == down else math.ceil(ZERO_CROSSINGS * max(1.0, down / up)) + 1
    begin = max(0, first * down // up - margin) // down * down
    stop = None if last is None else math.ceil(last * down / up) + margin
    samples = load(begin, stop)
    offset = first - begin // down * up
    cut = resample(samples, native, rate)[offset : None if last is None else offset + last - first]
    if not len(cut):
        raise MediaError(
            f"no sound of {path} can be decoded" + (f" from {start} s on." if start else "."),
            "Check that it plays, and start and end if the row has them.",
        )
    if not np.isfinite(cut).all():
        raise _nonfinite(path)
    return Audio(np.ascontiguousarray(cut), rate)


def refuse_nonfinite(path: Path) -> None:
    """Read a plain audio file of floating-point samples for values that :func:`read_audio` refuses.

    Every other coding holds finite values only, and is not read.

    Raises:
        MediaError: a sample is NaN or infinite.
    """
    if path.suffix.lower() not in PLAIN:
        return
    try:
        with soundfile.SoundFile(str(path)) as file:
            blocks = file.blocks(blocksize=1 << 18, dtype="float32") if file.subtype in ("FLOAT", "DOUBLE") else ()
            whole = all(np.isfinite(block).all() for block in blocks)
    except soundfile.LibsndfileError:
        return
    if not whole:
        raise _nonfinite(path)


def _nonfinite(path: Path) -> MediaError:
    return MediaError(f"the sound of {path} has values that are not finite.", "Export it again.")


def _ratio(native: int, rate: int) -> tuple[int, int]:
    common = math.gcd(native, rate)
    return rate // common, native // common


def resample(samples: FloatArray, native: int, rate: int) -> FloatArray:
    """``samples`` float32 [N] from ``native`` to ``rate`` Hz: float32 [ceil(N * rate / native)].

    A polyphase windowed sinc (Kaiser window, about 80 dB), without delay; sample 0 stays sample 0.
    """
    up, down = _ratio(native, rate)
    if up == down or not len(samples):
        return samples
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(samples, up, down, window=_filter(max(up, down))), dtype=np.float32)


def _filter(factor: int) -> FloatArray:
    """Low pass at 1/factor of the Nyquist frequency, odd length, unit gain."""
    half = ZERO_CROSSINGS * factor
    cutoff = 0.94 / factor
    taps = cutoff * np.sinc(cutoff * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, 8.0)
    return np.asarray(taps / taps.sum(), dtype=np.float32)


def _decode(media: Media, native: int, first: int, last: int | None) -> FloatArray:
    """Mono samples ``first`` to ``last`` at ``native`` Hz, each where its time stamp puts it."""
    chunks = list(_placed(media, native, first, last))
    stop = max((position + len(chunk) for position, chunk in chunks), default=first)
    out = np.zeros(max(0, (stop if last is None else min(stop, last)) - first), dtype=np.float32)
    for position, chunk in chunks:
        kept = chunk[max(0, first - position) : max(0, first + len(out) - position)]
        begin = max(0, position - first)
        out[begin : begin + len(kept)] = kept
    return out


def _placed(media: Media, native: int, first: int, last: int | None) -> Iterator[tuple[int, FloatArray]]:
    """``(sample position, mono samples)`` of the frames that overlap the wanted part.

    Frames follow one another unless their time stamps say otherwise by more than 20 ms; a gap past
    the declared end is not believed.
    """
    limit = round((media.duration("sound") or 0.0) * native) + native
    due: int | None = None
    for time, frame in media.frames("sound", first / native, PREROLL):
        stamped = round(time * native)
        jumps = due is None or (abs(stamped - due) > native // 50 and stamped < max(limit, due))
        position = stamped if jumps or due is None else due
        if last is not None and position >= last:
            yield last, np.zeros(0, dtype=np.float32)  # sound goes on after the segment: what is missing is silence
            return
        chunk = resample(_mono(frame), frame.sample_rate, native)
        due = position + len(chunk)
        if due > first:
            yield position, chunk


def _mono(frame: Any) -> FloatArray:
    """The samples of an av audio frame in any format, mixed to float32 [N] in [-1, 1]."""
    values = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    weights = _weights([channel.name for channel in frame.layout.channels])
    with np.errstate(all="ignore"):
        return np.asarray(weights @ _scaled(values), dtype=np.float32)


def _scaled(values: Any) -> FloatArray:
    if values.dtype == np.uint8:
        return np.asarray((values.astype(np.float32) - 128) / 128, dtype=np.float32)
    if values.dtype.kind == "i":
        return np.asarray(values / float(2 ** (8 * values.dtype.itemsize - 1)), dtype=np.float32)
    return np.asarray(values, dtype=np.float32)


def _weights(names: list[str]) -> FloatArray:
    """How much each channel counts in the mono mix; they sum to 1."""
    if set(names) == {"NONE"} and len(names) in (6, 8):
        names = USUAL[: len(names)]
    wide = len(names) > 2 and set(names) <= PLACES
    weights = np.array([CENTRES.get(name, 0.5) if wide else 1.0 for name in names], dtype=np.float32)
    return np.asarray(weights / weights.sum(), dtype=np.float32)
