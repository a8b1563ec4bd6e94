"""A stand-in for OpenFace: a program with its flags and its output, and a frontal face for it to find."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from test_align import SHAPE, turned

__all__ = ["SHAPE", "aligned", "landmarks_of", "transform_of", "turned", "write_fake", "write_pdm", "write_table"]

COLUMNS = [
    *("frame", "face_id", "timestamp", "confidence", "success"),
    *(f"gaze_{eye}_{axis}" for eye in range(2) for axis in "xyz"),
    *("gaze_angle_x", "gaze_angle_y"),
    *(f"eye_lmk_{axis}_{i}" for axis in "xyXYZ" for i in range(56)),
    *(f"pose_{what}{axis}" for what in "TR" for axis in "xyz"),
    *(f"{axis}_{i}" for axis in "xyXYZ" for i in range(68)),
    *("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"),
    *(f"p_{i}" for i in range(34)),
    *(f"AU{unit:02}_r" for unit in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)),
    *(f"AU{unit:02}_c" for unit in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)),
]
"""All columns of OpenFace's table, in its order."""

RIGID = [1, 2, 3, 4, 12, 13, 14, 15, 27, 28, 29, 31, 32, 33, 34, 35, 36, 39, 40, 41, 42, 45, 46, 47]

PROGRAM = """
import csv, json, os, struct, sys, time
words = sys.argv[1:]
flag = lambda name: words[words.index(name) + 1]
frames = sorted(os.listdir(flag("-fdir")))
width = struct.unpack(">I", open(os.path.join(flag("-fdir"), frames[0]), "rb").read(24)[16:20])[0]
with open(os.environ.get("FAKE_HEARD", os.devnull), "a") as heard:
    heard.write(json.dumps([words, frames]) + "\\n")
print("Reading the input sequence", file=sys.stderr)
if width == 64:
    sys.exit("Could not read the model\\n")
if width == 66:
    time.sleep(60)
if width == 68:
    sys.exit(0)
rows = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rows.json")))
out, name = flag("-out_dir"), flag("-of")
with open(os.path.join(out, name + ".csv"), "w") as file:
    file.write(", ".join(rows["header"]) + "\\n")
    for row in rows["rows"][:len(frames)]:
        file.write(", ".join(str(value) for value in row) + "\\n")
if "-simalign" in words:
    side = int(flag("-simsize"))
    os.mkdir(os.path.join(out, name + "_aligned"))
    for number in range(1, len(frames) + 1):
        head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + 3 * side * side, 0, 0, 54,
                           40, side, side, 1, 24, 0, 3 * side * side, 0, 0, 0, 0)
        with open(os.path.join(out, name + "_aligned", "frame_det_00_%06d.bmp" % number), "wb") as file:
            file.write(head + bytes((10 * number, 20, 200)) * (side * side))
"""


def landmarks_of(count: int, centre: tuple[float, float] = (160, 110)) -> np.ndarray:
    """[count, 68, 2]: the frontal face, moving, turning and growing, with a smile that is not rigid."""
    faces = [turned(SHAPE, 3 * i - 6, 0.9 + 0.02 * i, (centre[0] + i, centre[1])) for i in range(count)]
    points = np.stack(faces)
    points[:, 48:60] += np.array([0.0, 2.0])
    return points


def header(points: bool = True, model: bool = True) -> list[str]:
    names = ["frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x"]
    names += [f"{axis}_{i}" for axis in "xy" for i in range(68)] if points else []
    return names + (["p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", "p_0"] if model else [])


