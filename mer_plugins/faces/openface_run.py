"""Runs OpenFace's FeatureExtraction on the frames of one clip.

Frames are given as pictures, upright and without loss, so that segments of a file, turned videos and any
path work, and each row of the table is a frame whose time is known.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import cv2

from mer_core.plugin import FrameStream, MediaError
from mer_plugins.faces.openface_options import OpenFaceOptions

NAME = "clip"
"""What OpenFace calls its output."""

QUICK = [cv2.IMWRITE_PNG_COMPRESSION, 1]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def write_frames(frames: FrameStream, folder: Path) -> list[float]:
    """Write each frame as a PNG whose name sorts as it should; their times in seconds."""
    folder.mkdir()
    times = []
    for time, image in frames:
        times.append(time)
        _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), QUICK)
        (folder / f"{len(times):09d}.png").write_bytes(data.tobytes())
    return times


def command(program: Path, frames: Path, out: Path, options: OpenFaceOptions) -> list[str]:
    """Landmarks and the shape model's parameters; aligned pictures where they are kept."""
    words = [str(program), "-fdir", str(frames), "-out_dir", str(out), "-of", NAME, "-2Dfp", "-pdmparams", "-q"]
    if options.keep is not None:
        words += ["-simalign", "-simsize", str(options.size), *["-nomask"] * (not options.mask)]
    return words


def run(words: Sequence[str], out: Path, timeout: float) -> Path:
    """Run OpenFace; the table that it wrote.

    Raises:
        MediaError: it failed, took too long or wrote no table; with the last line that it wrote.
    """
    out.mkdir()
    told, wailed = out.parent / "out.txt", out.parent / "err.txt"
    with told.open("wb") as first, wailed.open("wb") as second:
        code = _wait(words, first, second, timeout)
    table = out / f"{NAME}.csv"
    said = _last_line(wailed) or _last_line(told)
    if code is None:
        raise MediaError(f"OpenFace took longer than {timeout:g} s{said}.", "Give it -o openface.timeout=SECONDS.")
    if code != 0 or not table.is_file():
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}" if code else "wrote no table"
        raise MediaError(f"OpenFace {how}{said}.", f"Try it by hand: {Path(words[0]).name} -h.")
    return table


def _wait(words: Sequence[str], told: IO[bytes], wailed: IO[bytes], timeout: float) -> int | None:
    """The exit status; None if it was ended, with all that it had started, because it took too long."""
    own = {**dict.fromkeys(THREADS, "1"), **os.environ}
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=told, stderr=wailed, env=own, start_new_session=True
        )
    except OSError as error:
        raise MediaError(f"{words[0]} cannot be run: {error.strerror}.", "Check openface.binary.") from error
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is still running of it."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()


def _last_line(heard: Path) -> str:
    lines = [line.strip() for line in heard.read_text(encoding="utf-8", errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return f": {last[:300].rstrip('.')}" if last else ""
