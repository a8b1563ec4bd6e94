"""A clip's declared inputs, decoded. Bad media become answers here, never exceptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from mer_core.errors import MediaError, MerError
from mer_core.inputs import TRANSCRIPT, AudioInput, DerivedInput, FramesInput, Input, TextInput, Transcribed
from mer_core.media.audio import read_audio, read_plain, read_sound
from mer_core.media.container import Media
from mer_core.media.crops import StoredFaces
from mer_core.media.probe import held_until
from mer_core.media.video import VideoReader
from mer_core.types import Audio, Clip, Derived, Failure, Frames, FrameStream, Missing, Text

if TYPE_CHECKING:
    from mer_core.media.faces import FaceTrack

DECODER_VERSION = "1"
"""Raise it when decoding gives other values than before; part of every fingerprint."""

WHOLE = 0.95
"""A file that holds less of what a clip needs is truncated."""

Answer = Audio | Frames | FrameStream | Text | Derived | Missing | Failure
"""What becomes of one declared input."""

_T = TypeVar("_T")


def decode_inputs(
    clip: Clip, inputs: Mapping[str, Input], derived: Mapping[str, Derived | Missing | Failure]
) -> dict[str, Answer]:
    """Decode ``inputs`` of one clip; see :meth:`ClipReader.decode`."""
    with ClipReader(clip) as reader:
        return reader.decode(inputs, derived)


class ClipReader:
    """Decodes the inputs of one clip, each file opened once. A context manager, for one thread.

    Nothing is opened before it is needed, and no state of the media raises: what is not there is
    Missing, what is broken a Failure of stage ``decode``.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._files: dict[Path, Media | Failure] = {}
        self._video: VideoReader | Missing | Failure | None = None
        self._sounds: dict[int, Audio | Missing | Failure] = {}

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every file. Frame streams handed out before open theirs again if iterated."""
        if isinstance(self._video, VideoReader):
            self._video.close()
        for file in self._files.values():
            if isinstance(file, Media):
                file.close()
        self._files, self._video = {}, None

    def decode(
        self, inputs: Mapping[str, Input], derived: Mapping[str, Derived | Missing | Failure]
    ) -> dict[str, Answer]:
        """One answer per input. All frame inputs that are no streams share one decoding pass.

        ``derived`` holds what derivers made of this clip, by the name they produce; faces are cut
        along ``derived["faces"]``. May be called again, e.g. with what a deriver has made since.
        """
        frames = {name: wanted for name, wanted in inputs.items() if isinstance(wanted, FramesInput)}
        answers = self._frames(frames, derived)
        for name, wanted in inputs.items():
            if not isinstance(wanted, FramesInput):
                answers[name] = self._other(wanted, derived)
        return {name: answers[name] for name in inputs}

    def _other(
        self, wanted: AudioInput | TextInput | DerivedInput, derived: Mapping[str, Derived | Missing | Failure]
    ) -> Answer:
        if isinstance(wanted, AudioInput):
            return self._audio(wanted.rate)
        if isinstance(wanted, TextInput):
            content = self.clip.text or ""
            if content.strip():
                return Text(content, self.clip.language)
            return heard_text(self.clip, derived) if isinstance(wanted, Transcribed) else Missing("no text")
        return derived.get(wanted.name, Failure(f"{wanted.name} was not derived", "decode"))

    def _audio(self, rate: int) -> Audio | Missing | Failure:
        if rate not in self._sounds:
            self._sounds[rate] = guarded(lambda: self._read_audio(rate))
        return self._sounds[rate]

    def _read_audio(self, rate: int) -> Audio | Missing | Failure:
        path = self.clip.sound
        if path is None:
            return Missing("no audio")
        plain = read_plain(path, rate, self.clip.start, self.clip.end)
        if plain is not None:
            return plain
        media = self._open(path)
        if isinstance(media, Failure):
            return media
        if media.sound is None:
            return Missing("no audio track")
        if self._sounds:  # a decoder that ran before may differ in its last bits (AAC noise): begin afresh
            return read_audio(path, rate, self.clip.start, self.clip.end)
        return read_sound(media, rate, self.clip.start, self.clip.end)

    def _frames(
        self, wanted: Mapping[str, FramesInput], derived: Mapping[str, Derived | Missing | Failure]
    ) -> dict[str, Answer]:
        if not wanted:
            return {}
        track = main_face(derived) if any(spec.faces for spec in wanted.values()) else None
        if isinstance(track, StoredFaces):
            whole = {name: spec for name, spec in wanted.items() if not spec.faces}
            return {**_stored(track, wanted), **self._frames(whole, derived)}
        reader = self._pictures()
        if not isinstance(reader, VideoReader):
            return dict.fromkeys(wanted, reader)
        answers: dict[str, Answer] = {}
        blocks: dict[str, FramesInput] = {}
        for name, spec in wanted.items():
            if spec.faces and isinstance(track, Missing | Failure):
                answers[name] = track
            elif spec.stream:
                answers[name] = reader.stream_of(spec, _usable(track))
            else:
                blocks[name] = spec
        answers.update(self._read(reader, blocks, _usable(track)))
        return answers

    def _read(
        self, reader: VideoReader, blocks: Mapping[str, FramesInput], track: FaceTrack | None
    ) -> Mapping[str, Frames | Missing | Failure]:
        if not blocks:
            return {}
        found = guarded(lambda: reader.read(blocks, track))
        return dict.fromkeys(blocks, found) if isinstance(found, Failure) else found

    def _pictures(self) -> VideoReader | Missing | Failure:
        if self._video is None:
            self._video = guarded(self._open_video)
        return self._video

    def _open_video(self) -> VideoReader | Missing | Failure:
        path = self.clip.video
        if path is None:
            return Missing("no video")
        media = self._open(path)
        if isinstance(media, Failure):
            return media
        if media.picture is None:
            return Missing("no video track")
        return VideoReader(path, self.clip.start, self.clip.end, media)

    def _open(self, path: Path) -> Media | Failure:
        if path not in self._files:
            self._files[path] = guarded(lambda: self._whole(Media(path)))
        return self._files[path]

    def _whole(self, media: Media) -> Media:
        """``media`` if the file holds what the clip needs of it.

        Raises:
            MediaError: the file was cut off before the clip ends; decoders would say nothing.
        """
        held = held_until(media)
        length = max(media.duration("sound") or 0.0, media.duration("picture") or 0.0)
        if held is None or held >= WHOLE * (length if self.clip.end is None else min(length, self.clip.end)):
            return media
        media.close()
        raise MediaError(
            f"{media.path} is truncated: it ends after {held:.1f} of its {length:.1f} s.", "Copy or download it again."
        )


def main_face(
    derived: Mapping[str, Derived | Missing | Failure],
) -> FaceTrack | StoredFaces | Missing | Failure:
    """The track or the stored pictures of the main face among what was derived, or why there are none."""
    found = derived.get("faces", Failure("faces were not derived", "decode"))
    if not isinstance(found, Derived):
        return found
    from mer_core.media.faces import FaceTrack

    kind = StoredFaces if "pictures" in found.info else FaceTrack
    return guarded(lambda: kind.from_derived(found), stage="faces")


def _stored(faces: StoredFaces, wanted: Mapping[str, FramesInput]) -> dict[str, Answer]:
    """Answers to those of ``wanted`` that ask for faces."""
    asked = {name: spec for name, spec in wanted.items() if spec.faces}
    streams = {name: faces.stream(spec) for name, spec in asked.items() if spec.stream}
    blocks = {name: guarded(partial(faces.read, asked[name]), "faces") for name in asked.keys() - streams.keys()}
    return {**streams, **blocks}


def heard_text(clip: Clip, derived: Mapping[str, Derived | Missing | Failure]) -> Text | Missing | Failure:
    """What the artefact ``transcript`` says that is said in ``clip``; one that failed is none."""
    found = derived.get(TRANSCRIPT)
    if not isinstance(found, Derived):
        return Missing(f"no text ({found.reason})" if isinstance(found, Missing) else "no text")
    content = found.info.get("text")
    if not isinstance(content, str):
        return Failure("its info has no text", TRANSCRIPT)
    language = clip.language or found.info.get("language") or None
    return Text(content.strip(), language, machine_made=True) if content.strip() else Missing("no text (no speech)")


def _usable(track: FaceTrack | Missing | Failure | None) -> FaceTrack | None:
    return None if isinstance(track, Missing | Failure) else track


def guarded(action: Callable[[], _T], stage: str = "decode") -> _T | Failure:
    """What ``action`` returns; any exception becomes a Failure that says what happened."""
    try:
        return action()
    except MerError as error:
        return Failure(str(error), stage)
    except Exception as error:  # one clip never stops the rest, whatever a codec library throws
        return Failure(f"{type(error).__name__}: {error}", stage)