def rows_of(
    landmarks: np.ndarray,
    confidence: Sequence[float] | None = None,
    centres: np.ndarray | None = None,
    faces: Sequence[int] | None = None,
    frames: Sequence[int] | None = None,
    fps: float = 25,
) -> list[list[float]]:
    """Rows of OpenFace's table; success is a confidence above 0.7, as there."""
    rows = []
    for i, face in enumerate(landmarks):
        frame = frames[i] if frames else i + 1
        sure = confidence[i] if confidence else 0.98
        centre = face.mean(0) if centres is None else centres[i]
        facts = [frame, faces[i] if faces else 0, (frame - 1) / fps, sure, int(sure > 0.7), 0.0]
        rows.append([*facts, *face[:, 0], *face[:, 1], 1.0, 0.0, 0.0, 0.0, *centre, 0.0])
    return [[float(v) if i > 4 else v for i, v in enumerate(row)] for row in rows]


def write_table(path: Path, rows: Sequence[Sequence[float]], names: Sequence[str] | None = None, gap: str = "") -> Path:
    """Write a table; ``gap`` is what stands before each cell but the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", delimiter=",", quoting=csv.QUOTE_NONE)
        for row in [list(names or header()), *rows]:
            writer.writerow([f"{gap}{cell}" if i else cell for i, cell in enumerate(row)])
    return path


def write_fake(folder: Path, landmarks: np.ndarray, **facts: object) -> Path:
    """Write the program: it finds ``landmarks`` whatever it sees; it fails at 64 px, hangs at 66, is silent at 68."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fake.py").write_text(PROGRAM)
    content: Mapping[str, object] = {"header": header(), "rows": rows_of(landmarks, **facts)}  # type: ignore[arg-type]
    (folder / "rows.json").write_text(json.dumps(content))
    program = folder / "FeatureExtraction"
    program.write_text(f'#!/bin/sh\n"{sys.executable}" -SE "{folder / "fake.py"}" "$@"\n')
    program.chmod(0o755)
    return program


def write_pdm(path: Path) -> Path:
    """The shape model's file as OpenFace has it: comments, rows, columns, type, values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mean = " ".join(f"{v:.6f}" for v in [*SHAPE[:, 0], *SHAPE[:, 1], *np.linspace(-30, 30, 68)])
    rest = "# The principal components\n204\n2\n6\n" + "0 " * 408 + "\n"
    path.write_text(f"# The mean values of the components (in mm)\n204\n1\n6\n{mean}\n{rest}")
    return path


def transform_of(landmarks: np.ndarray, centre: Sequence[float], size: int) -> np.ndarray:
    """[2, 3]: OpenFace's alignment, written down once more, by complex numbers instead of an SVD."""
    scale = size * 0.7 / 112
    source, target = landmarks[RIGID], SHAPE[RIGID] * scale
    a, b = ((p - p.mean(0)) @ np.array([1, 1j]) for p in (source, target))
    ratio = np.sqrt((np.abs(b) ** 2).sum() / (np.abs(a) ** 2).sum())
    turn = (np.conj(a) * b).sum()
    turn = ratio * turn / abs(turn)
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([matrix, np.array([size // 2, size // 2]) - matrix @ np.asarray(centre)])


def aligned(image: np.ndarray, landmarks: np.ndarray, centre: Sequence[float], size: int) -> np.ndarray:
    """OpenFace's unmasked crop [size, size, 3]."""
    return cv2.warpAffine(image, transform_of(landmarks, centre, size), (size, size), flags=cv2.INTER_LINEAR)


def depth(landmarks: np.ndarray, centre: Sequence[float], size: int) -> np.ndarray:
    """[size, size]: pixels that a crop's pixel lies inside of OpenFace's mask, negative outside.

    A point is inside of a hull if it reaches no further than the hull does, in any direction (here every other degree).
    """
    matrix = transform_of(landmarks, centre, size)
    hull = landmarks @ matrix[:, :2].T + matrix[:, 2]
    hull[[0, 16, *range(17, 27)], 1] -= 30 / 0.7 * size * 0.7 / 112
    angles = np.radians(np.arange(0, 360, 2))
    directions = np.stack([np.cos(angles), np.sin(angles)])
    rows, columns = np.mgrid[:size, :size]
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return np.asarray(((hull @ directions).max(0) - pixels @ directions).min(1).reshape(size, size))
