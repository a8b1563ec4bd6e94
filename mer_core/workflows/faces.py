"""The contact sheet: which face was taken from each clip, and what its aligned crops look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mer_core.errors import EnvironmentProblem, UsageError
from mer_core.inputs import FramesInput, Input
from mer_core.media.crops import StoredFaces
from mer_core.media.decode import ClipReader, guarded, main_face
from mer_core.media.faces import FaceTrack
from mer_core.protocols import Deriver, Progress
from mer_core.types import Clip, Derived, Failure, Frames, Missing, Sample

if TYPE_CHECKING:
    from mer_core.aliases import ImageArray

TILE, CAPTION, HEADER, GAP = 128, 16, 22, 6
"""Pixels: side of a crop, the line under it, the line above a clip, space between things."""

VIEW = 228
"""Pixels: width of the whole frame in which the face is marked."""

PAPER, INK, FAINT, MARK, ALARM = (250, 250, 248), (35, 35, 38), (120, 120, 125), (30, 150, 70), (176, 58, 46)


def face_sheet(
    clips: Sequence[Clip],
    deriver: Deriver,
    out: Path,
    columns: int = 1,
    per_clip: int = 8,
    inputs: Mapping[str, Input] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a PNG that shows, clip by clip, the main face in a whole frame and its aligned crops.

    Clips without a face are shown with the reason. Nothing else is stored or changed.

    Args:
        clips: what to show, in this order.
        deriver: makes face tracks, e.g. the ``haar`` plugin.
        out: the PNG; its folder is made if needed.
        columns: clips side by side.
        per_clip: crops per clip, spread over the time in which the face was seen.
        inputs: what the deriver declares; by default what its options compute, or frames at 5 fps.
        progress: called once per clip.

    Returns:
        ``out``.

    Raises:
        UsageError: no clips.
        EnvironmentProblem: ``out`` cannot be written.
    """
    if not clips:
        raise UsageError("there are no clips to show.", "Name a manifest or folder with at least one clip.")
    wanted = dict(inputs) if inputs is not None else _inputs_of(deriver)
    panels = []
    for number, clip in enumerate(clips):
        panels.append(_panel(clip, deriver, wanted, per_clip))
        if progress:
            progress("faces", number + 1, len(clips), clip.id)
    _write(out, _grid(panels, columns))
    return out


def derive_faces(reader: ClipReader, deriver: Deriver, inputs: Mapping[str, Input]) -> Derived | Missing | Failure:
    """What ``deriver`` makes of the clip that ``reader`` has open; never raises for bad media."""
    decoded = reader.decode(inputs, {})
    for answer in decoded.values():
        if isinstance(answer, Missing | Failure):
            return answer
    return guarded(lambda: deriver.derive([Sample(reader.clip.id, decoded)])[0], stage="faces")


def _inputs_of(deriver: Deriver) -> dict[str, Input]:
    compute = getattr(getattr(deriver, "options", None), "inputs", None)
    return dict(compute()) if callable(compute) else {"frames": FramesInput(fps=5, stream=True)}


def _panel(clip: Clip, deriver: Deriver, inputs: Mapping[str, Input], per_clip: int) -> ImageArray:
    """One clip's strip: a header, the marked whole frame, then crops or the reason there are none."""
    with ClipReader(clip) as reader:
        found = derive_faces(reader, deriver, inputs)
        shown = reader.decode(
            {"view": FramesInput(count=1, max_side=VIEW), "crops": FramesInput(count=per_clip, faces=True, size=TILE)},
            {"faces": found},
        )
    faces = main_face({"faces": found})
    track = faces if isinstance(faces, FaceTrack) else None
    panel = _paper(HEADER + TILE + CAPTION, VIEW + (GAP + TILE) * per_clip)
    none = isinstance(faces, Missing | Failure)
    _text(panel, _header(clip, faces), (0, HEADER - 7), ALARM if none else INK, 0.45)
    view, crops = shown["view"], shown["crops"]
    if isinstance(view, Frames):
        _paste(panel, _marked(view, track), 0, HEADER)
    if isinstance(crops, Frames):
        _put_crops(panel, crops)
    else:
        _put_reason(panel, found if isinstance(found, Missing | Failure) else crops)
    return panel


def _header(clip: Clip, faces: FaceTrack | StoredFaces | Missing | Failure) -> str:
    name = clip.id.encode("ascii", "backslashreplace").decode()
    if isinstance(faces, Missing | Failure):
        return f"{name}   no face"
    facts = faces.quality()
    line = f"{name}   seen in {facts['coverage']:.0%} of {faces.frames_seen} frames"
    line += f", {facts['size']:.0f} px" if "size" in facts else ", cut before"
    line += f", score {facts['score']:.2f}"
    return line + (f", {facts['jumps']:.0f} jumps" if facts.get("jumps") else "")


def _marked(view: Frames, track: FaceTrack | None) -> ImageArray:
    """The whole frame, the face's box drawn where it was nearest in time, to fit its place."""
    image = view.images[0].copy()
    if track is not None:
        scaled = track.scaled((image.shape[1], image.shape[0]))
        nearest = int(np.argmin(np.abs(scaled.times - view.times[0])))
        x, y, width, height = (round(float(v)) for v in scaled.boxes[nearest])
        cv2.rectangle(image, (x, y), (x + width, y + height), MARK, 2)
    shrink = min(1.0, VIEW / image.shape[1], TILE / image.shape[0])
    fitted = (max(1, int(image.shape[1] * shrink)), max(1, int(image.shape[0] * shrink)))
    small: ImageArray = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA)
    return small


def _put_crops(panel: ImageArray, crops: Frames) -> None:
    scores = crops.quality if crops.quality is not None else np.ones(len(crops))
    for place, (image, time, score) in enumerate(zip(crops.images, crops.times, scores, strict=True)):
        left = VIEW + GAP + place * (TILE + GAP)
        _paste(panel, image, left, HEADER)
        _text(panel, f"{time:.2f} s   {score:.2f}", (left + 2, HEADER + TILE + CAPTION - 4), FAINT, 0.36)


def _put_reason(panel: ImageArray, answer: object) -> None:
    reason = answer.reason if isinstance(answer, Missing | Failure) else "no face in view"
    shown = reason.encode("ascii", "backslashreplace").decode()
    _text(panel, shown, (VIEW + GAP, HEADER + TILE // 2), ALARM, 0.45)


def _grid(panels: Sequence[ImageArray], columns: int) -> ImageArray:
    """Panels of one size, row by row, on one sheet."""
    columns = max(1, min(columns, len(panels)))
    rows = -(-len(panels) // columns)
    height, width = panels[0].shape[:2]
    space = 2 * GAP
    sheet = _paper(rows * (height + space) + space, columns * (width + space) + space)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        _paste(sheet, panel, space + column * (width + space), space + row * (height + space))
    return sheet


def _paper(height: int, width: int) -> ImageArray:
    return np.full((height, width, 3), PAPER, np.uint8)


def _paste(sheet: ImageArray, image: ImageArray, left: int, top: int) -> None:
    sheet[top : top + image.shape[0], left : left + image.shape[1]] = image


def _text(image: ImageArray, text: str, at: tuple[int, int], colour: tuple[int, int, int], scale: float) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def _write(out: Path, sheet: ImageArray) -> None:
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(data.tobytes())
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {out}: {error.strerror}.", "Choose another --out.") from error
